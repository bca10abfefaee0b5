package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsTmpMount() audit.Check {
	return audit.Check{
		ID: "fs.tmp-mount", Title: "No device and no setuid program comes into force in /tmp", Severity: finding.Low,
		Why:       "Everybody may write to /tmp; on a file system of its own, with nosuid and nodev, what is put there is only data, and cannot fill the disk of the rest.",
		Fix:       "systemctl enable tmp.mount (with a drop-in Options=mode=1777,strictatime,nosuid,nodev,size=25%), or a line for it in /etc/fstab; leave noexec out where pip builds packages.",
		Reference: []string{"CIS Debian 12 1.1.2.1.1", "CIS Debian 12 1.1.2.1.2", "CIS Debian 12 1.1.2.1.3", "CIS Debian 12 1.1.2.1.4", "CIS RHEL 9 1.1.2.1.1", "Securing Debian 4.10", "mount(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeMount(h, "/tmp", audit.Fail("part of /", audit.At("/etc/fstab", 0, "/tmp is no file system of its own")).Explicitly(false), "nosuid", "nodev")
		},
		Profile: audit.ProfileHome,
		Repair:  tmpMountRepair,
	}
}
