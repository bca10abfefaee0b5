package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcCtrlAltDel() audit.Check {
	return audit.Check{
		ID: "svc.ctrl-alt-del", Title: "No key and no hidden shell works without signing in", Severity: finding.Low,
		Why:       "Ctrl-Alt-Del restarts the machine from any keyboard, and the shell for finding faults (Ctrl-Alt-F9) is root without a password.",
		Fix:       "systemctl mask ctrl-alt-del.target, and systemctl disable --now debug-shell.service.",
		Reference: []string{"systemd-debug-generator(8)", "systemd.special(7)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var evidence []finding.Evidence
			debug, err := h.Unit("debug-shell.service")
			if err != nil {
				return audit.Unknown(err)
			}
			if debug.Starts() {
				evidence = append(evidence, audit.At(debug.EnabledBy, 0, "debug-shell.service"))
			}
			cad, err := h.Unit("ctrl-alt-del.target")
			if err != nil {
				return audit.Unknown(err)
			}
			if cad.File != "" && !cad.Masked {
				evidence = append(evidence, audit.At(cad.File, 0, "is not masked"))
			}
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  ctrlAltDelRepair,
	}
}
