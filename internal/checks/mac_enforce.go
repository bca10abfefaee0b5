package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func confinementEnforce() audit.Check {
	return audit.Check{
		ID: "mac.enforce", Title: "AppArmor's profiles are enforced, not only watched", Severity: finding.Low,
		Why:       "A profile in complain mode writes down what it would have stopped, and stops nothing.",
		Fix:       "aa-enforce each of them after a look at what it complains about; leave those of apparmor-profiles-extra alone, they break things.",
		Reference: []string{"CIS Debian 12 1.3.1.3", "CIS Debian 12 1.3.1.4", "aa-enforce(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var bad []finding.Evidence
			enforced := 0
			if h.Live {
				t, err := h.Text("/sys/kernel/security/apparmor/profiles")
				if errors.Is(err, fs.ErrNotExist) {
					return audit.NotApplicable("AppArmor does not run")
				}
				if err != nil {
					return audit.Unknown(err)
				}
				shipped, err := complainAsShipped(h)
				if err != nil {
					return audit.Unknown(err)
				}
				for n, line := range t.Lines {
					name, _, _ := strings.Cut(strings.TrimSuffix(line, " (complain)"), "//")
					switch {
					case strings.HasSuffix(line, " (complain)") && shipped[name]:
					case strings.HasSuffix(line, " (complain)"):
						bad = append(bad, audit.At(t.Path, n+1, line))
					case strings.HasSuffix(line, ")"):
						enforced++
					default:
						return audit.Unknown(fmt.Errorf("%s:%d: not a profile", t.Path, n+1))
					}
				}
			} else {
				parser, err := apparmorParser(h)
				if err != nil {
					return audit.Unknown(err)
				}
				names, err := h.Dir("/etc/apparmor.d")
				if err != nil {
					return audit.Unknown(err)
				}
				if parser == "" || len(names) == 0 {
					return audit.NotApplicable("AppArmor is not installed")
				}
				links, err := h.Dir("/etc/apparmor.d/force-complain")
				if err != nil {
					return audit.Unknown(err)
				}
				for _, n := range links {
					bad = append(bad, audit.At("/etc/apparmor.d/force-complain/"+n, 0, "complains only"))
				}
				for _, n := range names {
					file := "/etc/apparmor.d/" + n
					if info, err := h.Stat(file); err != nil || !info.Mode.IsRegular() {
						continue
					}
					t, err := h.Text(file)
					if err != nil {
						return audit.Unknown(err)
					}
					line := complains(t)
					if line > 0 {
						if shipped, err := h.AsShipped(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
							return audit.Unknown(err)
						} else if shipped {
							continue
						}
						bad = append(bad, audit.At(file, line, strings.TrimSpace(t.Lines[line-1])))
						continue
					}
					enforced++
				}
			}
			if len(bad) > maxShown {
				bad = bad[:maxShown]
			}
			if len(bad) == 0 && enforced == 0 {
				return audit.NotApplicable("there is no profile")
			}
			return audit.PassIf(len(bad) == 0, more(enforced, "enforced"), bad...)
		},
		ByHand: "What a profile that only complains would forbid has to be looked at first.",
	}
}

// complainAsShipped are the profiles that the packages bring in complain mode, for programs
// that their makers know only half: nobody has switched them off here.
func complainAsShipped(h *facts.Host) (map[string]bool, error) {
	names, err := h.Dir("/etc/apparmor.d")
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, n := range names {
		file := "/etc/apparmor.d/" + n
		if info, err := h.Stat(file); err != nil || !info.Mode.IsRegular() {
			continue
		}
		t, err := h.Text(file)
		if err != nil {
			return nil, err
		}
		if complains(t) == 0 {
			continue
		}
		shipped, err := h.AsShipped(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, line := range t.Lines {
			if f := strings.Fields(line); shipped && len(f) > 1 && f[0] == "profile" {
				all[f[1]] = true
			}
		}
	}
	return all, nil
}

// complains returns the line on which a profile says that it only complains.
func complains(t facts.Text) int {
	for n, line := range t.Lines {
		line, _, _ = strings.Cut(line, "#")
		_, flags, ok := strings.Cut(line, "flags=(")
		if !ok {
			continue
		}
		flags, _, _ = strings.Cut(flags, ")")
		for _, f := range strings.FieldsFunc(flags, func(r rune) bool { return r == ',' || r == ' ' }) {
			if f == "complain" {
				return n + 1
			}
		}
	}
	return 0
}
