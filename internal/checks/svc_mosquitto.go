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

func svcMosquitto() audit.Check {
	return audit.Check{
		ID: "svc.mosquitto", Title: "The MQTT broker asks everybody for a name and a password", Severity: finding.Crit,
		Why:       "Who may write to the broker switches lights, opens locks and pretends to be any sensor.",
		Fix:       "Set allow_anonymous false and password_file in mosquitto.conf, make the passwords with mosquitto_passwd, mode 0600, and give each device its own first: whoever has none loses the connection.",
		Reference: []string{"mosquitto.conf(5)", "HA docs: integrations/mqtt"},
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			return unlessContained(h, serviceFiles(h, "there is no Mosquitto", []string{"mosquitto.conf", "config/mosquitto.conf"}, []string{"/etc/mosquitto/mosquitto.conf"}, func(t facts.Text) ([]finding.Evidence, error) {
				return judgeMosquitto(h, t)
			}), "mosquitto")
		},
		ByHand: "Each device has to be given a name and a password of its own first; otherwise all of them, and Home Assistant, lose the broker.",
	}
}

// judgeMosquitto judges a broker's configuration with the folder that it includes.
func judgeMosquitto(h *facts.Host, t facts.Text) (bad []finding.Evidence, err error) {
	old := false
	if p, installed, err := h.Package("mosquitto"); err == nil && installed && t.Path == "/etc/mosquitto/mosquitto.conf" {
		old = strings.HasPrefix(p.Version, "1.")
	}
	texts := []facts.Text{t}
	for _, line := range t.Lines {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "include_dir" {
			names, err := h.Dir(f[1])
			if err != nil {
				return nil, err
			}
			for _, n := range names {
				if path.Ext(n) == ".conf" {
					more, err := h.Text(f[1] + "/" + n)
					if err != nil {
						return nil, err
					}
					texts = append(texts, more)
				}
			}
		}
	}
	anonymous, at := old, audit.At(t.Path, 0, "allow_anonymous true (default)")
	open, listens := old, false
	for _, t := range texts {
		for n, line := range t.Lines {
			f := strings.Fields(line)
			if len(f) < 2 || strings.HasPrefix(f[0], "#") {
				continue
			}
			switch f[0] {
			case "allow_anonymous":
				// One that admits everybody counts, whichever listener it is of.
				if f[1] == "true" {
					anonymous, at = true, audit.At(t.Path, n+1, "allow_anonymous true")
				} else if at.Line == 0 {
					anonymous = false
				}
			case "listener", "port":
				listens = true
				local := len(f) > 2 && (strings.HasPrefix(f[2], "127.") || f[2] == "localhost" || f[2] == "::1" || strings.HasPrefix(f[2], "/")) || f[1] == "0"
				open = open || !local
			case "bind_address":
				if !listens && (strings.HasPrefix(f[1], "127.") || f[1] == "localhost" || f[1] == "::1") {
					open = false
				}
			case "password_file":
				more, err := judgeMosquittoPasswords(h, t, n+1, f[1])
				if err != nil {
					return nil, err
				}
				bad = append(bad, more...)
			}
		}
	}
	if anonymous && open {
		bad = append(bad, at)
	}
	return bad, nil
}

func judgeMosquittoPasswords(h *facts.Host, conf facts.Text, line int, name string) (bad []finding.Evidence, err error) {
	if strings.HasPrefix(name, "/mosquitto/") { // of a container
		name = path.Dir(conf.Path) + "/" + path.Base(name)
	}
	info, err := h.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Mode.Perm()&0o007 != 0 {
		bad = append(bad, audit.At(name, 0, fmt.Sprintf("mode %04o", info.Mode.Perm())))
	}
	t, err := h.Text(name)
	if err != nil {
		return nil, err
	}
	for n, l := range t.Lines {
		if user, hash, ok := strings.Cut(l, ":"); ok && hash != "" && !strings.HasPrefix(hash, "$") {
			bad = append(bad, audit.At(name, n+1, user+": the password as it is"))
		}
	}
	return bad, nil
}
