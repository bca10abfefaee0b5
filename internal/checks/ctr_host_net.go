package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrHostNet() audit.Check {
	return audit.Check{
		ID: "ctr.host-net", Title: "Only containers that need it stand in the machine's own network", Severity: finding.Info,
		Why:       "There a container reaches everything that listens on 127.0.0.1. Home Assistant needs it to find devices, most others do not.",
		Fix:       "Give the service a network of its own and publish the port that it needs.",
		Reference: []string{"CIS Docker 5.10", "HA docs: Installation, Container"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			need := []string{"matter-server", "openthread", "otbr", "esphome", "homebridge", "scrypted", "tailscale", "wireguard", "avahi", "mdns", "plex", "jellyfin", "node-exporter", "node_exporter", "music-assistant", "snapcast", "adguardhome", "pihole", "netdata", "keepalived"}
			return judgeContainers(h, func(c facts.ContainerSpec) []finding.Evidence {
				if !c.HostNetwork() || c.HomeAssistant() || slices.ContainsFunc(need, func(n string) bool { return strings.Contains(c.Image, n) }) {
					return nil
				}
				return []finding.Evidence{containerAt(c, "network_mode", "network_mode: host")}
			})
		},
	}
}
