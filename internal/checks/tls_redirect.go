package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsRedirect() audit.Check {
	return audit.Check{
		ID: "tls.redirect", Title: "Port 80 does nothing but lead to TLS", Severity: finding.Low,
		Why:       "What is shown in the clear can be read and changed on the way, the sign-in page too.",
		Fix:       "Answer every request on port 80 with 301 to https://, but for /.well-known/acme-challenge/; or close the port.",
		Reference: []string{"RFC 9110 15.4.2", "RFC 8555 8.3"},
		Judge: func(h *facts.Host) audit.Verdict {
			say := func(e facts.Endpoint) string {
				if e.Plain == nil {
					return "closed"
				}
				return strings.TrimSpace(fmt.Sprint(e.Plain.Status, " ", e.Plain.Location))
			}
			v, _ := judgeEndpoints(h, say, "what port ", func(e facts.Endpoint) []string {
				p := e.Plain
				switch {
				case p == nil, p.Status >= 400 && !p.HA, p.Status >= 300 && p.Status < 400 && strings.HasPrefix(p.Location, "https://"):
					return nil
				}
				return []string{"port 80: " + say(e)}
			})
			return v
		},
	}
}
