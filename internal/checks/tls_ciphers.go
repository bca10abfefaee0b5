package checks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsCiphers() audit.Check {
	return audit.Check{
		ID: "tls.ciphers", Title: "No weak cipher is taken, and what is recorded today cannot be read with tomorrow's key", Severity: finding.High,
		Why:       "A server that takes weak ciphers can be talked into them by whoever sits in between.",
		Fix:       "Take the ciphers of Mozilla's intermediate profile: ECDHE with AES-GCM or ChaCha20 alone.",
		Reference: []string{"RFC 9325 4.2", "BSI TR-02102-2", "Mozilla: Server Side TLS, intermediate"},
		Judge: func(h *facts.Host) audit.Verdict {
			observed, named := judgeEndpoints(h, func(e facts.Endpoint) string { return fmt.Sprintf("%d with TLS 1.2 and older", len(e.Ciphers)) }, "every cipher", func(e facts.Endpoint) []string {
				return slices.DeleteFunc(slices.Clone(e.Ciphers), func(c string) bool { return !weakCipher(c) })
			})
			for _, e := range h.Endpoints {
				if named && observed.Result == finding.Pass && len(e.Versions) == 0 && strings.HasPrefix(e.URL, "https://") {
					return audit.Unknown(errors.New(e.URL + ": it was not seen to speak any version of TLS"))
				}
			}
			if named && observed.Result != finding.Unknown {
				return observed
			}
			return worseOf(observed, judgeProxies(h, nothingNamed, func(s facts.ProxySite) throughProxy {
				if !s.TLS {
					return throughProxy{none: true}
				}
				var all []facts.Directive
				switch s.Proxy {
				case "nginx":
					all = s.Effective("ssl_ciphers")
				case "Apache":
					all = s.Effective("sslciphersuite")
				case "HAProxy":
					sections, err := h.HAProxy()
					if err != nil {
						return throughProxy{err: err}
					}
					for _, g := range facts.Named(sections, "global") {
						all = append(all, facts.Named(g.Block, "ssl-default-bind-ciphers")...)
					}
				case "Caddy":
					named := false
					for _, d := range s.All("tls") {
						named = named || len(facts.Named(d.Block, "ciphers")) > 0
						for _, c := range facts.Named(d.Block, "ciphers") {
							if slices.ContainsFunc(c.Args, weakCipher) {
								return badly("a weak one", c)
							}
						}
					}
					return well(map[bool]string{true: "no weak one", false: "Caddy's own choice"}[named])
				}
				if len(all) == 0 {
					return unsure(s, facts.Directive{File: s.File, Line: s.Line}, "which ciphers it takes is not said, so it depends on its release")
				}
				last := all[len(all)-1]
				for _, c := range strings.FieldsFunc(last.Arg(len(last.Args)-1), func(r rune) bool { return r == ':' || r == ',' || r == ' ' }) {
					if slices.Contains([]string{"ALL", "RC4", "3DES", "DES", "NULL", "eNULL", "aNULL", "EXPORT", "EXP", "LOW", "MD5", "COMPLEMENTOFALL"}, c) ||
						!strings.HasPrefix(c, "!") && !strings.HasPrefix(c, "-") && (strings.Contains(c, "RC4") || strings.Contains(c, "DES-CBC") || strings.Contains(c, "NULL") || strings.HasPrefix(c, "EXP-") || strings.HasPrefix(c, "ADH")) {
						return badly(c, last)
					}
				}
				for _, group := range []string{"HIGH", "MEDIUM", "DEFAULT"} {
					if slices.Contains(strings.FieldsFunc(last.Arg(len(last.Args)-1), func(r rune) bool { return r == ':' || r == ',' || r == ' ' }), group) {
						return unsure(s, last, "what "+group+" takes in depends on its OpenSSL")
					}
				}
				return well("no weak one", last)
			}))
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairCiphers(),
	}
}

// weakCipher reports whether a suite of TLS 1.2 or older is not to be taken any more.
func weakCipher(name string) bool {
	if strings.HasPrefix(name, "TLS_RSA_") || strings.HasSuffix(name, "_CBC_SHA") {
		return true
	}
	for _, part := range []string{"RC4", "3DES", "_DES", "NULL", "EXPORT", "anon", "MD5"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
