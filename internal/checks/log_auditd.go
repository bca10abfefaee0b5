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

func loggingAuditd() audit.Check {
	return audit.Check{
		ID: "log.auditd", Title: "The kernel keeps a record of who changes accounts and rights", Severity: finding.Info,
		Why:       "The audit log tells which account changed passwords, sudo's rules or the log of sign-ins, also if it was root's by then.",
		Fix:       "Install auditd and put rules for /etc/passwd, /etc/shadow, /etc/sudoers and /var/log/lastlog into /etc/audit/rules.d; on an SD card weigh it against the wear.",
		Reference: []string{"CIS Debian 12 6.2.1.1", "CIS Debian 12 6.2.1.2", "CIS Debian 12 6.2.3.1", "CIS Debian 12 6.2.3.8", "CIS RHEL 9 6.3.1.1", "CIS RHEL 9 6.3.3.1", "auditctl(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			on, err := h.Wanted("auditd.service")
			if err != nil {
				return audit.Unknown(err)
			}
			if !on {
				return audit.Fail("off", audit.At("auditd.service", 0, "is not started"))
			}
			rules, err := auditRules(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var missing []finding.Evidence
			for _, one := range []struct {
				what  string
				files []string
			}{
				{"accounts", []string{"/etc/passwd", "/etc/shadow"}}, {"sudo's rules", []string{"/etc/sudoers"}},
				{"sign-ins", []string{"/var/log/lastlog", "/var/run/faillock", "/var/log/faillog", "/var/log/wtmp", "/var/run/utmp"}},
			} {
				if !slices.ContainsFunc(rules, func(r logLine) bool {
					f := strings.Fields(r.text)
					return len(f) > 1 && slices.ContainsFunc(one.files, func(file string) bool {
						return f[0] == "-w" && f[1] == file || slices.Contains(f, "path="+file)
					})
				}) {
					missing = append(missing, audit.At("/etc/audit/rules.d", 0, "nothing watches "+one.what))
				}
			}
			return audit.PassIf(len(missing) == 0, more(len(rules), "rules"), missing...)
		},
		Profile: audit.ProfileStrict,
		Repair:  auditdRepair,
	}
}

// auditRules are the lines of the audit's rules: those in rules.d, which augenrules makes
// the others of, else /etc/audit/audit.rules.
func auditRules(h *facts.Host) ([]logLine, error) {
	files, err := h.Glob("/etc/audit/rules.d/*.rules")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		files = []string{"/etc/audit/audit.rules"}
	}
	var all []logLine
	for _, f := range files {
		t, err := h.Text(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for n, line := range t.Lines {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				all = append(all, logLine{f, n + 1, line})
			}
		}
	}
	return all, nil
}
