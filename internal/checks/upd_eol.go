package checks

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// endOfLife is until when a distribution gets updates for safety, of volunteers' or of
// its maker's; what is to be paid for does not count.
type endOfLife struct {
	id, version string
	until       time.Time
}

// endsOfLife is known as of November 2026, for releases out by then.
func endsOfLife() []endOfLife {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	return []endOfLife{
		{"debian", "8", day(2020, 6, 30)}, {"debian", "9", day(2022, 6, 30)}, {"debian", "10", day(2024, 6, 30)}, {"debian", "11", day(2026, 8, 31)},
		{"debian", "12", day(2028, 6, 30)}, {"debian", "13", day(2030, 6, 30)},
		{"raspbian", "10", day(2024, 6, 30)}, {"raspbian", "11", day(2026, 8, 31)}, {"raspbian", "12", day(2028, 6, 30)}, {"raspbian", "13", day(2030, 6, 30)},
		{"ubuntu", "16.04", day(2021, 4, 30)}, {"ubuntu", "18.04", day(2023, 5, 31)}, {"ubuntu", "20.04", day(2025, 5, 31)}, {"ubuntu", "22.04", day(2027, 6, 1)},
		{"ubuntu", "24.04", day(2029, 5, 31)}, {"ubuntu", "24.10", day(2025, 7, 10)}, {"ubuntu", "25.04", day(2026, 1, 15)}, {"ubuntu", "25.10", day(2026, 7, 9)}, {"ubuntu", "26.04", day(2031, 5, 31)},
		{"rhel", "7", day(2024, 6, 30)}, {"rhel", "8", day(2029, 5, 31)}, {"rhel", "9", day(2032, 5, 31)}, {"rhel", "10", day(2035, 5, 31)},
		{"centos", "7", day(2024, 6, 30)}, {"centos", "8", day(2024, 5, 31)}, {"centos", "9", day(2027, 5, 31)},
		{"rocky", "8", day(2029, 5, 31)}, {"rocky", "9", day(2032, 5, 31)}, {"rocky", "10", day(2035, 5, 31)},
		{"almalinux", "8", day(2029, 5, 31)}, {"almalinux", "9", day(2032, 5, 31)}, {"almalinux", "10", day(2035, 5, 31)},
		{"fedora", "40", day(2025, 5, 13)}, {"fedora", "41", day(2025, 12, 15)}, {"fedora", "42", day(2026, 5, 13)},
	}
}

// endsOfLifeUntil is when that table is too old to say that all is well.
func endsOfLifeUntil() time.Time { return time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC) }

func updEOL() audit.Check {
	return audit.Check{
		ID: "upd.eol", Title: "The system's release still gets updates", Severity: finding.Crit,
		Why:       "After its end nobody closes a release's holes any more, however well the machine is set up.",
		Fix:       "Plan the step to the next release: make a backup of Home Assistant, keep it elsewhere, and follow the release notes.",
		Reference: []string{"os-release(5)", "Debian LTS"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			r, err := h.Release()
			if err != nil {
				return audit.Unknown(err)
			}
			name := cmp.Or(r.Name, r.ID+" "+r.Version)
			version := r.Version
			if r.ID == "rhel" || r.ID == "rocky" || r.ID == "almalinux" || r.ID == "centos" {
				version, _, _ = strings.Cut(version, ".")
			}
			for _, e := range endsOfLife() {
				if e.id != r.ID || e.version != version {
					continue
				}
				value := name + ": until " + e.until.Format(time.DateOnly)
				if h.Now.After(e.until.AddDate(0, 0, 1)) {
					return audit.Fail(value, audit.At("/etc/os-release", 0, value))
				}
				if h.Now.After(endsOfLifeUntil()) {
					return audit.Unknown(fmt.Errorf("the table of releases is of 2026: ask %s itself", cmp.Or(r.ID, "the distribution")))
				}
				return audit.Pass(value, audit.At("/etc/os-release", 0, value))
			}
			if version == "" && r.ID == "debian" {
				return audit.Unknown(errors.New("it is a Debian of no number (testing or unstable)"))
			}
			return audit.Unknown(fmt.Errorf("how long %q gets updates is not in the table", name))
		},
	}
}
