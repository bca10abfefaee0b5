package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcZigbee2MQTT() audit.Check {
	return audit.Check{
		ID: "svc.zigbee2mqtt", Title: "Zigbee2MQTT's page asks for a password, and the network's key is its own", Severity: finding.High,
		Why:       "Who reaches the page takes devices over, locks among them; and the key of the examples is known to everybody with a radio.",
		Fix:       "Set frontend: auth_token: or host: 127.0.0.1. A new network_key means that every device has to be paired again: plan it.",
		Reference: []string{"Zigbee2MQTT docs: Frontend, Zigbee network"},
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			return serviceFiles(h, "there is no Zigbee2MQTT", []string{"configuration.yaml", "data/configuration.yaml"}, []string{"/opt/zigbee2mqtt/data/configuration.yaml", "/var/lib/zigbee2mqtt/configuration.yaml"}, func(t facts.Text) (bad []finding.Evidence, err error) {
				text := string(t.Bytes)
				if !strings.Contains(text, "base_topic") && !strings.Contains(text, "serial:") || h.HADir != "" && t.Path == h.HADir+"/configuration.yaml" {
					return nil, nil // another program's
				}
				s, err := h.YAMLSettings(t.Path)
				if err != nil {
					return nil, err
				}
				enabled, has := facts.Find(s, "frontend.enabled")
				simple, isSimple := facts.Find(s, "frontend")
				on := has && enabled.Value == "true" || isSimple && simple.Value == "true" || !has && strings.Contains(text, "\nfrontend:") && !isSimple
				token, _ := facts.Find(s, "frontend.auth_token")
				host, _ := facts.Find(s, "frontend.host")
				local := strings.HasPrefix(host.Value, "127.") || host.Value == "localhost" || strings.HasPrefix(host.Value, "/")
				if on && token.Value == "" && !local {
					bad = append(bad, audit.At(t.Path, max(enabled.Line, simple.Line), "frontend without auth_token"))
				}
				first, _ := facts.Find(s, "advanced.network_key.0")
				second, _ := facts.Find(s, "advanced.network_key.1")
				last, _ := facts.Find(s, "advanced.network_key.15")
				if first.Value == "1" && second.Value == "3" && last.Value == "13" {
					bad = append(bad, audit.At(t.Path, first.Line, "network_key is the one of the examples"))
				}
				if key, ok := facts.Find(s, "advanced.network_key"); first.Value == "" && (!ok || key.Value == "") {
					// Releases before 1.33.0 take the one of the examples then, later ones make one and
					// write it here.
					return bad, fmt.Errorf("%s: network_key is not set, and which release runs is not known", t.Path)
				}
				return bad, nil
			})
		},
		ByHand: "A new password is yours to choose, and with a new key of the network each device has to be paired again.",
	}
}
