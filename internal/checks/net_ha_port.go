package checks

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netHAPort() audit.Check {
	return audit.Check{
		ID: "net.ha-port", Title: "Home Assistant's own port is not open to everybody", Severity: finding.High,
		Why:       "Who reaches port 8123 himself walks around the proxy, its certificate and its limits, and reads along what is not encrypted.",
		Fix:       "Let the firewall admit port 8123 from the proxy and, where displays or speakers need it, from the home network only; or let Home Assistant listen on 127.0.0.1.",
		Reference: []string{"HA docs: integrations/http, server_host"},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			settings, err := h.HASettings()
			if err != nil {
				return audit.Unknown(err)
			}
			port := settings.HTTP.ServerPort
			b, err := firewalls(h)
			if err != nil {
				return audit.Unknown(err)
			}
			v4, v6 := b.admits("tcp", port, false), b.admits("tcp", port, true) && !withoutIPv6(h)
			if len(b.managers) > 0 && !v4 && !v6 {
				return audit.Pass(fmt.Sprintf("the firewall keeps port %d closed", port))
			}
			local := len(settings.HTTP.ServerHost) > 0
			for _, host := range settings.HTTP.ServerHost {
				addr, err := netip.ParseAddr(host)
				local = local && (host == "localhost" || err == nil && addr.IsLoopback())
			}
			if !h.Live {
				if local {
					return audit.Pass("closed")
				}
				if o, yes := b.v4.Admits("tcp", port); yes && len(b.managers) > 0 && b.v4.Denies {
					return audit.Fail("open", audit.At(o.File, o.Line, o.Text))
				}
				return audit.Fail("open", audit.At(h.HADir, 0, fmt.Sprintf("port %d on %s, and no firewall closes it", port, cmp.Or(strings.Join(settings.HTTP.ServerHost, ", "), "all addresses"))))
			}
			all, err := h.Sockets()
			if err != nil && len(all) == 0 {
				return audit.Unknown(err)
			}
			heard := false
			var evidence []finding.Evidence
			for _, s := range all {
				if s.Proto != "tcp" || int(s.At.Port()) != port {
					continue
				}
				heard = true
				if !s.Loopback() && (len(b.managers) == 0 || b.lets(s)) {
					evidence = append(evidence, atSocket(s))
				}
			}
			if !heard {
				return audit.Unknown(fmt.Errorf("nobody listens on port %d: Home Assistant does not run", port))
			}
			return audit.PassIf(len(evidence) == 0, map[bool]string{true: "closed", false: "open"}[len(evidence) == 0], evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  haPortRepair,
	}
}
