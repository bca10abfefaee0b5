package checks

import (
	"errors"
	"io/fs"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haExpCloud() audit.Check {
	return audit.Check{
		ID: "haexp.cloud-remote", Title: "Remote access by Home Assistant Cloud is off, or every administrator has a second factor", Severity: finding.Info,
		Why:       "With it the login page is on the Internet, whatever the router says. What stands between is the passwords.",
		Fix:       "Turn it off under Settings, Home Assistant Cloud if you have another way in; otherwise give every administrator a second factor.",
		Reference: []string{"HA docs: Home Assistant Cloud, remote access"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			if _, err := h.Stat(h.HADir); err != nil {
				return audit.Unknown(err)
			}
			cloud, err := h.HACloud()
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return audit.NotApplicable("Home Assistant Cloud is not in use")
			case err != nil:
				return audit.Unknown(err)
			case !cloud.Remote:
				return audit.Pass("off").Explicitly(cloud.RemoteKnown)
			}
			a, err := h.HAAuth()
			if err != nil {
				return audit.Unknown(err)
			}
			having, err := h.HASecondFactors("totp")
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return audit.Unknown(err)
			}
			asked, _, err := haFactorsAsked(h)
			if err != nil {
				return audit.Unknown(err)
			}
			ok := true
			for _, u := range a.Users {
				having := slices.Contains(asked, "totp") && slices.Contains(having, u.ID)
				ok = ok && (!u.Admin || !u.Active || u.System || len(u.Providers) == 0 || having)
			}
			return audit.PassIf(ok, "on", audit.At(h.HAPath(".storage/cloud"), cloud.RemoteLine, "remote_enabled: true")).Explicitly(true)
		},
	}
}
