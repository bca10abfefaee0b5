package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrSockMount() audit.Check {
	return audit.Check{
		ID: "ctr.sock-mount", Title: "No container that others reach holds Docker's socket", Severity: finding.Crit,
		Why:       "Whoever takes over a container with this socket has the whole machine: it starts containers as root.",
		Fix:       "Take the socket out of the compose file's volumes. Where Traefik or Portainer need it, put a socket proxy between that admits only reading.",
		Reference: []string{"CIS Docker 5.32", "OWASP Docker Security Cheat Sheet, rule 1"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeContainers(h, func(c facts.ContainerSpec) (bad []finding.Evidence) {
				if isSocketProxy(c) || !c.HomeAssistant() && !facesNetwork(c) {
					return nil
				}
				for _, m := range c.Mounts() {
					if holdsSocket(m.Source) {
						bad = append(bad, audit.At(c.File, m.Line, c.Name+": "+m.Source))
					}
				}
				return bad
			})
		},
		ByHand: "The container has to be made again without the socket, and may be of no use without it.",
	}
}

// holdsSocket reports whether a path is an engine's socket or a folder that it lies in.
func holdsSocket(source string) bool {
	switch source {
	case "/", "/run", "/var/run", "/var", "/run/podman", "/var/run/podman", "/run/containerd", "/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock", "/var/run/podman/podman.sock", "/run/containerd/containerd.sock":
		return true
	}
	return strings.HasSuffix(source, "/docker.sock") || strings.HasSuffix(source, "/podman.sock")
}
