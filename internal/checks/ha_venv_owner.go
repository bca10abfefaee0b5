package checks

import (
	"fmt"
	"slices"
	"strconv"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcVenv() audit.Check {
	return audit.Check{
		ID: "ha.venv-owner", Title: "Home Assistant cannot change its own program", Severity: finding.Med,
		Why:       "What gets into Home Assistant could stay in it for good by changing the program. Against that stands that Home Assistant likes to install by itself what integrations need.",
		Fix:       "chown -R root the environment of Python and install updates as root, if you can do without integrations that install something; otherwise waive this.",
		Reference: []string{"HA docs: installation"},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			units, err := h.HAUnits()
			if err != nil {
				return audit.Unknown(err)
			}
			var owners []string
			var evidence []finding.Evidence
			for _, u := range units {
				dir := haVenv(u)
				if there, err := h.Exists(dir + "/pyvenv.cfg"); err != nil {
					return audit.Unknown(err)
				} else if !there {
					continue
				}
				users, err := h.Users()
				if err != nil {
					return audit.Unknown(err)
				}
				name, _ := u.Last("Service", "User")
				uid := uint32(0)
				for _, a := range users {
					if a.Name == name.Value || strconv.Itoa(a.UID) == name.Value {
						uid = uint32(a.UID)
					}
				}
				places, err := h.Glob(dir + "/lib/python3*/site-packages")
				if err != nil {
					return audit.Unknown(err)
				}
				for _, place := range append([]string{dir, dir + "/bin"}, places...) {
					info, err := h.Stat(place)
					if err != nil {
						return audit.Unknown(err)
					}
					owners = append(owners, strconv.Itoa(int(info.UID)))
					if uid == 0 && name.Value != "" && name.Value != "root" {
						return audit.Unknown(fmt.Errorf("%s: the user %s is not known", name.File, name.Value))
					}
					if info.UID == uid && info.Mode&0o200 != 0 || info.Mode&0o002 != 0 {
						evidence = append(evidence, audit.At(place, 0, fmt.Sprintf("mode %04o, owner %d, who is Home Assistant", info.Mode.Perm(), info.UID)))
					}
				}
			}
			if len(owners) == 0 {
				return audit.NotApplicable("Home Assistant does not run in an environment of Python on this machine")
			}
			return audit.PassIf(len(evidence) == 0, slices.Compact(owners), evidence...)
		},
		ByHand: "Home Assistant could no longer install what a new integration needs; whether that is worth it is yours to say.",
	}
}
