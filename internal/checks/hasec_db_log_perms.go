package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haSecDatabase() audit.Check {
	return audit.Check{
		ID: "hasec.db-log-perms", Title: "The history of the house and its log are not for everybody on this machine", Severity: finding.Med,
		Why:       "The history says when nobody is at home; the log may hold addresses and tokens, and everything that is said to MQTT where it is asked to be thorough.",
		Fix:       "chmod 640 home-assistant_v2.db* and home-assistant.log*; set the logger to info for http, auth and mqtt when you have found what you looked for.",
		Reference: []string{"HA docs: integrations/recorder", "HA docs: integrations/logger"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			barred, err := haBarred(h)
			if err != nil {
				return audit.Unknown(err)
			}
			names, err := h.Dir(h.HADir)
			if err != nil {
				return audit.Unknown(err)
			}
			open := []string{}
			var evidence []finding.Evidence
			for _, name := range names {
				if !strings.HasPrefix(name, "home-assistant_v2.db") && !strings.HasPrefix(name, "home-assistant.log") {
					continue
				}
				info, err := h.Stat(h.HAPath(name))
				if err != nil {
					return audit.Unknown(err)
				}
				if info.Mode.Perm()&0o007&^barred != 0 {
					open = append(open, name)
					evidence = append(evidence, audit.At(h.HAPath(name), 0, fmt.Sprintf("mode %04o", info.Mode.Perm())))
				}
			}
			root, err := h.HAConfiguration()
			if err != nil {
				return audit.Unknown(err)
			}
			loggers, err := root.Sections("logger")
			for _, l := range loggers {
				look := func(n *ha.Node, name string) {
					if strings.EqualFold(n.Value(), "debug") || strings.EqualFold(n.Value(), "notset") {
						open = append(open, name)
						evidence = append(evidence, haAtNode(h, n, name+": "+n.Value()))
					}
				}
				look(l.Value.Get("default"), "default")
				if logs := l.Value.Get("logs"); logs != nil {
					for _, f := range logs.Fields {
						for _, part := range []string{"http", "auth", "mqtt", "websocket_api", "webhook"} {
							if f.Key == "homeassistant" || f.Key == "homeassistant.components" || strings.HasPrefix(f.Key, "homeassistant.components."+part) || strings.HasPrefix(f.Key, "homeassistant."+part) {
								look(f.Value, f.Key)
								break
							}
						}
					}
				}
			}
			if err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, open, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairDatabase(),
	}
}
