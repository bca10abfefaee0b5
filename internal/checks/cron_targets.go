package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func cronTargets() audit.Check {
	return audit.Check{
		ID: "cron.targets", Title: "Nobody but root can change what root runs by itself", Severity: finding.Crit,
		Why:       "A script that root runs every night and another may write to makes that other root by the morning. Scripts in Home Assistant's folder are the usual case.",
		Fix:       "Move the script to /usr/local/sbin, owned by root with mode 0755, or let the job run as the user whom the script belongs to.",
		Reference: []string{"CIS Debian 12 2.4.1.2", "crontab(5)", "systemd.exec(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			cron, err := h.CronCommands()
			if err != nil {
				return audit.Unknown(err)
			}
			units, err := h.UnitCommands()
			if err != nil {
				return audit.Unknown(err)
			}
			names, err := h.Units()
			if err != nil {
				return audit.Unknown(err)
			}
			if len(cron)+len(names) == 0 {
				return audit.Unknown(errors.New("neither cron nor systemd has anything that root runs"))
			}
			var closed error
			var evidence []finding.Evidence
			bad := []string{}
			for _, c := range append(slices.Clone(cron), units...) {
				for _, program := range c.Programs() {
					who, err := h.Writers(program)
					// What is not there is whoever's that may make it.
					for up := path.Dir(program); errors.Is(err, fs.ErrNotExist) && up != "/"; up = path.Dir(up) {
						who, err = h.Writers(up)
					}
					if errors.Is(err, fs.ErrNotExist) {
						continue
					}
					if err != nil {
						closed = err
						continue
					}
					for _, w := range who {
						bad = append(bad, program)
						evidence = append(evidence, audit.At(c.File, c.Line, fmt.Sprintf("%s: %s may change %s", program, w.Who, w.Path)))
					}
				}
			}
			if len(evidence) == 0 && closed != nil {
				return audit.Unknown(closed)
			}
			return audit.PassIf(len(evidence) == 0, slices.Compact(bad), evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  cronTargetsRepair,
	}
}
