package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/internal/ha/hatest"
)

// The command line as people and scripts use it: testdata/script/*.txtar. Beside the
// usual commands of testscript there are
//
//	status N PROGRAM ARG…   the program ends with exit status N
//	home                    a small Home Assistant; its address is $HA
//	fresh-home              the same before its onboarding
//	free-port NAME          a port that nobody listens on, as $NAME
//	wait-for FILE           until it is there
//	wait-for-demo           until a demonstration can be asked
//	stop NAME               tells a background command to end, and waits

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatehouse": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_RUNTIME_DIR", env.WorkDir)
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": scriptStatus,
			"home":   func(ts *testscript.TestScript, _ bool, _ []string) { scriptHome(ts, hatest.Options{}) },
			"fresh-home": func(ts *testscript.TestScript, _ bool, _ []string) {
				scriptHome(ts, hatest.Options{NotOnboarded: true})
			},
			"free-port": scriptFreePort,
			"wait-for":  scriptWaitFor,
			"wait-for-demo": func(ts *testscript.TestScript, neg bool, _ []string) {
				scriptWaitFor(ts, neg, []string{demoSocket(ts.Getenv)})
			},
			"stop": scriptStop,
		},
	})
}

func scriptStatus(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("status N PROGRAM ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		got = ended.ExitCode()
	case err != nil:
		ts.Fatalf("%v: %v", args[1:], err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%v ended with %d, want %s", args[1:], got, args[0])
	}
}

func scriptHome(ts *testscript.TestScript, o hatest.Options) {
	o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	home := hatest.New(o)
	server := &http.Server{Handler: home, ReadHeaderTimeout: time.Minute}
	go func() { ended <- server.Serve(l) }()
	ran := make(chan error, 1)
	go func() { ran <- home.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		_ = server.Close()
		<-ended
		<-ran
	})
	ts.Setenv("HA", "http://"+l.Addr().String())
}

func scriptFreePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	ts.Check(l.Close())
}

func scriptWaitFor(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(name); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not appear", name)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func scriptStop(ts *testscript.TestScript, _ bool, args []string) {
	cmds := ts.BackgroundCmds()
	if len(cmds) == 0 {
		ts.Fatalf("no background command to stop")
	}
	i := slices.IndexFunc(cmds, func(c *exec.Cmd) bool { return slices.Contains(c.Args, args[0]) })
	if i < 0 {
		ts.Fatalf("no background command has the word %s", args[0])
	}
	ts.Check(cmds[i].Process.Signal(os.Interrupt))
}
