package checks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// rule is a check as far as a repair needs it.
func rule(c audit.Check) fix.Rule {
	return fix.Rule{ID: c.ID, ByHand: c.ByHand, Repair: c.Repair, Judge: func(h *facts.Host) finding.Finding { return audit.Run(h, []audit.Check{c}, nil)[0] }}
}

// drawn says a fix as it stands in testdata/ID.fix.txt.
func drawn(p fix.Plan) string {
	var b strings.Builder
	for _, l := range p.Left {
		fmt.Fprintf(&b, "left: %s\n", l.Why)
	}
	for _, f := range p.Fixes {
		for _, s := range f.Steps {
			switch {
			case s.After == nil:
				fmt.Fprintf(&b, "-- %s gone --\n", s.Path[1:])
			case s.Kind == finding.StepHTTP:
				fmt.Fprintf(&b, "by the API:\n%s\n", *s.After.Content)
			case s.Kind == finding.StepSysctl:
				fmt.Fprintf(&b, "-- proc/sys/%s --\n%s\n", s.Path, *s.After.Content)
			default:
				e := s.After
				fmt.Fprintf(&b, "-- %s", s.Path[1:])
				switch e.Type {
				case finding.EntryDirectory:
					fmt.Fprint(&b, " dir")
				case finding.EntryLink:
					fmt.Fprintf(&b, " -> %s", e.Target)
				}
				fmt.Fprintf(&b, " %04o %d:%d --\n", e.Mode, e.UID, e.GID)
				if e.Content != nil {
					b.WriteString(*e.Content)
					if !strings.HasSuffix(*e.Content, "\n") {
						b.WriteString("\\ no line end\n")
					}
				}
			}
		}
		for _, a := range f.After {
			fmt.Fprintf(&b, "then: %s %s\n", a.Kind, a.Of)
		}
		if f.Guarded {
			b.WriteString("on trial\n")
		}
	}
	return b.String()
}

// Each repair does to its homes what testdata/ID.fix.txt shows, byte for byte: the drawing
// of a home, then "=>", then what is changed in it, or why it is left. -update writes the
// second half anew. What a fix leaves behind, its check finds good (fix.Make sees to that),
// and nothing is left to change.
func TestRepairs(t *testing.T) {
	for _, c := range All() {
		if c.Repair == nil {
			continue
		}
		t.Run(c.ID, func(t *testing.T) {
			file := filepath.Join("testdata", c.ID+".fix.txt")
			homes := homesOf(t, file)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split("\n"+string(text), "\n== ")
			fixed := 0
			for n, h := range homes {
				before, want, ok := strings.Cut(parts[n+1], "\n=>\n")
				if !ok && !*update {
					t.Fatalf("%s: %s has no =>", file, h.name)
				}
				plan := fix.Make(h.host, []fix.Rule{rule(c)})
				got := strings.TrimSuffix(drawn(plan), "\n")
				if *update {
					parts[n+1] = strings.TrimSuffix(before, "\n") + "\n=>\n" + got
				} else if got != strings.TrimSuffix(want, "\n") {
					t.Errorf("%s: changes\n%s\nbut shall\n%s", h.name, got, want)
				}
				for _, f := range plan.Fixes {
					fixed++
					if f.Does == "" || !strings.HasSuffix(f.Does, ".") || f.Breaks != "" && !strings.HasSuffix(f.Breaks, ".") {
						t.Errorf("%s: a fix says in sentences what it does and what may break: %q, %q", h.name, f.Does, f.Breaks)
					}
				}
			}
			if fixed == 0 {
				t.Error("no home is fixed")
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.Join(parts, "\n== ")[1:]+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// On every home that a check finds bad, its repair repairs it, or leaves it alone and says
// why; and what it repairs makes nothing worse that another check looks at.
func TestRepairsMakeNothingWorse(t *testing.T) {
	all := All()
	for _, c := range all {
		if c.Repair == nil {
			continue
		}
		t.Run(c.ID, func(t *testing.T) {
			homes := homesOf(t, filepath.Join("testdata", c.ID+".txt"))
			homes = append(homes, homesOf(t, filepath.Join("testdata", c.ID+".fix.txt"))...)
			for _, h := range homes {
				if h.result != finding.Fail {
					continue
				}
				plan := fix.Make(h.host, []fix.Rule{rule(c)})
				for _, l := range plan.Left {
					if strings.Contains(l.Why, "the fix itself failed") || l.Why == "" {
						t.Errorf("%s: %q", h.name, l.Why)
					}
				}
				before, after := audit.Run(h.host, all, nil), audit.Run(plan.Home(h.host), all, nil)
				for n, f := range after {
					if before[n].Result == finding.Pass && (f.Result == finding.Fail || f.Result == finding.Unknown) {
						t.Errorf("%s: %s is %s afterwards: %v %s", h.name, f.ID, f.Result, f.Evidence, f.Why)
					}
				}
			}
		})
	}
}

// What a program cannot do for the owner is said with its reason, wherever it matters.
func TestEveryGraveFindingIsRepairedOrExplained(t *testing.T) {
	repaired := 0
	for _, c := range All() {
		if c.Repair != nil {
			repaired++
		}
		if (c.Repair == nil) == (c.ByHand == "") && c.Severity.AtLeast(finding.High) {
			t.Errorf("%s is %s, and either has no repair and does not say why, or both", c.ID, c.Severity)
		}
		if c.Repair != nil && c.ByHand != "" {
			t.Errorf("%s has a repair, and a reason why it has none", c.ID)
		}
		if c.Repair != nil && !slices.Contains([]audit.Profile{"", audit.ProfileHome, audit.ProfileStrict}, c.Profile) {
			t.Errorf("%s is of no profile: %q", c.ID, c.Profile)
		}
	}
	t.Logf("%d repairs", repaired)
}
