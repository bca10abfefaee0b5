package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrUser() audit.Check {
	return audit.Check{
		ID: "ctr.user", Title: "Containers that can do without root do so", Severity: finding.Med,
		Why:       "Root in a container is root outside of it as soon as one wall breaks.",
		Fix:       "Write user: \"1000:1000\" to the service and give the folders that it writes to that number (chown).",
		Reference: []string{"CIS Docker 4.1", "Zigbee2MQTT docs: Docker, rootless container"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			// Images that run as root unless told otherwise, and work without it.
			able := []string{"koenkk/zigbee2mqtt", "zwavejs/zwave-js-ui", "traefik", "vaultwarden/server", "caddy", "redis", "valkey/valkey"}
			return judgeContainers(h, func(c facts.ContainerSpec) []finding.Evidence {
				name, _, _ := strings.Cut(c.Image, "@")
				name = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/"), "ghcr.io/")
				if n := strings.LastIndexByte(name, ':'); n > strings.LastIndexByte(name, '/') {
					name = name[:n]
				}
				user := ""
				for _, s := range c.All("user") {
					user = s.Value
				}
				first, _, _ := strings.Cut(user, ":")
				if user == "" && slices.Contains(able, name) || first == "0" || first == "root" {
					return []finding.Evidence{containerAt(c, "user", "runs as root")}
				}
				return nil
			})
		},
	}
}
