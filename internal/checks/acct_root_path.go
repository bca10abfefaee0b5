package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func accountsRootPath() audit.Check {
	return audit.Check{
		ID: "acct.root-path", Title: "root finds its commands only where root alone can put them", Severity: finding.High,
		Why:       "If others can write where root looks for commands, or root looks where it happens to stand, a false ls becomes root's own.",
		Fix:       "Take the directory out of root's PATH, or give it to root and close it (chown root:root, chmod go-w).",
		Reference: []string{"CIS Debian 12 5.4.2.5", "CIS RHEL 9 5.4.2.5", "environ(7)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			more, err := h.Glob("/etc/profile.d/*.sh")
			if err != nil {
				return audit.Unknown(err)
			}
			home, err := rootHome(h)
			if err != nil {
				return audit.Unknown(err)
			}
			files := append([]string{"/etc/environment", "/etc/bashrc", "/etc/bash.bashrc", "/etc/profile"}, more...)
			for _, name := range []string{".bashrc", ".profile", ".bash_login", ".bash_profile"} {
				files = append(files, path.Join(home, name))
			}
			var found []pathPart
			for _, f := range files {
				some, err := pathsIn(h, home, f)
				if err != nil {
					return audit.Unknown(err)
				}
				found = append(found, some...)
			}
			defs, err := h.LoginDefs()
			if err != nil {
				return audit.Unknown(err)
			}
			if d, ok := defs["ENV_SUPATH"]; ok {
				found = append(found, pathParts(home, strings.TrimPrefix(d.Value, "PATH="), d.Path, d.Line)...)
			}
			explicit := len(found) > 0
			if !explicit { // what the system's own programs begin with
				found = pathParts(home, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/etc/login.defs", 0)
			}
			dirs := []string{}
			var evidence []finding.Evidence
			var unsure error
			for _, p := range found {
				why := ""
				switch {
				case p.dir == "" || p.dir == ".":
					why = "an empty part: where root stands"
				case strings.ContainsAny(p.dir, "$`"):
					unsure = fmt.Errorf("%s:%d: %s is known only to the shell", p.file, p.line, p.dir)
				case !path.IsAbs(p.dir):
					why = p.dir + ": from where root stands"
				default:
					if !slices.Contains(dirs, p.dir) {
						dirs = append(dirs, p.dir)
					}
					info, err := h.Stat(p.dir)
					if errors.Is(err, fs.ErrNotExist) {
						continue
					}
					if err != nil {
						return audit.Unknown(err)
					}
					if info.Mode.IsDir() {
						if why, err = writableBy(h, info, 0); err != nil {
							return audit.Unknown(err)
						}
					}
					if why != "" {
						why = p.dir + ": open to others: " + why
					}
				}
				if why != "" {
					evidence = append(evidence, audit.At(p.file, p.line, why))
				}
			}
			if len(evidence) == 0 && unsure != nil {
				return audit.Unknown(unsure)
			}
			return audit.PassIf(len(evidence) == 0, dirs, evidence...).Explicitly(explicit)
		},
		Profile: audit.ProfileHome,
		Repair:  closeRootPath,
	}
}

// pathPart is one directory that a file puts into PATH.
type pathPart struct {
	dir  string
	file string
	line int
}

// pathParts takes a value of PATH apart; what PATH held before is left out.
func pathParts(home, value, file string, line int) []pathPart {
	var all []pathPart
	for dir := range strings.SplitSeq(strings.Trim(value, `"'`), ":") {
		dir = strings.NewReplacer("${HOME}", home, "$HOME", home, `"`, "", "'", "").Replace(dir)
		if dir == "~" || strings.HasPrefix(dir, "~/") {
			dir = home + dir[1:]
		}
		if dir == "$PATH" || strings.HasPrefix(dir, "${PATH") {
			continue
		}
		all = append(all, pathPart{dir, file, line})
	}
	return all
}

// pathsIn are the directories that a file puts into PATH.
func pathsIn(h *facts.Host, home, file string) ([]pathPart, error) {
	t, err := h.Text(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []pathPart
	for n, line := range t.Lines {
		for _, part := range strings.Split(line, ";") {
			part = strings.TrimSpace(part)
			for again := true; again; {
				again = false
				for _, word := range []string{"export ", "then ", "else ", "do "} {
					if rest, ok := strings.CutPrefix(part, word); ok {
						part, again = strings.TrimSpace(rest), true
					}
				}
			}
			if _, rest, ok := strings.Cut(part, "&& "); ok {
				part = strings.TrimSpace(rest)
			}
			value, ok := strings.CutPrefix(part, "PATH=")
			if !ok {
				continue
			}
			if !strings.ContainsAny(value[:min(1, len(value))], `"'`) {
				value, _, _ = strings.Cut(value, " ")
			} else if end := strings.IndexByte(value[1:], value[0]); end >= 0 && !strings.HasPrefix(value[end+2:], ":") {
				value = value[1 : end+1]
			}
			all = append(all, pathParts(home, value, file, n+1)...)
		}
	}
	return all, nil
}
