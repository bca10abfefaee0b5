package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// homeAssistantProcess are the checks of how Home Assistant runs on this host.
func homeAssistantProcess() []audit.Check {
	return []audit.Check{
		haProcNotRoot(), haProcPrivileges(), haProcFiles(), haProcKernel(), haProcSyscalls(), haProcDevices(), haProcVenv(),
		haProcNet(), haProcInstall(), haProcRestart(), haProcScore(),
	}
}

// haUnit judges each unit that starts Home Assistant.
func haUnit(judge func(u facts.Unit) (effective string, evidence []finding.Evidence)) func(*facts.Host) audit.Verdict {
	return func(h *facts.Host) audit.Verdict {
		units, err := h.HAUnits()
		if err != nil {
			return audit.Unknown(err)
		}
		if len(units) == 0 {
			return audit.NotApplicable("no unit of systemd starts Home Assistant")
		}
		var all []string
		var evidence []finding.Evidence
		for _, u := range units {
			effective, bad := judge(u)
			all = append(all, u.Name+": "+effective)
			evidence = append(evidence, bad...)
		}
		return audit.PassIf(len(evidence) == 0, all, evidence...)
	}
}

// haUnitTrue reports whether a setting of a unit is on.
func haUnitTrue(u facts.Unit, key string) bool {
	s, _ := u.Last("Service", key)
	return haYes(s.Value)
}

// haYes reports whether a value is one of systemd's words for true.
func haYes(v string) bool {
	return slices.Contains([]string{"1", "yes", "true", "on"}, strings.ToLower(v))
}

// haAtUnit is where a setting of a unit stands, or where the unit starts Home Assistant if
// it does not.
func haAtUnit(u facts.Unit, key string) finding.Evidence {
	s, explicit := u.Last("Service", key)
	if !explicit {
		s = u.Start()
		return audit.At(s.File, s.Line, key+" is not set")
	}
	return audit.At(s.File, s.Line, key+"="+s.Value)
}

// haWanting are the settings that should be on and are not.
func haWanting(u facts.Unit, keys ...string) (effective string, evidence []finding.Evidence) {
	var on []string
	for _, key := range keys {
		if haUnitTrue(u, key) {
			on = append(on, key)
		} else {
			evidence = append(evidence, haAtUnit(u, key))
		}
	}
	return strings.Join(on, " "), evidence
}

// haUnitWords are the words of a list of a unit, in order.
func haUnitWords(u facts.Unit, key string) (words []string) {
	for _, s := range u.All("Service", key) {
		words = append(words, strings.Fields(s.Value)...)
	}
	return words
}
