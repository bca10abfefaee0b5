package checks

import (
	"errors"
	"io/fs"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsSudoUserExists() audit.Check {
	return audit.Check{
		ID: "acct.sudo-user-exists", Title: "Somebody but root can come in and become root", Severity: finding.High,
		Why:       "Before root itself is closed to the network, somebody else has to be able to mend the house, or everybody stands outside.",
		Fix:       "Make an account (adduser NAME), put it into the group sudo (on Red Hat: wheel), and give it a password.",
		Reference: []string{"sudo(8)", "sudoers(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := logins(h)
			if err != nil {
				return audit.Unknown(err)
			}
			able, err := sudoers(h)
			if errors.Is(err, fs.ErrNotExist) {
				if there, thereErr := h.Exists("/etc/sudoers"); thereErr == nil && !there {
					return audit.Fail([]string{}, audit.At("/etc/sudoers", 0, "there is no sudo"))
				}
			}
			if err != nil {
				return audit.Unknown(err)
			}
			names := []string{}
			var evidence, noted []finding.Evidence
			for _, s := range able {
				at := slices.IndexFunc(all, func(l login) bool { return l.Name == s.Name })
				if !s.anything || at < 0 {
					continue
				}
				l := all[at]
				usable, keys := l.password.Usable(), 0
				if !usable {
					if keys, err = keysOf(h, l.User); err != nil {
						return audit.Unknown(err)
					}
				}
				switch {
				case !l.LoginShell():
					noted = append(noted, audit.At("/etc/passwd", l.Line, l.Name+": no shell"))
				case l.shadow.Expired(h.Now) && l.shadowed:
					noted = append(noted, l.where("the account has run out"))
				case !usable && keys == 0:
					noted = append(noted, l.where("neither a password nor a key"))
				case !usable && !s.free:
					noted = append(noted, l.where("a key, but no password, which sudo asks for"))
				default:
					names = append(names, l.Name)
					evidence = append(evidence, audit.At(s.file, s.line, l.Name))
				}
			}
			if len(names) > 0 {
				return audit.Pass(names, evidence...)
			}
			return audit.Fail(names, append(noted, audit.At("/etc/sudoers", 0, "nobody but root can become root"))...)
		},
		ByHand: "Who becomes root here, and with which password, is yours to say.",
	}
}
