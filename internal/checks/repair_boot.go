package checks

import (
	"errors"
	"io/fs"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

func grubPermsRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Lets nobody but root read GRUB's menu.", "")
	for _, name := range []string{"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub2/user.cfg"} {
		info, err := h.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return finding.Fix{}, err
		}
		d.Owner(name, 0, 0)
		d.Mode(name, facts.ModeBits(info.Mode)&0o600)
	}
	return d.Fix()
}

// emergencyRepair has the rescue shell ask for root's password where a line of the owner's
// says otherwise.
func emergencyRepair(h *facts.Host) (finding.Fix, error) {
	d := fix.Begin(h, "Has the rescue shell ask for root's password, by making remarks of the lines that leave it out.",
		"If root has no password, a machine that does not start is mended from a stick only.")
	for _, unit := range []string{"rescue.service", "emergency.service"} {
		for { // a line that is a remark shows the next one
			file, there, err := d.Host.UnitFile(unit)
			if err != nil {
				return finding.Fix{}, err
			}
			if !there {
				break
			}
			s, err := d.Host.Settings("/systemd/system/"+unit, file)
			if err != nil {
				return finding.Fix{}, err
			}
			var bad facts.Assignment
			for _, e := range s.List("Service", "ExecStart") {
				if !strings.Contains(e.Value, "sulogin") {
					bad = e
				}
			}
			for _, e := range s.List("Service", "Environment") {
				if strings.Contains(e.Value, "SYSTEMD_SULOGIN_FORCE=1") {
					bad = e
				}
			}
			if bad.File == "" {
				break
			}
			if !strings.HasPrefix(bad.File, "/etc/") {
				d.Refuse("", "%s:%d belongs to a package", bad.File, bad.Line)
			}
			remark(d, bad.File, bad.Line)
			if reset := s.List("Service", "ExecStart"); len(reset) == 1 && strings.HasSuffix(bad.File, ".conf") && bad.Value == reset[0].Value {
				// The line before it took the unit's own command away.
				resetAway(d, bad.File)
			}
			if _, err := d.Fix(); err != nil {
				return finding.Fix{}, err
			}
		}
	}
	d.Unit("daemon-reload", "")
	return d.Fix()
}

// resetAway makes remarks of the lines ExecStart= that take a unit's own command away.
func resetAway(d *fix.Draft, file string) {
	for n, line := range strings.Split(d.Text(file), "\n") {
		if strings.TrimSpace(line) == "ExecStart=" {
			remark(d, file, n+1)
		}
	}
}
