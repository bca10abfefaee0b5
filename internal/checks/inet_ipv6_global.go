package checks

import (
	"errors"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func inetIPv6Global() audit.Check {
	return audit.Check{
		ID: "inet.ipv6-global", Title: "Nothing is open to the whole Internet over IPv6", Severity: finding.Crit,
		Why:       "With IPv6 there is no translation of addresses that keeps strangers out by accident: what listens on all addresses may be reached from everywhere.",
		Fix:       "Let the firewall drop by default what comes in over IPv6 (table inet of nftables, IPV6=yes of ufw), and look whether the router filters IPv6.",
		Reference: []string{"RFC 6092", "RFC 4864"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			addrs, err := h.GlobalIPv6()
			if err != nil {
				return audit.Unknown(err)
			}
			if len(addrs) == 0 {
				if _, err := h.Sockets(); err != nil && !errors.Is(err, fs.ErrPermission) {
					return audit.Unknown(err)
				}
				return audit.Pass("no global IPv6 address")
			}
			b, err := firewalls(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if b.v6.Denies {
				return audit.Pass("the firewall denies what no rule lets in", audit.At(b.v6.File, b.v6.Line, "IPv6"))
			}
			all, err := h.Sockets()
			if err != nil && len(all) == 0 {
				return audit.Unknown(err)
			}
			var list []string
			var evidence []finding.Evidence
			for _, s := range all {
				if s.IPv6() && (s.AnyAddress() || s.Scope() == "the Internet") {
					list = append(list, s.String())
					evidence = append(evidence, atSocket(s))
				}
			}
			return audit.PassIf(len(evidence) == 0, list, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  ipv6GlobalRepair,
	}
}
