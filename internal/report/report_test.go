package report

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"gatehouse/internal/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a house with something of everything.
func sample() *Report {
	yes, no := true, false
	find := func(id, title string, r finding.Result, s finding.Severity) finding.Finding {
		topic, _, _ := strings.Cut(id, ".")
		return finding.Finding{ID: id, Title: title, Result: r, Severity: s, Why: "Because it matters to whoever lives here, day and night.", Topic: topic,
			Evidence: []finding.Evidence{}, Reference: []string{"CIS Debian 12 1.2.3", "sshd_config(5)"}}
	}
	uid := find("acct.uid0-only-root", "Nobody but root has root's number", finding.Fail, finding.Crit)
	uid.Effective, uid.Evidence, uid.Fix = []string{"root", "toor"}, []finding.Evidence{{File: "/etc/passwd", Line: 2, Value: "toor"}}, "Give the account a number of its own (usermod -u), or lock it."
	empty := find("acct.empty-password", "No account has an empty password", finding.Unknown, finding.Crit)
	empty.Why = "only root may look: open /etc/shadow: permission denied"
	hash := find("acct.hash-default", "New passwords are kept as yescrypt or SHA-512", finding.Pass, finding.Med)
	hash.Effective, hash.Explicit = "yescrypt", &yes
	login := find("ssh.root-login", "Nobody signs in as root over SSH", finding.Fail, finding.High)
	login.Effective, login.Explicit, login.Fix = "yes", &no, "Write PermitRootLogin no into a file below /etc/ssh/sshd_config.d."
	login.Evidence = []finding.Evidence{{File: "sshd", Value: "PermitRootLogin yes (default)"}}
	many := find("ssh.weak-keys", "Keys are strong enough", finding.Fail, finding.Med)
	for n := range 7 {
		many.Evidence = append(many.Evidence, finding.Evidence{File: "/etc/ssh/authorized keys", Line: n + 1, Value: "RSA of 1024 bits | <b>*x*</b> \x1b[31mred\u202e"})
	}
	many.Effective, many.Fix = map[string]int{"weak": 7, "all": 9}, "Make new ones (ssh-keygen -t ed25519)."
	banner := find("ssh.banner", "The greeting says nothing of the system", finding.Fail, finding.Low)
	banner.Fix = "Leave it out."
	waived := find("ssh.port", "SSH is not open to the Internet", finding.Waived, finding.High)
	tor := find("tor.v3-only", "Onion services are of version 3", finding.NotApplicable, finding.High)
	tor.Why = "there is no torrc"
	fine := []finding.Finding{}
	for n := range 4 {
		fine = append(fine, find(fmt.Sprintf("hahttp.fine-%d", n), fmt.Sprintf("Setting %d of Home Assistant is as it should be", n), finding.Pass, finding.High))
	}
	return &Report{Version: "1.2.3", At: time.Date(2026, 11, 26, 12, 30, 0, 0, time.UTC), Root: "/", HADir: "/srv/homeassistant", AsRoot: false,
		Checks:  slices.Concat(fine, []finding.Finding{hash, empty, uid, many, banner, login, waived, tor}),
		Waivers: []Waiver{{"ssh.port", "the router lets nobody in", "2027-01-01", InForce}, {"ssh.banner", "later", "2026-01-01", Expired}, {"tor.v3-only", "no Tor here", "2027-01-01", Unneeded}},
		Since: &Since{At: time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC), New: []string{"ssh.root-login"}, Gone: []string{"hahttp.fine-1"},
			Changed: []Change{{"acct.empty-password", finding.Pass, finding.Unknown}, {"ssh.weak-keys", finding.Fail, finding.Fail}}}}
}

func write(t testing.TB, r *Report, f Format, s Style) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b, f, s); err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	return b.String()
}

// What each format looks like is kept in testdata, in both languages where it has words.
func TestGolden(t *testing.T) {
	for _, f := range Formats() {
		for _, l := range []Language{English, German} {
			if l == German && !slices.Contains([]Format{Text, HTML, Markdown}, f) {
				continue
			}
			name := filepath.Join("testdata", fmt.Sprintf("sample.%s.%s", l, f))
			got := write(t, sample(), f, Style{Language: l})
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (go test ./internal/report -update):\n%s", name, diff)
			}
		}
	}
}

func TestTextIsNarrowAndTame(t *testing.T) {
	for _, colour := range []bool{false, true} {
		text := write(t, sample(), Text, Style{Language: German, Colour: colour})
		if strings.Contains(text, "\u202e") || strings.Contains(text, "\x1b[31mred") || !colour && strings.Contains(text, "\x1b") {
			t.Error("what stands in a file moves the terminal")
		}
		for line := range strings.Lines(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(text, "")) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
				t.Errorf("%d wide: %s", n, line)
			}
		}
	}
}

