package facts

import (
	"fmt"
	"strconv"
	"strings"
)

// User is an account of /etc/passwd (passwd(5)).
type User struct {
	Name     string
	Password string // "x": it is in the shadow file
	UID, GID int
	Comment  string
	Home     string
	Shell    string
	Line     int
}

// Users reads /etc/passwd.
func (h *Host) Users() ([]User, error) {
	return remember(h, "passwd", func() ([]User, error) {
		t, err := h.Text("/etc/passwd")
		if err != nil {
			return nil, err
		}
		var all []User
		for n, line := range t.Lines {
			if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") {
				continue // NIS
			}
			f := strings.Split(line, ":")
			if len(f) != 7 {
				return nil, fmt.Errorf("/etc/passwd:%d: %d fields instead of 7", n+1, len(f))
			}
			uid, err1 := strconv.Atoi(f[2])
			gid, err2 := strconv.Atoi(f[3])
			if err1 != nil || err2 != nil || f[0] == "" {
				return nil, fmt.Errorf("/etc/passwd:%d: not an account", n+1)
			}
			all = append(all, User{f[0], f[1], uid, gid, f[4], f[5], f[6], n + 1})
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("/etc/passwd: no accounts")
		}
		return all, nil
	})
}
