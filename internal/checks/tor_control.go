package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torControl() audit.Check {
	return audit.Check{
		ID: "tor.control", Title: "Nobody controls Tor who is not meant to", Severity: finding.High,
		Why:       "Who reaches Tor's control port without a password can read where it leads and lead it elsewhere.",
		Fix:       "Set CookieAuthentication 1 and CookieAuthFileGroupReadable 0, or leave the control port away; never put it on an address of the network.",
		Reference: []string{"tor(1): ControlPort, CookieAuthentication"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeTor(h, func(t facts.Tor) audit.Verdict {
				cookie, _, _ := torSwitch(t, "cookieauthentication")
				asks := cookie || len(t.Option("hashedcontrolpassword")) > 0
				var bad []facts.Directive
				ports := []string{}
				for _, d := range slices.Concat(t.Option("controlport"), t.Option("controllistenaddress")) {
					if d.Arg(0) == "0" {
						continue
					}
					ports = append(ports, d.Arg(0))
					if torOpen(d.Arg(0)) || !asks && !strings.HasPrefix(d.Arg(0), "unix:") || slices.Contains(d.Args, "WorldWritable") {
						bad = append(bad, d)
					}
				}
				for _, d := range t.Option("controlsocket") {
					if d.Arg(0) == "0" || d.Arg(0) == "" {
						continue
					}
					ports = append(ports, d.Arg(0))
					if slices.Contains(d.Args, "WorldWritable") {
						bad = append(bad, d)
					}
				}
				if len(ports) == 0 {
					return audit.Pass("off").Explicitly(len(t.Option("controlport")) > 0)
				}
				if readable, d, _ := torSwitch(t, "cookieauthfilegroupreadable"); cookie && readable && d.File == "/etc/tor/torrc" {
					bad = append(bad, d)
				}
				return audit.PassIf(len(bad) == 0, ports, torLines(bad...)...).Explicitly(true)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  torRepairControl(),
	}
}
