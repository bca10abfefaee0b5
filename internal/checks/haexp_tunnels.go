package checks

import (
	"errors"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haExpTunnels() audit.Check {
	return audit.Check{
		ID: "haexp.tunnels", Title: "Tunnels to Home Assistant ask who is there before they let anybody through", Severity: finding.High,
		Why:       "Cloudflare's and ngrok's tunnels put Home Assistant's login page on the Internet, past your router; and the company in between reads along.",
		Fix:       "Require a login in front: access.required in cloudflared's originRequest, oauth or basic_auth in ngrok's; or let the tunnel end at the gateway.",
		Reference: []string{"Cloudflare docs: Tunnel, originRequest access", "ngrok docs: agent configuration"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			if h.HAOnly {
				return audit.NotApplicable("only Home Assistant's configuration was looked at")
			}
			s, err := h.HASettings()
			if s.Source == "" {
				if err == nil {
					err = errors.New("the port of Home Assistant is not known")
				}
				return audit.Unknown(err)
			}
			var ways []string
			var evidence []finding.Evidence
			var errs []error
			for _, way := range []struct {
				name, pattern string
				guards        []string
			}{
				{"cloudflared", "/etc/cloudflared/config.y*ml", []string{"required:true"}}, {"cloudflared", "~/.cloudflared/config.y*ml", []string{"required:true"}},
				{"ngrok", "~/.config/ngrok/ngrok.yml", []string{"oauth:", "basic_auth:", "oidc:", "mutual_tls_cas:"}},
				{"ngrok", "/opt/ngrok/ngrok.yml", []string{"oauth:", "basic_auth:", "oidc:", "mutual_tls_cas:"}},
			} {
				files, err := haInHomes(h, way.pattern)
				errs = append(errs, err)
				for _, file := range files {
					t, err := h.Text(file)
					if err != nil {
						errs = append(errs, err)
						continue
					}
					guarded, line := false, 0
					for n, text := range t.Lines {
						text = strings.TrimSpace(text)
						if strings.HasPrefix(text, "#") {
							continue
						}
						plain := strings.ReplaceAll(text, " ", "")
						for _, g := range way.guards {
							guarded = guarded || strings.Contains(plain, g)
						}
						ends := haNamesPort(text, s.HTTP.ServerPort) || way.name == "ngrok" && plain == "addr:"+strconv.Itoa(s.HTTP.ServerPort)
						if ends && line == 0 {
							line = n + 1
						}
					}
					if line > 0 {
						ways = append(ways, way.name)
						if !guarded {
							evidence = append(evidence, audit.At(file, line, way.name+" without a login in front"))
						}
					}
				}
			}
			if err := errors.Join(errs...); err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			if len(ways) == 0 {
				return audit.NotApplicable("no tunnel of cloudflared or ngrok leads to Home Assistant, as far as files on this machine say")
			}
			return audit.PassIf(len(evidence) == 0, ways, evidence...)
		},
	}
}
