package main

import (
	"os"
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
