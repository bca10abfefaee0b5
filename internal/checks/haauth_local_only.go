package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthLocalOnly() audit.Check {
	return audit.Check{
		ID: "haauth.local-only", Title: "Accounts of tablets, services and guests work in the house only", Severity: finding.Med,
		Why:       "The password of a tablet on the wall is known to many and never changes. There is no need for it to work from the Internet.",
		Fix:       "Under Settings, People, Users turn on Local access only for these accounts.",
		Reference: []string{"HA docs: authentication, local access only"},
		Needs:     audit.NeedHA,
		Judge: haAuth(func(h *facts.Host, a facts.HAAuth) audit.Verdict {
			wide := []string{}
			var evidence []finding.Evidence
			for _, u := range a.Users {
				if u.Active && !u.System && !u.LocalOnly && haOfThing(u.Name+" "+u.Username) {
					wide = append(wide, u.Name)
					evidence = append(evidence, haAtAuth(h, u.Line, u.Name))
				}
			}
			return audit.PassIf(len(wide) == 0, wide, evidence...)
		}),
	}
}

// haOfThing reports whether an account is by its name no single person's.
func haOfThing(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r < '0' || r > '9' && r < 'a' || r > 'z' && r < 0x80 })
	for _, w := range words {
		w = strings.TrimRight(w, "0123456789")
		if slices.Contains([]string{"tablet", "wallpanel", "panel", "kiosk", "wall", "display", "dashboard", "guest", "guests", "gast", "mqtt", "mosquitto",
			"nodered", "esphome", "appdaemon", "frigate", "service", "api", "bot", "grafana", "doorbell", "ipad", "echo", "alexa", "babysitter", "cleaner"}, w) {
			return true
		}
	}
	return false
}
