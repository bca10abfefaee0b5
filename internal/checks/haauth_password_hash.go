package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthHash() audit.Check {
	return audit.Check{
		ID: "haauth.password-hash", Title: "Home Assistant keeps passwords so that a thief has to work on each", Severity: finding.Med,
		Why:       "Whoever gets hold of the file with the passwords, in a backup for one, tries words on it; a slow hash makes that expensive. One that is empty or of another kind is no protection.",
		Fix:       "Let the person change the password in their profile: it is then kept anew.",
		Reference: []string{"HA docs: authentication/providers, homeassistant", "OWASP Password Storage Cheat Sheet"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := h.HAPasswords()
			if err != nil {
				return audit.Unknown(err)
			}
			file, least := h.HAPath(".storage/auth_provider.homeassistant"), 0
			var evidence []finding.Evidence
			for _, p := range all {
				switch {
				case p.Kind == "placeholder":
					evidence = append(evidence, audit.At(file, p.Line, p.Username+": no password"))
				case p.Kind != "bcrypt":
					evidence = append(evidence, audit.At(file, p.Line, p.Username+": not a hash of bcrypt"))
				case p.Cost < 12:
					evidence = append(evidence, audit.At(file, p.Line, fmt.Sprintf("%s: bcrypt of cost %d", p.Username, p.Cost)))
				}
				if p.Kind == "bcrypt" && (least == 0 || p.Cost < least) {
					least = p.Cost
				}
			}
			return audit.PassIf(len(evidence) == 0, least, evidence...)
		},
	}
}
