package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haVerPython() audit.Check {
	return audit.Check{
		ID: "haver.python", Title: "The Python that Home Assistant runs with is still mended", Severity: finding.Low,
		Why:       "A Python that is given up keeps its holes, and Home Assistant stops updating with it.",
		Fix:       "Make a new environment with a newer Python and install Home Assistant in it; better, move to Home Assistant OS or a container.",
		Reference: []string{"Python developer's guide: versions"},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			units, err := h.HAUnits()
			if err != nil {
				return audit.Unknown(err)
			}
			ends := map[string]string{"3.9": "2025-10-31", "3.10": "2026-10-31", "3.11": "2027-10-31", "3.12": "2028-10-31", "3.13": "2029-10-31", "3.14": "2030-10-31"}
			for _, u := range units {
				dir := haVenv(u)
				t, err := h.Text(dir + "/pyvenv.cfg")
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				for n, line := range t.Lines {
					key, value, _ := strings.Cut(line, "=")
					if key = strings.TrimSpace(key); key != "version" && key != "version_info" {
						continue
					}
					value = strings.TrimSpace(value)
					part := strings.Split(value, ".")
					if len(part) < 2 {
						break
					}
					at := audit.At(t.Path, n+1, "Python "+value)
					order, ok := facts.CompareHANumbers(value, "3.9")
					end, known := ends[part[0]+"."+part[1]]
					switch {
					case ok && order < 0:
						return audit.Fail(value, at)
					case !known:
						return audit.Unknown(fmt.Errorf("%s:%d: this Python is not known", t.Path, n+1))
					}
					return audit.PassIf(h.Now.Format(time.DateOnly) <= end, value, at)
				}
				return audit.Unknown(errors.New(t.Path + ": does not say which Python"))
			}
			return audit.NotApplicable("Home Assistant does not run in an environment of Python on this machine")
		},
	}
}

// haVenv is the environment of Python that a unit starts Home Assistant from.
func haVenv(u facts.Unit) string {
	program, _, _ := strings.Cut(u.Start().Value, " ")
	return path.Dir(path.Dir(strings.TrimLeft(program, "-@:+!")))
}
