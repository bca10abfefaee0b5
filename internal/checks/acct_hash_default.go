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

func accountsHashDefault() audit.Check {
	return audit.Check{
		ID: "acct.hash-default", Title: "New passwords are kept with yescrypt or SHA-512", Severity: finding.Med,
		Why:       "It decides how long a password that is set from now on withstands a thief who has the file.",
		Fix:       "Set ENCRYPT_METHOD YESCRYPT in /etc/login.defs, and give pam_unix the word yescrypt with pam-auth-update (on Red Hat: authselect, SHA512).",
		Reference: []string{"CIS Debian 12 5.3.3.4.3", "CIS Debian 12 5.4.1.4", "CIS RHEL 9 5.3.3.4.3", "CIS RHEL 9 5.4.1.4", "login.defs(5)", "pam_unix(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			defs, err := h.LoginDefs()
			if err != nil {
				return audit.Unknown(err)
			}
			stack, err := h.PAM("passwd")
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return audit.Unknown(err)
			}
			method, explicit := "", false
			var evidence []finding.Evidence
			fine := true
			if d, ok := defs["ENCRYPT_METHOD"]; ok {
				method, explicit, fine = strings.ToLower(d.Value), true, slowMethod(d.Value)
				evidence = append(evidence, audit.At(d.Path, d.Line, "ENCRYPT_METHOD "+d.Value))
			}
			for _, l := range stack {
				if l.Type != "password" || l.Module != "pam_unix.so" || !l.Reached {
					continue
				}
				for _, word := range []string{"yescrypt", "gost_yescrypt", "sha512", "blowfish", "sha256", "md5", "bigcrypt"} {
					if _, ok := l.Arg(word); ok {
						method, explicit, fine = word, true, fine && slowMethod(word)
						evidence = append(evidence, audit.At(l.File, l.Line, "pam_unix "+word))
						break
					}
				}
			}
			if !explicit {
				return audit.Fail("des", audit.At("/etc/login.defs", 0, "ENCRYPT_METHOD is not set, and pam_unix is not told")).Explicitly(false)
			}
			return audit.PassIf(fine, method, evidence...).Explicitly(true)
		},
		Profile: audit.ProfileHome,
		Repair:  strongHashes,
	}
}

// slowMethod reports whether a way of keeping passwords is slow to guess.
func slowMethod(method string) bool {
	return slices.Contains([]string{"yescrypt", "gost_yescrypt", "sha512", "bcrypt", "blowfish"}, strings.ToLower(method))
}
