package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func confinementEnabled() audit.Check {
	return audit.Check{
		ID: "mac.enabled", Title: "The kernel confines programs (AppArmor or SELinux)", Severity: finding.Med,
		Why:       "It is the second wall: a service that is taken over still cannot reach what its profile does not name. Containers rely on it, too.",
		Fix:       "Install apparmor and restart; on a Raspberry Pi add apparmor=1 security=apparmor to /boot/firmware/cmdline.txt (one line). On Red Hat set SELINUX=enforcing in /etc/selinux/config.",
		Reference: []string{"CIS Debian 12 1.3.1.1", "CIS Debian 12 1.3.1.2", "CIS RHEL 9 1.3.1.4", "apparmor(7)", "selinux(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			if h.Live {
				return confinementLive(h)
			}
			params, _, err := h.CommandLine()
			if err != nil {
				return audit.Unknown(err)
			}
			armed := false
			for _, p := range params {
				switch {
				case (p.Name == "apparmor" || p.Name == "selinux" || p.Name == "enforcing") && p.Value == "0":
					return audit.Fail("off", audit.At(p.File, p.Line, p.Text())).Explicitly(true)
				case p.Name == "security" && p.Value != "apparmor" && p.Value != "selinux", p.Name == "lsm" && !strings.Contains(p.Value, "apparmor") && !strings.Contains(p.Value, "selinux"):
					return audit.Fail(p.Text(), audit.At(p.File, p.Line, p.Text())).Explicitly(true)
				case p.Name == "apparmor" && p.Value == "1", p.Name == "security", p.Name == "lsm":
					armed = true
				}
			}
			config, err := h.Text("/etc/selinux/config")
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return audit.Unknown(err)
			}
			mode, line := "", 0
			for n, text := range config.Lines {
				if name, value, ok := strings.Cut(strings.TrimSpace(text), "="); ok && name == "SELINUX" {
					mode, line = strings.TrimSpace(value), n+1
				}
			}
			r, err := h.Release()
			if err != nil {
				return audit.Unknown(err)
			}
			redhat := r.Is("rhel") || r.Is("fedora")
			if mode == "enforcing" && redhat {
				return audit.Pass("selinux enforcing", audit.At(config.Path, line, mode)).Explicitly(true)
			}
			if mode != "" && redhat {
				return audit.Fail("selinux "+mode, audit.At(config.Path, line, mode)).Explicitly(true)
			}
			parser, err := apparmorParser(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if parser == "" {
				return audit.Fail("none", audit.At("/usr/sbin/apparmor_parser", 0, "is not there")).Explicitly(false)
			}
			pi, err := h.Exists("/boot/firmware/cmdline.txt")
			if err != nil {
				return audit.Unknown(err)
			}
			if pi && !armed && r.ID != "ubuntu" {
				return audit.Fail("off by the kernel's default", audit.At("/boot/firmware/cmdline.txt", 1, "without apparmor=1")).Explicitly(false)
			}
			on, err := h.Wanted("apparmor.service")
			if err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(on, "apparmor", audit.At("apparmor.service", 0, fmt.Sprintf("started at boot: %t", on))).Explicitly(armed)
		},
	}
}

// confinementLive asks the running kernel.
func confinementLive(h *facts.Host) audit.Verdict {
	enforce, err := h.Text("/sys/fs/selinux/enforce")
	switch {
	case err == nil && strings.Join(enforce.Lines, "") == "1":
		return audit.Pass("selinux enforcing", audit.At("/sys/fs/selinux/enforce", 1, "1"))
	case err == nil:
		return audit.Fail("selinux permissive", audit.At("/sys/fs/selinux/enforce", 1, strings.Join(enforce.Lines, "")))
	case !errors.Is(err, fs.ErrNotExist):
		return audit.Unknown(err)
	}
	const file = "/sys/module/apparmor/parameters/enabled"
	t, err := h.Text(file)
	if errors.Is(err, fs.ErrNotExist) {
		if there, err := h.Exists("/sys/module"); err != nil || !there {
			return audit.Unknown(errors.New("/sys is not there"))
		}
		return audit.Fail("none", audit.At(file, 0, "the kernel was started without"))
	}
	if err != nil {
		return audit.Unknown(err)
	}
	if strings.Join(t.Lines, "") != "Y" {
		return audit.Fail("apparmor off", audit.At(file, 1, strings.Join(t.Lines, "")))
	}
	profiles, err := h.Text("/sys/kernel/security/apparmor/profiles")
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return audit.Pass("apparmor", audit.At(file, 1, "Y"))
		}
		return audit.Unknown(err)
	}
	if len(profiles.Lines) == 0 {
		return audit.Fail("apparmor without profiles", audit.At(profiles.Path, 0, "no profile is loaded"))
	}
	return audit.Pass("apparmor", audit.At(file, 1, "Y"))
}

// apparmorParser is where the program is that loads profiles.
func apparmorParser(h *facts.Host) (string, error) {
	for _, name := range []string{"/usr/sbin/apparmor_parser", "/sbin/apparmor_parser", "/usr/bin/apparmor_parser"} {
		there, err := h.Exists(name)
		if err != nil {
			return "", err
		}
		if there {
			return name, nil
		}
	}
	return "", nil
}
