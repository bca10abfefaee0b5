package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationSudoNopasswd() audit.Check {
	return audit.Check{
		ID: "sudo.nopasswd", Title: "Nobody becomes root without typing a password", Severity: finding.High,
		Why:       "With NOPASSWD whoever gets hold of such an account, or of a program that runs as it, has the whole machine at once.",
		Fix:       "Give the account a password first (passwd NAME), then take NOPASSWD out of the line with visudo -f FILE; for a program, name the exact commands with their arguments instead.",
		Reference: []string{"CIS Debian 12 5.2.4", "CIS Debian 12 5.2.5", "CIS RHEL 9 5.2.5", "Securing Debian 11", "sudoers(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := sudoers(h)
			if err != nil {
				return sudoRefused(h, err)
			}
			names := []string{}
			var evidence []finding.Evidence
			note := func(name, what, file string, line int) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
				evidence = append(evidence, audit.At(file, line, name+": "+what+" without a password"))
			}
			for _, s := range all {
				if s.anything && s.free {
					note(s.Name, "everything", s.file, s.line)
				}
				for _, o := range s.others {
					if o.free && asGoodAsRoot(o.command) {
						note(s.Name, o.command, o.file, o.line)
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...).Explicitly(len(evidence) > 0)
		},
		Profile: audit.ProfileStrict,
		Repair:  askPassword,
	}
}
