package checks

import (
	"fmt"
	"path"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netWireless() audit.Check {
	return audit.Check{
		ID: "net.wireless-bt", Title: "Radio that nobody uses is switched off", Severity: finding.Info,
		Why:       "Wi-Fi and Bluetooth are doors that reach through walls. What Home Assistant uses shall stay on.",
		Fix:       "Block what you do not use: rfkill block wifi, or rfkill block bluetooth. Ask first whether Home Assistant's Bluetooth integration uses it.",
		Reference: []string{"CIS Debian 12 3.1.2", "CIS Debian 12 3.1.3", "CIS RHEL 9 3.1.2", "rfkill(8)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			types, err := h.Glob("/sys/class/rfkill/*/type")
			if err != nil {
				return audit.Unknown(err)
			}
			wifi, err := h.Glob("/sys/class/net/*/wireless")
			if err != nil {
				return audit.Unknown(err)
			}
			up := false
			for _, w := range wifi {
				t, err := h.Text(path.Dir(w) + "/operstate")
				up = up || err == nil && len(t.Lines) > 0 && t.Lines[0] == "up"
			}
			bluetooth, err := h.Unit("bluetooth.service")
			if err != nil {
				return audit.Unknown(err)
			}
			used := map[string]bool{"wlan": up, "bluetooth": bluetooth.Starts()}
			var on []string
			var evidence []finding.Evidence
			for _, file := range types {
				t, err := h.Text(file)
				if err != nil || len(t.Lines) == 0 {
					return audit.Unknown(fmt.Errorf("%s: cannot be read", file))
				}
				kind := t.Lines[0]
				inUse, ours := used[kind]
				soft, err := h.Text(path.Dir(file) + "/soft")
				if err != nil {
					return audit.Unknown(err)
				}
				if ours && len(soft.Lines) > 0 && soft.Lines[0] == "0" {
					on = append(on, kind)
					if !inUse {
						evidence = append(evidence, audit.At(soft.Path, 1, kind+" is on, and nothing uses it"))
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, on, evidence...)
		},
	}
}
