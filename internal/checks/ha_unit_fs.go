package checks

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcFiles() audit.Check {
	return audit.Check{
		ID: "ha.unit-fs", Title: "Home Assistant's unit lets it write to its own folders only", Severity: finding.High,
		Why:       "What gets into Home Assistant then cannot settle anywhere else, and does not see what is in people's homes.",
		Fix:       "In a drop-in of the unit: ProtectSystem=strict, ReadWritePaths= with the configuration directory, ProtectHome=yes (read-only or tmpfs if the configuration is in a home), PrivateTmp=yes, UMask=0077.",
		Reference: []string{"systemd.exec(5), ProtectSystem=", "systemd-analyze(1), security"},
		Needs:     audit.NeedHA | audit.NeedHost,
		Judge: haUnit(func(u facts.Unit) (string, []finding.Evidence) {
			on, evidence := haWanting(u, "PrivateTmp")
			dynamic := haUnitTrue(u, "DynamicUser") // implies strict and a /tmp of its own
			if dynamic {
				evidence = nil
			}
			if s, _ := u.Last("Service", "ProtectSystem"); s.Value != "strict" && !dynamic {
				evidence = append(evidence, haAtUnit(u, "ProtectSystem"))
			}
			if s, _ := u.Last("Service", "ProtectHome"); !haYes(s.Value) && s.Value != "read-only" && s.Value != "tmpfs" {
				evidence = append(evidence, haAtUnit(u, "ProtectHome"))
			}
			mask, _ := u.Last("Service", "UMask")
			if bits, err := strconv.ParseUint(mask.Value, 8, 32); err != nil || bits&0o027 != 0o027 {
				evidence = append(evidence, haAtUnit(u, "UMask"))
			}
			for _, s := range u.All("Service", "ReadWritePaths") {
				for _, dir := range strings.Fields(s.Value) {
					if slices.Contains([]string{"/", "/etc", "/usr", "/var", "/home", "/root", "/boot"}, path.Clean(strings.TrimLeft(dir, "-+"))) {
						evidence = append(evidence, audit.At(s.File, s.Line, "ReadWritePaths="+s.Value))
					}
				}
			}
			return on, evidence
		}),
		Profile: audit.ProfileStrict,
		Repair:  haRepairFiles(),
	}
}
