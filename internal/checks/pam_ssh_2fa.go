package checks

import (
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationSSHSecondFactor() audit.Check {
	return audit.Check{
		ID: "pam.ssh-2fa", Title: "Who comes over SSH with a password needs a second thing too", Severity: finding.Info,
		Why:       "A password can be guessed or watched; a code from a telephone or a security key cannot. Keys alone, without passwords, are as good.",
		Fix:       "Prefer keys and PasswordAuthentication no. Otherwise install libpam-google-authenticator or libpam-u2f, and put it into /etc/pam.d/sshd.",
		Reference: []string{"pam.d(5)", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			services, err := h.PAMServices()
			if err != nil {
				return audit.Unknown(err)
			}
			if !slices.Contains(services, "sshd") {
				return audit.NotApplicable("the SSH server has no stack of PAM here")
			}
			stack, err := h.PAM("sshd")
			if err != nil {
				return audit.Unknown(err)
			}
			for _, l := range stack {
				if l.Type == "auth" && l.Reached && slices.Contains(secondFactors(), l.Module) {
					return audit.Pass(l.Module, audit.At(l.File, l.Line, l.Control+" "+l.Module)).Explicitly(true)
				}
			}
			switch v := sshPasswordAuth().Judge(h); v.Result {
			case finding.Pass:
				return audit.NotApplicable("nobody comes over SSH with a password")
			case finding.Unknown, finding.NotApplicable:
				return v
			}
			return audit.Fail("none", audit.At("/etc/pam.d/sshd", 0, "no module of a second factor")).Explicitly(false)
		},
		ByHand: "Which second thing you carry with you is yours to choose.",
	}
}

// secondFactors are the modules of PAM that ask for more than a password.
func secondFactors() []string {
	return []string{"pam_google_authenticator.so", "pam_u2f.so", "pam_oath.so", "pam_duo.so", "pam_yubico.so", "pam_fido2.so", "pam_otpw.so"}
}
