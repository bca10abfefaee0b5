package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func wireguardSaveConfig() audit.Check {
	return audit.Check{
		ID: "wg.saveconfig", Title: "The VPN does not write its own configuration", Severity: finding.Low,
		Why:       "With SaveConfig the file is written over whenever the VPN goes down: a peer that was just removed from it comes back.",
		Fix:       "Take SaveConfig = true out of the file, and bring changes in with wg syncconf.",
		Reference: []string{"wg-quick(8): SaveConfig"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			explicit := false
			return judgeWireGuard(h, func([]facts.WireGuard) any { return explicit }, func(all []facts.WireGuard) (bad []finding.Evidence, err error) {
				for _, w := range all {
					if w.Save.Arg(0) == "true" {
						explicit = true
						bad = append(bad, audit.At(w.Save.File, w.Save.Line, "SaveConfig = true"))
					}
				}
				return bad, nil
			})
		},
		Repair: wireguardRepairSave(),
	}
}
