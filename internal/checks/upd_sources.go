package checks

import (
	"errors"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updSources() audit.Check {
	return audit.Check{
		ID: "upd.sources", Title: "Packages come from archives that somebody signs for, of one release", Severity: finding.High,
		Why:       "An archive that nobody signs for can be replaced on its way, and what it brings runs as root. Archives of another release mix in what does not fit and gets no updates.",
		Fix:       "Take out trusted=yes and name the archive's key (signed-by=); take out the lines of another release.",
		Reference: []string{"CIS Debian 12 1.2.1.1", "CIS Debian 12 1.2.1.2", "sources.list(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			if v, ok := apt(h); !ok {
				return v
			}
			all, err := h.AptSources()
			if err != nil {
				return audit.Unknown(err)
			}
			if len(all) == 0 {
				return audit.Unknown(errors.New("/etc/apt/sources.list: no archive is named"))
			}
			r, err := h.Release()
			if err != nil {
				return audit.Unknown(err)
			}
			c, err := h.AptConf()
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			var list []string
			for _, s := range all {
				list = append(list, s.URI+" "+s.Suite)
				local := strings.HasPrefix(s.URI, "file:") || strings.HasPrefix(s.URI, "copy:")
				switch {
				case s.Trusted && !local:
					evidence = append(evidence, audit.At(s.File, s.Line, s.URI+": nobody has to sign for it"))
				case strings.HasPrefix(s.URI, "http://") && !s.SignedBy && !ofDistribution(s.URI):
					evidence = append(evidence, audit.At(s.File, s.Line, s.URI+": neither https nor Signed-By"))
				case foreignSuite(r, s):
					evidence = append(evidence, audit.At(s.File, s.Line, s.Suite+" is not of this release"))
				}
			}
			for _, name := range []string{"APT::Get::AllowUnauthenticated", "Acquire::AllowInsecureRepositories", "Acquire::AllowWeakRepositories"} {
				if s, ok := c.Last(name); ok && (s.Value == "true" || s.Value == "1" || s.Value == "yes") {
					evidence = append(evidence, audit.At(s.File, s.Line, name+" "+s.Value))
				}
			}
			return audit.PassIf(len(evidence) == 0, list, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  sourcesRepair,
	}
}

// foreignSuite reports whether a source of the distribution itself is of another release.
func foreignSuite(r facts.Release, s facts.AptSource) bool {
	own := map[string]string{"debian 10": "buster", "debian 11": "bullseye", "debian 12": "bookworm", "debian 13": "trixie", "raspbian 11": "bullseye", "raspbian 12": "bookworm", "raspbian 13": "trixie"}[r.ID+" "+r.Version]
	if own == "" || !strings.Contains(s.URI, "debian.org") && !strings.Contains(s.URI, "raspbian.org") && !strings.Contains(s.URI, "raspberrypi") {
		return false
	}
	suite, _, _ := strings.Cut(s.Suite, "/")
	suite, _, _ = strings.Cut(suite, "-")
	return suite != own
}

// ofDistribution reports whether an archive is the distribution's own, or a mirror of it, by
// its address: its keys are those that the system came with.
func ofDistribution(uri string) bool {
	for _, part := range []string{"/debian", "/ubuntu", "/raspbian", "archive.raspberrypi.", "debian.org", "ubuntu.com", "raspbian.org"} {
		if strings.Contains(uri, part) {
			return true
		}
	}
	return false
}
