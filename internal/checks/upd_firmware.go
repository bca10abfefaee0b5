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
			// The kernel ends each name with a zero byte, which is none of a text.
			names, err := h.HAHead("/proc/device-tree/compatible", 4096)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return firmwareOfPC(h)
			case err != nil:
				return audit.Unknown(err)
			case !strings.Contains(string(names), "raspberrypi,"):
				return audit.NotApplicable("the board is no Raspberry Pi")
			case !strings.Contains(string(names), "raspberrypi,4") && !strings.Contains(string(names), "raspberrypi,5"):
				return audit.NotApplicable("this Raspberry Pi starts from its card, and has no boot loader of its own to update")
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
