package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationSuWheel() audit.Check {
	return audit.Check{
		ID: "pam.su-wheel", Title: "su is for the people of one group only", Severity: finding.Low,
		Why:       "su asks for root's password from anybody who has come onto the machine, programs too. A group says who may try.",
		Fix:       "Uncomment pam_wheel in /etc/pam.d/su (auth required pam_wheel.so use_uid group=sudo); make sure first that you are in that group.",
		Reference: []string{"CIS Debian 12 5.2.7", "CIS RHEL 9 5.2.7", "Securing Debian 4.11.5", "pam_wheel(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			services, err := h.PAMServices()
			if err != nil {
				return audit.Unknown(err)
			}
			if !slices.Contains(services, "su") {
				return audit.NotApplicable("su has no stack of PAM here")
			}
			stack, err := h.PAM("su")
			if err != nil {
				return audit.Unknown(err)
			}
			for _, l := range stack {
				if l.Type != "auth" || !l.Reached {
					continue
				}
				if l.Module == "pam_wheel.so" && (l.Control == "required" || l.Control == "requisite") {
					_, turned := l.Arg("deny")
					group, named := l.Arg("group")
					if turned {
						return audit.Fail("everybody but "+group, audit.At(l.File, l.Line, "pam_wheel deny"))
					}
					if !named {
						group = "wheel"
					}
					return audit.Pass(group, audit.At(l.File, l.Line, "pam_wheel, group "+group)).Explicitly(true)
				}
				if l.Module == "pam_unix.so" {
					return audit.Fail("everybody", audit.At(l.File, l.Line, "pam_unix without pam_wheel before it")).Explicitly(false)
				}
			}
			return audit.Fail("everybody", audit.At("/etc/pam.d/su", 0, "pam_wheel is not in the stack")).Explicitly(false)
		},
		Profile: audit.ProfileStrict,
		Repair:  suForFew,
	}
}
