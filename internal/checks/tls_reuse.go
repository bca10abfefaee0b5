package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsReuse() audit.Check {
	return audit.Check{
		ID: "tls.reuse", Title: "TLS neither compresses nor renegotiates unsafely", Severity: finding.Low,
		Why:       "Compression lets somebody in between guess cookies by their length; unsafe renegotiation lets him put words before yours.",
		Fix:       "Upgrade OpenSSL and the proxy: both have been off by default for ten years (nginx and HAProxy never turn them on).",
		Reference: []string{"RFC 5746", "CVE-2012-4929", "RFC 9325 3.3"},
		Judge: func(h *facts.Host) audit.Verdict {
			v, _ := judgeEndpoints(h, func(e facts.Endpoint) string {
				return map[bool]string{true: "unsafe", false: "safe"}[e.Compresses || e.Renegotiates]
			}, "whether it takes", func(e facts.Endpoint) (bad []string) {
				if e.Compresses {
					bad = append(bad, "it compresses")
				}
				if e.Renegotiates {
					bad = append(bad, "it does not say that it renegotiates safely")
				}
				return bad
			})
			return v
		},
	}
}
