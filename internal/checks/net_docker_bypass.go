package checks

import (
	"errors"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netDockerBypass() audit.Check {
	return audit.Check{
		ID: "net.docker-bypass", Title: "No container's port is open to everybody behind the firewall's back", Severity: finding.High,
		Why:       "Docker leads the ports that it publishes past ufw and the like: they are open to everybody although the firewall's list does not show them.",
		Fix:       "Write 127.0.0.1: (or the address of the home network) before the port in the compose file, as \"127.0.0.1:1880:1880\", and create the container again; or let the port in by a rule of the firewall if it shall be open.",
		Reference: []string{"Docker docs: Packet filtering and firewalls, Docker and ufw"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			d, err := h.DockerDaemon()
			if err != nil {
				return audit.Unknown(err)
			}
			all, err := h.Containers()
			if errors.Is(err, facts.ErrNoContainers) && !d.There {
				return audit.NotApplicable(err.Error())
			}
			b, ferr := firewalls(h)
			if ferr != nil {
				return audit.Unknown(ferr)
			}
			if len(b.managers) == 0 {
				return audit.NotApplicable("there is no firewall that could be walked around (net.firewall-present)")
			}
			if ip, _ := d.Settings["ip"].(string); strings.HasPrefix(ip, "127.") || d.Settings["iptables"] == false {
				return audit.Pass("daemon.json keeps Docker from opening ports", audit.At(d.File, max(d.Line("ip"), d.Line("iptables")), "ip or iptables"))
			}
			var open []string
			var evidence []finding.Evidence
			for _, c := range all {
				if c.HostNetwork() {
					continue
				}
				for _, p := range c.Ports() {
					if p.HostIP == "" && !b.admits(p.Proto, p.Port, false) {
						open = append(open, c.Name+" "+p.Text)
						evidence = append(evidence, audit.At(c.File, p.Line, c.Name+": "+p.Text))
					}
				}
			}
			if h.Live {
				sockets, serr := h.Sockets()
				for _, s := range sockets {
					if s.Process == "docker-proxy" && s.AnyAddress() && !b.admits(s.Proto, int(s.At.Port()), false) {
						open = append(open, s.String())
						evidence = append(evidence, atSocket(s))
					}
				}
				if err == nil {
					err = serr
				}
			}
			if len(evidence) == 0 && err != nil && !errors.Is(err, facts.ErrNoContainers) {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, open, evidence...)
		},
		ByHand: "It stands in the compose file, and the container has to be made again; who reaches it in the house only you know.",
	}
}
