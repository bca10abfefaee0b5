package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func confinementSELinuxContext() audit.Check {
	return audit.Check{
		ID: "mac.selinux-ctx", Title: "SELinux makes no exception for a service", Severity: finding.Low,
		Why:       "A domain that is permissive, or a policy that somebody built out of whatever was refused, lets that service do anything.",
		Fix:       "semodule -r the permissive_* modules (semanage permissive -d DOMAIN), restorecon -R the data that was mislabelled, and allow what is missing by name.",
		Reference: []string{"CIS RHEL 9 1.3.1.5", "semanage-permissive(8)", "restorecon(8)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			there, err := h.Exists("/sys/fs/selinux/enforce")
			if err != nil {
				return audit.Unknown(err)
			}
			if !there {
				return audit.NotApplicable("SELinux does not run")
			}
			found, err := h.Glob("/var/lib/selinux/*/active/modules/400/permissive_*")
			if err != nil {
				return audit.Unknown(err)
			}
			if len(found) == 0 {
				stores, err := h.Glob("/var/lib/selinux/*/active/modules/100/*")
				if err != nil {
					return audit.Unknown(err)
				}
				if len(stores) == 0 {
					return audit.Unknown(errors.New("SELinux' policy is not where it is looked for"))
				}
			}
			var bad []finding.Evidence
			for _, f := range found {
				bad = append(bad, audit.At(f, 0, "permissive"))
			}
			return audit.PassIf(len(bad) == 0, len(bad), bad...)
		},
	}
}
