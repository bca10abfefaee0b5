package checks

import (
	"errors"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationSudoHAUser() audit.Check {
	return audit.Check{
		ID: "sudo.ha-user", Title: "Home Assistant's account cannot become root", Severity: finding.Crit,
		Why:       "Home Assistant talks to the whole house and runs other people's code. If its account has sudo, or the run of Docker or the disks, a hole in it is the whole machine.",
		Fix:       "Take the account out of the group (gpasswd -d NAME GROUP) and its line out of sudo's files; see first which automations say sudo (grep -r sudo in the configuration).",
		Reference: []string{"Home Assistant: Securing", "sudoers(5)", "Docker: Linux post-installation steps"},
		Needs:     audit.NeedHost | audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			accounts, err := accountsOfHA(h)
			if errors.Is(err, errRootRunsIt) {
				return audit.NotApplicable(err.Error())
			}
			if err != nil {
				return audit.Unknown(err)
			}
			groups, err := h.Groups()
			if err != nil {
				return audit.Unknown(err)
			}
			able, err := sudoers(h)
			if err != nil {
				if there, thereErr := h.Exists("/etc/sudoers"); thereErr != nil || there {
					return audit.Unknown(err)
				}
			}
			names := []string{}
			var evidence []finding.Evidence
			for _, u := range accounts {
				names = append(names, u.Name)
				if u.UID == 0 {
					evidence = append(evidence, audit.At("/etc/passwd", u.Line, u.Name+": is root"))
				}
				for _, g := range facts.GroupsOf(u, groups) {
					if asGoodAsRootGroup(g.Name) {
						evidence = append(evidence, audit.At("/etc/group", g.Line, u.Name+": group "+g.Name))
					}
				}
				for _, s := range able {
					if s.Name != u.Name {
						continue
					}
					if s.anything {
						evidence = append(evidence, audit.At(s.file, s.line, u.Name+": everything"))
					}
					for _, o := range s.others {
						evidence = append(evidence, audit.At(o.file, o.line, u.Name+": "+o.command))
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  haCannotBecomeRoot,
	}
}

// asGoodAsRootGroup reports whether who is in a group can become root.
func asGoodAsRootGroup(name string) bool {
	return slices.Contains([]string{"root", "sudo", "wheel", "admin", "docker", "podman", "lxd", "incus", "incus-admin", "disk", "shadow", "libvirt"}, name)
}
