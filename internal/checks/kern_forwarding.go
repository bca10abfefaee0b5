package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelForwarding() audit.Check {
	return audit.Check{
		ID: "kern.forwarding", Title: "The machine passes nobody else's packets on, unless it has to", Severity: finding.Low,
		Why:       "A server that forwards is a way around your router's walls: from the network of gadgets into that of your computers.",
		Fix:       "Put net.ipv4.ip_forward = 0 and net.ipv6.conf.all.forwarding = 0 into a file in /etc/sysctl.d.",
		Reference: []string{"CIS Debian 12 3.3.1", "CIS RHEL 9 3.3.1", "Linux documentation: networking/ip-sysctl"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			who, err := forwarder(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if who != "" {
				return audit.NotApplicable(who + " needs it")
			}
			return judgeSysctls(h, wanted{key: "net.ipv4.ip_forward", ok: exactly(0)}, wanted{key: "net.ipv6.conf.all.forwarding", ok: exactly(0)})
		},
		Profile: audit.ProfileStrict,
		Repair:  forwardingRepair,
	}
}

// forwarder names what on this host cannot do without forwarding.
func forwarder(h *facts.Host) (string, error) {
	for _, one := range []struct{ what, pattern string }{
		{"Docker", "/usr/bin/dockerd"}, {"Docker", "/usr/sbin/dockerd"}, {"Docker", "/usr/local/bin/dockerd"}, {"Podman", "/usr/bin/podman"}, {"LXC", "/usr/bin/lxc-start"},
		{"Incus", "/usr/bin/incusd"}, {"libvirt", "/usr/sbin/libvirtd"}, {"Kubernetes", "/usr/local/bin/k3s"}, {"Kubernetes", "/usr/bin/kubelet"},
		{"WireGuard", "/etc/wireguard/*.conf"}, {"OpenVPN", "/etc/openvpn/server/*.conf"}, {"Tailscale", "/usr/sbin/tailscaled"}, {"ZeroTier", "/usr/sbin/zerotier-one"},
		{"the Thread border router", "/usr/sbin/otbr-agent"}, {"the access point", "/etc/hostapd/hostapd.conf"}, {"Proxmox", "/usr/bin/pveversion"},
	} {
		found, err := h.Glob(one.pattern)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return one.what, nil
		}
	}
	return "", nil
}
