package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func listeners() []audit.Check {
	return []audit.Check{
		netListeners(), netFirewallPresent(), netFirewallV6(), netDockerBypass(), netHAPort(), netFirewallSingle(), netResolver(),
		netFirewallLoopback(), netMDNS(), netPromiscuous(), netWireless(), netEgressIoT(), netHostsAccess(),
	}
}

// barrier is what the firewalls that are loaded at boot do together.
type barrier struct {
	managers []facts.Firewall
	v4, v6   facts.Inbound
}

// firewalls reads the firewalls that are loaded at boot. Where something else loads
// rules that are not read, the error says so.
func firewalls(h *facts.Host) (barrier, error) {
	all, err := h.Firewalls()
	if err != nil {
		return barrier{}, err
	}
	var b barrier
	for _, f := range all {
		if !f.Enabled {
			continue
		}
		b.managers = append(b.managers, f)
		if !b.v4.Denies {
			b.v4 = f.V4
		}
		if !b.v6.Denies {
			b.v6 = f.V6
		}
	}
	if len(b.managers) > 0 {
		return b, nil
	}
	commands, err := h.UnitCommands()
	if err != nil {
		return b, err
	}
	for _, c := range commands {
		for _, p := range c.Programs() {
			name := path.Base(p)
			known := strings.HasSuffix(c.File, "/nftables.service") || strings.HasSuffix(c.File, "/ufw.service") || strings.HasSuffix(c.File, "/netfilter-persistent.service")
			loads := slices.Contains([]string{"nft", "iptables", "iptables-restore", "ip6tables-restore", "shorewall", "ferm", "firehol"}, name)
			unit, err := h.Unit(path.Base(c.File))
			if loads && !known && err == nil && unit.Starts() {
				return b, fmt.Errorf("%s:%d: loads rules that are not read here", c.File, c.Line)
			}
		}
	}
	return b, nil
}

// names of the firewalls that are loaded at boot.
func (b barrier) names() []string {
	names := []string{}
	for _, f := range b.managers {
		names = append(names, f.Name)
	}
	return names
}

// admits reports whether everybody may reach a port, by the family of an address.
func (b barrier) admits(proto string, port int, v6 bool) bool {
	in := b.v4
	if v6 {
		in = b.v6
	}
	_, yes := in.Admits(proto, port)
	return yes
}

// lets reports whether everybody may reach a socket. One on :: takes IPv4, too.
func (b barrier) lets(s facts.Socket) bool {
	port := int(s.At.Port())
	if s.IPv6() && !s.AnyAddress() {
		return b.admits(s.Proto, port, true)
	}
	return b.admits(s.Proto, port, false) || s.IPv6() && b.admits(s.Proto, port, true)
}

// withoutIPv6 reports whether a running machine has no IPv6 at all.
func withoutIPv6(h *facts.Host) bool {
	if !h.Live {
		return false
	}
	t, err := h.Text("/proc/sys/net/ipv6/conf/all/disable_ipv6")
	return err == nil && len(t.Lines) > 0 && strings.TrimSpace(t.Lines[0]) == "1" || errors.Is(err, fs.ErrNotExist) && !exists(h, "/proc/net/if_inet6") && exists(h, "/proc/net/tcp")
}

func exists(h *facts.Host, name string) bool {
	there, err := h.Exists(name)
	return err == nil && there
}

func atSocket(s facts.Socket) finding.Evidence { return audit.At(s.File, s.Line, s.String()) }
