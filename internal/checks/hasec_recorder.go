package checks

import (
	"fmt"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haSecRecorder() audit.Check {
	return audit.Check{
		ID: "hasec.recorder", Title: "The recorder forgets after a while, and its password is apart", Severity: finding.Low,
		Why:       "The history of years says how a household lives. What is not kept cannot be stolen.",
		Fix:       "Leave auto_purge on with purge_keep_days at 90 or less, and write db_url: !secret and a name if it holds a password.",
		Reference: []string{"HA docs: integrations/recorder"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			const most = 365
			root, err := h.HAConfiguration()
			if err != nil {
				return audit.Unknown(err)
			}
			all, err := root.Sections("recorder")
			days, explicit := 10, false
			var evidence []finding.Evidence
			for _, f := range all {
				if url := f.Value.Get("db_url"); url != nil && !url.Secret {
					_, rest, _ := strings.Cut(url.Value(), "://")
					login, _, has := strings.Cut(rest, "@")
					if user, password, _ := strings.Cut(login, ":"); has && password != "" && !strings.Contains(user, "/") {
						evidence = append(evidence, haAtNode(h, url, "db_url with a password in it"))
					}
				}
				if keep := f.Value.Get("purge_keep_days"); keep != nil {
					n, err := strconv.Atoi(keep.Value())
					if err != nil {
						return audit.Unknown(fmt.Errorf("%s:%d: not a number of days", h.HAPath(keep.File), keep.Line))
					}
					if days, explicit = n, true; n > most {
						evidence = append(evidence, haAtNode(h, keep, "purge_keep_days: "+keep.Value()))
					}
				}
				if auto := f.Value.Get("auto_purge"); auto != nil && !auto.True() {
					evidence = append(evidence, haAtNode(h, auto, "auto_purge: "+auto.Value()))
				}
			}
			if err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, days, evidence...).Explicitly(explicit)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairRecorder(),
	}
}
