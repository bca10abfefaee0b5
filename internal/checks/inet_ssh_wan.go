package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func inetSSHWAN() audit.Check {
	return audit.Check{
		ID: "inet.ssh-wan", Title: "SSH is closed to strangers, or takes keys only", Severity: finding.High,
		Why:       "SSH that is open to the Internet is tried around the clock; a password is found some day.",
		Fix:       "Let the firewall admit SSH's port from the home network or the VPN only, or turn passwords off (PasswordAuthentication no).",
		Reference: []string{"CIS Debian 12 4.2.1", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			b, err := firewalls(h)
			if err != nil {
				return audit.Unknown(err)
			}
			open := len(b.managers) == 0
			for _, p := range sshPorts(s) {
				open = open || b.admits("tcp", p, false) || b.admits("tcp", p, true) && !withoutIPv6(h)
			}
			if !open {
				return audit.Pass("the firewall closes it to strangers")
			}
			v := sshPasswordAuth().Judge(h)
			v.Explicit = nil
			if v.Result == finding.Pass {
				v.Effective = "keys only"
			}
			return v
		},
		ByHand: "Turning passwords off is the repair of ssh.password-auth; which addresses you come from with SSH only you know.",
	}
}
