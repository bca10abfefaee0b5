package checks

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelModules() audit.Check {
	return audit.Check{
		ID: "kern.modules", Title: "Parts of the kernel that no house needs cannot be loaded", Severity: finding.Low,
		Why:       "Old network protocols and file systems are loaded as soon as somebody asks for them, and are where holes stay unseen for years.",
		Fix:       "Write into /etc/modprobe.d/blocked.conf for each: install NAME /bin/false and blacklist NAME. Leave squashfs, overlay, vfat, usb-storage and uas alone.",
		Reference: []string{"CIS Debian 12 1.1.1.1", "CIS Debian 12 1.1.1.8", "CIS Debian 12 3.2.1", "CIS Debian 12 3.2.2", "CIS Debian 12 3.2.3", "CIS Debian 12 3.2.4", "CIS RHEL 9 1.1.1.1", "CIS RHEL 9 3.2.1", "modprobe.d(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			rules, err := h.ModuleRules()
			if err != nil {
				return audit.Unknown(err)
			}
			loaded := map[string]bool{}
			if h.Live {
				if loaded, err = h.LoadedModules(); errors.Is(err, fs.ErrNotExist) {
					if there, err := h.Exists("/proc/sys/kernel"); err == nil && there {
						return audit.NotApplicable("this kernel loads no modules")
					}
				}
				if err != nil {
					return audit.Unknown(err)
				}
			}
			there, known, err := installedModules(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var open []string
			var bad []finding.Evidence
			for _, name := range unneededModules() {
				r := rules[name]
				switch {
				case loaded[name]:
					open = append(open, name)
					bad = append(bad, audit.At("/proc/modules", 0, name+" is loaded"))
				case known && !there[name]:
				case !r.Blocked() && r.Install != "":
					open = append(open, name)
					bad = append(bad, audit.At(r.InstallAt, r.InstallLine, "install "+name+" "+r.Install))
				case !r.Blocked() && r.Blacklisted:
					open = append(open, name)
					bad = append(bad, audit.At(r.BlackAt, r.BlackLine, "blacklist "+name+", without install: it is still loaded for whoever asks"))
				case !r.Blocked() || !r.Blacklisted:
					open = append(open, name)
					bad = append(bad, audit.At("/etc/modprobe.d", 0, name+" is not blocked by both"))
				}
			}
			return audit.PassIf(len(bad) == 0, open, bad...).Explicitly(len(rules) > 0)
		},
		Profile: audit.ProfileStrict,
		Repair:  modulesRepair,
	}
}

// installedModules are the modules that belong to the kernels here; known is false where
// there are none at all, as in a guest that is given its kernel from outside.
func installedModules(h *facts.Host) (map[string]bool, bool, error) {
	files, err := h.Glob("/lib/modules/*/modules.dep")
	if err != nil {
		return nil, false, err
	}
	there := map[string]bool{}
	for _, f := range files {
		t, err := h.Text(f)
		if err != nil {
			return nil, false, err
		}
		for _, line := range t.Lines {
			file, _, ok := strings.Cut(line, ":")
			if ok {
				base, _, _ := strings.Cut(path.Base(file), ".")
				there[strings.ReplaceAll(base, "-", "_")] = true
			}
		}
	}
	return there, len(files) > 0, nil
}
