package checks

import (
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsCertValid() audit.Check {
	return audit.Check{
		ID: "tls.cert-valid", Title: "The certificate of the house is valid, for its name, and for two more weeks", Severity: finding.Crit,
		Why:       "With a certificate that is not valid the apps stop working, or people learn to click the warning away, and then nobody notices an impostor.",
		Fix:       "Renew the certificate for the name in the external URL and let the proxy show it with its intermediates (fullchain.pem).",
		Reference: []string{"RFC 5280 6", "RFC 9525"},
		Judge: func(h *facts.Host) audit.Verdict {
			const spare = 14 * 24 * time.Hour
			until := func(c facts.Certificate) string { return "until " + c.NotAfter.UTC().Format(time.DateOnly) }
			when := func(c facts.Certificate) []string {
				switch {
				case h.Now.Before(c.NotBefore):
					return []string{"not valid before " + c.NotBefore.UTC().Format(time.DateOnly)}
				case h.Now.After(c.NotAfter):
					return []string{"ran out on " + c.NotAfter.UTC().Format(time.DateOnly)}
				case c.NotAfter.Sub(h.Now) < spare:
					return []string{"runs out on " + c.NotAfter.UTC().Format(time.DateOnly)}
				}
				return nil
			}
			observed, _ := judgeEndpoints(h, func(e facts.Endpoint) string {
				if len(e.Certificates) == 0 {
					return "no certificate"
				}
				return until(e.Certificates[0])
			}, "", func(e facts.Endpoint) (bad []string) {
				if len(e.Certificates) == 0 {
					return []string{"no certificate"}
				}
				bad = when(e.Certificates[0])
				for _, why := range []string{e.Untrusted, e.WrongName} {
					if why != "" {
						bad = append(bad, why)
					}
				}
				return bad
			})
			return worseOf(observed, certificateFiles(h, until, func(_ facts.UsedCertificate, all []facts.Certificate) []string {
				return append(when(all[0]), brokenChain(all)...)
			}))
		},
		ByHand: "A certificate is made by an authority that has to see that the name is yours.",
	}
}

// brokenChain says what is missing between a certificate and the authority that a browser
// knows. Who an own authority is, is not known; the public ones never sign for a server by
// what browsers know.
func brokenChain(all []facts.Certificate) []string {
	for n := range len(all) - 1 {
		if all[n].Issuer != all[n+1].Subject && !all[n].Self {
			return []string{"the chain is broken: after " + all[n].Subject + " comes " + all[n+1].Subject}
		}
	}
	if len(all) == 1 && !all[0].Self {
		for _, public := range []string{"O=Let's Encrypt", "O=ZeroSSL", "O=Google Trust Services", "O=Sectigo Limited", "O=DigiCert Inc", "O=GoGetSSL", "O=Buypass AS-983163327", "O=SSL Corp"} {
			if strings.Contains(all[0].Issuer, public) {
				return []string{"the chain is missing: only the certificate itself is sent (fullchain.pem has it all)"}
			}
		}
	}
	return nil
}
