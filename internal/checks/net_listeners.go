package checks

import (
	"errors"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netListeners() audit.Check {
	return audit.Check{
		ID: "net.listeners", Title: "Everything that listens on the network was started as a service", Severity: finding.High,
		Why:       "Each open port is a door. One that belongs to no service was left open by hand, or by somebody who should not be there.",
		Fix:       "Find out what the program is (ss -tulpn). Stop it if nobody needs it; otherwise give it a unit of systemd, and bind it to 127.0.0.1 if only this machine uses it.",
		Reference: []string{"Securing Debian Manual 5.11", "proc_net(5)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := h.Sockets()
			if err != nil && len(all) == 0 {
				return audit.Unknown(err)
			}
			list := []string{}
			var evidence []finding.Evidence
			unseen := false
			for _, s := range all {
				if s.Loopback() {
					continue
				}
				list = append(list, s.String()+": "+s.Scope())
				contained := strings.Contains(s.Where, "docker") || strings.Contains(s.Where, "libpod") || strings.Contains(s.Where, "lxc") || strings.Contains(s.Where, "containerd")
				switch {
				case s.PID == 0: // the kernel's own, or of another process namespace
					unseen = unseen || err != nil
				case s.PID == 1, contained:
				case s.Where == "" || s.Where == "/":
					unseen = true
				case s.Unit == "" || strings.HasPrefix(s.Unit, "user@"):
					evidence = append(evidence, atSocket(s))
				}
			}
			switch {
			case len(evidence) > 0:
				return audit.Fail(list, evidence...)
			case err != nil && unseen:
				return audit.Unknown(err)
			case unseen:
				return audit.Unknown(errors.New("it cannot be told which service a process belongs to: /proc/PID/cgroup names none"))
			}
			return audit.Pass(list)
		},
		ByHand: "What such a program is for, and who started it, only you can find out; stopping it unseen may stop your house.",
	}
}
