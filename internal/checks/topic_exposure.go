package checks

import (
	"errors"
	"slices"
	"strconv"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/router"
)

// ofRouter marks what the router is asked for.
func ofRouter(c audit.Check) audit.Check {
	c.Needs |= audit.NeedRouter
	return c
}

func exposure() []audit.Check {
	return []audit.Check{inetIPv6Global(), ofRouter(inetUPnP()), ofRouter(inetPortForward()), inetSSHWAN(), ofRouter(inetNATPMP()), inetDNS(), inetRebinding(), ofRouter(inetCGNAT())}
}

// asRouterSays calls f if the router was asked.
func asRouterSays(f func(*facts.Host, router.Answers) audit.Verdict) func(*facts.Host) audit.Verdict {
	return func(h *facts.Host) audit.Verdict {
		if h.Router == nil {
			return audit.Unknown(errors.New("the router was not asked (--router asks it)"))
		}
		return f(h, *h.Router)
	}
}

// sshPorts are the ports that an SSH server is told to listen on.
func sshPorts(s *facts.SSHD) []int {
	ports := []int{}
	for _, l := range s.Lines("port") {
		if len(l.Args) > 0 {
			if n, err := strconv.Atoi(l.Args[0]); err == nil {
				ports = append(ports, n)
			}
		}
	}
	if len(ports) == 0 {
		ports = []int{22}
	}
	return ports
}

// behind says what a port of the router leads to: Home Assistant's port or SSH's, which are
// not for strangers, or another program of this machine; nothing where it is not known. The
// usual ports count at every machine in the house, the configured ones at this one. An error
// says that these could not be read.
func behind(h *facts.Host, r router.Answers, m router.Mapping) (what string, forbidden bool, err error) {
	const ha, ssh = "Home Assistant's port", "SSH"
	here := slices.Contains(r.Self, m.Client)
	if m.Proto == "TCP" {
		switch {
		case m.Internal == 8123:
			return ha, true, nil
		case m.Internal == 22:
			return ssh, true, nil
		case m.Internal == 0:
			return "every port", true, nil
		}
	}
	if !here {
		return "", false, nil
	}
	if m.Proto == "TCP" {
		if h.HADir != "" {
			settings, wrong := h.HASettings()
			if wrong != nil {
				err = wrong
			} else if settings.HTTP.ServerPort == m.Internal {
				return ha, true, nil
			}
		}
		s, wrong := h.SSHD()
		switch {
		case errors.Is(wrong, facts.ErrNoSSHD):
		case wrong != nil:
			err = errors.Join(err, wrong)
		case slices.Contains(sshPorts(s), m.Internal):
			return ssh, true, nil
		}
	}
	// Who listens is told as far as it is known; nothing is judged by it.
	all, _ := h.Sockets()
	for _, s := range all {
		if int(s.At.Port()) == m.Internal && (s.Proto == "tcp") == (m.Proto == "TCP") && !s.Loopback() && s.Process != "" {
			return s.Process + " on this machine", false, err
		}
	}
	return "this machine", false, err
}
