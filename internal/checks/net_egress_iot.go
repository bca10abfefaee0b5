package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netEgressIoT() audit.Check {
	return audit.Check{
		ID: "net.egress-iot", Title: "Devices in a network of their own reach only what they need here", Severity: finding.Info,
		Why:       "A cheap device that is taken over looks around from where it stands; a network of its own helps only if this machine is closed towards it.",
		Fix:       "In the firewall name the ports that devices need (MQTT 1883, mDNS 5353) for that interface, and nothing else.",
		Reference: []string{"nft(8)", "NIST SP 800-213"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			vlans, err := h.Dir("/proc/net/vlan")
			if err != nil {
				return audit.Unknown(err)
			}
			vlans = slices.DeleteFunc(slices.Clone(vlans), func(n string) bool { return n == "config" })
			if len(vlans) == 0 {
				return audit.NotApplicable("the machine stands in no network of that kind (VLAN)")
			}
			b, err := firewalls(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if !b.v4.Denies {
				return audit.Fail(vlans, audit.At("/proc/net/vlan", 0, strings.Join(vlans, ", ")+": no firewall closes it"))
			}
			var evidence []finding.Evidence
			for _, o := range b.v4.Opens {
				for _, v := range vlans {
					if o.Ports == nil && o.Proto == "" && (o.From == "" || strings.HasSuffix(o.From, " "+v) || o.From == v) {
						evidence = append(evidence, audit.At(o.File, o.Line, o.Text))
						break
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, vlans, evidence...)
		},
	}
}
