package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haHTTPSource() audit.Check {
	return audit.Check{
		ID: "hahttp.source", Title: "There is one place where Home Assistant's http settings stand", Severity: finding.Med,
		Why:       "From 2026.8 on Home Assistant keeps its http settings itself and reads those in configuration.yaml no more: what still stands there looks like protection and is none.",
		Fix:       "Remove the http: block from configuration.yaml and its packages; change the settings under Settings, System, Network, and confirm them within five minutes.",
		Reference: []string{"HA docs: integrations/http"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			var evidence []finding.Evidence
			if s.Pending != nil {
				why := "a change that nobody has confirmed"
				if s.PendingError != "" {
					why = "a change that has failed"
				}
				evidence = append(evidence, audit.At(h.HAPath(".storage/http"), s.Line, "pending: "+why))
			}
			if s.Source == ha.SourceStorage {
				root, err := h.HAConfiguration()
				if err != nil {
					return audit.Unknown(err)
				}
				left, err := root.Sections("http")
				for _, f := range left {
					evidence = append(evidence, audit.At(h.HAPath(f.At.File), f.At.Line, "http: is not read any more"))
				}
				if err != nil && len(evidence) == 0 {
					return audit.Unknown(err)
				}
			}
			return audit.PassIf(len(evidence) == 0, string(s.Source), evidence...)
		}),
		Profile: audit.ProfileHome,
		Repair:  haRepairSource(),
	}
}
