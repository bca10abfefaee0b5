package checks

import (
	"errors"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrTCPAPI() audit.Check {
	return audit.Check{
		ID: "ctr.tcp-api", Title: "Docker takes no orders over the network without a certificate", Severity: finding.Crit,
		Why:       "Port 2375 without certificates is root for everybody who reaches it; worms look for it all day.",
		Fix:       "Take tcp:// out of hosts in daemon.json and out of the unit's -H. Use DOCKER_HOST=ssh://… to reach it from elsewhere, or tlsverify with certificates of your own.",
		Reference: []string{"CIS Docker 2.7", "Docker docs: Protect the Docker daemon socket"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			d, err := h.DockerDaemon()
			if err != nil {
				return audit.Unknown(err)
			}
			if !d.There {
				return audit.NotApplicable("Docker is not installed")
			}
			var list []string
			var evidence []finding.Evidence
			for _, s := range d.Hosts {
				list = append(list, s.Value)
				kind, _, named := strings.Cut(s.Value, "://")
				if (kind == "tcp" || !named && strings.Contains(s.Value, ":")) && !d.TLS { // without a kind it is tcp
					evidence = append(evidence, audit.At(s.File, s.Line, s.Value))
				}
			}
			u, err := h.Unit("docker.socket")
			if err != nil {
				return audit.Unknown(err)
			}
			for _, s := range u.All("Socket", "ListenStream") {
				list = append(list, s.Value)
				if !strings.HasPrefix(s.Value, "/") && !strings.HasPrefix(s.Value, "%t") && !d.TLS {
					evidence = append(evidence, audit.At(s.File, s.Line, s.Value))
				}
			}
			all, err := h.Containers()
			if errors.Is(err, facts.ErrNoContainers) {
				err = nil
			}
			for _, c := range all {
				for _, p := range c.Ports() {
					if p.Inside == 2375 && !p.Loopback() {
						evidence = append(evidence, audit.At(c.File, p.Line, c.Name+": "+p.Text))
					}
				}
			}
			if h.Live {
				sockets, serr := h.Sockets()
				for _, s := range sockets {
					if s.Proto == "tcp" && (s.At.Port() == 2375 && !s.Loopback() || s.Process == "dockerd" && !d.TLS) && s.Process != "docker-proxy" {
						evidence = append(evidence, atSocket(s))
					}
				}
				if err == nil && len(sockets) == 0 {
					err = serr
				}
			}
			if len(evidence) == 0 && err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, list, evidence...)
		},
		ByHand: "Who gives Docker orders over the network stops working; its certificates are yours to make.",
	}
}
