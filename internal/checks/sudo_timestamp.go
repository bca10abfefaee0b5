package checks

import (
	"fmt"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func authenticationSudoTimestamp() audit.Check {
	return audit.Check{
		ID: "sudo.timestamp", Title: "sudo asks for the password again after a quarter of an hour", Severity: finding.Med,
		Why:       "For that long whoever sits down at the open terminal, or any program that was started there, is root without a question.",
		Fix:       "Write Defaults timestamp_timeout=15 (or less) with visudo, and take longer ones and -1 out.",
		Reference: []string{"CIS Debian 12 5.2.6", "CIS RHEL 9 5.2.6", "sudoers(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.Sudoers()
			if err != nil {
				return sudoRefused(h, err)
			}
			minutes, explicit := 15.0, false // Debian's; elsewhere it is 5
			at := audit.At("/etc/sudoers", 0, "timestamp_timeout is not set: 15 minutes at most")
			var bad []finding.Evidence
			for _, d := range s.Defaults {
				if d.Name != "timestamp_timeout" {
					continue
				}
				value := 0.0
				if !d.Negated {
					if value, err = strconv.ParseFloat(d.Value, 64); err != nil {
						return audit.Unknown(fmt.Errorf("%s:%d: timestamp_timeout is not a number", d.File, d.Line))
					}
				}
				e := audit.At(d.File, d.Line, "timestamp_timeout="+d.Value)
				if d.Scope == "" {
					minutes, explicit, at = value, true, e
				} else if value < 0 || value > 15 {
					e.Value += " for " + strings.Join(d.For, ", ")
					bad = append(bad, e)
				}
			}
			if minutes < 0 || minutes > 15 {
				bad = append(bad, at)
			}
			if len(bad) > 0 {
				return audit.Fail(minutes, bad...).Explicitly(true)
			}
			return audit.Pass(minutes, at).Explicitly(explicit)
		},
		Profile: audit.ProfileHome,
		Repair:  sudoForgets,
	}
}
