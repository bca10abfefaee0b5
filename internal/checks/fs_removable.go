package checks

import (
	"errors"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsRemovable() audit.Check {
	return audit.Check{
		ID: "fs.removable", Title: "A USB stick that is put in is not mounted by itself", Severity: finding.Info,
		Why:       "A file system is a thing that the kernel reads: one that was made with malice breaks it as soon as it is mounted.",
		Fix:       "Take off what mounts by itself (usbmount, udevil, a desktop's automount). Do not block usb-storage where the machine starts from a USB disk or keeps its backups on one.",
		Reference: []string{"CIS Debian 12 1.1.1.9", "CIS RHEL 9 1.1.1.8", "udisks(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			rules, err := h.ModuleRules()
			if err != nil {
				return audit.Unknown(err)
			}
			if r := rules["usb_storage"]; r.Blocked() {
				return audit.Pass("blocked", audit.At(r.InstallAt, r.InstallLine, "install usb-storage "+r.Install)).Explicitly(true)
			}
			var bad []finding.Evidence
			for _, name := range []string{"/etc/usbmount/usbmount.conf", "/etc/udevil/udevil.conf", "/usr/bin/udiskie", "/etc/auto.master.d/usb.autofs"} {
				there, err := h.Exists(name)
				if err != nil {
					return audit.Unknown(err)
				}
				if there {
					bad = append(bad, audit.At(name, 0, "mounts by itself"))
				}
			}
			found, err := h.Glob("/etc/udev/rules.d/*.rules")
			if err != nil {
				return audit.Unknown(err)
			}
			for _, f := range found {
				t, err := h.Text(f)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				for n, line := range t.Lines {
					if !strings.HasPrefix(strings.TrimSpace(line), "#") && strings.Contains(line, "RUN") && (strings.Contains(line, "systemd-mount") || strings.Contains(line, "bin/mount")) {
						bad = append(bad, audit.At(f, n+1, "mounts by itself"))
					}
				}
			}
			return audit.PassIf(len(bad) == 0, len(bad) > 0, bad...).Explicitly(len(bad) > 0)
		},
	}
}
