package checks

import (
	"path"
	"strings"

	"gatehouse/internal/facts"
)

// outgoingTunnel is a command of this machine's that opens a tunnel from the far side to here.
type outgoingTunnel struct {
	file    string
	line    int
	user    string            // "" is root
	remotes []string          // what follows each -R
	key     string            // what follows -i
	options map[string]string // -o, names in small letters
}

// outgoingTunnels finds the commands in the units and crontabs that the owner wrote.
func outgoingTunnels(h *facts.Host) ([]outgoingTunnel, error) {
	var all []outgoingTunnel
	for _, place := range []struct {
		pattern string
		kind    string
	}{
		{"/etc/systemd/system/*.service", "unit"},
		{"/etc/crontab", "system"},
		{"/etc/cron.d/*", "system"},
		{"/var/spool/cron/crontabs/*", "own"},
		{"/etc/rc.local", "script"},
	} {
		files, err := h.Glob(place.pattern)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			info, err := h.Stat(file)
			if err != nil {
				if link, linkErr := h.Lstat(file); linkErr == nil && link.Target != "" {
					continue // of a unit that is gone or off
				}
				return nil, err
			}
			if !info.Mode.IsRegular() {
				continue
			}
			t, err := h.Text(file)
			if err != nil {
				return nil, err
			}
			all = append(all, tunnelCommands(file, place.kind, t.Lines)...)
		}
	}
	return all, nil
}

// tunnelCommands finds the commands of one file.
func tunnelCommands(file, kind string, lines []string) []outgoingTunnel {
	var all []outgoingTunnel
	user := ""
	if kind == "own" {
		user = path.Base(file)
	}
	for n := 0; n < len(lines); n++ {
		line, at := strings.TrimSpace(lines[n]), n+1
		for strings.HasSuffix(line, `\`) && n+1 < len(lines) && len(line) < 1<<16 {
			n++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(lines[n])
		}
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if kind == "unit" {
			name, value, _ := strings.Cut(line, "=")
			switch strings.TrimSpace(name) {
			case "User":
				user = strings.TrimSpace(value)
			case "DynamicUser":
				if v := strings.TrimSpace(value); v == "yes" || v == "true" || v == "1" {
					user = "its own"
				}
			}
			if !strings.HasPrefix(name, "Exec") {
				continue
			}
			line = strings.TrimLeft(value, "-@:+! ")
		}
		words := strings.Fields(strings.NewReplacer(`"`, "", "'", "").Replace(line))
		for k, w := range words {
			if base := path.Base(w); base != "ssh" && base != "autossh" {
				continue
			}
			t := readTunnel(words[k+1:], path.Base(w) == "autossh")
			if len(t.remotes) == 0 {
				break
			}
			t.file, t.line, t.user = file, at, user
			if kind == "system" {
				at := 5
				if strings.HasPrefix(words[0], "@") {
					at = 1
				}
				if at < k {
					t.user = words[at]
				}
			}
			all = append(all, t)
			break
		}
	}
	if kind == "unit" { // User may stand behind the command
		for n := range all {
			all[n].user = user
		}
	}
	return all
}

// readTunnel reads the options of ssh(1).
func readTunnel(words []string, auto bool) outgoingTunnel {
	t := outgoingTunnel{options: map[string]string{}}
	withValue := "BbcDEeFIiJLlmOopQRSWw"
	if auto {
		withValue += "M"
	}
	for n := 0; n < len(words); n++ {
		w := words[n]
		if len(w) < 2 || w[0] != '-' {
			continue
		}
		for k := 1; k < len(w); k++ {
			if strings.IndexByte(withValue, w[k]) < 0 {
				continue
			}
			value := w[k+1:]
			if value == "" && n+1 < len(words) {
				n++
				value = words[n]
			}
			switch w[k] {
			case 'R':
				t.remotes = append(t.remotes, value)
			case 'i':
				t.key = value
			case 'o':
				name, v, _ := strings.Cut(value, "=")
				switch name = strings.ToLower(name); name {
				case "remoteforward":
					t.remotes = append(t.remotes, v)
				case "identityfile":
					t.key = v
				default:
					t.options[name] = v
				}
			}
			break
		}
	}
	if !path.IsAbs(t.key) {
		t.key = ""
	}
	return t
}

// tunnelBind is where "[BIND:]PORT:HOST:HOSTPORT" listens on the far side, and whether
// that is more than the far machine itself.
func tunnelBind(remote string) (bind string, open bool) {
	var parts []string
	inside, start := false, 0
	for n := 0; n < len(remote); n++ {
		switch {
		case remote[n] == '[':
			inside = true
		case remote[n] == ']':
			inside = false
		case remote[n] == ':' && !inside:
			parts = append(parts, remote[start:n])
			start = n + 1
		}
	}
	parts = append(parts, remote[start:])
	if len(parts) != 4 && len(parts) != 2 {
		return "localhost", false
	}
	bind = strings.Trim(parts[0], "[]")
	if bind == "" {
		return "every address", true
	}
	return bind, !tunnelLoopback(bind)
}
