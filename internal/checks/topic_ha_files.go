package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

// homeAssistantFiles are the checks of what lies in Home Assistant's configuration
// directory, and what the configuration lets out.
func homeAssistantFiles() []audit.Check {
	return []audit.Check{
		haSecGit(), haSecWWW(), haSecWritable(),
		haSecLiterals(), haSecPerms(), haSecBackups(), haSecAllowlist(), haSecCommands(), haSecCustom(),
		haSecDatabase(), haSecVerify(), haSecRecorder(), haSecUnused(),
	}
}

// haYAML judges the whole configuration. What cannot be read of it makes what is not found
// there unknown.
func haYAML(judge func(*facts.Host, *ha.Node) (effective any, evidence []finding.Evidence)) func(*facts.Host) audit.Verdict {
	return func(h *facts.Host) audit.Verdict {
		root, err := h.HAConfiguration()
		if err != nil {
			return audit.Unknown(err)
		}
		effective, evidence := judge(h, root)
		if err := root.Unread(); err != nil && len(evidence) == 0 {
			return audit.Unknown(err)
		}
		return audit.PassIf(len(evidence) == 0, effective, evidence...)
	}
}

// haTemplate reports whether a text is worked out when it is used.
func haTemplate(s string) bool { return strings.Contains(s, "{{") || strings.Contains(s, "{%") }
