package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func loggingPerms() audit.Check {
	return audit.Check{
		ID: "log.perms", Title: "Logs are not for everybody to read", Severity: finding.Med,
		Why:       "Logs hold who signs in when and from where, addresses with tokens in them, and now and then a password that was typed into the wrong field.",
		Fix:       "chmod o-rwx the files in /var/log; set FileCreateMode=\"0640\" in rsyslog and create 0640 in logrotate, or the next file is open again.",
		Reference: []string{"CIS Debian 12 6.1.3.4", "CIS Debian 12 6.1.4.1", "CIS RHEL 9 6.2.3.4", "rsyslog.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			bad, err := openLogs(h)
			if err != nil {
				return audit.Unknown(err)
			}
			lines, err := rsyslogLines(h)
			if err != nil {
				return audit.Unknown(err)
			}
			for _, l := range lines {
				if mode, ok := createMode(l.text); ok && mode&0o027 != 0 {
					bad = append([]finding.Evidence{audit.At(l.file, l.line, l.text)}, bad...)
				}
			}
			return audit.PassIf(len(bad) == 0, len(bad), bad[:min(len(bad), maxShown)]...)
		},
		Profile: audit.ProfileHome,
		Repair:  logPermsRepair,
	}
}

// openLogs are the files below /var/log that everybody may read or write, but those that
// tell nothing of anybody. It does not go far below, and stops at a bound.
func openLogs(h *facts.Host) ([]finding.Evidence, error) {
	type place struct {
		name  string
		depth int
	}
	const deepest, most = 4, 20000
	var bad []finding.Evidence
	seen := 0
	for dirs := []place{{"/var/log", 0}}; len(dirs) > 0; {
		at := dirs[0]
		dirs = dirs[1:]
		names, err := h.Dir(at.name)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if seen++; seen > most {
				return nil, fmt.Errorf("/var/log holds more than %d files", most)
			}
			name := at.name + "/" + n
			info, err := h.Lstat(name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil:
				return nil, err
			case info.Mode.IsDir():
				if info.Mode.Perm()&0o001 != 0 && at.depth < deepest {
					dirs = append(dirs, place{name, at.depth + 1}) // else nobody gets to what is in it
				}
			case !info.Mode.IsRegular():
			case info.Mode.Perm()&0o002 != 0, info.Mode.Perm()&0o004 != 0 && !harmlessLog(strings.TrimPrefix(name, "/var/log/")):
				bad = append(bad, audit.At(name, 0, octal(info.Mode)))
			}
		}
	}
	return bad, nil
}

// harmlessLog reports whether a log, below /var/log, is open for everybody on purpose:
// what was installed when, and the lists of sign-ins that last(1) reads.
func harmlessLog(name string) bool {
	for _, dir := range []string{"installer/", "apt/", "dnf", "anaconda/", "fsck/", "README"} {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	base, _, _ := strings.Cut(name, ".log")
	return slices.Contains([]string{"dpkg", "alternatives", "fontconfig", "bootstrap", "hawkey"}, base) ||
		slices.ContainsFunc([]string{"lastlog", "wtmp", "faillog"}, func(l string) bool { return strings.HasPrefix(name, l) })
}

// createMode reads the mode of new files from a line of rsyslog's, in both its languages.
func createMode(line string) (uint64, bool) {
	low := strings.ToLower(line)
	_, rest, ok := strings.Cut(low, "filecreatemode")
	if !ok {
		return 0, false
	}
	rest = strings.TrimLeft(rest, " \t=\"")
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '7' {
		end++
	}
	mode, err := strconv.ParseUint(rest[:end], 8, 32)
	return mode, err == nil
}
