package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcDevices() audit.Check {
	return audit.Check{
		ID: "ha.unit-devices", Title: "Home Assistant's unit gives it only the devices that it needs", Severity: finding.Med,
		Why:       "The Zigbee stick is a device that it needs, the disk is none.",
		Fix:       "In a drop-in of the unit: DevicePolicy=closed and a DeviceAllow= for each stick; PrivateDevices=yes only where there is none.",
		Reference: []string{"systemd.resource-control(5), DevicePolicy=", "systemd.exec(5), PrivateDevices="},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: haUnit(func(u facts.Unit) (string, []finding.Evidence) {
			if haUnitTrue(u, "PrivateDevices") {
				return "PrivateDevices", nil
			}
			policy, _ := u.Last("Service", "DevicePolicy")
			var evidence []finding.Evidence
			if policy.Value != "closed" && policy.Value != "strict" {
				evidence = append(evidence, haAtUnit(u, "DevicePolicy"))
			}
			for _, s := range u.All("Service", "DeviceAllow") {
				for _, wide := range []string{"block-", "/dev/mem", "/dev/sd", "/dev/nvme", "/dev/mmcblk", "char-*", "/dev/kmsg"} {
					if strings.HasPrefix(s.Value, wide) {
						evidence = append(evidence, audit.At(s.File, s.Line, "DeviceAllow="+s.Value))
					}
				}
			}
			return policy.Value, evidence
		}),
		Profile: audit.ProfileStrict,
		Repair:  haRepairDevices(),
	}
}
