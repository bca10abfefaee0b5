package checks

import (
	"errors"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsHSTS() audit.Check {
	return audit.Check{
		ID: "tls.hsts", Title: "Browsers are told to ask for the house by TLS only, for half a year or more", Severity: finding.Low,
		Why:       "After that a browser never sends a first request in the clear, which somebody in between could catch.",
		Fix:       "Add Strict-Transport-Security: max-age=31536000 at the proxy; begin with a short max-age, for browsers do not forget it.",
		Reference: []string{"RFC 6797"},
		Judge: func(h *facts.Host) audit.Verdict {
			v, _ := judgeEndpoints(h, func(e facts.Endpoint) string {
				a, _ := e.Answer("/")
				return a.Headers["strict-transport-security"]
			}, "what it says at / ", func(e facts.Endpoint) []string {
				a, ok := e.Answer("/")
				if !ok {
					return nil
				}
				for _, part := range strings.Split(strings.ToLower(a.Headers["strict-transport-security"]), ";") {
					name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
					if seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64); name == "max-age" && err == nil && seconds >= 180*24*3600 {
						return nil
					}
				}
				return []string{"Strict-Transport-Security: " + a.Headers["strict-transport-security"]}
			})
			return unanswered(h, v)
		},
		Profile: audit.ProfileStrict,
		Repair:  proxyRepairHSTS(),
	}
}

// unanswered makes a good verdict unknown where an address gave no answer to judge, but
// wants a certificate first.
func unanswered(h *facts.Host, v audit.Verdict) audit.Verdict {
	for _, e := range h.Endpoints {
		if v.Result == finding.Pass && strings.HasPrefix(e.URL, "https://") && len(e.Answers) == 0 {
			return audit.Unknown(errors.New(e.URL + ": it did not answer without a certificate"))
		}
	}
	return v
}
