package checks

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torVersion() audit.Check {
	return audit.Check{
		ID: "tor.sandbox-version", Title: "Tor is of a series that is still looked after, and its service is fenced in", Severity: finding.Med,
		Why:       "Tor speaks with strangers all day. Series before 0.4.8 get no more repairs, and without the fences of its unit a hole in Tor is one in the machine.",
		Fix:       "Upgrade the package tor (deb.torproject.org, or the current release of the distribution), and leave the hardening of its unit as the package brings it.",
		Reference: []string{"Tor: supported releases", "systemd.exec(5): ProtectSystem, NoNewPrivileges"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeTor(h, func(facts.Tor) audit.Verdict {
				status, err := h.Text("/var/lib/dpkg/status")
				if err != nil {
					return audit.Unknown(err)
				}
				version, line := packageVersion(status, "tor")
				if version == "" {
					return audit.Unknown(errors.New("it was not installed as a package of Debian, so its version is not known"))
				}
				evidence := []finding.Evidence{audit.At(status.Path, line, "tor "+version)}
				old, ok := torBefore048(version)
				if !ok {
					return audit.Unknown(fmt.Errorf("%s:%d: %q is no version of Tor", status.Path, line, version))
				}
				if old {
					return audit.Fail(version, evidence...)
				}
				for _, name := range []string{"/etc/systemd/system/tor@default.service", "/etc/systemd/system/tor.service"} {
					unit, err := h.Text(name)
					if proxyMissing(err) {
						continue
					}
					if err != nil {
						return audit.Unknown(err)
					}
					fenced := strings.Contains(string(unit.Bytes), "NoNewPrivileges=yes") || strings.Contains(string(unit.Bytes), "NoNewPrivileges=true") || strings.Contains(string(unit.Bytes), "ProtectSystem=")
					if !fenced && strings.Contains(string(unit.Bytes), "ExecStart=") && !strings.Contains(string(unit.Bytes), "ExecStart=/bin/true") {
						return audit.Fail(version, audit.At(name, 0, "a unit without NoNewPrivileges or ProtectSystem takes the place of the package's"))
					}
				}
				return audit.Pass(version, evidence...)
			})
		},
	}
}

// packageVersion is the version of an installed package in dpkg's list.
func packageVersion(status facts.Text, name string) (version string, line int) {
	in, installed := false, false
	for n, l := range status.Lines {
		switch {
		case l == "":
			in, installed = false, false
		case l == "Package: "+name:
			in = true
		case in && strings.HasPrefix(l, "Status: "):
			installed = strings.HasSuffix(l, " installed")
		case in && installed && strings.HasPrefix(l, "Version: "):
			return strings.TrimPrefix(l, "Version: "), n + 1
		}
	}
	return "", 0
}

// torBefore048 reports whether a version of Tor is older than 0.4.8.
func torBefore048(version string) (old, ok bool) {
	_, after, epoch := strings.Cut(version, ":")
	if epoch {
		version = after
	}
	parts := strings.SplitN(version, ".", 4)
	if len(parts) < 3 {
		return false, false
	}
	for n, floor := range []int{0, 4, 8} {
		v, err := strconv.Atoi(strings.TrimRight(parts[n], "-+~abcdefghijklmnopqrstuvwxyz"))
		if err != nil {
			return false, false
		}
		if v != floor {
			return v < floor, true
		}
	}
	return false, true
}
