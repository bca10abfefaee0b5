package checks

import (
	"errors"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updFirmware() audit.Check {
	return audit.Check{
		ID: "upd.firmware", Title: "A Raspberry Pi's boot loader gets updates", Severity: finding.Info,
		Why:       "Boot loader and firmware have holes, too, and no ordinary update reaches them.",
		Fix:       "Install rpi-eeprom and let its service start; on a PC install fwupd and look with fwupdmgr get-updates now and then.",
		Reference: []string{"Raspberry Pi documentation: Raspberry Pi boot EEPROM", "fwupdmgr(1)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			t, err := h.Text("/proc/device-tree/compatible")
			model, merr := h.Text("/proc/device-tree/model")
			switch {
			case errors.Is(err, fs.ErrNotExist) && errors.Is(merr, fs.ErrNotExist):
				return firmwareOfPC(h)
			case err == nil && !strings.Contains(strings.Join(t.Lines, " "), "raspberrypi"):
				return audit.NotApplicable("the board is no Raspberry Pi")
			case err != nil && merr != nil && !errors.Is(merr, fs.ErrNotExist):
				// The kernel ends these with a zero byte: a text or not, it is a board.
				_ = model
			}
			for _, name := range []string{"rpi-eeprom-update.service"} {
				u, err := h.Unit(name)
				if err != nil {
					return audit.Unknown(err)
				}
				if u.Starts() {
					return audit.Pass("on", audit.At(u.EnabledBy, 0, name))
				}
			}
			return audit.Fail("off", audit.At("/lib/systemd/system/rpi-eeprom-update.service", 0, "does not start"))
		},
	}
}

func firmwareOfPC(h *facts.Host) audit.Verdict {
	there, err := h.Exists("/sys/firmware/efi")
	if err != nil {
		return audit.Unknown(err)
	}
	if !there {
		return audit.NotApplicable("there is no firmware that fwupd could update")
	}
	_, installed, err := h.Package("fwupd")
	if err != nil {
		return audit.Unknown(err)
	}
	return audit.PassIf(installed, installed, audit.At(facts.DpkgStatus, 0, map[bool]string{true: "fwupd", false: "fwupd is not installed"}[installed]))
}
