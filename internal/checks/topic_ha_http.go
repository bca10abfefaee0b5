package checks

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

// homeAssistantHTTP are the checks of how Home Assistant is reached.
func homeAssistantHTTP() []audit.Check {
	return []audit.Check{
		haHTTPTrustedProxies(), haHTTPBind(), haHTTPForwarded(), haHTTPBan(), haHTTPTLS(), haHTTPCORS(), haHTTPURLs(),
		haHTTPSource(), haHTTPFrame(), haHTTPBansFile(),
	}
}

// haHTTP judges Home Assistant's http settings, those that stay: a change on trial is not
// among them.
func haHTTP(judge func(*facts.Host, ha.Settings) audit.Verdict) func(*facts.Host) audit.Verdict {
	return func(h *facts.Host) audit.Verdict {
		s, err := h.HASettings()
		if s.Source == "" {
			if err == nil {
				err = errors.New("the http settings of Home Assistant are not known")
			}
			return audit.Unknown(err)
		}
		return judge(h, s)
	}
}

// haOption is where an http option stands, and whether somebody wrote it down.
func haOption(h *facts.Host, s ha.Settings, name, value string) (at finding.Evidence, explicit bool) {
	if p, ok := s.HTTP.Places[name]; ok {
		return audit.At(h.HAPath(p.File), p.Line, name+": "+value), true
	}
	file := s.File
	if file == "" {
		file = "configuration.yaml"
	}
	return audit.At(h.HAPath(file), s.Line, name+" is not set: "+value), false
}

// haProxies are the statements of the proxies on this host that hand requests on to Home
// Assistant's port itself; a gateway in between is none of them.
func haProxies(h *facts.Host, port int) ([]finding.Evidence, error) {
	sites, err := h.ProxySites()
	var found []finding.Evidence
	for _, s := range sites {
		if haNamesPort(s.Upstream, port) {
			found = append(found, audit.At(s.File, s.Line, haWithoutLogin(s.Statement)))
		}
	}
	return found, err
}

// haNamesPort reports whether a line says ":8123" with nothing that makes another number of it.
func haNamesPort(line string, port int) bool {
	_, rest, found := strings.Cut(line, ":"+strconv.Itoa(port))
	return found && (rest == "" || rest[0] < '0' || rest[0] > '9')
}

// haOnLoopback reports whether Home Assistant listens on this machine's loopback alone.
func haOnLoopback(s ha.HTTPSettings) bool {
	for _, name := range s.ServerHost {
		addr, err := netip.ParseAddr(name)
		if name != "localhost" && (err != nil || !addr.Unmap().IsLoopback()) {
			return false
		}
	}
	return len(s.ServerHost) > 0
}

// haWithoutLogin is a line without the names and passwords in its addresses.
func haWithoutLogin(line string) string {
	before, rest, found := strings.Cut(line, "://")
	if !found {
		return line
	}
	host, after := rest, ""
	if end := strings.IndexAny(rest, "/ \"'"); end >= 0 {
		host, after = rest[:end], rest[end:]
	}
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = "…" + host[at:]
	}
	return before + "://" + host + haWithoutLogin(after)
}
