package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netMDNS() audit.Check {
	return audit.Check{
		ID: "net.mdns", Title: "The machine shouts its name only where the house listens", Severity: finding.Low,
		Why:       "mDNS is how Home Assistant finds devices and is to stay; but on a tunnel or a foreign network it tells strangers what there is in the house, and LLMNR lets them answer in another's name.",
		Fix:       "Name the home network's interfaces in /etc/avahi/avahi-daemon.conf (allow-interfaces=eth0), and set LLMNR=no in a drop-in of /etc/systemd/resolved.conf.d.",
		Reference: []string{"CIS Debian 12 2.1.2", "CIS RHEL 9 2.1.2", "avahi-daemon.conf(5)", "resolved.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var evidence []finding.Evidence
			var on []string
			avahi, err := h.Unit("avahi-daemon.service")
			if err != nil {
				return audit.Unknown(err)
			}
			if avahi.Starts() {
				s, err := h.Sections("/etc/avahi/avahi-daemon.conf")
				if err != nil {
					return audit.Unknown(err)
				}
				allow, ok1 := s.Last("server", "allow-interfaces")
				_, ok2 := s.Last("server", "deny-interfaces")
				on = append(on, "mDNS "+allow.Value)
				if !ok1 && !ok2 {
					evidence = append(evidence, audit.At("/etc/avahi/avahi-daemon.conf", 0, "allow-interfaces is not set: every interface"))
				}
			}
			resolved, err := h.Unit("systemd-resolved.service")
			if err != nil {
				return audit.Unknown(err)
			}
			if resolved.Starts() {
				s, err := h.Sections("/etc/systemd/resolved.conf", "/etc/systemd/resolved.conf.d", "/usr/lib/systemd/resolved.conf.d")
				if err != nil {
					return audit.Unknown(err)
				}
				llmnr, ok := s.Last("Resolve", "LLMNR")
				if !ok || llmnr.Value != "no" && llmnr.Value != "false" && llmnr.Value != "0" {
					on = append(on, "LLMNR")
					file := llmnr.File
					if !ok {
						file = "/etc/systemd/resolved.conf"
					}
					evidence = append(evidence, audit.At(file, llmnr.Line, "LLMNR="+llmnr.Value))
				}
			}
			return audit.PassIf(len(evidence) == 0, on, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  mdnsRepair,
	}
}
