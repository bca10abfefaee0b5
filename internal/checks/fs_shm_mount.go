package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsShmMount() audit.Check {
	return audit.Check{
		ID: "fs.shm-mount", Title: "Nothing is run out of shared memory", Severity: finding.Low,
		Why:       "/dev/shm is open for all and gone after a restart: where intruders like to keep and start their tools.",
		Fix:       "Put tmpfs /dev/shm tmpfs defaults,nodev,nosuid,noexec 0 0 into /etc/fstab and mount -o remount,noexec /dev/shm; Frigate and Chromium do not mind.",
		Reference: []string{"CIS Debian 12 1.1.2.2.1", "CIS Debian 12 1.1.2.2.2", "CIS Debian 12 1.1.2.2.3", "CIS Debian 12 1.1.2.2.4", "CIS RHEL 9 1.1.2.2.1", "mount(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			byDefault := audit.Fail("nosuid,nodev", audit.At("/dev/shm", 0, "systemd mounts it without noexec")).Explicitly(false)
			if h.Live {
				byDefault = audit.Fail("none", audit.At("/dev/shm", 0, "is no file system of its own"))
			}
			return judgeMount(h, "/dev/shm", byDefault, "nosuid", "nodev", "noexec")
		},
		Profile: audit.ProfileStrict,
		Repair:  shmMountRepair,
	}
}
