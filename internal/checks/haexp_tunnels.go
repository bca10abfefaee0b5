package checks

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haExpTunnels() audit.Check {
	return audit.Check{
		ID: "haexp.tunnels", Title: "Tunnels to Home Assistant ask who is there before they let anybody through", Severity: finding.High,
		Why:       "Tunnels of Cloudflare, ngrok and Tailscale's Funnel put Home Assistant's login page on the Internet, past your router; and the company in between reads along.",
		Fix:       "Require a login in front: access.required in cloudflared's originRequest, oauth or basic_auth in ngrok's; tailscale serve instead of funnel; or let the tunnel end at the gateway.",
		Reference: []string{"Cloudflare docs: Tunnel, originRequest access", "ngrok docs: agent configuration", "Tailscale docs: Funnel"},
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
				{"ngrok", "~/.config/ngrok/ngrok.yml", ngrokGuards()},
				{"ngrok", "/opt/ngrok/ngrok.yml", ngrokGuards()},
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
						switch {
						case guarded:
						case way.name == "cloudflared":
							errs = append(errs, fmt.Errorf("%s:%d: whether Cloudflare asks for a login before this tunnel is not said here (access.required in originRequest would say it)", file, line))
						default:
							evidence = append(evidence, audit.At(file, line, way.name+" without a login in front"))
						}
					}
				}
			}
			started, err := tunnelStarts(h)
			errs = append(errs, err)
			for _, c := range started {
				name, open, elsewhere := tunnelOf(strings.Fields(c.Command), s.HTTP.ServerPort)
				switch at := audit.At(c.File, c.Line, name); {
				case name == "":
					continue
				case open:
					at.Value += " without a login in front"
					evidence = append(evidence, at)
				case elsewhere:
					errs = append(errs, fmt.Errorf("%s: %s is told by its maker's pages where it leads and whom it lets in", c.File, name))
				}
				ways = append(ways, name)
			}
			if err := errors.Join(errs...); err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			if len(ways) == 0 {
				return audit.NotApplicable("no tunnel of cloudflared, ngrok or Tailscale leads to Home Assistant, as far as this machine says")
			}
			return audit.PassIf(len(evidence) == 0, ways, evidence...)
		},
		ByHand: "The login in front is made at the company that runs the tunnel, with your account there.",
	}
}

// ngrokGuards are the words by which ngrok asks who is there.
func ngrokGuards() []string {
	return []string{"oauth:", "basic_auth:", "oidc:", "mutual_tls_cas:", "type:oauth", "type:basic-auth", "type:openid-connect"}
}

// tunnelStarts are the commands that may begin a tunnel: of units, of containers, and of
// what runs.
func tunnelStarts(h *facts.Host) ([]facts.RootCommand, error) {
	var all []facts.RootCommand
	var errs []error
	names, err := h.Units()
	errs = append(errs, err)
	for _, name := range names {
		if path.Ext(name) != ".service" {
			continue
		}
		u, err := h.Unit(name)
		if err != nil {
			continue // one that is broken starts nothing
		}
		for _, s := range u.All("Service", "ExecStart") {
			all = append(all, facts.RootCommand{Command: s.Value, File: s.File, Line: s.Line})
		}
	}
	containers, err := h.Containers()
	if !errors.Is(err, facts.ErrNoContainers) {
		errs = append(errs, err)
	}
	for _, c := range containers {
		program, _, _ := strings.Cut(path.Base(c.Image), ":")
		var words []string
		for _, s := range c.All("command") {
			words = append(words, s.Value)
		}
		for _, s := range c.All("environment") {
			if name, _, _ := strings.Cut(s.Value, "="); name == "TUNNEL_TOKEN" {
				words = append(words, "--token")
			}
		}
		if program == "cloudflared" || program == "ngrok" {
			all = append(all, facts.RootCommand{Command: program + " " + strings.TrimPrefix(strings.Join(words, " "), program+" "), File: c.File, Line: c.Line})
		}
	}
	if h.Live {
		running, err := h.Processes()
		errs = append(errs, err)
		for _, p := range running {
			all = append(all, facts.RootCommand{Command: strings.Join(p.Args, " "), File: fmt.Sprintf("/proc/%d/cmdline", p.ID)})
		}
	}
	return all, errors.Join(errs...)
}

// tunnelOf says which tunnel a command begins that may lead to Home Assistant: open to
// everybody, or as its maker's pages say. What it is told in secret is not shown.
func tunnelOf(words []string, port int) (name string, open, elsewhere bool) {
	if len(words) == 0 {
		return "", false, false
	}
	program := path.Base(strings.TrimLeft(words[0], "-@:+!"))
	has := func(flag string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return w == flag || strings.HasPrefix(w, flag+"=") })
	}
	leads := slices.ContainsFunc(words, func(w string) bool { return w == strconv.Itoa(port) || haNamesPort(w, port) })
	switch program {
	case "cloudflared":
		switch {
		case has("--token") || has("--token-file"):
			return "cloudflared", false, true
		case (has("--url") || has("--hello-world")) && leads:
			return "cloudflared", true, false
		}
	case "ngrok":
		asks := has("--oauth") || has("--oidc") || has("--basic-auth") || has("--mutual-tls-cas") || has("--traffic-policy-file")
		if leads && !has("tcp") && !asks || leads && has("tcp") {
			return "ngrok", true, false
		}
		if leads {
			return "ngrok", false, has("--traffic-policy-file")
		}
	case "tailscale":
		if has("funnel") && !has("off") && !has("reset") && !has("status") && leads {
			return "tailscale funnel", true, false
		}
	}
	return "", false, false
}
