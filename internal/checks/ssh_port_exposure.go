package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshPortExposure() audit.Check {
	return audit.Check{
		ID: "ssh.port-exposure", Title: "The server listens at home alone", Severity: finding.Med,
		Why:       "A server on all addresses is on those of the Internet as well as soon as the machine gets one, and with IPv6 it often has one already.",
		Fix:       "Say \"ListenAddress\" with the machine's address at home in a file of its own in /etc/ssh/sshd_config.d that sorts before the others (sshd takes the first value that it reads), check with sshd -t and reload sshd. Where ssh.socket is in charge, set its ListenStream instead (systemctl edit ssh.socket). Make sure that the address never changes.",
		Reference: []string{"Securing Debian 5.1", "sshd_config(5)", "systemd.socket(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			if err := s.Fault(); err != nil {
				return sshRefused(err)
			}
			listens, socket, err := sshSocket(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if !socket {
				for _, l := range s.Lines("listenaddress") {
					listens = append(listens, audit.At(l.File, l.Line, l.Args[0]))
				}
				if len(listens) == 0 {
					// What reads the firewall says elsewhere where it cannot (net.firewall-present).
					if open, err := sshLetsAll(h, s); err == nil && !open {
						return audit.Pass("the firewall closes it to strangers").Explicitly(true)
					}
					return audit.Fail("every address", audit.At(facts.SSHDConfig, 0, "ListenAddress every address (default)")).Explicitly(false)
				}
			}
			var names []string
			var bad []finding.Evidence
			for _, l := range listens {
				names = append(names, l.Value)
				wide, err := sshWide(l.Value)
				if err != nil {
					return audit.Unknown(fmt.Errorf("%s:%d: %w", l.File, l.Line, err))
				}
				if wide {
					bad = append(bad, l)
				}
			}
			if len(bad) > 0 {
				return audit.Fail(names, bad...).Explicitly(true)
			}
			return audit.Pass(names, listens...).Explicitly(true)
		},
		ByHand: "Only you know whether this machine keeps its address: a server that listens at an address that is gone is reached by nobody.",
	}
}

// sshLetsAll reports whether the firewall lets everybody come to a port of the server's.
func sshLetsAll(h *facts.Host, s *facts.SSHD) (bool, error) {
	b, err := firewalls(h)
	if err != nil || len(b.managers) == 0 {
		return true, err
	}
	ports := s.Lines("port")
	if len(ports) == 0 {
		ports = []facts.SSHDLine{{Args: []string{"22"}}}
	}
	for _, l := range ports {
		port, err := strconv.Atoi(l.Args[0])
		if err != nil || b.admits("tcp", port, false) || b.admits("tcp", port, true) && !withoutIPv6(h) {
			return true, err
		}
	}
	return false, nil
}

// sshWide reports whether an address, with or without a port, is more than the home's.
func sshWide(address string) (bool, error) {
	text := strings.Trim(address, "[]")
	if both, err := netip.ParseAddrPort(address); err == nil {
		text = both.Addr().String()
	} else if host, _, ok := strings.Cut(address, ":"); ok && strings.Count(address, ":") == 1 {
		text = host
	}
	if text == "localhost" {
		return false, nil
	}
	if text == "*" || text != "" && strings.Trim(text, "0123456789") == "" {
		return true, nil // a port alone
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return false, fmt.Errorf("it is not known which address %q is", text)
	}
	shared := netip.MustParsePrefix("100.64.0.0/10") // of providers, and of VPNs
	return !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !shared.Contains(a), nil
}

// sshSocket is where systemd listens for the server, where it does that and does not ask
// the server's configuration.
func sshSocket(h *facts.Host) (listens []finding.Evidence, inCharge bool, err error) {
	for _, unit := range []string{"ssh.socket", "sshd.socket"} {
		_, err := h.Lstat("/etc/systemd/system/sockets.target.wants/" + unit)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		asks, err := h.Exists("/usr/lib/systemd/system-generators/sshd-socket-generator")
		if err != nil || asks {
			return nil, false, err
		}
		var files []string
		for _, dir := range []string{"/etc/systemd/system/", "/run/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"} {
			there, err := h.Exists(dir + unit)
			if err != nil {
				return nil, false, err
			}
			if there {
				files = append(files, dir+unit)
				break
			}
		}
		drops, err := h.Glob("/etc/systemd/system/" + unit + ".d/*.conf")
		if err != nil {
			return nil, false, err
		}
		for _, file := range append(files, drops...) {
			t, err := h.Text(file)
			if err != nil {
				return nil, false, err
			}
			for n, line := range t.Lines {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				if value = strings.TrimSpace(value); strings.TrimSpace(name) != "ListenStream" {
					continue
				}
				if value == "" {
					listens = nil
					continue
				}
				listens = append(listens, audit.At(file, n+1, value))
			}
		}
		return listens, true, nil
	}
	return nil, false, nil
}
