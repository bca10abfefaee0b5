package checks

import (
	"errors"
	"fmt"
	"path"
	"slices"
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
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			v := serviceFiles(h, "there is no ESPHome", []string{"esphome/*.yaml"}, nil, func(t facts.Text) (bad []finding.Evidence, err error) {
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
			return withDashboard(h, v)
		},
		ByHand: "Each device has to be given a new program with its key, and Home Assistant has to be told that key.",
	}
}

// withDashboard adds to a verdict where ESPHome's dashboard, from which every device can be
// written anew, asks nobody for a password.
func withDashboard(h *facts.Host, v audit.Verdict) audit.Verdict {
	all, err := h.Containers()
	if errors.Is(err, facts.ErrNoContainers) {
		err = nil
	}
	var open []finding.Evidence
	found := false
	for _, c := range all {
		if !strings.Contains(c.Image, "esphome") {
			continue
		}
		found = true
		if slices.ContainsFunc(c.All("environment"), func(s facts.ContainerSetting) bool {
			name, value, _ := strings.Cut(s.Value, "=")
			return name == "PASSWORD" && value != ""
		}) {
			continue
		}
		if c.HostNetwork() {
			open = append(open, containerAt(c, "network_mode", "network_mode: host, and no PASSWORD"))
		}
		for _, p := range c.Ports() {
			if !p.Loopback() && p.Inside == 6052 {
				open = append(open, audit.At(c.File, p.Line, c.Name+": "+p.Text+", and no PASSWORD"))
			}
		}
	}
	switch {
	case len(open) > 0:
		return audit.Fail("open", append(v.Evidence, open...)...)
	case err != nil && v.Result != finding.Fail:
		return audit.Unknown(err)
	case found && v.Result == finding.NotApplicable:
		return audit.Pass("closed")
	}
	return v
}
