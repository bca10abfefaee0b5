package checks

import (
	"errors"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func containers() []audit.Check {
	return []audit.Check{
		ctrDockerGroup(), ctrSockMount(), ctrTCPAPI(), ctrMounts(), ctrPrivileged(), ctrEnvSecrets(), ctrAddons(),
		ctrCapabilities(), ctrUser(), ctrDaemon(), ctrImagePin(), ctrHostNet(), ctrResource(),
	}
}

// judgeContainers judges each container; bad says what is wrong with one.
func judgeContainers(h *facts.Host, bad func(c facts.ContainerSpec) []finding.Evidence) audit.Verdict {
	all, err := h.Containers()
	if errors.Is(err, facts.ErrNoContainers) {
		return audit.NotApplicable(err.Error())
	}
	var evidence []finding.Evidence
	names := []string{}
	for _, c := range all {
		if b := bad(c); len(b) > 0 {
			names = append(names, c.Name)
			evidence = append(evidence, b...)
		}
	}
	if len(evidence) == 0 && err != nil {
		return audit.Unknown(err)
	}
	return audit.PassIf(len(evidence) == 0, names, evidence...)
}

// containerAt is the line where a container says something, or begins.
func containerAt(c facts.ContainerSpec, key, value string) finding.Evidence {
	line := c.Line
	if all := c.All(key); len(all) > 0 {
		line = all[len(all)-1].Line
	}
	return audit.At(c.File, line, c.Name+": "+value)
}

// facesNetwork reports whether others than the host reach a container.
func facesNetwork(c facts.ContainerSpec) bool {
	return c.HostNetwork() || slices.ContainsFunc(c.Ports(), func(p facts.Published) bool { return !p.Loopback() })
}

// isSocketProxy reports whether a container is made to keep others from the engine's socket.
func isSocketProxy(c facts.ContainerSpec) bool {
	return strings.Contains(c.Image, "socket-proxy") || strings.Contains(c.Image, "socketproxy")
}
