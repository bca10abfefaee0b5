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

func haAuthCommandLine() audit.Check {
	return audit.Check{
		ID: "haauth.command-line", Title: "The program that says who may sign in belongs to root, and Home Assistant cannot change it", Severity: finding.Crit,
		Why:       "Whoever can write to this program lets anybody in, and sees every password that is typed.",
		Fix:       "Keep the program outside Home Assistant's folder, owned by root with mode 0755, in folders that only root may write to.",
		Reference: []string{"HA docs: authentication/providers, command_line"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := haProviders(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var programs []string
			var evidence []finding.Evidence
			for _, p := range all {
				if p.Get("type").Value() != "command_line" {
					continue
				}
				command := p.Get("command")
				name := command.Value()
				if !path.IsAbs(name) {
					return audit.Unknown(fmt.Errorf("%s:%d: the program has no whole path", h.HAPath(p.File), p.Line))
				}
				programs = append(programs, name)
				if strings.HasPrefix(path.Clean(name), path.Clean(h.HADir)+"/") {
					evidence = append(evidence, haAtNode(h, command, name+": in Home Assistant's own folder"))
					continue
				}
				if h.HAOnly {
					return audit.Unknown(errors.New(name + ": only Home Assistant's configuration was looked at"))
				}
				for at := path.Clean(name); ; at = path.Dir(at) {
					info, err := h.Stat(at)
					if err != nil {
						return audit.Unknown(err)
					}
					sticky := info.Mode.IsDir() && info.Mode&fs.ModeSticky != 0
					if info.UID != 0 || info.Mode&0o022 != 0 && !sticky {
						evidence = append(evidence, audit.At(at, 0, fmt.Sprintf("mode %04o, owner %d", info.Mode.Perm(), info.UID)))
					}
					if at == "/" {
						break
					}
				}
			}
			if len(programs) == 0 {
				return audit.NotApplicable("no program decides who may sign in")
			}
			return audit.PassIf(len(evidence) == 0, programs, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairCommandLine(),
	}
}
