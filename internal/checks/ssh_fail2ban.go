package checks

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshFail2ban() audit.Check {
	return audit.Check{
		ID: "ssh.fail2ban", Title: "Who guesses passwords is slowed down", Severity: finding.Low,
		Why:       "Where passwords are taken, thousands are tried a day; a limit makes that hopeless and the log readable.",
		Fix:       "Turn passwords off (ssh.password-auth), or install fail2ban with its jail sshd (with the systemd journal it needs python3-systemd); OpenSSH 9.8 and later do it by themselves.",
		Reference: []string{"fail2ban-server(1)", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			passwords := sshPasswordAuth().Judge(h)
			switch passwords.Result {
			case finding.Pass:
				return audit.Pass("no passwords", passwords.Evidence...)
			case finding.Fail:
			default:
				return passwords
			}
			if s.Release.Known() && s.Release.AtLeast(9, 8) {
				off := func(v facts.SSHDValue) bool { return !slices.Contains(v.Args, "no") }
				if v := sshValues(s, "PerSourcePenalties", facts.SSHPeer{}, off); v.Result == finding.Pass {
					return v
				}
			}
			by, at, err := sshLimiter(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if by != "" {
				return audit.Pass(by, at)
			}
			return audit.Fail("none", passwords.Evidence...)
		},
		ByHand: "It needs a package; and it is not needed once nobody logs in with a password.",
	}
}

// sshLimiter finds what slows down who guesses, and where that is said.
func sshLimiter(h *facts.Host) (by string, at finding.Evidence, err error) {
	started := func(unit string) (bool, error) {
		_, err := h.Lstat("/etc/systemd/system/multi-user.target.wants/" + unit)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	if on, err := started("sshguard.service"); err != nil || on {
		return "sshguard", audit.At("sshguard.service", 0, "enabled"), err
	}
	on, err := started("fail2ban.service")
	if err != nil {
		return "", at, err
	}
	if on {
		var files []string
		for _, pattern := range []string{"jail.conf", "jail.d/*.conf", "jail.local", "jail.d/*.local"} {
			names, err := h.Glob("/etc/fail2ban/" + pattern)
			if err != nil {
				return "", at, err
			}
			files = append(files, names...)
		}
		enabled := map[string]string{}
		where := map[string]finding.Evidence{}
		for _, file := range files {
			t, err := h.Text(file)
			if err != nil {
				return "", at, err
			}
			section := ""
			for n, line := range t.Lines {
				line = strings.TrimSpace(line)
				if strings.HasPrefix(line, "[") {
					section = strings.Trim(line, "[]")
				}
				name, value, _ := strings.Cut(line, "=")
				if strings.TrimSpace(name) == "enabled" {
					enabled[section] = strings.ToLower(strings.TrimSpace(value))
					where[section] = audit.At(file, n+1, "["+section+"] "+line)
				}
			}
		}
		for _, section := range []string{"sshd", "DEFAULT"} {
			switch enabled[section] {
			case "true", "yes", "on", "1":
				return "fail2ban", where[section], nil
			case "":
				continue
			}
			break
		}
	}
	t, err := h.Text("/etc/nftables.conf")
	if errors.Is(err, fs.ErrNotExist) {
		return "", at, nil
	}
	if err != nil {
		return "", at, err
	}
	for n, line := range t.Lines {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "#") && strings.Contains(line, "dport") && strings.Contains(line, "limit rate") && (strings.Contains(line, "22") || strings.Contains(line, "ssh")) {
			return "nftables", audit.At("/etc/nftables.conf", n+1, line), nil
		}
	}
	return "", at, nil
}
