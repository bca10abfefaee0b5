package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxSocket is how long a Unix socket's path may be on Linux (sun_path, with its zero byte).
const maxSocket = 107

// checker collects what is wrong with the values of a file.
type checker struct {
	at    places
	wrong []Problem
}

func (k *checker) say(key, hint, format string, args ...any) {
	k.wrong = append(k.wrong, Problem{Line: k.at.line(key), Key: key, Message: key + " " + fmt.Sprintf(format, args...), Hint: hint})
}

// check returns what is wrong with the values, in the file's order.
func (c *Config) check(at places) []Problem {
	k := &checker{at: at}
	c.checkHome(k)
	c.checkDoors(k)
	c.checkNumbers(k)
	c.checkGuard(k)
	c.checkClients(k)
	c.checkPaths(k)
	c.checkEvents(k)
	c.checkCertificates(k)
	c.checkDDNS(k)
	slices.SortStableFunc(k.wrong, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return k.wrong
}

func (c *Config) checkHome(k *checker) {
	const nameHint = `a host name looks like "ha.example.org", without https:// and without a port`
	if n := c.Home.Name; n != "" && !IsHostName(n) {
		k.say("home.name", nameHint, "is %q, which is not a host name", n)
	}
	if c.Home.Name == "" && c.Doors.HTTPS != nil {
		k.say("home.name", nameHint, "is missing: the door https answers to this name alone")
	}
	const urlHint = `it looks like "http://127.0.0.1:8123"`
	if c.Home.Name == "" && c.Doors.WireGuard != nil {
		k.say("home.name", nameHint, "is missing: the door wireguard answers to this name alone")
	}
	u, err := url.Parse(c.Home.HAURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		k.say("home.ha_url", urlHint, "is not an address")
	case u.User != nil:
		k.say("home.ha_url", urlHint, "holds a user name or password; leave them out")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		k.say("home.ha_url", urlHint, "has more than a host and a port")
	case u.Port() != "" && !isPort(u.Port()):
		k.say("home.ha_url", urlHint, "has a port that does not exist")
	}
}

func (c *Config) checkDoors(k *checker) {
	https, lan := c.Doors.HTTPS, c.Doors.LAN
	c.checkWireGuard(k)
	c.checkOnion(k)
	if https == nil && lan == nil && c.Doors.SSH == nil && c.Doors.WireGuard == nil && c.Doors.Onion != nil {
		k.say("doors.onion", "add a table [doors.lan] or [doors.https]: the owner comes in there first, and invites", "is the only door")
		return
	}
	if https == nil && lan == nil && c.Doors.SSH == nil && c.Doors.WireGuard == nil {
		k.wrong = append(k.wrong, Problem{Message: "no door is open", Hint: "add a table [doors.lan] or [doors.https]"})
		return
	}
	if https != nil {
		k.listen("doors.https.listen", https.Listen)
		if https.PublicPort < 0 || https.PublicPort > 65535 {
			k.say("doors.https.public_port", "", "is %d; ports go from 1 to 65535", https.PublicPort)
		}
		if https.CertificateListen != "" {
			k.listen("doors.https.certificate_listen", https.CertificateListen)
		}
		if https.CertificatePort < 0 || https.CertificatePort > 65535 {
			k.say("doors.https.certificate_port", "", "is %d; ports go from 1 to 65535", https.CertificatePort)
		}
		k.proxies("doors.https", https.ProxyProtocol, https.TrustedProxies)
	}
	if lan != nil {
		k.listen("doors.lan.listen", lan.Listen)
		k.proxies("doors.lan", lan.ProxyProtocol, lan.TrustedProxies)
		for _, n := range lan.Names {
			if !IsHostName(n) {
				k.say("doors.lan.names", `names look like "home.lan"; addresses of this machine are known without`, "has %q, which is not a host name", n)
			}
		}
	}
	if d := c.Doors.SSH; d != nil {
		k.listen("doors.ssh.listen", d.Listen)
		if d.CA != "" && !filepath.IsAbs(d.CA) {
			k.say("doors.ssh.ca", "a path begins with /", "is %q, which depends on where Gatehouse is started", d.CA)
		}
	}
	c.checkPorts(k)
}

// checkPorts says which listeners cannot have the port that they name. Doors differ in more than
// the address: the router forwards a port.
func (c *Config) checkPorts(k *checker) {
	const each = "give each door a port of its own"
	type listener struct{ key, at, hint string }
	var doors []listener
	if d := c.Doors.HTTPS; d != nil {
		doors = append(doors, listener{key: "doors.https.listen", at: d.Listen})
	}
	if d := c.Doors.LAN; d != nil {
		doors = append(doors, listener{"doors.lan.listen", d.Listen, each + ": the one for home must not be the one that the router forwards to"})
	}
	if d := c.Doors.HTTPS; d != nil {
		doors = append(doors, listener{"doors.https.certificate_listen", d.CertificateListen, `devices with a certificate need a port of their own, like ":9443"`})
	}
	if d := c.Doors.SSH; d != nil {
		doors = append(doors, listener{"doors.ssh.listen", d.Listen, each})
	}
	doors = append(doors, listener{"certificates.http_listen", c.Certificates.HTTPListen, `the challenge "http" is asked for on port 80, which no door has`})
	taken := map[string]string{}
	for _, d := range doors {
		port := portOf(d.at)
		if port == "" || port == "0" {
			continue
		}
		if by, is := taken[port]; is {
			k.say(d.key, d.hint, "has the same port as %s", by)
		} else {
			taken[port] = d.key
		}
	}
	network, at := c.Events.MetricsAt()
	if host, port, ok := cutPort(at); network == "tcp" && ok && port != "0" {
		for _, d := range doors {
			if there, its, _ := cutPort(d.at); its == port && (there == "" || there == host || isEverywhere(there)) {
				k.say("events.metrics", "choose another port", "has the same port as %s", d.key)
			}
		}
	}
}

// isEverywhere reports whether who listens there does so on every address.
func isEverywhere(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsUnspecified()
}

func (c *Config) checkOnion(k *checker) {
	d := c.Doors.Onion
	if d == nil {
		return
	}
	if d.Control != "" && !isControl(d.Control) {
		k.say("doors.onion.control", `it looks like "unix:/run/tor/control" or "127.0.0.1:9051"`, "is %q, which is no control port of this machine", d.Control)
	}
	if d.Control != "" && d.Program != "" {
		k.say("doors.onion.program", "leave one of the two out", "starts a tor, and doors.onion.control names one that runs already")
	}
}

// isControl reports whether a text says where a tor of this machine is commanded.
func isControl(s string) bool {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return filepath.IsAbs(path) && len(path) <= maxSocket
	}
	at, err := netip.ParseAddrPort(s)
	return err == nil && at.Addr().IsLoopback() && at.Port() != 0
}

