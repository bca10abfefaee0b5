package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/report"
)

func TestAuditStatus(t *testing.T) {
	for _, c := range []struct {
		found string // severity=result…
		worst finding.Severity
		want  int
	}{
		{"", finding.High, statusDone},
		{"crit=pass high=waived med=fail", finding.High, statusDone},
		{"high=fail", finding.High, statusNo},
		{"crit=unknown high=fail", finding.High, statusNo},
		{"crit=unknown high=pass", finding.High, statusPartly},
		{"med=unknown high=pass", finding.High, statusDone},
		{"high=fail crit=unknown", finding.Crit, statusPartly},
		{"info=fail", finding.Info, statusNo},
		{"crit=notapplicable", finding.Info, statusDone},
	} {
		var found []finding.Finding
		for _, w := range strings.Fields(c.found) {
			s, r, _ := strings.Cut(w, "=")
			found = append(found, finding.Finding{Severity: finding.Severity(s), Result: finding.Result(r)})
		}
		got := statusDone
		if err := verdict(found, c.worst); err != nil {
			got = asProblem(err).status
		}
		if got != c.want {
			t.Errorf("%s at %s: %d, want %d", c.found, c.worst, got, c.want)
		}
	}
}

// A look at files alone is not blamed for what takes the running machine or the router; for
// everything else that could not be judged it is, and so is a look at the machine itself.
func TestAuditStatusOfFilesAlone(t *testing.T) {
	for _, c := range []struct {
		live   bool
		needs  audit.Need
		result finding.Result
		want   int
	}{
		{false, audit.NeedLive, finding.Unknown, statusDone},
		{false, audit.NeedRouter, finding.Unknown, statusDone},
		{false, audit.NeedHost, finding.Unknown, statusPartly},
		{false, audit.NeedHost, finding.Fail, statusNo},
		{true, audit.NeedLive, finding.Unknown, statusPartly},
		{true, audit.NeedRouter, finding.Unknown, statusPartly},
	} {
		u := &auditing{host: &facts.Host{Live: c.live}, asked: []audit.Check{{Needs: c.needs}}, worst: finding.High,
			report: &report.Report{Checks: []finding.Finding{{Severity: finding.Crit, Result: c.result}}}}
		got := statusDone
		if err := verdict(u.answered(), u.worst); err != nil {
			got = asProblem(err).status
		}
		if got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestWaivers(t *testing.T) {
	const id = "acct.uid0-only-root"
	good := "[[waiver]]\nid = \"" + id + "\"\nreason = \"the hoster's\"\nuntil = 2027-01-31\n"
	all, wrong := parseWaivers("w", []byte(good))
	if wrong != nil || len(all) != 1 || all[0] != (report.Waiver{ID: id, Reason: "the hoster's", Until: "2027-01-31"}) {
		t.Errorf("%v %v", all, wrong)
	}
	if all, wrong := parseWaivers("w", nil); wrong != nil || len(all) != 0 {
		t.Errorf("%v %v", all, wrong)
	}
	for text, want := range map[string]string{
		good + good: "w:5: " + id + " is waived twice",
		"\n" + strings.Replace(good, "until", "untill", 1): "w:5: unknown key waiver.untill",
		"x = 1\n" + good: "w:1: unknown key x",
		strings.Replace(good, "2027-01-31", `"tomorrow"`, 1): "w:4: ",
		strings.Replace(good, "2027-01-31", `2027-02-31`, 1): "w:4: ",
		"[[waiver]\n": "w:1: ",
		"# one\n\n[[waiver]]\nreason = \"x\"\nuntil = 2027-01-31\n":                  "w:3: a waiver says not which check",
		good + "\n[[waiver]]\nid = \"acct.nothing\"\nreason=\"x\"\nuntil=2027-01-01": "w:6: there is no check acct.nothing",
		strings.Replace(good, "the hoster's", " ", 1):                                "w:1: a waiver says not why",
		"waiver = 3": "w:1: ",
	} {
		if _, wrong := parseWaivers("w", []byte(text)); wrong == nil || !strings.Contains(wrong.Error(), want) {
			t.Errorf("%q: %v, want %s", text, wrong, want)
		}
	}
}

func FuzzWaivers(f *testing.F) {
	f.Add([]byte("[[waiver]]\nid = \"acct.uid0-only-root\"\nreason = \"x\"\nuntil = 2027-01-31\n"))
	f.Add([]byte("waiver = [{id = 1}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, wrong := parseWaivers("w", text)
		for _, w := range all {
			if _, err := time.Parse(time.DateOnly, w.Until); wrong == nil && (err != nil || w.Reason == "") {
				t.Errorf("%+v", w)
			}
		}
	})
}

// The home is where --ha says: a directory of ours below the root, or a path inside it.
func TestAuditNamedHome(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"config/configuration.yaml", "srv/ha/.HA_VERSION", "etc/passwd", "alone/configuration.yaml"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What leads out is not followed.
	if err := os.Symlink(filepath.Join(root, "config"), filepath.Join(root, "out")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		root, ha, want string
		only           bool
	}{
		{"", filepath.Join(root, "config"), "/config", false}, {"", "/srv/ha", "/srv/ha", false}, {"", "/etc", "", false}, {"", "/etc/passwd", "", false}, {"", "/none", "", false},
		{"", "/out", "", false}, {"alone", filepath.Join(root, "alone"), "/", true}, {"alone", "/", "/", false},
	} {
		u := &auditing{app: &app{}, root: filepath.Join(root, c.root), haDir: c.ha}
		if err := u.openHost(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := u.findHome(t.Context())
		if got := u.host.HADir; err == nil && (got != c.want || u.host.HAOnly != c.only) || err != nil && c.want != "" {
			t.Errorf("--root %s --ha %s: %q %v %v", c.root, c.ha, got, u.host.HAOnly, err)
		}
		if err := u.host.Tree.(*facts.Disk).Close(); err != nil {
			t.Error(err)
		}
	}
}

// Where Home Assistant may be and cannot be looked for, its checks are not about nothing.
func TestAuditHomeThatIsClosed(t *testing.T) {
	tree, err := facts.Draw("")
	if err != nil {
		t.Fatal(err)
	}
	c := audit.Check{ID: "ha.x", Needs: audit.NeedHA, Severity: finding.High}
	u := &auditing{app: &app{err: &bytes.Buffer{}}, host: &facts.Host{Tree: tree, Now: time.Now(), HAClosed: []string{"/srv/homeassistant"}}, asked: []audit.Check{c}}
	if err := u.judge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f := u.report.Checks[0]; f.Result != finding.Unknown || !strings.Contains(f.Why, "/srv/homeassistant") {
		t.Errorf("%+v", f)
	}
	u.host.HAClosed = nil
	if err := u.judge(t.Context()); err != nil || u.report.Checks[0].Result != finding.NotApplicable {
		t.Errorf("%v %+v", err, u.report.Checks[0])
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := u.judge(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("goes on: %v", err)
	}
}

func TestGuessedPasswords(t *testing.T) {
	noTime := errors.New("the time ran out")
	for _, c := range []struct {
		all  []facts.Guess
		want finding.Result
	}{
		{nil, finding.NotApplicable},
		{[]facts.Guess{{Account: "a", Outcome: facts.NotGuessed, Tried: 300}}, finding.Pass},
		{[]facts.Guess{{Account: "a", Outcome: facts.NotGuessed}, {Account: "b", Outcome: facts.NotTried, Why: noTime}}, finding.Unknown},
		{[]facts.Guess{{Account: "a", Outcome: facts.Guessed, How: "common"}, {Account: "b", Outcome: facts.NotTried, Why: noTime}}, finding.Fail},
		{[]facts.Guess{{Account: "a", Outcome: facts.NoPassword}}, finding.Fail},
	} {
		v := guessed(c.all)
		if v.Result != c.want || len(v.Evidence) != len(c.all) || v.Result == finding.Unknown && v.Reason == "" {
			t.Errorf("%+v: %+v", c.all, v)
		}
	}
}

// Progress is for a terminal, and not with --quiet.
func TestProgressIsForTerminals(t *testing.T) {
	var b bytes.Buffer
	p := (&app{err: &b}).newProgress()
	p.show("%d", 1)
	p.clear()
	if b.Len() > 0 {
		t.Errorf("%q", b.String())
	}
}

// What the verb's help promises of passwords, the checks keep: they have all their words.
func TestPasswordChecksAreWhole(t *testing.T) {
	for _, c := range (&auditing{}).passwordChecks(t.Context()) {
		for name, text := range map[string]string{"id": c.ID, "title": c.Title, "why": c.Why, "fix": c.Fix, "reference": fmt.Sprint(c.Reference)} {
			if text == "" || text == "[]" {
				t.Errorf("%s: no %s", c.ID, name)
			}
		}
	}
}
