package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsCertStrength() audit.Check {
	return audit.Check{
		ID: "tls.cert-strength", Title: "The certificate's key is long enough and its signature sound", Severity: finding.High,
		Why:       "A short key, or a signature with SHA-1, can be forged by somebody with enough computers.",
		Fix:       "Make a new key: ECDSA with P-256, or RSA with at least 2048 bits, signed with SHA-256.",
		Reference: []string{"BSI TR-02102-1", "CA/Browser Forum Baseline Requirements 6.1.5", "RFC 9325 4.5"},
		Judge: func(h *facts.Host) audit.Verdict {
			say := func(c facts.Certificate) string { return fmt.Sprintf("%s %d, %s", c.KeyType, c.KeyBits, c.Signature) }
			weak := func(all []facts.Certificate) (bad []string) {
				for n, c := range all {
					short := c.KeyType == "RSA" && c.KeyBits < 2048 || c.KeyType == "ECDSA" && c.KeyBits < 256 || c.KeyType == "DSA"
					broken := (strings.Contains(c.Signature, "SHA1") || strings.Contains(c.Signature, "MD")) && (!c.Self || n == 0)
					if short || broken {
						bad = append(bad, say(c))
					}
				}
				return bad
			}
			observed, _ := judgeEndpoints(h, func(e facts.Endpoint) string {
				if len(e.Certificates) == 0 {
					return "no certificate"
				}
				return say(e.Certificates[0])
			}, "", func(e facts.Endpoint) []string {
				if len(e.Certificates) == 0 {
					return []string{"no certificate"}
				}
				return weak(e.Certificates)
			})
			return worseOf(observed, certificateFiles(h, say, func(_ facts.UsedCertificate, all []facts.Certificate) []string { return weak(all) }))
		},
		ByHand: "A new key takes a new certificate, which an authority makes.",
	}
}
