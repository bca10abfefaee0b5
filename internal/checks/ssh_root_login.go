package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

func sshRootLogin() audit.Check {
	return audit.Check{
		ID: "ssh.root-login", Title: "Nobody logs in as root", Severity: finding.Crit,
		Why:       "Root is the one name that every attacker knows, and may do everything at once; with an account of one's own and sudo a guessed or stolen login is not yet the machine.",
		Fix:       "Give a person an account that may use sudo and has a key, try it, then say \"PermitRootLogin no\" in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd. A machine that fetches backups needs forced-commands-only.",
		Reference: []string{"CIS Debian 12 5.1.20", "CIS RHEL 9 5.1.20", "Securing Debian 5.1", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			v := sshValues(s, "PermitRootLogin", sshRoot(), sshIs("no", "forced-commands-only", "prohibit-password"))
			all, err := s.Values("permitrootlogin", sshRoot())
			if err != nil || v.Result != finding.Pass {
				return v
			}
			for _, value := range all {
				if value.Value != "prohibit-password" {
					continue
				}
				// By key alone: which is nobody as long as root has none.
				keys, unread := sshRootKeys(h)
				if len(keys) > 0 {
					return audit.Fail(value.Value, append(keys, sshEvidence("PermitRootLogin", value))...).Explicitly(value.Explicit)
				}
				if unread != nil {
					return audit.Unknown(unread)
				}
			}
			return v
		},
		Profile: audit.ProfileHome,
		Repair: func(h *facts.Host) (finding.Fix, error) {
			d := fix.Begin(h, "Has the SSH server refuse root, by a file that it reads before its others.",
				"Whoever logs in as root has to log in as themselves and use sudo; programs that fetch backups as root stop.")
			sshSet(d, "PermitRootLogin", "no", sshRoot(), sshIs("no", "forced-commands-only"))
			sshSomebodyGetsIn(true, false)(d, h)
			sshFelt(d, h)
			return d.Fix()
		},
	}
}

// sshRootKeys shows the keys that let root in without saying what may be done, and why it
// could not be told whether there are more.
func sshRootKeys(h *facts.Host) (free []finding.Evidence, unread error) {
	files, err := h.AuthorizedKeyFiles()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if f.User.UID != 0 {
			continue
		}
		if f.Err != nil {
			unread = f.Err
			continue
		}
		for _, k := range f.Keys {
			if commands := k.Option("command"); k.Trouble == "" && (len(commands) == 0 || commands[0] == "") {
				free = append(free, audit.At(k.File, k.Line, sshKeySays(k)))
			}
		}
	}
	return free, unread
}