func (k *checker) listen(key, value string) {
	host, port, ok := cutPort(value)
	const hint = `it looks like ":8443" or "192.168.1.10:8443"`
	if !ok || !isPort(port) {
		k.say(key, hint, "is %q, which is not an address with a port", value)
		return
	}
	if host == "" {
		return
	}
	if _, err := netip.ParseAddr(host); err != nil {
		k.say(key, hint, "is %q; before the port stands an address or nothing", value)
	}
}

func (c *Config) checkNumbers(k *checker) {
	k.between("policy.session_idle", c.Policy.SessionIdle, 5*time.Minute, 3650*day)
	k.between("policy.session_max", c.Policy.SessionMax, 5*time.Minute, 3650*day)
	if c.Policy.SessionMax < c.Policy.SessionIdle {
		k.say("policy.session_max", "", "(%s) is shorter than policy.session_idle (%s)", c.Policy.SessionMax, c.Policy.SessionIdle)
	}
}

func (k *checker) between(key string, d Duration, low, high time.Duration) {
	if t := time.Duration(d); t < low || t > high {
		k.say(key, "", "is %s; it goes from %s to %s", d, Duration(low), Duration(high))
	}
}

func (c *Config) checkClients(k *checker) {
	for _, id := range c.Policy.Clients {
		u, err := url.Parse(id)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
			k.say("policy.clients", `it looks like "https://assistant.example/r/my-project"`, "has %q, which is no client id", id)
		}
	}
}

func (c *Config) checkPaths(k *checker) {
	for _, p := range []struct {
		key, value string
		needed     bool
	}{
		{"doors.onion.program", c.onionProgram(), false},
		{"home.ha_dir", c.Home.HADir, false},
		{"certificates.certificate", c.Certificates.Certificate, false},
		{"certificates.key", c.Certificates.Key, false},
		{"guard.countries", c.Guard.Countries, false},
		{"guard.asns", c.Guard.ASNs, false},
		{"certificates.issuer_root", c.Certificates.IssuerRoot, false},
		{"events.file", c.Events.File, false},
		{"state.dir", c.State.Dir, true},
		{"state.socket", c.State.Socket, true},
	} {
		switch {
		case p.value == "" && p.needed:
			k.say(p.key, "", "is empty")
		case p.value != "" && !filepath.IsAbs(p.value):
			k.say(p.key, "a path begins with /", "is %q, which depends on where Gatehouse is started", p.value)
		}
	}
	if len(c.State.Socket) > maxSocket {
		k.say("state.socket", "choose a shorter path", "is longer than the %d bytes that a socket's path may have", maxSocket)
	}
	if (c.Certificates.Certificate == "") != (c.Certificates.Key == "") {
		missing := "certificates.key"
		if c.Certificates.Certificate == "" {
			missing = "certificates.certificate"
		}
		k.say(missing, "a certificate and its key come together", "is missing")
	}
}

// IsHostName reports whether s is a lower-case host name as certificates and
// browsers have them: labels of letters, digits and inner hyphens (RFC 1123 section
// 2.1), the last not all digits, so that no address passes for one.
func IsHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for _, r := range l {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
				return false
			}
		}
	}
	_, err := strconv.Atoi(labels[len(labels)-1])
	return err != nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}

// cutPort cuts "host:port"; an IPv6 address stands in brackets.
func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = s[:i], s[i+1:]
	if inner, found := strings.CutPrefix(host, "["); found {
		host, found = strings.CutSuffix(inner, "]")
		return host, port, found && host != ""
	}
	return host, port, !strings.Contains(host, ":")
}

func portOf(listen string) string {
	_, port, _ := cutPort(listen)
	return port
}

// onionProgram is the path of the tor to start; empty where none is named.
func (c *Config) onionProgram() string {
	if c.Doors.Onion == nil {
		return ""
	}
	return c.Doors.Onion.Program
}
