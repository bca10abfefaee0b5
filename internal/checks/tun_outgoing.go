package checks

import (
	"errors"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tunnelOutgoing() audit.Check {
	return audit.Check{
		ID: "tun.outgoing", Title: "Tunnels from here go to a machine that is known, and are not open to all there", Severity: finding.High,
		Why:       "A tunnel that listens on all addresses of a rented machine puts what is behind it on the Internet, and one to a machine that is not checked ends wherever somebody wants.",
		Fix:       "Run the tunnel as an account of its own (User=), with StrictHostKeyChecking=yes, a key of mode 0600, and -R 127.0.0.1:PORT:127.0.0.1:PORT.",
		Reference: []string{"ssh(1)", "ssh_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			tunnels, err := outgoingTunnels(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if len(tunnels) == 0 {
				return audit.NotApplicable("no tunnel leads from here")
			}
			var bad, good []finding.Evidence
			for _, t := range tunnels {
				good = append(good, audit.At(t.file, t.line, strings.Join(t.remotes, " ")))
				if t.user == "" || t.user == "root" {
					bad = append(bad, audit.At(t.file, t.line, "runs as root"))
				}
				if v := strings.ToLower(t.options["stricthostkeychecking"]); v == "no" || v == "off" {
					bad = append(bad, audit.At(t.file, t.line, "StrictHostKeyChecking="+v))
				}
				for _, r := range t.remotes {
					if bind, open := tunnelBind(r); open {
						bad = append(bad, audit.At(t.file, t.line, "listens on "+bind+" over there"))
					}
				}
				if t.key == "" {
					continue
				}
				info, err := h.Stat(t.key)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				if info.Mode.Perm()&0o077 != 0 {
					bad = append(bad, audit.At(t.key, 0, sshModeSays(info)))
				}
			}
			if len(bad) > 0 {
				return audit.Fail(len(tunnels), bad...)
			}
			return audit.Pass(len(tunnels), good...)
		},
		ByHand: "A tunnel is kept up by both of its ends, and a program here sees and tries one of them.",
	}
}
