package checks

import (
	"net/netip"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haHTTPBind() audit.Check {
	return audit.Check{
		ID: "hahttp.bind", Title: "Behind a proxy, Home Assistant listens only where the proxy finds it", Severity: finding.High,
		Why:       "If Home Assistant still answers on all addresses, everybody in the network walks around the proxy and all that it keeps out.",
		Fix:       "Set server_host to 127.0.0.1 and ::1 where the proxy runs on the same machine, otherwise to this machine's address in the home network.",
		Reference: []string{"HA docs: integrations/http, server_host"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			if !s.HTTP.UseXForwardedFor {
				return audit.NotApplicable("no proxy stands in front of Home Assistant (use_x_forwarded_for)")
			}
			if !h.HAOnly {
				switch kind, err := h.Kind(); {
				case err != nil:
					return audit.Unknown(err)
				case kind != facts.KindMachine:
					return audit.NotApplicable("this is " + string(kind) + ", where it has to listen on all addresses")
				}
			}
			ok := len(s.HTTP.ServerHost) > 0
			for _, name := range s.HTTP.ServerHost {
				addr, err := netip.ParseAddr(name)
				addr = addr.Unmap()
				local := err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || netip.MustParsePrefix("100.64.0.0/10").Contains(addr))
				ok = ok && (local || name == "localhost")
			}
			value := strings.Join(s.HTTP.ServerHost, ", ")
			if value == "" {
				value = "all addresses"
			}
			at, explicit := haOption(h, s, "server_host", value)
			return audit.PassIf(ok, s.HTTP.ServerHost, at).Explicitly(explicit)
		}),
		Profile: audit.ProfileStrict,
		Repair:  haRepairBind(),
	}
}
