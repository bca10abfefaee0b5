package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsCTName() audit.Check {
	return audit.Check{
		ID: "tls.ct-name", Title: "The certificate does not announce to the world that here is a Home Assistant", Severity: finding.Info,
		Why:       "Every public certificate is entered in lists that everybody may read. Who looks for homes looks for names such as ha or homeassistant there.",
		Fix:       "Take a name that says nothing, or a wildcard certificate (*.example.org), which hides it.",
		Reference: []string{"RFC 9162"},
		Judge: func(h *facts.Host) audit.Verdict {
			telling := func(c facts.Certificate) (bad []string) {
				for _, name := range c.Names {
					label, _, _ := strings.Cut(strings.ToLower(name), ".")
					if slices.Contains([]string{"ha", "hass", "hassio", "haos", "homeassistant", "home-assistant", "home", "smarthome", "smart-home", "homeautomation"}, label) {
						bad = append(bad, name)
					}
				}
				return bad
			}
			names := func(c facts.Certificate) string { return strings.Join(c.Names, ", ") }
			observed, _ := judgeEndpoints(h, func(e facts.Endpoint) string {
				if len(e.Certificates) == 0 {
					return ""
				}
				return names(e.Certificates[0])
			}, "", func(e facts.Endpoint) []string {
				if len(e.Certificates) == 0 || e.Untrusted != "" {
					return nil // nobody lists those of an authority of one's own
				}
				return telling(e.Certificates[0])
			})
			return worseOf(observed, certificateFiles(h, names, func(_ facts.UsedCertificate, all []facts.Certificate) []string {
				if all[0].Self {
					return nil
				}
				return telling(all[0])
			}))
		},
	}
}
