package checks

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
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

// endsOfLife is what the distributions have said by November 2026 of releases out by then:
// Debian's and Ubuntu's dates are those of the package distro-info-data. Left out is what
// its maker has not said to the day: Fedora ends four weeks after the next release but one.
func endsOfLife() []endOfLife {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	return []endOfLife{
		{"debian", "8", day(2020, 6, 30)}, {"debian", "9", day(2022, 6, 30)}, {"debian", "10", day(2024, 6, 30)}, {"debian", "11", day(2026, 8, 31)},
		{"debian", "12", day(2028, 6, 30)}, {"debian", "13", day(2030, 6, 30)},
		{"ubuntu", "16.04", day(2021, 4, 30)}, {"ubuntu", "18.04", day(2023, 5, 31)}, {"ubuntu", "20.04", day(2025, 5, 29)}, {"ubuntu", "22.04", day(2027, 6, 1)},
		{"ubuntu", "22.10", day(2023, 7, 20)}, {"ubuntu", "23.04", day(2024, 1, 25)}, {"ubuntu", "23.10", day(2024, 7, 11)},
		{"ubuntu", "24.04", day(2029, 5, 31)}, {"ubuntu", "24.10", day(2025, 7, 10)}, {"ubuntu", "25.04", day(2026, 1, 15)}, {"ubuntu", "25.10", day(2026, 7, 9)},
		{"ubuntu", "26.04", day(2031, 5, 29)}, {"ubuntu", "26.10", day(2027, 7, 15)},
		{"rhel", "7", day(2024, 6, 30)}, {"rhel", "8", day(2029, 5, 31)}, {"rhel", "9", day(2032, 5, 31)}, {"rhel", "10", day(2035, 5, 31)},
		{"centos", "7", day(2024, 6, 30)}, {"centos", "8", day(2024, 5, 31)}, {"centos", "9", day(2027, 5, 31)},
		{"rocky", "8", day(2029, 5, 31)}, {"rocky", "9", day(2032, 5, 31)}, {"rocky", "10", day(2035, 5, 31)},
		{"almalinux", "8", day(2029, 3, 1)}, {"almalinux", "9", day(2032, 5, 31)}, {"almalinux", "10", day(2035, 5, 31)},
		{"fedora", "39", day(2024, 11, 26)}, {"fedora", "40", day(2025, 5, 13)}, {"fedora", "41", day(2025, 12, 15)}, {"fedora", "42", day(2026, 5, 13)},
	}
}

// endsOfTeam are when Debian's own team hands a release over to its volunteers for long
// support, who look after four architectures, and promise nothing to who builds Debian
// anew, as Raspbian does.
func endsOfTeam() []endOfLife {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	return []endOfLife{{"debian", "11", day(2024, 8, 14)}, {"debian", "12", day(2026, 7, 11)}, {"debian", "13", day(2028, 8, 9)}}
}

// endsOfLifeUntil is when that table is too old to say that all is well.
func endsOfLifeUntil() time.Time { return time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC) }

func updEOL() audit.Check {
	return audit.Check{
		ID: "upd.eol", Title: "The system's release still gets updates", Severity: finding.Crit,
		Why:       "After its end nobody closes a release's holes any more, however well the machine is set up.",
		Fix:       "Plan the step to the next release: make a backup of Home Assistant, keep it elsewhere, and follow the release notes.",
		Reference: []string{"os-release(5)", "Debian LTS", "distro-info(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			r, err := h.Release()
			if err != nil {
				return audit.Unknown(err)
			}
			name := cmp.Or(r.Name, r.ID+" "+r.Version)
			id, version := r.ID, r.Version
			if id == "rhel" || id == "rocky" || id == "almalinux" || id == "centos" {
				version, _, _ = strings.Cut(version, ".")
			}
			if id == "raspbian" {
				id = "debian"
			}
			for _, e := range endsOfLife() {
				if e.id != id || e.version != version {
					continue
				}
				value := name + ": until " + e.until.Format(time.DateOnly)
				if id == "centos" && version == "8" && !strings.Contains(r.Name, "Stream") {
					e.until = time.Date(2021, 12, 31, 0, 0, 0, 0, time.UTC)
					value = name + ": until " + e.until.Format(time.DateOnly)
				}
				if r.ID == "raspbian" {
					value = name + ": Debian's own until " + e.until.Format(time.DateOnly)
				}
				if h.Now.After(e.until.AddDate(0, 0, 1)) {
					return audit.Fail(value, audit.At("/etc/os-release", 0, value))
				}
				if h.Now.After(endsOfLifeUntil()) {
					return audit.Unknown(fmt.Errorf("the table of releases is of 2026: ask %s itself", cmp.Or(r.ID, "the distribution")))
				}
				if err := longSupport(h, r, id, version); err != nil {
					return audit.Unknown(err)
				}
				return audit.Pass(value, audit.At("/etc/os-release", 0, value))
			}
			if version == "" && r.ID == "debian" {
				return audit.Unknown(errors.New("it is a Debian of no number (testing or unstable)"))
			}
			return audit.Unknown(fmt.Errorf("how long %q gets updates is not in the table", name))
		},
		ByHand: "Moving to the next release changes the whole system, and takes a backup and an evening.",
	}
}

// longSupport says why it is not known that a release which only Debian's volunteers look
// after gets updates on this machine.
func longSupport(h *facts.Host, r facts.Release, id, version string) error {
	for _, e := range endsOfTeam() {
		if e.id != id || e.version != version || !h.Now.After(e.until.AddDate(0, 0, 1)) {
			continue
		}
		if r.ID == "raspbian" {
			return fmt.Errorf("debian's own team left %s on %s, and whether Raspbian builds what Debian's volunteers mend since then is not known", version, e.until.Format(time.DateOnly))
		}
		p, ok, err := h.Package("dpkg")
		switch {
		case err != nil:
			return fmt.Errorf("debian %s gets updates on some architectures only, and this one's is not known: %w", version, err)
		case !ok || !slices.Contains([]string{"amd64", "arm64", "armhf", "i386"}, p.Arch):
			return fmt.Errorf("debian %s gets updates on amd64, arm64, armhf and i386 only, and this is %q", version, p.Arch)
		}
	}
	return nil
}
