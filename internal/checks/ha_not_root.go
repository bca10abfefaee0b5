package checks

import (
	"errors"
	"fmt"
	"strconv"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcNotRoot() audit.Check {
	return audit.Check{
		ID: "ha.not-root", Title: "Home Assistant does not run as root", Severity: finding.Crit,
		Why:       "Whatever gets into Home Assistant, by a hole or by an integration of a stranger's, then owns the whole machine.",
		Fix:       "Make an account for it (useradd --system), give it the configuration directory, and set User= in the unit.",
		Reference: []string{"HA docs: installation", "systemd.exec(5), User="},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var who []string
			var evidence []finding.Evidence
			contained := false
			if h.Live {
				all, err := h.HAProcesses()
				if err != nil && len(all) == 0 {
					return audit.Unknown(err)
				}
				for _, p := range all {
					if p.Container {
						contained = true
						continue
					}
					who = append(who, strconv.Itoa(p.UID))
					if p.UID == 0 {
						evidence = append(evidence, audit.At(fmt.Sprintf("/proc/%d/status", p.ID), 0, "user 0"))
					}
				}
			}
			units, err := h.HAUnits()
			for _, u := range units {
				user, explicit := u.Last("Service", "User")
				dynamic := haUnitTrue(u, "DynamicUser")
				name := user.Value
				switch {
				case !explicit && dynamic:
					name = "a user of its own"
				case !explicit:
					name = "root"
				}
				who = append(who, name)
				if name == "root" || name == "0" {
					evidence = append(evidence, haAtUnit(u, "User"))
					continue
				}
				if users, err := h.Users(); err == nil {
					for _, a := range users {
						if a.Name == name && a.UID == 0 {
							evidence = append(evidence, audit.At("/etc/passwd", a.Line, name+" is root"))
						}
					}
				}
			}
			switch {
			case err != nil && len(evidence) == 0:
				return audit.Unknown(err)
			case len(who) == 0 && contained:
				return audit.NotApplicable("Home Assistant runs in a container of its own, whose root is judged there")
			case len(who) == 0 && h.Live && !haSeesOthers(h):
				return audit.Unknown(errors.New("other users' processes are hidden (hidepid)"))
			case len(who) == 0:
				return audit.NotApplicable("nothing on this host was found to start Home Assistant")
			}
			return audit.PassIf(len(evidence) == 0, who, evidence...)
		},
		Profile: audit.ProfileStrict,
		Repair:  haRepairNotRoot(),
	}
}

// haSeesOthers reports whether the processes of other users can be seen.
func haSeesOthers(h *facts.Host) bool {
	if h.Root {
		return true
	}
	_, err := h.Stat("/proc/1")
	return err == nil
}
