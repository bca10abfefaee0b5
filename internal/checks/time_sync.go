package checks

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func timeSync() audit.Check {
	return audit.Check{
		ID: "time.sync", Title: "One program keeps the clock right", Severity: finding.Med,
		Why:       "Certificates, the six digits of a second factor and every line of the log go by the clock; a Raspberry Pi has none that runs while it is off.",
		Fix:       "systemctl enable --now systemd-timesyncd, or install chrony; not both.",
		Reference: []string{"CIS Debian 12 2.3.1.1", "CIS Debian 12 2.3.2.1", "CIS Debian 12 2.3.3.1", "CIS RHEL 9 2.3.1", "timesyncd.conf(5)", "chrony.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var running []string
			for _, unit := range []string{"systemd-timesyncd.service", "chrony.service", "chronyd.service", "ntpsec.service", "ntp.service", "ntpd.service", "openntpd.service"} {
				on, err := h.Wanted(unit)
				if err != nil {
					return audit.Unknown(err)
				}
				if !on {
					continue
				}
				_, there, err := h.UnitFile(unit)
				if err != nil {
					return audit.Unknown(err)
				}
				if there {
					running = append(running, unit)
				}
			}
			if i := slices.Index(running, "chrony.service"); i >= 0 {
				running = slices.DeleteFunc(running, func(u string) bool { return u == "chronyd.service" }) // its alias
			}
			var evidence []finding.Evidence
			for _, u := range running {
				evidence = append(evidence, audit.At(u, 0, "started at boot"))
			}
			switch len(running) {
			case 0:
				return audit.Fail(running, audit.At("systemd-timesyncd.service", 0, "is not started, nor is another"))
			case 1:
			default:
				return audit.Fail(running, evidence...)
			}
			servers, file, err := timeServers(h, running[0])
			if err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(servers > 0, running, append(evidence, audit.At(file, 0, more(servers, "servers")))...)
		},
		Profile: audit.ProfileHome,
		Repair:  timeSyncRepair,
	}
}

// timeServers counts the servers that a time daemon is told to ask, and says where it is
// told. systemd-timesyncd has some by itself.
func timeServers(h *facts.Host, unit string) (int, string, error) {
	if unit == "systemd-timesyncd.service" {
		const file = "/etc/systemd/timesyncd.conf"
		s, err := h.Settings("/systemd/timesyncd.conf", "")
		if err != nil {
			return 0, file, err
		}
		own := len(s.List("Time", "NTP"))
		fallback, set := s.Last("Time", "FallbackNTP")
		if !set && fallback.Line > 0 {
			return own, file, nil // it was set to nothing
		}
		return own + 1, file, nil
	}
	patterns := []string{"/etc/ntpsec/ntp.conf", "/etc/ntpsec/ntp.d/*.conf"}
	file := patterns[0]
	switch {
	case strings.HasPrefix(unit, "chron"):
		patterns = []string{"/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/chrony/conf.d/*.conf", "/etc/chrony.d/*.conf", "/etc/chrony/sources.d/*.sources", "/run/chrony-dhcp/*.sources"}
		file = patterns[0]
	case unit == "ntp.service", unit == "ntpd.service":
		patterns, file = append(patterns, "/etc/ntp.conf"), "/etc/ntp.conf"
	case unit == "openntpd.service":
		patterns, file = []string{"/etc/openntpd/ntpd.conf"}, "/etc/openntpd/ntpd.conf"
	}
	lines, err := linesOf(h, patterns)
	if err != nil {
		return 0, file, err
	}
	servers := 0
	for _, l := range lines {
		f := strings.Fields(l.text)
		if len(f) > 1 && slices.Contains([]string{"server", "servers", "pool", "peer", "refclock"}, f[0]) {
			servers, file = servers+1, l.file
		}
	}
	return servers, file, nil
}

// linesOf are the lines of some files, without those that are comments.
func linesOf(h *facts.Host, patterns []string) ([]logLine, error) {
	var all []logLine
	for _, p := range patterns {
		files, err := h.Glob(p)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			t, err := h.Text(f)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for n, line := range t.Lines {
				if line = strings.TrimSpace(line); line != "" && !strings.ContainsAny(line[:1], "#!;%") {
					all = append(all, logLine{f, n + 1, line})
				}
			}
		}
	}
	return all, nil
}
