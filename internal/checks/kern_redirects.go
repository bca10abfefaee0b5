package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelRedirects() audit.Check {
	return audit.Check{
		ID: "kern.redirects", Title: "Nobody in the network can send this machine's traffic another way", Severity: finding.Med,
		Why:       "With ICMP redirects a gadget that is taken over tells your server to send everything over itself, and reads along.",
		Fix:       "Put accept_redirects = 0, secure_redirects = 0 and send_redirects = 0 for net.ipv4.conf.all and .default, and accept_redirects = 0 for net.ipv6.conf.all and .default, into a file in /etc/sysctl.d; the interfaces that are there now need it each (net.ipv4.conf.eth0…), or a restart.",
		Reference: []string{"CIS Debian 12 3.3.2", "CIS Debian 12 3.3.5", "CIS Debian 12 3.3.6", "CIS RHEL 9 3.3.2", "CIS RHEL 9 3.3.5", "CIS RHEL 9 3.3.6", "Securing Debian 4.17", "Linux documentation: networking/ip-sysctl"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			accepts, err := acceptingRedirects(h)
			if err != nil {
				return audit.Unknown(err)
			}
			return judgeInterfaces(h, exactly(0), accepts, ofInterface{"net/ipv4/conf", "send_redirects", either},
				ofInterface{"net/ipv4/conf", "secure_redirects", either}, ofInterface{"net/ipv6/conf", "accept_redirects", ownOnly})
		},
		Profile: audit.ProfileHome,
		Repair:  redirectsRepair,
	}
}

// acceptingRedirects is how the kernel combines accept_redirects with "all": a host
// accepts them if either says so, a router only if both do.
func acceptingRedirects(h *facts.Host) (ofInterface, error) {
	one := ofInterface{"net/ipv4/conf", "accept_redirects", either}
	s, err := h.Sysctl("net.ipv4.ip_forward")
	if err == nil && s.Value == "1" {
		one.both = bothOf
	}
	return one, err
}

// ofInterface is a setting that every interface has.
type ofInterface struct {
	dir, name string
	both      func(all, own int) int
}

func judgeInterfaces(h *facts.Host, ok func(int) bool, settings ...ofInterface) audit.Verdict {
	var values []string
	var bad []finding.Evidence
	explicit := false
	for _, s := range settings {
		v, b, e, err := perInterface(h, s.dir, s.name, s.both, ok)
		if err != nil {
			return audit.Unknown(err)
		}
		values, bad, explicit = append(values, v...), append(bad, b...), explicit || e
	}
	switch {
	case len(bad) > 0:
		return audit.Fail(values, bad...).Explicitly(explicit)
	case len(values) == 0:
		return audit.Unknown(errors.New("the interfaces' settings are not there"))
	}
	return audit.Pass(values).Explicitly(explicit)
}
