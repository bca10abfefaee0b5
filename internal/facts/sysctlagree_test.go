package facts

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sysctlKeys are the settings of the kernel that is drawn for systemd-sysctl.
func sysctlKeys() []string {
	all := []string{"kernel/sysrq", "kernel/kptr_restrict", "vm/mmap_min_addr"}
	for _, of := range []string{"all", "default", "eth0", "eth0.20", "wlan0", "e-1"} {
		all = append(all, "net/ipv4/conf/"+of+"/rp_filter", "net/ipv4/conf/"+of+"/log_martians", "net/ipv6/conf/"+of+"/accept_ra")
	}
	return all
}

func drawSysctlFile(r *rapid.T) string {
	choose := func(label string, all ...string) string { return rapid.SampledFrom(all).Draw(r, label) }
	var b strings.Builder
	for range rapid.IntRange(0, 7).Draw(r, "lines") {
		key := choose("key", "kernel.sysrq", "kernel/sysrq", "/kernel/sysrq", ".kernel.sysrq", "kernel//sysrq", "kernel.kptr_restrict", "kernel..sysrq", "kernel.none", "vm.mmap_min_addr", "kernel.k*", "kernel.*r*",
			"net.ipv4.conf.all.rp_filter", "net/ipv4/conf/eth0.20/rp_filter", "net.ipv4.conf.eth0/20.rp_filter", "net.ipv4.conf.eth0.rp_filter", "net.ipv4.conf.*.rp_filter",
			"net.ipv4.conf.eth*.rp_filter", "net/ipv4/conf/eth?/rp_filter", "net.ipv4.conf.[!a]*.rp_filter", "net.ipv4.conf.[^a]*.log_martians", "net.ipv4.conf.[a-e]*.*", "net.*.conf.default.*",
			"net.ipv4.conf.*.log_martians", "net.ipv6.conf.*.accept_ra", "net.ipv6.conf.e-1.accept_ra", "net.ipv6.conf.all.accept_ra", "net.ipv4.*", "*", "net/ipv4/conf/e[-]1/*",
			"net.ipv4.conf.[.rp_filter", "net.ipv4.conf.eth0\\.rp_filter", "net.ipv4.conf.{all,eth0}.rp_filter", "net.ipv4.conf.{all,eth*}.rp_filter", "net.ipv4.conf.[[:alpha:]]*.rp_filter", "net.ipv4.conf.[]a]*.rp_filter", "")
		value := choose("value", "1", "2", "3")
		switch k := rapid.IntRange(0, 19).Draw(r, "kind"); k {
		case 0:
			b.WriteString(choose("odd", "# x=1", "; kernel.sysrq=1", "", "kernel.sysrq 1", "=1", "-", "- = 1", "-=1", "  ", "--kernel.sysrq=1", "kernel.sysrq=1 \\", "kernel.sysrq=", "\\"))
		case 1, 2, 3:
			b.WriteString("-" + choose("gap", "", "", " ") + key)
		case 4, 5:
			fmt.Fprintf(&b, "-%s=%s", key, value)
		default:
			fmt.Fprintf(&b, "%s%s%s=%s%s%s", choose("indent", "", "", " ", "\t"), key, choose("before", "", " "), choose("after", "", " ", "\t"), value, choose("end", "", "", " "))
		}
		b.WriteString(choose("newline", "\n", "\n", "\n", "\r\n"))
	}
	return b.String()
}

// What we say that files set is what the real systemd-sysctl writes: into a kernel that
// is drawn, from directories of ours, in a mount namespace.
func TestSysctlAgrees(t *testing.T) {
	program := realProgram(t, "systemd", "/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")
	root := t.TempDir()
	dirs := []string{"etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d"}
	for _, dir := range append(dirs, "proc/sys") {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range sysctlKeys() {
		if err := os.MkdirAll(filepath.Join(root, "proc/sys", filepath.Dir(key)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("unshare", "-m", "-r", "sh", "-ec", `for d in run usr/local/lib usr/lib/sysctl.d etc/sysctl.d proc/sys; do mount --bind "$1/$d" "/$d"; done
while read -r line; do "$2" >/dev/null 2>&1 || true; echo done; done`, "sh", root, program)
	if os.Getuid() == 0 {
		c.Args = append(c.Args[:2], c.Args[3:]...)
	}
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatalf("a mount namespace cannot be had: %v", err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = c.Wait() })
	answers := bufio.NewScanner(stdout)

	set, runs := 0, 0
	runRapid(t, *realRuns, func(r *rapid.T) {
		runs++
		var drawing strings.Builder
		for _, dir := range dirs {
			old, err := filepath.Glob(filepath.Join(root, dir, "*"))
			if err != nil {
				r.Fatal(err)
			}
			hidden, _ := filepath.Glob(filepath.Join(root, dir, ".*.conf"))
			for _, name := range append(old, hidden...) {
				if err := os.RemoveAll(name); err != nil {
					r.Fatal(err)
				}
			}
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"10-a.conf", "20-b.conf", "99-sysctl.conf", "A.conf", "b.conf", "c.conf.bak", ".d.conf", "e.conf~"}), 0, 3, func(s string) string { return s }).Draw(r, "names") {
				full := filepath.Join(root, dir, name)
				switch rapid.IntRange(0, 9).Draw(r, "form") {
				case 0:
					target := rapid.SampledFrom([]string{"/dev/null", "20-b.conf", "/etc/sysctl.d/20-b.conf", "/run/sysctl.d/b.conf"}).Draw(r, "target")
					if err := os.Symlink(target, full); err != nil {
						r.Fatal(err)
					}
					fmt.Fprintf(&drawing, "-- %s/%s -> %s --\n", dir, name, target)
				default:
					text := drawSysctlFile(r)
					if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
						r.Fatal(err)
					}
					fmt.Fprintf(&drawing, "-- %s/%s --\n%s", dir, name, text)
				}
			}
		}
		for _, key := range sysctlKeys() {
			if err := os.WriteFile(filepath.Join(root, "proc/sys", key), nil, 0o644); err != nil {
				r.Fatal(err)
			}
		}
		if _, err := stdin.Write([]byte("\n")); err != nil || !answers.Scan() {
			t.Fatalf("systemd-sysctl cannot be started in a mount namespace of its own (as root, or where user namespaces are allowed): %v %s", err, stderr.String())
		}
		tree, err := Draw("-- dev/null --\n" + drawing.String())
		if err != nil {
			r.Fatal(err)
		}
		h := &Host{Tree: tree}
		all, err := h.sysctls()
		if err != nil {
			r.Fatal(err)
		}
		for _, key := range sysctlKeys() {
			text, err := os.ReadFile(filepath.Join(root, "proc/sys", key))
			if err != nil {
				r.Fatal(err)
			}
			real := strings.TrimSpace(string(text))
			l, ok := written(all, key)
			if l.value != real {
				r.Fatalf("%s: we say %q (%v %s:%d), systemd-sysctl %q\n%s", key, l.value, ok, l.file, l.line, real, drawing.String())
			}
			if real != "" {
				set++
			}
		}
	})
	t.Logf("%d drawings, %d settings agree", runs, set)
	if set < runs {
		t.Errorf("only %d settings were written in %d drawings", set, runs)
	}
}
