package checks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyVersion() audit.Check {
	return audit.Check{
		ID: "px.version", Title: "The proxy has all its security updates", Severity: finding.High,
		Why:       "The proxy is what strangers speak to first, and a hole in it that is known is tried everywhere within days.",
		Fix:       "Upgrade it (apt-get update and apt-get upgrade), and let unattended-upgrades do so from now on.",
		Reference: []string{"Debian Security Tracker", "apt-get(8)", "CIS Debian 12 1.2.2.1"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			installed, err := h.Packages()
			if err != nil {
				if _, statErr := h.Stat("/var/lib/dpkg"); proxyMissing(statErr) {
					return proxyWithoutPackages(h, err)
				}
				return audit.Unknown(err)
			}
			said := []string{}
			var good, bad []finding.Evidence
			var foreign error
			for _, p := range installed {
				if !p.Installed || !slices.Contains([]string{"nginx", "nginx-common", "apache2", "apache2-bin", "haproxy", "caddy", "traefik"}, p.Name) {
					continue
				}
				said = append(said, p.Name+" "+p.Version)
				good = append(good, packageEvidence(p, ""))
				// Debian's and Ubuntu's packages have a revision; nginx.org's says "-1~bookworm".
				if !strings.Contains(p.Version, "-") || strings.Contains(p.Version, "-1~") {
					foreign = fmt.Errorf("%s %s is not of the distribution, whose security archive knows nothing of it", p.Name, p.Version)
				}
			}
			if len(said) == 0 {
				return proxyWithoutPackages(h, errors.New("the proxy was not installed as a package, so what is newer is not known"))
			}
			pending, err := h.PendingUpdates()
			if err != nil {
				return audit.Unknown(err)
			}
			for _, u := range pending {
				if slices.Contains(said, u.Package.Name+" "+u.Package.Version) {
					bad = append(bad, packageEvidence(u.Package, ", the security archive has "+u.Newer))
				}
			}
			if len(bad) > 0 {
				return audit.Fail(said, bad...)
			}
			age, _, err := listsAge(h)
			switch {
			case foreign != nil:
				return audit.Unknown(foreign)
			case err != nil:
				return audit.Unknown(err)
			case age > week:
				return audit.Unknown(fmt.Errorf("%s: what apt heard is %d days old", facts.AptListsDir, int(age.Hours()/24)))
			}
			return audit.Pass(said, good...)
		},
		ByHand: "Updates come with the system's own, and are told of by upd.security-pending.",
	}
}

// proxyWithoutPackages is the verdict where no package is known: there may be a proxy all
// the same.
func proxyWithoutPackages(h *facts.Host, because error) audit.Verdict {
	sites, err := h.ProxySites()
	switch {
	case err != nil:
		return audit.Unknown(err)
	case len(sites) > 0:
		return audit.Unknown(because)
	}
	return audit.NotApplicable("no proxy was found")
}
