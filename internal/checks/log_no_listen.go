package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func loggingNoListen() audit.Check {
	return audit.Check{
		ID: "log.no-listen", Title: "The log takes no lines from the network", Severity: finding.Low,
		Why:       "Whoever may send lines to your log can fill the disk, and write there whatever he wants you to believe.",
		Fix:       "Take imudp and imtcp out of rsyslog's configuration, and systemctl disable --now systemd-journal-remote.socket; where a router is to send its log here, bind it to one address and let the firewall let in that router alone.",
		Reference: []string{"CIS Debian 12 6.1.2.1.4", "CIS Debian 12 6.1.3.7", "CIS RHEL 9 6.2.2.1.4", "rsyslog.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			lines, err := rsyslogLines(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var bad []finding.Evidence
			for _, l := range lines {
				low := strings.ToLower(strings.ReplaceAll(l.text, " ", ""))
				for _, mark := range []string{`input(type="imudp"`, `input(type="imtcp"`, `input(type="imrelp"`, "$udpserverrun", "$inputtcpserverrun"} {
					if strings.HasPrefix(low, mark) && !strings.Contains(low, `address="127.`) && !strings.Contains(low, `address="::1"`) {
						bad = append(bad, audit.At(l.file, l.line, l.text))
					}
				}
			}
			for _, unit := range []string{"systemd-journal-remote.socket", "systemd-journal-remote.service"} {
				on, err := h.Wanted(unit)
				if err != nil {
					return audit.Unknown(err)
				}
				if on {
					bad = append(bad, audit.At(unit, 0, "started at boot"))
				}
			}
			return audit.PassIf(len(bad) == 0, len(bad) > 0, bad...).Explicitly(len(bad) > 0)
		},
		Profile: audit.ProfileStrict,
		Repair:  logNoListenRepair,
	}
}
