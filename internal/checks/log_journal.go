package checks

import (
	"errors"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// journalStorage is where the journal is kept: "persistent" in /var/log/journal,
// "volatile" in memory, "none"; and what says so.
func journalStorage(h *facts.Host) (string, finding.Evidence, bool, error) {
	s, err := h.Settings("/systemd/journald.conf", "")
	if err != nil {
		return "", finding.Evidence{}, false, err
	}
	set, explicit := s.Last("Journal", "Storage")
	e := audit.At(set.File, set.Line, "Storage="+set.Value)
	switch {
	case explicit && set.Value != "auto":
		return set.Value, e, true, nil
	case !explicit:
		e = audit.At("/etc/systemd/journald.conf", 0, "Storage=auto, by default")
	}
	there, err := h.Exists("/var/log/journal")
	if err != nil {
		return "", e, explicit, err
	}
	if there {
		return "persistent", e, explicit, nil
	}
	e.Value += ", and there is no /var/log/journal"
	return "volatile", e, explicit, nil
}

// logLine is a line of a configuration.
type logLine struct {
	file string
	line int
	text string
}

// rsyslogLines are the lines of rsyslog's configuration and its drop-ins, without comments;
// none where it is not there.
func rsyslogLines(h *facts.Host) ([]logLine, error) {
	files := []string{"/etc/rsyslog.conf"}
	more, err := h.Glob("/etc/rsyslog.d/*.conf")
	if err != nil {
		return nil, err
	}
	var all []logLine
	for _, f := range append(files, more...) {
		t, err := h.Text(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for n, line := range t.Lines {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, logLine{f, n + 1, line})
			}
		}
	}
	return all, nil
}

// rsyslogRuns reports whether rsyslog is started at boot.
func rsyslogRuns(h *facts.Host) (bool, error) {
	wanted, err := h.Wanted("rsyslog.service")
	if err != nil || !wanted {
		return false, err
	}
	_, there, err := h.UnitFile("rsyslog.service")
	return there, err
}
