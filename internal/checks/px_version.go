package checks

import (
	"errors"

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
			updates, err := h.SecurityUpdates([]string{"nginx", "nginx-common", "apache2", "apache2-bin", "haproxy", "caddy", "traefik"})
			if err != nil {
				if _, statErr := h.Stat("/var/lib/dpkg"); proxyMissing(statErr) {
					return proxyWithoutPackages(h, err)
				}
				return audit.Unknown(err)
			}
			if len(updates) == 0 {
				return proxyWithoutPackages(h, errors.New("the proxy was not installed as a package, so what is newer is not known"))
			}
			said := []string{}
			var bad, good []finding.Evidence
			for _, u := range updates {
				said = append(said, u.Name+" "+u.Installed)
				if u.Newer != "" {
					bad = append(bad, audit.At("/var/lib/dpkg/status", u.Line, u.Name+" "+u.Installed+", the security archive has "+u.Newer))
				} else {
					good = append(good, audit.At("/var/lib/dpkg/status", u.Line, u.Name+" "+u.Installed))
				}
			}
			if len(bad) > 0 {
				return audit.Fail(said, bad...)
			}
			return audit.Pass(said, good...)
		},
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
