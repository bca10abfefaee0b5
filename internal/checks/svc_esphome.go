package checks

import (
	"fmt"
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcESPHome() audit.Check {
	return audit.Check{
		ID: "svc.esphome", Title: "ESPHome devices encrypt, and take new programs with a password only", Severity: finding.High,
		Why:       "Without a key everybody in the network switches the device, and without a password puts a program of his own on it.",
		Fix:       "Write api: encryption: key: and ota: password: into each device's file and put it on the device; keep the dashboard (port 6052) behind a password.",
		Reference: []string{"ESPHome docs: Native API, OTA"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return serviceFiles(h, "there is no ESPHome", []string{"esphome/*.yaml"}, nil, func(t facts.Text) (bad []finding.Evidence, err error) {
				if path.Base(t.Path) == "secrets.yaml" {
					return nil, nil
				}
				s, err := h.YAMLSettings(t.Path)
				if err != nil {
					return nil, err
				}
				var api, encrypted, ota, password bool
				apiLine, otaLine := 0, 0
				for _, n := range s {
					switch {
					case n.Path == "packages" || strings.HasPrefix(n.Path, "packages."):
						return nil, fmt.Errorf("%s:%d: packages are not read here", t.Path, n.Line)
					case strings.HasPrefix(n.Path, "api.encryption"):
						api, encrypted = true, true
					case n.Path == "api" || strings.HasPrefix(n.Path, "api."):
						api, apiLine = true, n.Line
					case strings.HasPrefix(n.Path, "ota") && strings.HasSuffix(n.Path, ".password"):
						ota, password = true, n.Value != ""
					case n.Path == "ota" || strings.HasPrefix(n.Path, "ota."):
						ota, otaLine = true, n.Line
					}
				}
				if api && !encrypted {
					bad = append(bad, audit.At(t.Path, apiLine, "api without encryption"))
				}
				if ota && !password {
					bad = append(bad, audit.At(t.Path, otaLine, "ota without password"))
				}
				return bad, nil
			})
		},
	}
}
