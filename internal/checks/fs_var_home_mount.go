package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsVarHomeMount() audit.Check {
	return audit.Check{
		ID: "fs.var-home-mount", Title: "File systems that hold only data start no setuid programs", Severity: finding.Info,
		Why:       "Where /home or /var is a disk of its own it costs nothing to say that no device and no program with root's rights belongs there.",
		Fix:       "Add nosuid,nodev to their lines in /etc/fstab and remount them. Nobody has to make partitions for that.",
		Reference: []string{"CIS Debian 12 1.1.2.3.2", "CIS Debian 12 1.1.2.3.3", "CIS Debian 12 1.1.2.5.3", "CIS Debian 12 1.1.2.6.4", "CIS RHEL 9 1.1.2.3.2", "mount(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var seen []string
			var bad []finding.Evidence
			for _, point := range []string{"/home", "/var", "/var/tmp", "/var/log", "/var/log/audit"} {
				v := judgeMount(h, point, audit.NotApplicable("none"), "nosuid", "nodev")
				switch v.Result {
				case finding.Unknown:
					return v
				case finding.NotApplicable:
					continue
				case finding.Fail:
					bad = append(bad, v.Evidence...)
				}
				seen = append(seen, point)
			}
			if len(seen) == 0 {
				return audit.NotApplicable("neither /home nor /var is a file system of its own")
			}
			return audit.PassIf(len(bad) == 0, seen, bad...)
		},
		Profile: audit.ProfileStrict,
		Repair:  varHomeMountRepair,
	}
}
