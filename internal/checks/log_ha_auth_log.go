package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func loggingHAAuthLog() audit.Check {
	return audit.Check{
		ID: "log.ha-auth-log", Title: "Home Assistant writes down failed sign-ins, and something acts on them", Severity: finding.Low,
		Why:       "The line about a wrong password is all that tells you, or fail2ban, that somebody tries; a log level that was raised to save an SD card swallows it.",
		Fix:       "Under logger: in configuration.yaml set homeassistant.components.http.ban: warning under logs:, and let Home Assistant (login_attempts_threshold) or fail2ban shut out who tries too often.",
		Reference: []string{"HA docs: integrations/logger", "HA docs: integrations/http"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			root, err := h.HAConfiguration()
			if err != nil {
				return audit.Unknown(err)
			}
			sections, unread := root.Sections("logger")
			for _, l := range sections {
				at := quieting(l.Value)
				if at != nil {
					return audit.Fail(at.Value(), haAtNode(h, at, at.Value())).Explicitly(true)
				}
			}
			if unread != nil {
				return audit.Unknown(unread)
			}
			s, err := h.HASettings()
			if err != nil {
				return audit.Unknown(err)
			}
			if s.HTTP.IPBanEnabled && s.HTTP.LoginAttemptsThreshold > 0 {
				return audit.Pass("written down, and Home Assistant shuts out").Explicitly(len(sections) > 0)
			}
			if !h.HAOnly {
				jail, err := hassJail(h)
				if err != nil {
					return audit.Unknown(err)
				}
				if jail.text != "" {
					return audit.Pass("written down, and fail2ban shuts out", audit.At(jail.file, jail.line, jail.text)).Explicitly(len(sections) > 0)
				}
			}
			return audit.Fail("written down, and nobody acts", audit.At(h.HAPath("configuration.yaml"), 0, "login_attempts_threshold is not set, and fail2ban has no jail for it"))
		},
	}
}

// quieting is the level, in a section of the logger's, that keeps the warning about a
// failed sign-in out of the log; nil where it comes through. The longest name counts.
func quieting(logger *ha.Node) *ha.Node {
	const of = "homeassistant.components.http.ban"
	level, longest := logger.Get("default"), -1
	if logs := logger.Get("logs"); logs != nil {
		for _, f := range logs.Fields {
			if (f.Key == of || strings.HasPrefix(of, f.Key+".")) && len(f.Key) > longest {
				level, longest = f.Value, len(f.Key)
			}
		}
	}
	if level != nil && slices.Contains([]string{"critical", "fatal", "error"}, strings.ToLower(level.Value())) {
		return level
	}
	return nil
}

// hassJail is the line that begins a jail of fail2ban's for Home Assistant.
func hassJail(h *facts.Host) (logLine, error) {
	lines, err := linesOf(h, []string{"/etc/fail2ban/jail.local", "/etc/fail2ban/jail.d/*.conf", "/etc/fail2ban/jail.d/*.local"})
	if err != nil {
		return logLine{}, err
	}
	var jail logLine
	for _, l := range lines {
		low := strings.ToLower(l.text)
		if low[0] == '[' {
			jail = logLine{}
			if strings.Contains(low, "hass") || strings.Contains(low, "home-assistant") || strings.Contains(low, "homeassistant") || strings.Contains(low, "ha]") {
				jail = l
			}
			continue
		}
		name, value, _ := strings.Cut(low, "=")
		if jail.text != "" && strings.TrimSpace(name) == "enabled" && strings.TrimSpace(value) == "true" {
			return jail, nil
		}
	}
	return logLine{}, nil
}
