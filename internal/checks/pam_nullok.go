package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationNullok() audit.Check {
	return audit.Check{
		ID: "pam.nullok", Title: "No login takes an empty password", Severity: finding.High,
		Why:       "With the word nullok an account whose password is empty lets everybody in. One slip with passwd -d is then enough.",
		Fix:       "Take nullok away from pam_unix: on Debian in /usr/share/pam-configs/unix, then pam-auth-update; on Red Hat with authselect enable-feature without-nullok.",
		Reference: []string{"CIS Debian 12 5.3.3.4.1", "Securing Debian 4.11", "pam_unix(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			services, err := h.PAMServices()
			if err != nil {
				return audit.Unknown(err)
			}
			if len(services) == 0 {
				return audit.NotApplicable(errNoPAM.Error())
			}
			seen := map[string]bool{}
			var evidence []finding.Evidence
			for _, s := range services {
				stack, err := h.PAM(s)
				if err != nil {
					return audit.Unknown(err)
				}
				for _, l := range stack {
					if !l.Reached || l.Module != "pam_unix.so" || l.Type != "auth" && l.Type != "password" {
						continue
					}
					for _, word := range []string{"nullok", "nullok_secure"} {
						where := fmt.Sprintf("%s:%d", l.File, l.Line)
						if _, ok := l.Arg(word); ok && !seen[where] {
							seen[where] = true
							evidence = append(evidence, audit.At(l.File, l.Line, l.Type+": pam_unix "+word))
						}
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, len(evidence) > 0, evidence...).Explicitly(len(evidence) > 0)
		},
		Profile: audit.ProfileHome,
		Repair:  noEmptyPasswords,
	}
}
