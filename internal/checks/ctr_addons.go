package checks

import (
	"errors"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrAddons() audit.Check {
	return audit.Check{
		ID: "ctr.addons", Title: "Every app of Home Assistant runs in protection mode", Severity: finding.High,
		Why:       "An app (add-on) without protection mode may control Docker and with it the whole machine; a hole in it is a hole in everything.",
		Fix:       "In Home Assistant open Settings, Apps, the app, and turn Protection mode on again; remove the app if it does not work so.",
		Reference: []string{"HA docs: Apps, security", "CVE-2026-34205"},
		Judge: func(h *facts.Host) audit.Verdict {
			for _, file := range []string{"/mnt/data/supervisor/addons.json", "/usr/share/hassio/addons.json", "/var/lib/homeassistant/addons.json", "/data/addons.json"} {
				all, err := h.Addons(file)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				list := []string{}
				var evidence []finding.Evidence
				for _, a := range all {
					what := a.Slug
					if a.HostNetwork {
						what += " (host network)"
					}
					if a.FullAccess || a.DockerAPI {
						what += " (full access)"
					}
					list = append(list, what)
					if !a.Protected {
						evidence = append(evidence, audit.At(file, a.Line, a.Slug+": protection mode is off"))
					}
				}
				return audit.PassIf(len(evidence) == 0, list, evidence...)
			}
			// What is closed may hide them.
			for _, dir := range []string{"/mnt/data", "/usr/share/hassio"} {
				if _, err := h.Dir(dir); err != nil {
					return audit.Unknown(err)
				}
			}
			return audit.NotApplicable("there is no Supervisor, so there are no apps")
		},
		ByHand: "Home Assistant's Supervisor looks after its apps: the switch is on the app's own page.",
	}
}
