package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func loggingAuditdSafe() audit.Check {
	return audit.Check{
		ID: "log.auditd-safe", Title: "A full audit log does not stop the machine", Severity: finding.Med,
		Why:       "Advice for offices halts the machine when its audit log is full: at home that takes the alarm, the locks and the heating down with it, and anybody who can fill the log can do it.",
		Fix:       "In /etc/audit/auditd.conf set disk_full_action, disk_error_action, space_left_action and admin_space_left_action to syslog or rotate; in the rules -f 1 instead of -f 2.",
		Reference: []string{"auditd.conf(5)", "auditctl(8)", "CIS Debian 12 6.2.2.3 (deliberately the opposite)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			t, err := h.Text("/etc/audit/auditd.conf")
			if errors.Is(err, fs.ErrNotExist) {
				return audit.NotApplicable("auditd is not installed")
			}
			if err != nil {
				return audit.Unknown(err)
			}
			set := map[string]finding.Evidence{}
			for n, line := range t.Lines {
				line = strings.TrimSpace(line)
				if line == "" || line[0] == '#' {
					continue
				}
				name, value, ok := strings.Cut(line, "=")
				if !ok {
					return audit.Unknown(fmt.Errorf("%s:%d: not an assignment", t.Path, n+1))
				}
				set[strings.ToLower(strings.TrimSpace(name))] = audit.At(t.Path, n+1, strings.ToLower(strings.TrimSpace(value)))
			}
			var bad []finding.Evidence
			for _, name := range []string{"disk_full_action", "disk_error_action", "space_left_action", "admin_space_left_action", "max_log_file_action"} {
				if e := set[name]; e.Value == "halt" || e.Value == "single" {
					e.Value = name + " = " + e.Value
					bad = append(bad, e)
				}
			}
			rules, err := auditRules(h)
			if err != nil {
				return audit.Unknown(err)
			}
			for _, r := range rules {
				if f := strings.Fields(r.text); len(f) > 1 && f[0] == "-f" && f[1] == "2" {
					bad = append(bad, audit.At(r.file, r.line, r.text))
				}
			}
			return audit.PassIf(len(bad) == 0, len(bad) > 0, bad...).Explicitly(len(set) > 0)
		},
		Profile: audit.ProfileHome,
		Repair:  auditdSafeRepair,
	}
}
