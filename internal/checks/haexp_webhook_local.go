package checks

import (
	"errors"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haExpWebhooks() audit.Check {
	return audit.Check{
		ID: "haexp.webhook-local", Title: "Webhooks of automations answer in the house only, and not to links", Severity: finding.High,
		Why:       "A webhook asks for no login: whoever knows its name starts the automation. With GET a link in a mail or a picture on a page is enough.",
		Fix:       "Set local_only: true and allowed_methods to POST and PUT; where the Internet has to reach it, choose a name of 32 random characters.",
		Reference: []string{"CVE-2023-41894", "HA docs: automation/trigger, webhook"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			root, err := h.HAConfiguration()
			if err != nil {
				return audit.Unknown(err)
			}
			count := 0
			var evidence []finding.Evidence
			look := func(p haProgram) {
				p.root.Walk(func(_ []string, n *ha.Node) {
					if n.Get("platform").Value() != "webhook" && n.Get("trigger").Value() != "webhook" {
						return
					}
					if on := p.value(n.Get("enabled")); on != nil && on.Kind == ha.TextNode && !on.True() && !haTemplate(on.Text) {
						return // Home Assistant does not listen
					}
					count++
					bad := func(at *ha.Node, why string) {
						e := haAtNode(h, at, why+p.used)
						if !slices.Contains(evidence, e) {
							evidence = append(evidence, e)
						}
					}
					if local := p.value(n.Get("local_only")); local != nil && !local.True() {
						why := "local_only: " + local.Value()
						if id := p.value(n.Get("webhook_id")); id != nil && haGuessable(id.Value()) {
							why += ", with a name that can be guessed"
						}
						bad(local, why)
					}
					for _, m := range p.value(n.Get("allowed_methods")).List() {
						if v := strings.ToUpper(m.Value()); v == "GET" || v == "HEAD" {
							bad(m, "allowed_methods: "+v)
						}
					}
				})
			}
			all, sectionsErr := root.Sections("automation")
			errs := []error{sectionsErr, root.Unread()}
			for _, f := range all {
				programs, err := haPrograms(h, "automation", f.Value)
				errs = append(errs, err)
				for _, p := range programs {
					look(p)
				}
			}
			if err := errors.Join(errs...); err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, count, evidence...)
		},
		Profile: audit.ProfileStrict,
		Repair:  haRepairWebhooks(),
	}
}

// haGuessable reports whether a webhook's name is short, or made of words.
func haGuessable(id string) bool {
	digits := strings.ContainsAny(id, "0123456789")
	return len(id) < 20 || !digits && strings.ToLower(id) == id
}
