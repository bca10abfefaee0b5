package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tor() []audit.Check {
	return []audit.Check{
		torDirPerms(), torSocks(),
		torClientAuth(), torTarget(), torControl(), torNoRelay(),
		torV3(), torAnonMode(), torVersion(), torDoS(),
	}
}

// judgeTor judges what torrc says.
func judgeTor(h *facts.Host, judge func(facts.Tor) audit.Verdict) audit.Verdict {
	t, err := h.Tor()
	switch {
	case proxyMissing(err):
		return audit.NotApplicable("no Tor was found")
	case err != nil:
		return audit.Unknown(err)
	}
	return judge(t)
}

// judgeOnions judges its onion services, which there have to be.
func judgeOnions(h *facts.Host, judge func(facts.Tor) audit.Verdict) audit.Verdict {
	return judgeTor(h, func(t facts.Tor) audit.Verdict {
		if len(t.Services) == 0 {
			return audit.NotApplicable("Tor has no onion service")
		}
		return judge(t)
	})
}

// torLines are lines of torrc as evidence.
func torLines(all ...facts.Directive) []finding.Evidence {
	var evidence []finding.Evidence
	for _, d := range all {
		value := d.String()
		if strings.Contains(d.Name, "password") {
			value = d.Name + " …"
		}
		evidence = append(evidence, audit.At(d.File, d.Line, value))
	}
	return evidence
}

// torSwitch is the value of an option that is on or off.
func torSwitch(t facts.Tor, name string) (on bool, line facts.Directive, explicit bool) {
	all := t.Option(name)
	if len(all) == 0 {
		return false, facts.Directive{}, false
	}
	line = all[len(all)-1]
	return line.Arg(0) == "1", line, true
}

// torOpen reports whether a port of Tor takes what comes from elsewhere.
func torOpen(address string) bool {
	if address == "0" || strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "/") || strings.EqualFold(address, "auto") {
		return false
	}
	if !strings.Contains(address, ":") && !strings.Contains(address, ".") {
		return false // a port alone is on loopback
	}
	return !onLoopback(address)
}
