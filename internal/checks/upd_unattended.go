package checks

import (
	"errors"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updUnattended() audit.Check {
	return audit.Check{
		ID: "upd.unattended", Title: "Updates for safety install themselves", Severity: finding.High,
		Why:       "A house runs for years without anybody looking after it; what waits for a hand stays open.",
		Fix:       "Install unattended-upgrades, write APT::Periodic::Update-Package-Lists \"1\" and APT::Periodic::Unattended-Upgrade \"1\" into /etc/apt/apt.conf.d/20auto-upgrades, and keep the security origin in Unattended-Upgrade::Origins-Pattern. Leave automatic restarts off, or at an hour when no alarm is needed.",
		Reference: []string{"CIS Debian 12 1.2.2.1", "Securing Debian Manual 4.2", "unattended-upgrade(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			_, installed, err := h.Package("unattended-upgrades")
			if errors.Is(err, facts.ErrRPM) {
				return dnfAutomatic(h)
			}
			if err != nil {
				return audit.Unknown(err)
			}
			if !installed {
				return audit.Fail("off", audit.At(facts.DpkgStatus, 0, "unattended-upgrades is not installed"))
			}
			c, err := h.AptConf()
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			for _, name := range []string{"APT::Periodic::Update-Package-Lists", "APT::Periodic::Unattended-Upgrade"} {
				s, ok := c.Last(name)
				if !ok {
					evidence = append(evidence, audit.At("/etc/apt/apt.conf.d", 0, name+" is not set"))
				} else if s.Value == "0" || s.Value == "" {
					evidence = append(evidence, audit.At(s.File, s.Line, name+" "+s.Value))
				}
			}
			if s, ok := c.Last("APT::Periodic::Enable"); ok && s.Value == "0" {
				evidence = append(evidence, audit.At(s.File, s.Line, "APT::Periodic::Enable 0"))
			}
			origins := append(c.List("Unattended-Upgrade::Origins-Pattern"), c.List("Unattended-Upgrade::Allowed-Origins")...)
			r, _ := h.Release()
			security := func(s facts.AptSetting) bool {
				v := strings.ToLower(s.Value)
				return strings.Contains(v, "security") || r.ID == "raspbian" && strings.Contains(v, "raspbian")
			}
			if !slices.ContainsFunc(origins, security) {
				at := audit.At("/etc/apt/apt.conf.d", 0, "no origin is one of updates for safety")
				if len(origins) > 0 {
					at = audit.At(origins[0].File, origins[0].Line, "no origin is one of updates for safety")
				}
				evidence = append(evidence, at)
			}
			for _, name := range []string{"apt-daily.timer", "apt-daily-upgrade.timer"} {
				u, err := h.Unit(name)
				if err != nil {
					return audit.Unknown(err)
				}
				if u.Masked || u.File != "" && u.EnabledBy == "" {
					evidence = append(evidence, audit.At(u.File, 0, name+" does not start"))
				}
			}
			return audit.PassIf(len(evidence) == 0, map[bool]string{true: "on", false: "off"}[len(evidence) == 0], evidence...).Explicitly(true)
		},
		Profile: audit.ProfileHome,
		Repair:  unattendedRepair,
	}
}

// dnfAutomatic judges what the systems of rpm have for it (dnf5-automatic(8)).
func dnfAutomatic(h *facts.Host) audit.Verdict {
	for _, name := range []string{"dnf-automatic-install.timer", "dnf-automatic.timer", "dnf5-automatic.timer"} {
		u, err := h.Unit(name)
		if err != nil {
			return audit.Unknown(err)
		}
		if !u.Starts() {
			continue
		}
		if name == "dnf-automatic-install.timer" {
			return audit.Pass("on", audit.At(u.EnabledBy, 0, name))
		}
		s, err := h.Sections("/etc/dnf/automatic.conf")
		if err != nil {
			return audit.Unknown(err)
		}
		apply, _ := s.Last("commands", "apply_updates")
		yes := strings.EqualFold(apply.Value, "yes") || strings.EqualFold(apply.Value, "true")
		return audit.PassIf(yes, apply.Value, audit.At("/etc/dnf/automatic.conf", apply.Line, "apply_updates = "+apply.Value))
	}
	return audit.Fail("off", audit.At("/etc/dnf/automatic.conf", 0, "no timer of dnf-automatic starts"))
}
