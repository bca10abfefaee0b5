package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcNodeRED() audit.Check {
	return audit.Check{
		ID: "svc.node-red", Title: "Node-RED asks who wants to change its flows", Severity: finding.Crit,
		Why:       "Who reaches Node-RED's editor runs any command on the machine.",
		Fix:       "Take adminAuth in settings.js out of its remark, with a hash made by node-red admin hash-pw, and let httpStatic lead to no folder of Home Assistant's.",
		Reference: []string{"Node-RED docs: Securing Node-RED"},
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			return unlessContained(h, serviceFiles(h, "there is no Node-RED", []string{".node-red/settings.js", "settings.js"}, nil, func(t facts.Text) (bad []finding.Evidence, err error) {
				ours, auth, local, inside := false, false, false, false
				for n, line := range t.Lines {
					line = strings.TrimSpace(line)
					if inside {
						inside = !strings.Contains(line, "*/")
						continue
					}
					if strings.HasPrefix(line, "/*") {
						inside = !strings.Contains(line, "*/")
						continue
					}
					if strings.HasPrefix(line, "//") {
						continue
					}
					name, value, _ := strings.Cut(strings.ReplaceAll(line, " ", ""), ":")
					switch name {
					case "flowFile", "uiPort", "credentialSecret", "functionGlobalContext":
						ours = true
					case "adminAuth":
						auth = true
					case "uiHost":
						local = strings.Contains(value, "127.0.0.1") || strings.Contains(value, "localhost")
					case "httpStatic":
						if h.HADir != "" && strings.Contains(value, strings.TrimSuffix(h.HADir, "/")) || strings.Contains(value, "'/config'") {
							bad = append(bad, audit.At(t.Path, n+1, line))
						}
					}
				}
				if inside {
					return nil, fmt.Errorf("%s: a remark without end", t.Path)
				}
				if !ours {
					return nil, nil // another program's
				}
				if !auth && !local {
					bad = append(bad, audit.At(t.Path, 0, "adminAuth is not set"))
				}
				return bad, nil
			}), "node-red")
		},
		ByHand: "A new password is yours to choose.",
	}
}
