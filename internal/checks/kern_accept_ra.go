package checks

import (
	"errors"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelAcceptRA() audit.Check {
	return audit.Check{
		ID: "kern.accept-ra", Title: "Only who may be a router is believed to be one", Severity: finding.Info,
		Why:       "Any gadget in the network can announce itself as the way out. But addresses by SLAAC, and Matter over Thread, come by the same announcements: without them half the house is dark.",
		Fix:       "Only where this machine's IPv6 address is written down by hand and there is no Matter and no Thread: net.ipv6.conf.all.accept_ra = 0 and .default. With Thread, accept_ra_rt_info_max_plen = 64.",
		Reference: []string{"CIS Debian 12 3.3.11", "CIS RHEL 9 3.3.11", "RFC 4191"},
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			needs, err := needsAnnouncements(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if needs != "" {
				return audit.NotApplicable(needs + " needs the announcements")
			}
			off, err := h.Sysctl("net.ipv6.conf.all.disable_ipv6")
			if err != nil {
				return audit.Unknown(err)
			}
			if off.Value == "1" || h.Live && !off.Known {
				return audit.NotApplicable("IPv6 is off")
			}
			return judgeInterfaces(h, exactly(0), ofInterface{"net/ipv6/conf", "accept_ra", ownOnly})
		},
		ByHand: "Only you know whether this machine's IPv6 address was written down by hand; without the announcements it may lose its way out.",
	}
}

// needsAnnouncements names what needs router announcements on this host.
func needsAnnouncements(h *facts.Host) (string, error) {
	for _, one := range []struct{ what, pattern string }{
		{"the Thread border router", "/usr/sbin/otbr-agent"}, {"NetworkManager's SLAAC", "/etc/NetworkManager/system-connections/*"},
		{"the network by dhcpcd", "/etc/dhcpcd.conf"}, {"systemd-networkd's SLAAC", "/etc/systemd/network/*.network"},
	} {
		found, err := h.Glob(one.pattern)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return one.what, nil
		}
	}
	if err := h.HAUnseen(); err != nil {
		return "", err
	}
	if h.HADir != "" {
		t, err := h.Text(h.HADir + "/.storage/core.config_entries")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		for _, domain := range []string{"matter", "thread", "otbr"} {
			if strings.Contains(strings.ReplaceAll(string(t.Bytes), " ", ""), `"domain":"`+domain+`"`) {
				return "Home Assistant's " + domain, nil
			}
		}
	}
	t, err := h.Text("/etc/network/interfaces")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, line := range t.Lines {
		if f := strings.Fields(line); len(f) > 3 && f[0] == "iface" && f[2] == "inet6" && (f[3] == "auto" || f[3] == "dhcp") {
			return "ifupdown's SLAAC", nil
		}
	}
	return "", nil
}