func TestGrade(t *testing.T) {
	for _, c := range []struct {
		results string // severity=result…
		want    string
	}{
		{"", ""}, {"med=pass", ""}, {"crit=pass high=pass", "A"}, {"crit=waived high=pass", "A"},
		{"crit=unknown high=pass high=pass high=pass", "B"}, {"crit=unknown high=pass high=pass", ""}, {"high=unknown high=pass high=pass high=pass", "A"},
		{"crit=pass med=fail", "B"}, {"crit=pass high=fail", "C"}, {"high=fail high=fail high=fail", "D"},
		{"high=fail high=fail high=fail high=fail high=fail high=fail", "E"}, {"crit=fail high=pass", "F"}, {"crit=notapplicable", ""},
	} {
		r := &Report{}
		for _, w := range strings.Fields(c.results) {
			s, result, _ := strings.Cut(w, "=")
			r.Checks = append(r.Checks, finding.Finding{Severity: finding.Severity(s), Result: finding.Result(result)})
		}
		if got := r.Grade(); got != c.want {
			t.Errorf("%s: %q, want %q", c.results, got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	f := func(id string, r finding.Result, effective any) finding.Finding {
		return finding.Finding{ID: id, Result: r, Effective: effective}
	}
	before := []finding.Finding{f("a.new", finding.Pass, nil), f("a.gone", finding.Fail, nil), f("a.lost", finding.Fail, nil), f("a.same", finding.Fail, []any{"x", 1.0}),
		f("a.other", finding.Fail, "x"), f("a.fine", finding.Pass, 1), f("a.removed", finding.Fail, nil)}
	now := []finding.Finding{f("a.new", finding.Fail, nil), f("a.gone", finding.Pass, nil), f("a.lost", finding.Unknown, nil), f("a.same", finding.Fail, []any{"x", 1}),
		f("a.other", finding.Fail, "y"), f("a.fine", finding.Pass, 2), f("a.more", finding.Fail, nil), f("a.good", finding.Pass, nil)}
	want := &Since{New: []string{"a.new", "a.more"}, Gone: []string{"a.gone"}, Changed: []Change{{"a.lost", finding.Fail, finding.Unknown}, {"a.other", finding.Fail, finding.Fail}}}
	if diff := cmp.Diff(want, Compare(before, now)); diff != "" {
		t.Error(diff)
	}
}

func TestWaive(t *testing.T) {
	all := []finding.Finding{{ID: "a.one", Result: finding.Fail}, {ID: "a.two", Result: finding.Fail}, {ID: "a.three", Result: finding.Unknown}}
	got := Waive(all, []Waiver{{ID: "a.one", Until: "2026-11-26"}, {ID: "a.two", Until: "2026-11-25"}, {ID: "a.three", Until: "2027-01-01"}}, "2026-11-26")
	for n, want := range []WaiverState{InForce, Expired, Unneeded} {
		if got[n].State != want {
			t.Errorf("%s is %s, want %s", got[n].ID, got[n].State, want)
		}
	}
	if all[0].Result != finding.Waived || all[1].Result != finding.Fail || all[2].Result != finding.Unknown {
		t.Errorf("%v", all)
	}
}

func TestReadIsWrite(t *testing.T) {
	r := sample()
	text := write(t, r, JSON, Style{})
	back, err := Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if again := write(t, back, JSON, Style{}); again != text {
		t.Error(cmp.Diff(text, again))
	}
	if s := Compare(back.Checks, r.Checks); len(s.New)+len(s.Gone)+len(s.Changed) != 0 {
		t.Errorf("a report differs from itself: %+v", s)
	}
	for _, bad := range []string{"", "{}", `{"schema_version":2,"checks":[]}`, `{"schema_version":1}`, "junk", text[:len(text)/2]} {
		if _, err := Read([]byte(bad)); err == nil {
			t.Errorf("took %.20q", bad)
		}
	}
}

// Every text is there in every language, with the same places in it.
func TestEveryTextInEveryLanguage(t *testing.T) {
	place := regexp.MustCompile(`\{\w+\}`)
	var same int
	var walk func(name string, a, b reflect.Value)
	walk = func(name string, a, b reflect.Value) {
		for k := range a.NumField() {
			n := name + a.Type().Field(k).Name
			if a.Field(k).Kind() == reflect.Struct {
				walk(n+".", a.Field(k), b.Field(k))
				continue
			}
			x, y := a.Field(k).String(), b.Field(k).String()
			if x == "" || y == "" || strings.TrimSpace(x) != x || strings.TrimSpace(y) != y || strings.Contains(x+y, "'") {
				t.Errorf("%s: %q, %q", n, x, y)
			}
			p, q := place.FindAllString(x, -1), place.FindAllString(y, -1)
			slices.Sort(p)
			slices.Sort(q)
			if !slices.Equal(p, q) {
				t.Errorf("%s: %v, %v", n, p, q)
			}
			if x == y {
				same++
			}
		}
	}
	walk("", reflect.ValueOf(*english()), reflect.ValueOf(*german()))
	if same > 6 {
		t.Errorf("%d texts are not translated", same)
	}
}

func TestLanguageOf(t *testing.T) {
	for env, want := range map[string]Language{"": English, "LANG=de_AT.UTF-8": German, "LANG=de": German, "LANG=C.UTF-8": English, "LC_ALL=en_GB,LANG=de_DE": English, "LC_MESSAGES=de_DE,LANG=C": German} {
		got := LanguageOf(func(name string) string {
			for _, e := range strings.Split(env, ",") {
				if n, v, _ := strings.Cut(e, "="); n == name {
					return v
				}
			}
			return ""
		})
		if got != want {
			t.Errorf("%s: %s", env, got)
		}
	}
}

// The page needs nothing from elsewhere, runs nothing, and what stands in a host's files
// is no markup in it.
func TestPageStandsAlone(t *testing.T) {
	r := sample()
	r.Checks[0].Title = `<script>alert(1)</script>`
	r.Root = `"><img src=x>`
	page := write(t, r, HTML, Style{Language: English})
	for _, no := range []string{"<script", "<img", "<link", "http://", "https://", "url(", "@import", " on", "<b>"} {
		if no == " on" {
			if m := regexp.MustCompile(`<[^>]* on\w+=`).FindString(page); m != "" {
				t.Error(m)
			}
			continue
		}
		if strings.Contains(page, no) {
			t.Errorf("holds %s", no)
		}
	}
	if strings.Count(page, "<h1>") != 1 || !strings.Contains(page, `<html lang="en">`) {
		t.Error("no headline or no language")
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if seen[m[1]] {
			t.Errorf("two have the id %s", m[1])
		}
		seen[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`(?:href="#|labelledby=")([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !seen[m[1]] {
			t.Errorf("leads to %s, which is not there", m[1])
		}
	}
}

func TestPrometheusText(t *testing.T) {
	r := sample()
	r.Checks[0].ID = "a\"\\\n."
	line := regexp.MustCompile(`^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="([^"\\\n]|\\["\\n])*"(,\w+="([^"\\\n]|\\["\\n])*")*\})? \d+)$`)
	for l := range strings.Lines(write(t, r, Prometheus, Style{})) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("%q", l)
		}
	}
}

func TestSARIF(t *testing.T) {
	var log sarifLog
	if err := json.Unmarshal([]byte(write(t, sample(), SARIF, Style{})), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	for _, r := range run.Results {
		if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || r.Message.Text == "" || (r.Kind != "fail") != (r.Level == "none") {
			t.Errorf("%+v", r)
		}
		for _, l := range append(r.Locations, r.Related...) {
			if l.Physical != nil && (strings.Contains(l.Physical.Artifact.URI, " ") || strings.HasPrefix(l.Physical.Artifact.URI, "/")) {
				t.Errorf("%q is no relative address", l.Physical.Artifact.URI)
			}
		}
	}
}

// Whatever a finding holds, every format can say it.
func FuzzWrite(f *testing.F) {
	f.Add("acct.x", "title", "fail", "crit", "why", "/etc/passwd", 3, "value", "fix", 0)
	f.Add("", "\x00\xff", "odd", "worse", "\u202e`|<", "\n", -1, strings.Repeat("x", 300), "{n}", 1)
	f.Add("a.b", "", "waived", "", "{what}", "", math.MaxInt, "\x1b]0;x\a", "", 2)
	f.Fuzz(func(t *testing.T, id, title, result, severity, why, file string, line int, value, fix string, kind int) {
		odd := []any{nil, value, math.NaN(), []any{func() {}}, map[string]any{value: line}, make(chan int), 1 << 62, true, []byte(value), struct{ X any }{value}}
		topic, _, _ := strings.Cut(id, ".")
		r := &Report{Version: title, At: time.Unix(int64(line)%1e10, 0), Root: file, HADir: value, Checks: []finding.Finding{
			{ID: id, Title: title, Result: finding.Result(result), Severity: finding.Severity(severity), Why: why, Fix: fix, Topic: topic, Effective: odd[uint(kind)%uint(len(odd))],
				Evidence: []finding.Evidence{{File: file, Line: line, Value: value}}}, {ID: id}},
			Waivers: []Waiver{{ID: id, Reason: why, Until: value, State: Expired}}}
		r.Since = Compare([]finding.Finding{{ID: id, Result: finding.Fail}}, r.Checks)
		for _, format := range Formats() {
			for _, l := range []Language{English, German} {
				text := write(t, r, format, Style{Language: l, Colour: line%2 == 0})
				if format == Text {
					for l := range strings.Lines(text) {
						if strings.ContainsAny(strings.ReplaceAll(l, "\x1b[", ""), "\x1b\a\r") {
							t.Errorf("moves the terminal: %q", l)
						}
					}
				}
			}
		}
	})
}
