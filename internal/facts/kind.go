package facts

import "strings"

// HostKind is what sort of system a root belongs to.
type HostKind string

// The kinds of hosts.
const (
	KindMachine   HostKind = "a machine with a system of its own"
	KindContainer HostKind = "a container"
	KindHAOS      HostKind = "Home Assistant OS, which looks after itself"
)

// Release is what /etc/os-release says.
type Release struct {
	ID      string   // "debian"
	Like    []string // "debian" of raspbian
	Version string   // "12"
	Name    string   // "Debian GNU/Linux 12 (bookworm)"
}

// Is reports whether the system is one, or one like it.
func (r Release) Is(id string) bool {
	if r.ID == id {
		return true
	}
	for _, like := range r.Like {
		if like == id {
			return true
		}
	}
	return false
}

// Release reads /etc/os-release (os-release(5)).
func (h *Host) Release() (Release, error) {
	return remember(h, "os-release", func() (Release, error) {
		t, err := h.Text("/etc/os-release")
		if err != nil {
			if t, err = h.Text("/usr/lib/os-release"); err != nil {
				return Release{}, err
			}
		}
		var r Release
		for _, line := range t.Lines {
			name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if !ok {
				continue
			}
			value = strings.Trim(value, `"'`)
			switch name {
			case "ID":
				r.ID = value
			case "ID_LIKE":
				r.Like = strings.Fields(value)
			case "VERSION_ID":
				r.Version = value
			case "PRETTY_NAME":
				r.Name = value
			}
		}
		return r, nil
	})
}

// Kind says what sort of system it is. An image of a container that is looked at from
// outside is a container by what its engine leaves in it.
func (h *Host) Kind() (HostKind, error) {
	return remember(h, "kind", func() (HostKind, error) {
		if r, err := h.Release(); err == nil && (r.ID == "haos" || r.ID == "hassos") {
			return KindHAOS, nil
		}
		for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
			there, err := h.Exists(mark)
			if err != nil {
				return "", err
			}
			if there {
				return KindContainer, nil
			}
		}
		if h.Live {
			if t, err := h.Text("/run/systemd/container"); err == nil && len(t.Lines) > 0 {
				return KindContainer, nil
			}
		}
		return KindMachine, nil
	})
}

// Supervised reports whether Home Assistant's Supervisor runs the home on a system of the
// owner's own. It looks at parts of that system, and calls the home unsupported where they
// are not as it wants them.
func (h *Host) Supervised() (bool, error) {
	return remember(h, "supervised", func() (bool, error) {
		for _, mark := range []string{"/etc/hassio.json", "/usr/sbin/hassio-supervisor", "/usr/share/hassio", "/etc/systemd/system/hassio-supervisor.service", "/usr/lib/systemd/system/hassio-supervisor.service"} {
			if there, err := h.Exists(mark); there || err != nil {
				return there, err
			}
		}
		return false, nil
	})
}
