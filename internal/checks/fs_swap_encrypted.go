package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsSwapEncrypted() audit.Check {
	return audit.Check{
		ID: "fs.swap-encrypted", Title: "What is swapped out of memory does not lie open on the disk", Severity: finding.Low,
		Why:       "Passwords and keys that a program holds in memory end up on the disk, and stay there after the machine is off.",
		Fix:       "Use zram instead (apt install zram-tools, or rpi-swap), or encrypt the swap with a key that changes at each start (crypttab: swap … /dev/urandom swap).",
		Reference: []string{"crypttab(5)", "swapon(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			type area struct {
				source, file string
				line         int
			}
			var areas []area
			if h.Live {
				t, err := h.Text("/proc/swaps")
				if errors.Is(err, fs.ErrNotExist) {
					return audit.Unknown(err)
				}
				if err != nil {
					return audit.Unknown(err)
				}
				for n, line := range t.Lines {
					if f := strings.Fields(line); n > 0 && len(f) > 0 {
						areas = append(areas, area{f[0], t.Path, n + 1})
					}
				}
			} else {
				table, err := h.Fstab()
				if err != nil {
					return audit.Unknown(err)
				}
				for _, m := range table {
					if m.Type == "swap" && !m.Has("noauto") {
						areas = append(areas, area{m.Source, m.File, m.Line})
					}
				}
				pi, err := h.Wanted("dphys-swapfile.service")
				if err != nil {
					return audit.Unknown(err)
				}
				if pi {
					areas = append(areas, area{"/var/swap", "dphys-swapfile.service", 0})
				}
			}
			var bad []finding.Evidence
			for _, a := range areas {
				if strings.HasPrefix(path.Base(a.source), "zram") {
					continue
				}
				device := a.source
				if strings.HasPrefix(device, "/") && !strings.HasPrefix(device, "/dev/") {
					m, ok, err := h.MountOf(device) // a file lies on a file system
					if err != nil {
						return audit.Unknown(err)
					}
					if !ok {
						return audit.Unknown(fmt.Errorf("nothing says what %s lies on", device))
					}
					device = m.Source
				}
				secret, _, err := encrypted(h, device)
				if err != nil {
					return audit.Unknown(err)
				}
				if !secret {
					bad = append(bad, audit.At(a.file, a.line, a.source))
				}
			}
			return audit.PassIf(len(bad) == 0, more(len(areas), "swap areas"), bad...)
		},
	}
}
