package checks

import (
	"errors"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haAuthShell() audit.Check {
	return audit.Check{
		ID: "haauth.blueprint-webhook-admin", Title: "No automation or script hands what others say on to a command of this machine", Severity: finding.High,
		Why:       "Scripts may be run by everybody in the house, and a webhook by whoever knows its address. What they say becomes part of a command of this machine.",
		Fix:       "Give the command fixed words to choose from instead of a template, or take the values out of a list.",
		Reference: []string{"HA docs: integrations/shell_command"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			root, err := h.HAConfiguration()
			if err != nil {
				return audit.Unknown(err)
			}
			calls := 0
			var evidence []finding.Evidence
			var errs []error
			for _, domain := range []string{"automation", "script"} {
				all, err := root.Sections(domain)
				errs = append(errs, err)
				for _, f := range all {
					programs, err := haPrograms(h, domain, f.Value)
					errs = append(errs, err)
					for _, p := range programs {
						p.root.Walk(func(_ []string, n *ha.Node) {
							action := n.Get("action")
							if action == nil || !strings.HasPrefix(action.Value(), "shell_command.") {
								action = n.Get("service")
							}
							if action == nil || !strings.HasPrefix(action.Value(), "shell_command.") {
								return
							}
							calls++
							for _, key := range []string{"data", "data_template"} {
								n.Get(key).Walk(func(_ []string, v *ha.Node) {
									// What somebody entered in a blueprint is fixed, unless it is a template.
									if v = p.value(v); haTemplate(v.Value()) || v.Tag == "!input" {
										evidence = append(evidence, haAtNode(h, v, action.Value()+" with a template"+p.used))
									}
								})
							}
						})
					}
				}
			}
			if err := errors.Join(errs...); err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, calls, evidence...)
		},
		ByHand: "What the automation shall do with the words is not to be told from the file.",
	}
}
