package checks

import (
	"errors"
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcZWaveJS() audit.Check {
	return audit.Check{
		ID: "svc.zwave-js", Title: "Z-Wave has keys of its own, and its server is not open", Severity: finding.High,
		Why:       "Who reaches port 3000 commands every Z-Wave lock without a password; without S2 keys the neighbour's radio does.",
		Fix:       "Publish ports 3000 and 8091 on 127.0.0.1 only, set the S2 keys in Z-Wave JS UI, and chmod 600 its settings.json.",
		Reference: []string{"Z-Wave JS UI docs: Security keys", "HA docs: integrations/zwave_js"},
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			v := serviceFiles(h, "there is no Z-Wave JS", []string{"settings.json", "store/settings.json", "data/settings.json"}, nil, func(t facts.Text) (bad []finding.Evidence, err error) {
				text := string(t.Bytes)
				if !strings.Contains(text, `"zwave"`) {
					return nil, nil
				}
				if s := strings.TrimSpace(text); !strings.HasSuffix(s, "}") {
					return nil, fmt.Errorf("%s: half written", t.Path)
				}
				info, err := h.Stat(t.Path)
				if err != nil {
					return nil, err
				}
				if info.Mode.Perm()&0o077 != 0 {
					bad = append(bad, audit.At(t.Path, 0, fmt.Sprintf("mode %04o, with the network's keys", info.Mode.Perm())))
				}
				if !strings.Contains(text, `"S2_AccessControl"`) || !strings.Contains(text, `"S2_Authenticated"`) {
					bad = append(bad, audit.At(t.Path, 0, "S2 keys are not set"))
				}
				return bad, nil
			})
			all, err := h.Containers()
			for _, c := range all {
				if !strings.Contains(c.Image, "zwave-js") && !strings.Contains(c.Image, "zwavejs") {
					continue
				}
				if v.Result == finding.NotApplicable {
					v = audit.Pass("closed")
				}
				if c.HostNetwork() {
					v.Evidence = append(v.Evidence, containerAt(c, "network_mode", "network_mode: host, with the server on port 3000"))
				}
				for _, p := range c.Ports() {
					if !p.Loopback() && (p.Inside == 3000 || p.Inside == 8091) {
						v.Evidence = append(v.Evidence, audit.At(c.File, p.Line, c.Name+": "+p.Text))
					}
				}
			}
			if len(v.Evidence) > 0 {
				return audit.Fail("open", v.Evidence...)
			}
			if err != nil && !errors.Is(err, facts.ErrNoContainers) {
				return audit.Unknown(err)
			}
			return v
		},
		ByHand: "The keys belong to the devices, which would have to be included again.",
	}
}
