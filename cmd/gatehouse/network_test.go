package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inNetwork runs the test again in a network of its own, from which nothing leaves and
// which ends with it; without root as root of a user namespace. It reports whether this
// is that run.
func inNetwork(t *testing.T) bool {
	t.Helper()
	const mark = "GATEHOUSE_TEST_NETWORK"
	if os.Getenv(mark) == t.Name() {
		for _, m := range []struct {
			source, target, kind string
			flags                uintptr
		}{{"none", "/", "", syscall.MS_REC | syscall.MS_PRIVATE}, {"tmpfs", "/run", "tmpfs", 0}} {
			if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
				t.Fatalf("mount %s: %v", m.target, err)
			}
		}
		return true
	}
	t.Parallel() // it is mostly waiting
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=8m")
	child.WaitDelay = 10 * time.Second
	child.Env = append(os.Environ(), mark+"="+t.Name())
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("in a network of its own (as root, or where users may have namespaces): %v\n%s", err, out)
	}
	return false
}

// network is one of the test's own, with others beside it.
type network struct{ t *testing.T }

// newNetwork makes one by lines for ip(8). more are the programs that it takes beside, and the
// packages that bring them.
func newNetwork(t *testing.T, more map[string]string, lines ...string) network {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	programs := map[string]string{"ip": "iproute2", "nsenter": "util-linux"}
	maps.Copy(programs, more)
	for program, name := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: apt-get install %s (scripts/needs unit does)", program, name)
		}
	}
	w := network{t}
	for _, line := range lines {
		w.run("ip", strings.Fields(line)...)
	}
	return w
}

// run runs a program and returns what it says.
func (w network) run(program string, args ...string) string {
	w.t.Helper()
	out, err := exec.CommandContext(w.t.Context(), program, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// gatehouseIn makes the program that is tested known in a directory.
func gatehouseIn(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "gatehouse")
	program, err := os.Executable()
	if err == nil {
		err = os.Symlink(program, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}
