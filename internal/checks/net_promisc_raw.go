package checks

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func netPromiscuous() audit.Check {
	return audit.Check{
		ID: "net.promisc-raw", Title: "No unknown program reads along on the network", Severity: finding.Low,
		Why:       "A program with a packet socket sees everything that passes, passwords on their way included; an intruder sets one up to listen.",
		Fix:       "Find out what the program is and stop it if it is none of yours. Home Assistant's dhcp integration, DHCP clients and Wi-Fi need such a socket.",
		Reference: []string{"packet(7)", "proc_net(5)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			all, err := h.PacketSockets()
			if err != nil && len(all) == 0 {
				return audit.Unknown(err)
			}
			expected := []string{"dhclient", "dhcpcd", "udhcpc", "NetworkManager", "systemd-network", "systemd-networkd", "wpa_supplicant", "hostapd", "iwd", "hass", "python3", "lldpd", "connmand", "keepalived", "otbr-agent", "pihole-FTL", "dnsmasq", "arpwatch", "kea-dhcp4"}
			var names []string
			var evidence []finding.Evidence
			for _, s := range all {
				switch {
				case s.PID == 0 && err != nil:
					return audit.Unknown(err)
				case s.PID == 0:
				default:
					names = append(names, s.Process)
					if !slices.ContainsFunc(expected, func(name string) bool {
						return name == s.Process || len(s.Process) == 15 && strings.HasPrefix(name, s.Process)
					}) {
						evidence = append(evidence, audit.At(s.File, s.Line, s.Process))
					}
				}
			}
			faces, err := h.Glob("/sys/class/net/*/flags")
			if err != nil {
				return audit.Unknown(err)
			}
			for _, file := range faces {
				t, err := h.Text(file)
				if err != nil || len(t.Lines) == 0 || exists(h, path.Dir(file)+"/brport") || exists(h, path.Dir(file)+"/bonding_slave") {
					continue // a bridge's own ports hear everything
				}
				if flags, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(t.Lines[0]), "0x"), 16, 32); err == nil && flags&0x100 != 0 {
					evidence = append(evidence, audit.At(file, 1, "promiscuous"))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
	}
}
