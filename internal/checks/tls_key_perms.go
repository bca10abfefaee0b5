package checks

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsKeyPerms() audit.Check {
	return audit.Check{
		ID: "tls.key-perms", Title: "Only root and the proxy read the key of the house's certificate", Severity: finding.Crit,
		Why:       "Who has this key can pass for your house without any warning. In Home Assistant's www folder everybody could fetch it.",
		Fix:       "Set the key to 0600, or to 0640 with the group of the proxy, owned by root or by Home Assistant's account, and keep it out of www and of folders that are shared.",
		Reference: []string{"RFC 9325", "Home Assistant: HTTP integration, ssl_key"},
		Needs:     audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			used, err := h.UsedCertificates()
			errs := []error{err}
			var keys []string
			for _, u := range used {
				if u.Key != "" {
					keys = append(keys, u.Key)
				}
			}
			if !h.HAOnly {
				for _, pattern := range []string{"/etc/letsencrypt/live/*/privkey.pem", "/var/lib/caddy/.local/share/caddy/certificates/*/*/*.key", "/root/.acme.sh/*/*.key"} {
					names, err := h.Glob(pattern)
					errs = append(errs, err)
					keys = append(keys, names...)
				}
			}
			slices.Sort(keys)
			keys = slices.Compact(keys)
			var bad []finding.Evidence
			modes := []string{}
			for _, key := range keys {
				info, err := h.Stat(key)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				if info.Mode.IsDir() {
					continue
				}
				modes = append(modes, fmt.Sprintf("%04o", info.Mode.Perm()))
				// Who may write to a folder on the way may put his own key there.
				who, err := h.Writers(key)
				if err != nil {
					errs = append(errs, err)
				}
				for _, w := range who {
					if w.Who == "everybody" {
						bad = append(bad, audit.At(key, 0, "everybody may change "+w.Path))
					}
				}
				inHA := h.HADir != "" && strings.HasPrefix(key, path.Clean(h.HADir)+"/")
				shared := strings.Contains(key, "/www/") || strings.HasPrefix(key, "/share/") || strings.HasPrefix(key, "/backup/") || strings.Contains(key, "/backups/")
				if info.Mode.Perm()&0o037 != 0 || shared || info.UID >= 1000 && info.UID < 60000 && !inHA {
					bad = append(bad, audit.At(key, 0, fmt.Sprintf("%04o %d:%d", info.Mode.Perm(), info.UID, info.GID)))
				}
			}
			switch err := errors.Join(errs...); {
			case len(bad) > 0:
				return audit.Fail(modes, bad...)
			case err != nil:
				return audit.Unknown(err)
			case len(modes) == 0:
				return audit.NotApplicable("no key of a certificate was found")
			}
			return audit.Pass(modes)
		},
		Profile: audit.ProfileHome,
		Repair:  tlsRepairKeys(),
	}
}
