package checks

import (
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haSecAllowlist() audit.Check {
	return audit.Check{
		ID: "hasec.allowlist", Title: "Home Assistant gives away no folder with secrets in it", Severity: finding.High,
		Why:       "What is in allowlist_external_dirs may be read and sent away by automations, what is in media_dirs by everybody who is signed in. With the configuration among it that is every secret there is.",
		Fix:       "Name only folders that hold what you want to send or show, as /media; never /, /etc, /config or a folder above it.",
		Reference: []string{"HA docs: integrations/homeassistant, allowlist_external_dirs"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			block, err := haCoreBlock(h)
			if err != nil {
				return audit.Unknown(err)
			}
			dirs := []string{}
			var evidence []finding.Evidence
			for _, key := range []string{"allowlist_external_dirs", "whitelist_external_dirs", "media_dirs"} {
				list := block.Get(key)
				if list == nil {
					continue
				}
				if err := list.Unread(); err != nil {
					return audit.Unknown(err)
				}
				list.Walk(func(_ []string, n *ha.Node) {
					if n.Kind != ha.TextNode {
						return
					}
					dir := path.Clean(n.Value())
					dirs = append(dirs, dir)
					if haTooMuch(h, dir) {
						evidence = append(evidence, haAtNode(h, n, key+": "+dir))
					}
				})
			}
			return audit.PassIf(len(evidence) == 0, dirs, evidence...).Explicitly(len(dirs) > 0)
		},
		Profile: audit.ProfileStrict,
		Repair:  haRepairAllowlist(),
	}
}

// haTooMuch reports whether a folder holds secrets of the house or of the machine.
func haTooMuch(h *facts.Host, dir string) bool {
	above := func(inner string) bool { return dir == "/" || inner == dir || strings.HasPrefix(inner, dir+"/") }
	if above("/config") || above(path.Clean(h.HADir)) {
		return true
	}
	for _, private := range []string{"/etc", "/root", "/home", "/var", "/proc", "/sys", "/dev", "/run", "/ssl", "/data", "/backup", "/boot", "/addon_configs"} {
		if dir == private {
			return true
		}
	}
	for _, inside := range []string{"/etc", "/root", "/ssl", "/proc", "/config/.storage", path.Clean(h.HADir) + "/.storage"} {
		if strings.HasPrefix(dir+"/", inside+"/") {
			return true
		}
	}
	return false
}
