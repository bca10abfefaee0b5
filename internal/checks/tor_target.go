package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torTarget() audit.Check {
	return audit.Check{
		ID: "tor.target", Title: "The onion service leads to the gateway, not straight to Home Assistant", Severity: finding.High,
		Why:       "Whoever comes through Tor comes from this machine itself in Home Assistant's eyes: what is trusted at home trusts him, and what bans him bans the proxy.",
		Fix:       "Let HiddenServicePort lead to the gateway or a proxy on 127.0.0.1 instead of Home Assistant's own port.",
		Reference: []string{"tor(1): HiddenServicePort", "Home Assistant: trusted networks"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeOnions(h, func(t facts.Tor) audit.Verdict {
				var bad []facts.Directive
				targets := []string{}
				for _, s := range t.Services {
					for _, d := range facts.Named(s.Options, "hiddenserviceport") {
						target := onionTarget(d)
						targets = append(targets, target)
						if !strings.HasPrefix(target, "unix:") && (h.IsHA(target) || !onLoopback(target)) {
							bad = append(bad, d)
						}
					}
				}
				return audit.PassIf(len(bad) == 0, targets, torLines(bad...)...)
			})
		},
		ByHand: "Where the gateway listens for it is set up with the gateway.",
	}
}

// onionTarget is where a HiddenServicePort leads: an address with a port, or a socket.
// Without an address it is this machine, without a port the one that strangers ask for.
func onionTarget(d facts.Directive) string {
	target := d.Arg(1)
	if target == "" {
		target = d.Arg(0)
	}
	switch {
	case strings.HasPrefix(target, "unix:"):
	case !strings.Contains(target, ":") && !strings.Contains(target, "."):
		target = "127.0.0.1:" + target
	case !strings.Contains(target, ":"), strings.HasSuffix(target, "]"):
		target += ":" + d.Arg(0)
	}
	return target
}
