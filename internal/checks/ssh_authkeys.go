package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshAuthkeys() audit.Check {
	return audit.Check{
		ID: "ssh.authkeys", Title: "Keys that may log in are strong, and their lists are private", Severity: finding.High,
		Why:       "A key of an old kind can be broken, and whoever can write a list of keys can put their own in.",
		Fix:       "chmod 600 the list and give it to its owner; replace DSA keys and RSA keys below 3072 bits by an Ed25519 key (ssh-keygen -t ed25519); remove options that are misspelt.",
		Reference: []string{"sshd(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			files, err := h.AuthorizedKeyFiles()
			if err != nil {
				return sshRefused(err)
			}
			var bad, seen []finding.Evidence
			var unread error
			keys := 0
			for _, f := range files {
				if f.Err != nil {
					unread = f.Err
					continue
				}
				open := f.Info.Mode.Perm() & 0o077
				if !strings.HasPrefix(f.Path, strings.TrimSuffix(f.User.Home, "/")+"/") {
					open &= 0o022 // sshd reads it as the account, which has to be able to
				}
				if open != 0 || f.Info.UID != 0 && int(f.Info.UID) != f.User.UID {
					bad = append(bad, audit.At(f.Path, 0, sshModeSays(f.Info)))
				}
				seen = append(seen, audit.At(f.Path, 0, fmt.Sprintf("%d keys of %s", len(f.Keys), f.User.Name)))
				for _, k := range f.Keys {
					keys++
					if k.Trouble != "" {
						unread = fmt.Errorf("%s:%d: %s", k.File, k.Line, k.Trouble)
						continue
					}
					kind := strings.TrimSuffix(k.Type, "-cert-v01@openssh.com")
					if kind == "ssh-dss" || k.Bits > 0 && k.Bits < 3072 {
						bad = append(bad, audit.At(k.File, k.Line, sshKeySays(k)))
					}
					for _, o := range k.Options {
						if !facts.KnownSSHKeyOption(o.Name) {
							bad = append(bad, audit.At(k.File, k.Line, "an option that sshd does not know: "+sshShort(o.Name)))
						}
					}
				}
			}
			if len(bad) > 0 {
				return audit.Fail(keys, bad...)
			}
			if unread != nil {
				return audit.Unknown(unread)
			}
			commands, err := s.Values("authorizedkeyscommand", facts.SSHPeer{})
			if err != nil {
				return sshRefused(err)
			}
			for _, c := range commands {
				if !strings.EqualFold(c.Value, "none") {
					return audit.Unknown(fmt.Errorf("%s:%d: a program says which keys may log in", c.File, c.Line))
				}
			}
			return audit.Pass(keys, seen...)
		},
		Profile: audit.ProfileHome,
		Repair:  sshStrongKeys,
	}
}

// sshShort is the beginning of what may be a slip of something secret.
func sshShort(s string) string {
	const most = 24
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
