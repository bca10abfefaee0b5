package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/internal/ha/hatest"
	"gatehouse/internal/ledger"
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
//	header FILE OUT         writes the header by which curl shows the token in FILE
//	revoke-device NAME      revokes the device of this name
//	onion-secrets N         the ledger in state keeps so many onion services' secrets
//	eventually TEXT PROGRAM ARG…   until the program prints that
//	issuer PORT [later]     starts an issuer of certificates, at $ISSUER
//	end WORD                tells a background command with this word to end
//	wait-until-kept         until the ledger in state says who is banned
//	power-cut NAME          ends a background command with SIGKILL, and waits
//	wait-for-answer         until a server answers the verbs
//	unknown-keys N ADDRESS  comes N times to port $SSH with the key "other", from an address of this machine
//	wrong-codes N ADDRESS   signs in N times at $SIGNIN with a wrong code, from an address of this machine

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatehouse": main, "listener": listener, "wireguard-userspace": userspaceWireGuard})
}

func TestScripts(t *testing.T) {
	t.Parallel()
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
			"end":             scriptEnd,
			"wait-until-kept": scriptWaitUntilKept,
			"power-cut":       scriptPowerCut,
			"wait-for-answer": scriptWaitForAnswer,
			"wrong-codes":     scriptWrongCodes,
			"unknown-keys":    scriptUnknownKeys,
			"header": func(ts *testscript.TestScript, _ bool, args []string) {
				token := strings.TrimSpace(ts.ReadFile(args[0]))
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte("Authorization: Bearer "+token+"\n"), 0o600))
			},
			"revoke-device": scriptRevoke,
			"onion-secrets": scriptOnionSecrets,
			"eventually":    scriptEventually,
			"issuer":        scriptIssuer,
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

func scriptUnknownKeys(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range n {
		if ts.Exec("ssh", "-F", "none", "-o", "UserKnownHostsFile=/dev/null", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
			"-i", "other", "-b", args[1], "-p", ts.Getenv("SSH"), "-W", "localhost:8123", "anna@127.0.0.1") == nil {
			ts.Fatalf("a key that is nobody's comes in")
		}
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

func scriptRevoke(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("gatehouse", "devices", "--json"))
	var list devicesDocument
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	for _, d := range list.Devices {
		if d.Name == args[0] {
			ts.Check(ts.Exec("gatehouse", "devices", "revoke", d.ID))
			return
		}
	}
	ts.Fatalf("no device is called %s", args[0])
}

func scriptEventually(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v prints %s", args[1:], ts.ReadFile("stdout"))
		}
	}
}

// scriptWaitUntilKept looks into the ledger beside the server that writes it.
func scriptWaitUntilKept(ts *testscript.TestScript, _ bool, _ []string) {
	dir, ctx := ts.MkAbs("state"), context.Background()
	key, err := ledger.LoadKey(filepath.Join(dir, ledger.KeyName))
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		l, err := ledger.Open(ctx, dir, key)
		ts.Check(err)
		kept := 0
		err = l.View(ctx, func(tx *ledger.Tx) error {
			return tx.One([]any{&kept}, `SELECT COUNT(*) FROM guard WHERE about = 'source' AND ends > 0`)
		})
		ts.Check(errors.Join(err, l.Close()))
		if kept > 0 {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no ban is written down")
		}
	}
}

// scriptPowerCut ends a background command in the middle of what it does, as a power cut would.
func scriptPowerCut(ts *testscript.TestScript, _ bool, args []string) {
	cmds := ts.BackgroundCmds()
	i := slices.IndexFunc(cmds, func(c *exec.Cmd) bool { return slices.Contains(c.Args, args[0]) })
	if i < 0 {
		ts.Fatalf("no background command has the word %s", args[0])
	}
	ts.Check(cmds[i].Process.Kill())
	for deadline := time.Now().Add(10 * time.Second); cmds[i].Process.Signal(syscall.Signal(0)) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%v does not end", cmds[i].Args)
		}
	}
}

func scriptWaitForAnswer(ts *testscript.TestScript, _ bool, _ []string) {
	socket := ts.MkAbs("state/control.sock")
	for deadline := time.Now().Add(20 * time.Second); !answersControl(context.Background(), socket); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("nobody answers at %s", socket)
		}
	}
}

// scriptWrongCodes signs in with wrong codes, as a name that may be somebody's password.
func scriptWrongCodes(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(args[1])}}
	target, err := url.Parse(ts.Getenv("SIGNIN"))
	ts.Check(err)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return from.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", target.Port()))
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the local authority's, on this machine
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for range n {
		form := url.Values{"name": {"hunter2"}, "code": {"000000"}}
		req, err := http.NewRequest(http.MethodPost, target.String(), strings.NewReader(form.Encode()))
		ts.Check(err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", target.Scheme+"://"+target.Host)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		res, err := client.Do(req)
		ts.Check(err)
		ts.Check(res.Body.Close())
		if res.StatusCode != http.StatusUnauthorized {
			ts.Fatalf("a wrong code is answered %s", res.Status)
		}
	}
}

// scriptEnd ends the newest background command with a word. The word must not be "stop":
// testscript's own command of that name ends the script there, as if it had passed.
func scriptEnd(ts *testscript.TestScript, _ bool, args []string) {
	for _, c := range slices.Backward(ts.BackgroundCmds()) {
		if slices.Contains(c.Args, args[0]) {
			ts.Check(c.Process.Signal(os.Interrupt))
			return
		}
	}
	ts.Fatalf("no background command has the word %s", args[0])
}
