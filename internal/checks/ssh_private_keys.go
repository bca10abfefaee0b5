package checks

import (
	"errors"
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshPrivateKeys() audit.Check {
	return audit.Check{
		ID: "ssh.private-keys", Title: "Private keys are private", Severity: finding.High,
		Why:       "Whoever has a private key is you, everywhere it is let in; one that lies under www is handed to everybody who asks Home Assistant for it.",
		Fix:       "chmod 600 the key, put a passphrase on one that belongs to a person (ssh-keygen -p), move it out of www, and replace one that others may have read.",
		Reference: []string{"ssh-keygen(1)"},
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := h.Users()
			if err != nil {
				return audit.Unknown(err)
			}
			var bad, seen []finding.Evidence
			var unread error
			look := func(file string, person, public bool) {
				info, err := h.Stat(file)
				if err != nil || !info.Mode.IsRegular() || info.Size > 32<<10 {
					return
				}
				key, err := h.SSHPrivateKey(file)
				switch {
				case errors.Is(err, facts.ErrNoKey):
					return
				case err != nil:
					unread = err
					return
				case public:
					bad = append(bad, audit.At(file, 0, "everybody can fetch it"))
				case info.Mode.Perm()&0o077 != 0:
					bad = append(bad, audit.At(file, 0, sshModeSays(info)))
				case person && !key.Encrypted:
					bad = append(bad, audit.At(file, 0, "without a passphrase"))
				}
				seen = append(seen, audit.At(file, 0, sshModeSays(info)))
			}
			each := func(dir string, person, public bool) []string {
				names, err := h.Dir(dir)
				if err != nil {
					if info, statErr := h.Stat(dir); statErr != nil || info.Mode.IsDir() {
						unread = err
					}
					return nil
				}
				for _, n := range names[:min(len(names), 1000)] {
					if !strings.HasSuffix(n, ".pub") && !strings.HasPrefix(n, "authorized_keys") && !strings.HasPrefix(n, "known_hosts") {
						look(path.Join(dir, n), person, public)
					}
				}
				return names
			}
			for _, u := range users {
				if u.Home != "" && u.Home != "/" {
					shell := path.Base(u.Shell)
					each(path.Join(u.Home, ".ssh"), u.UID >= 1000 && shell != "nologin" && shell != "false", false)
				}
			}
			if h.HADir != "" {
				each(h.HADir, false, false)
				each(path.Join(h.HADir, ".ssh"), false, false)
				each(path.Join(h.HADir, "ssh"), false, false)
				for _, n := range each(path.Join(h.HADir, "www"), false, true) {
					each(path.Join(h.HADir, "www", n), false, true)
				}
			}
			if len(bad) > 0 {
				return audit.Fail(len(seen), bad...)
			}
			if unread != nil {
				return audit.Unknown(unread)
			}
			return audit.Pass(len(seen), seen...)
		},
		Profile: audit.ProfileHome,
		Repair:  sshClosePrivateKeys,
	}
}
