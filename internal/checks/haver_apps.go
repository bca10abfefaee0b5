package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haVerApps() audit.Check {
	return audit.Check{
		ID: "haver.apps", Title: "The companion apps are new enough", Severity: finding.Med,
		Why:       "Older apps let other apps on the phone forge where it is, give the token to a page that is not yours, or send it to the inner address in foreign networks.",
		Fix:       "Update the app on the phone; delete the device in Home Assistant if it is gone.",
		Reference: []string{"CVE-2026-44698", "CVE-2026-54318", "CVE-2026-55844", "CVE-2026-59717", "CVE-2026-66060", "CVE-2026-66061"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			entries, err := h.HAEntries()
			if err != nil {
				return audit.Unknown(err)
			}
			var versions []string
			var evidence []finding.Evidence
			var unknown error
			for _, e := range entries {
				program := map[ha.App]string{ha.AppAndroid: "android", ha.AppIOS: "ios"}[ha.AppOf(e.AppID)]
				if e.Domain != "mobile_app" || e.Disabled || program == "" {
					continue
				}
				versions = append(versions, program+" "+e.App)
				for _, a := range facts.HAAdvisories() {
					if a.Program != program {
						continue
					}
					order, ok := facts.CompareHANumbers(e.App, a.Fixed)
					if !ok {
						unknown = fmt.Errorf("%s:%d: not a release of the app", h.HAPath(".storage/core.config_entries"), e.Line)
						break
					}
					if order < 0 {
						evidence = append(evidence, audit.At(h.HAPath(".storage/core.config_entries"), e.Line, fmt.Sprintf("%s with %s %s: %s, closed in %s", e.Title, program, e.App, a.ID, a.Fixed)))
					}
				}
			}
			switch {
			case unknown != nil && len(evidence) == 0:
				return audit.Unknown(unknown)
			case len(versions) == 0:
				return audit.NotApplicable("no companion app is registered")
			}
			return haAdvised(h, versions, evidence)
		},
	}
}
