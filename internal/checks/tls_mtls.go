package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsMTLS() audit.Check {
	return audit.Check{
		ID: "tls.mtls", Title: "Only devices with a certificate of the house are let in at the door", Severity: finding.Info,
		Why:       "With certificates for your own devices a stranger does not even see the sign-in page. It costs some comfort: the app for iOS takes it only in part, and Alexa and Google not at all.",
		Fix:       "Ask for client certificates at the proxy (nginx: ssl_verify_client on; Caddy: client_auth), if all your devices can show one.",
		Reference: []string{"RFC 8446 4.3.2", "ngx_http_ssl_module: ssl_verify_client", "Home Assistant Companion: TLS client authentication"},
		Judge: func(h *facts.Host) audit.Verdict {
			observed, named := judgeEndpoints(h, func(e facts.Endpoint) string {
				return map[bool]string{true: "required", false: "not required"}[e.NeedsCertificate]
			}, "", func(e facts.Endpoint) []string {
				if e.NeedsCertificate {
					return nil
				}
				return []string{"not required"}
			})
			if named {
				return observed
			}
			return judgeProxies(h, nothingNamed, func(s facts.ProxySite) throughProxy {
				const yes, no = "required", "not required"
				if !s.TLS {
					return throughProxy{none: true}
				}
				switch s.Proxy {
				case "nginx":
					if all := s.Effective("ssl_verify_client"); len(all) > 0 && all[0].Arg(0) == "on" {
						return well(yes, all...)
					}
				case "Apache":
					if all := s.Effective("sslverifyclient"); len(all) > 0 && strings.EqualFold(all[0].Arg(0), "require") {
						return well(yes, all...)
					}
				case "Caddy":
					for _, d := range s.All("tls") {
						if all := facts.Named(d.Block, "client_auth"); len(all) > 0 {
							return well(yes, all...)
						}
					}
				case "HAProxy":
					for _, d := range s.All("bind") {
						if strings.Contains(d.String(), "verify required") {
							return well(yes, d)
						}
					}
				default:
					return throughProxy{none: true}
				}
				return badly(no)
			})
		},
	}
}
