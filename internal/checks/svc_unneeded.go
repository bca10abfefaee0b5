package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcUnneeded() audit.Check {
	return audit.Check{
		ID: "svc.unneeded", Title: "Servers that a smart home seldom needs are off", Severity: finding.Med,
		Why:       "Each server that runs is one more that can have a hole; most of these came along with something else.",
		Fix:       "If nobody needs it: systemctl disable --now with the unit that is named. If you do need it, waive this with your reason.",
		Reference: []string{"CIS Debian 12 2.1.7", "CIS Debian 12 2.1.11", "CIS Debian 12 2.1.12", "CIS RHEL 9 2.1.9"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := h.Units()
			if err != nil {
				return audit.Unknown(err)
			}
			if len(all) == 0 {
				return audit.Unknown(errors.New("there are no units of systemd"))
			}
			list := []string{}
			var evidence []finding.Evidence
			for _, name := range unneededServers() {
				u, err := h.Unit(name)
				if err != nil {
					return audit.Unknown(err)
				}
				if u.Starts() {
					list = append(list, name)
					evidence = append(evidence, audit.At(u.EnabledBy, 0, name))
				}
			}
			return audit.PassIf(len(evidence) == 0, list, evidence...)
		},
		Repair: unneededRepair,
	}
}
