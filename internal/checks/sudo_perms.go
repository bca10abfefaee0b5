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

func authenticationSudoPerms() audit.Check {
	return audit.Check{
		ID: "sudo.perms", Title: "Only root can read and change sudo's rules, and change what they let run", Severity: finding.High,
		Why:       "Whoever can write sudo's files, or a program that sudo runs as root, is root the next time.",
		Fix:       "chown root:root and chmod 0440 for /etc/sudoers, also for the files in /etc/sudoers.d, 0750 for that directory; for a program and the directories above it: chown root, chmod go-w.",
		Reference: []string{"sudoers(5)", "visudo(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.Sudoers()
			if err != nil {
				return sudoRefused(h, err)
			}
			var evidence []finding.Evidence
			looked := []string{}
			look := func(name string, mayNot fs.FileMode) error {
				info, err := h.Stat(name)
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				if err != nil {
					return err
				}
				looked = append(looked, name)
				switch {
				case info.UID != 0:
					evidence = append(evidence, audit.At(name, 0, fmt.Sprintf("belongs to number %d", info.UID)))
				case info.Mode.Perm()&mayNot != 0:
					evidence = append(evidence, audit.At(name, 0, fmt.Sprintf("mode %04o", info.Mode.Perm())))
				}
				return nil
			}
			for n, f := range s.Files {
				mayNot := fs.FileMode(0o022)
				if n == 0 {
					mayNot = 0o137
				} else if dir, err := h.Stat(path.Dir(f)); err != nil {
					return audit.Unknown(err)
				} else if dir.Mode.Perm()&0o001 != 0 {
					mayNot = 0o026 // 0750 of the directory would keep it from others, too
				}
				if err := look(f, mayNot); err != nil {
					return audit.Unknown(err)
				}
			}
			for _, d := range s.Dirs {
				if err := look(d, 0o022); err != nil {
					return audit.Unknown(err)
				}
			}
			all, err := sudoers(h)
			if err != nil {
				return audit.Unknown(err)
			}
			seen := map[string]bool{}
			for _, one := range all {
				for _, o := range one.others {
					target, _, _ := strings.Cut(o.command, " ")
					if !path.IsAbs(target) || seen[target] {
						continue
					}
					seen[target] = true
					why, err := changeable(h, target)
					if err != nil {
						return audit.Unknown(err)
					}
					if why != "" {
						evidence = append(evidence, audit.At(o.file, o.line, why))
					}
				}
			}
			return audit.PassIf(len(evidence) == 0, looked, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  closeSudo,
	}
}

// changeable says how somebody but root could change a program that sudo runs, or put
// another in its place; empty if nobody can.
func changeable(h *facts.Host, target string) (string, error) {
	at := target
	if n := strings.IndexAny(target, `*?[\`); n >= 0 { // any in that directory
		at = target[:strings.LastIndexByte(target[:n], '/')+1]
	}
	for at = path.Clean(at); ; at = path.Dir(at) {
		info, err := h.Stat(at)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err == nil {
			why, err := writableBy(h, info, 0)
			if err != nil {
				return "", err
			}
			if why != "" {
				return fmt.Sprintf("%s: others can change %s: %s", target, at, why), nil
			}
		}
		if at == "/" {
			return "", nil
		}
	}
}
