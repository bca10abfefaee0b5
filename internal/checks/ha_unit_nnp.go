package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcPrivileges() audit.Check {
	return audit.Check{
		ID: "ha.unit-nnp", Title: "Home Assistant's unit lets it gain no rights", Severity: finding.High,
		Why:       "A program that may not gain rights cannot use the ways up that are on every machine: sudo, programs that run as root, capabilities.",
		Fix:       "In a drop-in of the unit: NoNewPrivileges=yes, RestrictSUIDSGID=yes, CapabilityBoundingSet= with only what is needed (CAP_NET_RAW for dhcp and ping, CAP_NET_ADMIN for bluetooth, in AmbientCapabilities= too).",
		Reference: []string{"systemd.exec(5), NoNewPrivileges=", "systemd-analyze(1), security"},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: haUnit(func(u facts.Unit) (string, []finding.Evidence) {
			on, evidence := haWanting(u, "NoNewPrivileges", "RestrictSUIDSGID")
			if len(u.All("Service", "CapabilityBoundingSet")) == 0 {
				return on, append(evidence, haAtUnit(u, "CapabilityBoundingSet"))
			}
			words := haUnitWords(u, "CapabilityBoundingSet")
			if len(words) > 0 && strings.HasPrefix(words[0], "~") { // all but these
				return on, append(evidence, haAtUnit(u, "CapabilityBoundingSet"))
			}
			harmless := []string{"CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_WAKE_ALARM", "CAP_SYS_NICE"}
			for _, w := range words {
				if !slices.Contains(harmless, strings.ToUpper(w)) {
					evidence = append(evidence, haAtUnit(u, "CapabilityBoundingSet"))
					break
				}
			}
			return strings.TrimSpace(on + " " + strings.Join(words, " ")), evidence
		}),
		Profile: audit.ProfileHome,
		Repair:  haRepairPrivileges(),
	}
}
