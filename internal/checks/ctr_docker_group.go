package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrDockerGroup() audit.Check {
	return audit.Check{
		ID: "ctr.docker-group", Title: "Only administrators may use Docker", Severity: finding.Crit,
		Why:       "Who may start containers may start one that changes the whole machine: the group docker is root without a password.",
		Fix:       "Take the account out of the group (gpasswd -d NAME docker); let it use sudo instead, or Podman without root.",
		Reference: []string{"CIS Docker 1.1.2", "Docker docs: Docker daemon attack surface"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			admins := map[string]bool{"root": true}
			for _, group := range []string{"sudo", "wheel", "admin"} {
				names, _, _, err := h.MembersOf(group)
				if err != nil {
					return audit.Unknown(err)
				}
				for _, n := range names {
					admins[n] = true
				}
			}
			all, there := []string{}, false
			var evidence []finding.Evidence
			for _, group := range []string{"docker", "lxd", "incus-admin", "podman"} {
				names, line, found, err := h.MembersOf(group)
				if err != nil {
					return audit.Unknown(err)
				}
				there = there || found
				for _, n := range names {
					all = append(all, n)
					if !admins[n] {
						evidence = append(evidence, audit.At("/etc/group", line, group+": "+n))
					}
				}
			}
			if !there {
				return audit.NotApplicable("there is no group docker, lxd, incus-admin or podman")
			}
			return audit.PassIf(len(evidence) == 0, all, evidence...)
		},
		ByHand: "What such an account starts with Docker, as a backup, stops; whom you trust with the whole machine only you know.",
	}
}
