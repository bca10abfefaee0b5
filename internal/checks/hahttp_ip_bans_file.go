package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haHTTPBansFile() audit.Check {
	return audit.Check{
		ID: "hahttp.ip-bans-file", Title: "The list of banned addresses holds no proxy and not this machine", Severity: finding.Med,
		Why:       "If the proxy's own address is banned, everybody behind it is out; it comes about when Home Assistant does not see who is asking.",
		Fix:       "Take the address out of ip_bans.yaml and restart Home Assistant, after setting use_x_forwarded_for and trusted_proxies right.",
		Reference: []string{"HA docs: integrations/http, ip_bans.yaml"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			const most = 1000
			file := h.HAPath("ip_bans.yaml")
			bans, err := ha.ReadYAML(h.HAFiles(), "ip_bans.yaml")
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return audit.Pass(0)
			case err != nil:
				return audit.Unknown(err)
			case bans.Kind != ha.MappingNode && bans.Kind != ha.NullNode:
				return audit.Unknown(errors.New(file + ": not a list of addresses"))
			}
			var evidence []finding.Evidence
			for _, f := range bans.Fields {
				addr, err := netip.ParseAddr(f.Key)
				if err != nil {
					return audit.Unknown(fmt.Errorf("%s:%d: not an address", file, f.At.Line))
				}
				trusted := s.HTTP.Trusts(addr)
				if addr.Unmap().IsLoopback() || trusted {
					evidence = append(evidence, audit.At(file, f.At.Line, f.Key))
				}
			}
			if len(bans.Fields) > most {
				evidence = append(evidence, audit.At(file, 0, strconv.Itoa(len(bans.Fields))+" addresses, which slow every request down"))
			}
			return audit.PassIf(len(evidence) == 0, len(bans.Fields), evidence...)
		}),
		Profile: audit.ProfileHome,
		Repair:  haRepairBans(),
	}
}
