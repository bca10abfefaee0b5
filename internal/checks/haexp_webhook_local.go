package checks

import (
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
		Judge: haYAML(func(h *facts.Host, root *ha.Node) (any, []finding.Evidence) {
			count := 0
			var evidence []finding.Evidence
			all, _ := root.Sections("automation")
			for _, f := range all {
				f.Value.Walk(func(_ []string, n *ha.Node) {
					if n.Get("platform").Value() != "webhook" && n.Get("trigger").Value() != "webhook" {
						return
					}
					count++
					if local := n.Get("local_only"); local != nil && !local.True() {
						why := "local_only: " + local.Value()
						if id := n.Get("webhook_id"); id != nil && haGuessable(id.Value()) {
							why += ", with a name that can be guessed"
						}
						evidence = append(evidence, haAtNode(h, local, why))
					}
					for _, m := range n.Get("allowed_methods").List() {
						if v := strings.ToUpper(m.Value()); v == "GET" || v == "HEAD" {
							evidence = append(evidence, haAtNode(h, m, "allowed_methods: "+v))
						}
					}
				})
			}
			return count, evidence
		}),
	}
}

// haGuessable reports whether a webhook's name is short, or made of words.
func haGuessable(id string) bool {
	digits := strings.ContainsAny(id, "0123456789")
	return len(id) < 20 || !digits && strings.ToLower(id) == id
}
