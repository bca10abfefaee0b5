package checks

import (
	"errors"
	"fmt"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haProcInstall() audit.Check {
	return audit.Check{
		ID: "ha.install-type", Title: "Home Assistant is installed in a way that its makers still support", Severity: finding.Info,
		Why:       "Home Assistant as a program of Python, and under a Supervisor on a system of your own, has not been supported since 2025.12.",
		Fix:       "Move to Home Assistant OS or to the container: make a backup, install anew, restore it.",
		Reference: []string{"HA docs: installation", "HA blog: deprecating Core and Supervised installation methods"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			if h.HAOnly {
				return audit.NotApplicable("only Home Assistant's configuration was looked at")
			}
			kind, err := h.Kind()
			if err != nil {
				return audit.Unknown(err)
			}
			if kind != facts.KindMachine {
				return audit.Pass(string(kind))
			}
			switch s, err := h.HASupervisor(); {
			case err == nil:
				return audit.Fail("supervised", audit.At(s.File, s.Line, "the Supervisor on a system of your own"))
			case !errors.Is(err, fs.ErrNotExist):
				return audit.Unknown(err)
			}
			units, err := h.HAUnits()
			if err != nil {
				return audit.Unknown(err)
			}
			if len(units) > 0 {
				return audit.Fail("core", audit.At(units[0].Start().File, units[0].Start().Line, units[0].Name+" starts it as a program of its own"))
			}
			if h.Live {
				all, err := h.HAProcesses()
				switch {
				case err != nil && len(all) == 0:
					return audit.Unknown(err)
				case len(all) > 0 && all[0].Container:
					return audit.Pass("container")
				case len(all) > 0:
					return audit.Fail("core", audit.At(fmt.Sprintf("/proc/%d/cmdline", all[0].ID), 0, "a program of its own"))
				}
			}
			return audit.Unknown(errors.New("nothing was found that starts Home Assistant; it takes the running machine to tell"))
		},
	}
}
