package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func bootEmergency() audit.Check {
	return audit.Check{
		ID: "boot.emergency", Title: "The rescue shell asks for root's password", Severity: finding.Low,
		Why:       "When a disk is missing at start the machine offers a shell: whoever pulls a cable and stands at the keyboard would be root.",
		Fix:       "Let rescue.service and emergency.service run systemd-sulogin-shell, without SYSTEMD_SULOGIN_FORCE in their Environment.",
		Reference: []string{"sulogin(8)", "systemd.special(7)", "CIS Debian 12 5.4.2.4"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var bad []finding.Evidence
			found := false
			for _, unit := range []string{"rescue.service", "emergency.service"} {
				file, there, err := h.UnitFile(unit)
				if err != nil {
					return audit.Unknown(err)
				}
				if !there {
					continue
				}
				found = true
				s, err := h.Settings("/systemd/system/"+unit, file)
				if err != nil {
					return audit.Unknown(err)
				}
				starts := s.List("Service", "ExecStart")
				if len(starts) == 0 {
					return audit.Unknown(fmt.Errorf("%s: starts nothing", file))
				}
				for _, e := range starts {
					if !strings.Contains(e.Value, "sulogin") {
						bad = append(bad, audit.At(e.File, e.Line, e.Value))
					}
				}
				for _, e := range s.List("Service", "Environment") {
					if strings.Contains(e.Value, "SYSTEMD_SULOGIN_FORCE=1") {
						bad = append(bad, audit.At(e.File, e.Line, e.Value))
					}
				}
			}
			if !found {
				return audit.NotApplicable("systemd has no rescue shell here")
			}
			return audit.PassIf(len(bad) == 0, nil, bad...)
		},
		Profile: audit.ProfileStrict,
		Repair:  emergencyRepair,
	}
}
