package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/fix"
)

func TestOnlyANewLoginConfirms(t *testing.T) {
	at := time.Now()
	old := login{server: "sshd[10]", began: at.Add(-time.Hour)}
	for name, c := range map[string]struct {
		who  login
		from string
		ok   bool
	}{
		"the login that made the change":          {old, old.name(), false},
		"another that was there before":           {login{server: "sshd[11]", began: at.Add(-time.Minute)}, old.name(), false},
		"one in a terminal that outlives logins":  {login{server: "sshd[12]", began: at.Add(time.Minute), shared: true}, old.name(), false},
		"such a terminal alone":                   {login{shared: true}, "", false},
		"a new one":                               {login{server: "sshd-session[13]", began: at.Add(time.Minute)}, old.name(), true},
		"the console":                             {login{}, old.name(), true},
		"a script whose login began just before":  {login{server: "sshd[14]", began: at.Add(-time.Second)}, "sshd[14]", false},
		"a service, as run0 and mosh make one":    {login{detached: true}, "", false},
		"a new one after a change at the console": {login{server: "sshd[15]", began: at.Add(time.Minute)}, "", true},
	} {
		if err := c.who.since(&fix.Transaction{From: c.from, Log: []fix.Line{{At: at, State: fix.Trial}}}); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProcessSaysWhenItBegan(t *testing.T) {
	_, parent, ticks, err := process(os.Getpid())
	began := beganAt(ticks)
	if err != nil || parent != os.Getppid() || time.Since(began) > time.Hour || time.Until(began) > time.Second {
		t.Errorf("parent %d, began %s ago: %v", parent, time.Since(began), err)
	}
}

// What is told while the machine starts waits for whoever tells it: neither may wait then.
func TestNothingIsWaitedForWhileTheMachineStarts(t *testing.T) {
	for _, c := range []struct{ argv, want string }{
		{"systemctl restart ssh.service", "systemctl --no-block restart ssh.service"},
		{"systemctl daemon-reload", "systemctl daemon-reload"},
		{"nft -f /etc/nftables.conf", "nft -f /etc/nftables.conf"},
		{"homeassistant restart", ""},
		{"homeassistant http {} {}", "not yet"},
	} {
		got, err := whileStarting(strings.Fields(c.argv))
		if err == nil && !slices.Equal(got, strings.Fields(c.want)) || (err != nil) != (c.want == "not yet") {
			t.Errorf("%s is %q: %v", c.argv, got, err)
		}
	}
	if text := trialText(unitWord(`/opt/my gate/100%`)); !strings.Contains(text, "ExecStartPre=-\"/opt/my gate/100%%\" undo --interrupted\n") {
		t.Errorf("the unit says %s", text)
	}
}

func TestServicesAreNoLogins(t *testing.T) {
	for group, want := range map[string]bool{
		"0::/user.slice/user-1000.slice/session-3.scope":                     false,
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope": false,
		"0::/system.slice/system-getty.slice/getty@tty1.service":             false,
		"0::/":                                                            false,
		"0::/user.slice/run-p812-i813.service":                            true,
		"0::/system.slice/run-u22.service":                                true,
		"0::/system.slice/cron.service":                                   true,
		"0::/system.slice/container-shell@1.service":                      true,
		"0::/system.slice/atd.service":                                    true,
		"12:pids:/x\n1:name=systemd:/system.slice/run-r0f1.service\n0::/": true,
	} {
		if got := ofNoLogin(group); got != want {
			t.Errorf("%s: %v", group, got)
		}
	}
}

// Who writes the configuration says what root repairs: that is root alone.
func TestAgentBelievesRootsConfigurationAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this gives a file to somebody else: run it as root, as scripts/test does")
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rootsAlone(file); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := rootsAlone(file); err == nil {
		t.Error("everybody may write it")
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, 4711, 0); err != nil {
		t.Fatal(err)
	}
	if err := rootsAlone(file); err == nil {
		t.Error("it is somebody else's")
	}
}
