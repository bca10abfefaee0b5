package checks

import (
	"cmp"
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

func filesystemsUnowned() audit.Check {
	return audit.Check{
		ID: "fs.unowned", Title: "Every file belongs to an account that there is", Severity: finding.Low,
		Why:       "Files of an account that was removed belong to the next that is given its number, who then finds the old one's keys.",
		Fix:       "Find them (find / -xdev -nouser -o -nogroup) and give them to somebody, or remove them; those in containers' volumes are fine.",
		Reference: []string{"CIS Debian 12 7.1.12", "CIS RHEL 9 7.1.12", "subuid(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			w, err := h.Walk()
			if err != nil {
				return audit.Unknown(err)
			}
			users, err := h.Users()
			if err != nil {
				return audit.Unknown(err)
			}
			uids, gids := map[uint32]bool{}, map[uint32]bool{}
			for _, u := range users {
				uids[uint32(u.UID)], gids[uint32(u.GID)] = true, true
			}
			groups, err := h.Text("/etc/group")
			if err != nil {
				return audit.Unknown(err)
			}
			for n, line := range groups.Lines {
				f := strings.Split(line, ":")
				if len(f) < 3 {
					if strings.TrimSpace(line) == "" || strings.ContainsAny(line[:1], "#+-") {
						continue
					}
					return audit.Unknown(fmt.Errorf("/etc/group:%d: not a group", n+1))
				}
				if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil {
					gids[uint32(gid)] = true
				}
			}
			foreign, err := directoryAccounts(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var bad []finding.Evidence
			for _, one := range []struct {
				held   map[uint32]facts.Held
				known  map[uint32]bool
				ranges string
				what   string
			}{{w.Owners, uids, "/etc/subuid", "user"}, {w.Groups, gids, "/etc/subgid", "group"}} {
				lent, err := subordinate(h, one.ranges)
				if err != nil {
					return audit.Unknown(err)
				}
				for id, held := range one.held {
					// 61184 to 65519 are systemd's, for services without accounts of their own.
					if one.known[id] || lent(id) || id >= 61184 && id <= 65519 || id == 65534 {
						continue
					}
					bad = append(bad, audit.At(held.First, 0, fmt.Sprintf("%s %d, %d files", one.what, id, held.Count)))
				}
			}
			slices.SortFunc(bad, func(a, b finding.Evidence) int {
				return cmp.Or(strings.Compare(a.File, b.File), strings.Compare(a.Value, b.Value))
			})
			switch {
			case len(bad) > 0 && foreign != "":
				return audit.Unknown(fmt.Errorf("accounts come from %s too, which cannot be asked", foreign))
			case len(bad) > 0:
				return audit.Fail(more(len(bad), "numbers without an account"), bad[:min(len(bad), maxShown)]...)
			}
			if v, cut := cutWalk(w); cut {
				return v
			}
			return audit.Pass("none", walkLeftOut(w)...)
		},
	}
}

// subordinate reports of a number whether it is lent to somebody's containers (subuid(5)).
func subordinate(h *facts.Host, file string) (func(uint32) bool, error) {
	type span struct{ from, count uint64 }
	var all []span
	t, err := h.Text(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for n, line := range t.Lines {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, ":")
		if len(f) != 3 {
			return nil, fmt.Errorf("%s:%d: not a range", file, n+1)
		}
		from, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%s:%d: not a range", file, n+1)
		}
		all = append(all, span{from, count})
	}
	return func(id uint32) bool {
		return slices.ContainsFunc(all, func(s span) bool { return uint64(id) >= s.from && uint64(id) < s.from+s.count })
	}, nil
}

// directoryAccounts names where accounts come from beside the files, by /etc/nsswitch.conf.
func directoryAccounts(h *facts.Host) (string, error) {
	t, err := h.Text("/etc/nsswitch.conf")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, line := range t.Lines {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "passwd:" && f[0] != "group:" {
			continue
		}
		for _, source := range f[1:] {
			if slices.Contains([]string{"ldap", "sss", "winbind", "nis", "extrausers"}, source) {
				return source, nil
			}
		}
	}
	return "", nil
}
