package checks

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// home is one drawing of a check's file, and what the check shall say of it:
//
//	== NAME RESULT [FILE:LINE]… [live] [ha=DIR] [haonly] [nowalk] [now=DATE]
type home struct {
	name     string
	result   finding.Result
	evidence []string
	host     *facts.Host
}

func homesOf(t *testing.T, file string) []home {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: every check shows a good home, a bad one, and one that it cannot judge", err)
	}
	var all []home
	for _, part := range strings.Split("\n"+string(text), "\n== ")[1:] {
		h, err := readHome(part)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, h)
	}
	return all
}

// readHome reads a home: its headline, and its drawing below.
func readHome(part string) (home, error) {
	header, drawing, _ := strings.Cut(part, "\n")
	drawing, _, _ = strings.Cut("\n"+drawing, "\n=>\n") // what a repair changes
	words := strings.Fields(header)
	if len(words) < 2 || !slices.Contains(finding.Results(), finding.Result(words[1])) {
		return home{}, fmt.Errorf("%q is no headline", header)
	}
	tree, err := facts.Draw(drawing + "\n")
	if err != nil {
		return home{}, fmt.Errorf("%s: %w", words[0], err)
	}
	h := home{name: words[0], result: finding.Result(words[1]), host: &facts.Host{Tree: tree, Root: true, Now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}}
	for name, into := range map[string]any{"endpoints.json": &h.host.Endpoints, "router.json": &h.host.Router} {
		if text, err := tree.ReadFile(name, 1<<20); err == nil {
			if err := json.Unmarshal(text, into); err != nil {
				return home{}, fmt.Errorf("%s: %w", words[0], err)
			}
		}
	}
	for _, w := range words[2:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "live":
			h.host.Live = true
		case "ha":
			h.host.HADir = value
		case "haonly":
			h.host.HAOnly = true
		case "nowalk":
			h.host.NoWalk = true
		case "now":
			if h.host.Now, err = time.Parse(time.DateOnly, value); err != nil {
				return home{}, fmt.Errorf("%s: %w", words[0], err)
			}
		default:
			h.evidence = append(h.evidence, w)
		}
	}
	return h, nil
}

// Every check says of its homes what they are, and never crashes; what a home shows as
// evidence is shown.
func TestChecks(t *testing.T) {
	for _, c := range All() {
		t.Run(c.ID, func(t *testing.T) {
			seen := map[finding.Result]bool{}
			for _, h := range homesOf(t, filepath.Join("testdata", c.ID+".txt")) {
				f := audit.Run(h.host, []audit.Check{c}, nil)[0]
				if f.Result != h.result {
					t.Errorf("%s: %s, want %s: %v %v, because %s", h.name, f.Result, h.result, f.Effective, f.Evidence, f.Why)
				}
				var shown []string
				for _, e := range f.Evidence {
					shown = append(shown, fmt.Sprintf("%s:%d", e.File, e.Line))
				}
				for _, want := range h.evidence {
					if !slices.Contains(shown, want) {
						t.Errorf("%s: %s is not shown, but %v", h.name, want, shown)
					}
				}
				if f.Result == finding.Fail && (f.Fix == "" || len(f.Evidence) == 0) {
					t.Errorf("%s: fails without evidence or without saying what to do", h.name)
				}
				seen[f.Result] = true
			}
			for _, r := range []finding.Result{finding.Pass, finding.Fail, finding.Unknown} {
				if !seen[r] {
					t.Errorf("no home for %s", r)
				}
			}
		})
	}
}

// A check has all its words, an id of its own, and a file of its own.
func TestChecksAreWhole(t *testing.T) {
	ids := map[string]bool{}
	form := regexp.MustCompile(`^[a-z0-9]+\.[a-z0-9-]+$`)
	for _, c := range All() {
		if ids[c.ID] || !form.MatchString(c.ID) {
			t.Errorf("%q is no id, or twice", c.ID)
		}
		ids[c.ID] = true
		if c.Title == "" || c.Why == "" || c.Fix == "" || len(c.Reference) == 0 || c.Judge == nil || !slices.Contains(finding.Severities(), c.Severity) {
			t.Errorf("%s is not whole", c.ID)
		}
		if strings.HasSuffix(c.Title, ".") || !strings.HasSuffix(c.Why, ".") || !strings.HasSuffix(c.Fix, ".") {
			t.Errorf("%s: a title has no full stop, why and fix have", c.ID)
		}
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if id := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(f), ".txt"), ".fix"); !ids[id] {
			t.Errorf("%s belongs to no check", f)
		}
	}
}

// Whatever lies there instead of what should, no check crashes, and none takes it for good
// because of that: an empty root, one of folders, one that is closed.
func TestChecksOnNothing(t *testing.T) {
	for name, drawing := range map[string]string{"empty": "", "closed": "-- etc closed --\n-- proc closed --\n-- config closed --\n"} {
		tree, err := facts.Draw(drawing)
		if err != nil {
			t.Fatal(err)
		}
		for _, live := range []bool{false, true} {
			h := &facts.Host{Tree: tree, Live: live, HADir: "/config", Now: time.Now()}
			for _, f := range audit.Run(h, All(), nil) {
				if strings.Contains(f.Why, "the check itself") {
					t.Errorf("%s: %s: %s", name, f.ID, f.Why)
				}
				if name == "closed" && f.Result == finding.Pass && f.Severity.AtLeast(finding.High) {
					t.Errorf("%s is fine where nothing can be read: %v", f.ID, f.Effective)
				}
			}
		}
	}
}
