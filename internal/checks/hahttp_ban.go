package checks

import (
	"strconv"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haHTTPBan() audit.Check {
	return audit.Check{
		ID: "hahttp.ban", Title: "Home Assistant shuts out an address after a few wrong passwords", Severity: finding.High,
		Why:       "Without a limit anybody who reaches the login page may try passwords for as long as they like.",
		Fix:       "Set ip_ban_enabled: true and login_attempts_threshold to a number from 3 to 10; behind a proxy first make sure that Home Assistant sees the visitors' own addresses, or it bans the proxy.",
		Reference: []string{"HA docs: integrations/http, login_attempts_threshold"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			n := s.HTTP.LoginAttemptsThreshold
			value := strconv.Itoa(n)
			if n < 0 {
				value = "-1, which is never"
			}
			at, explicit := haOption(h, s, "login_attempts_threshold", value)
			on, _ := haOption(h, s, "ip_ban_enabled", strconv.FormatBool(s.HTTP.IPBanEnabled))
			effective := any(n)
			if !s.HTTP.IPBanEnabled {
				effective = "off"
			}
			return audit.PassIf(s.HTTP.IPBanEnabled && n >= 3 && n <= 10, effective, at, on).Explicitly(explicit)
		}),
		Profile: audit.ProfileHome,
		Repair:  haRepairBan(),
	}
}
