package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haSecCommands() audit.Check {
	return audit.Check{
		ID: "hasec.shell-command", Title: "The commands that Home Assistant runs are fixed texts", Severity: finding.High,
		Why:       "A command that is put together when it runs does what the parts say: a name with a semicolon, or an answer from the network, may become a command of its own.",
		Fix:       "Write the commands out, one for each case, or have a script check what it is given; in rest_command keep templates out of the server's name.",
		Reference: []string{"HA docs: integrations/shell_command", "HA docs: integrations/command_line"},
		Needs:     audit.NeedHA,
		Judge: haYAML(func(h *facts.Host, root *ha.Node) (any, []finding.Evidence) {
			count := 0
			var evidence []finding.Evidence
			look := func(n *ha.Node, what string) {
				if n == nil || n.Kind != ha.TextNode {
					return
				}
				count++
				if haTemplate(n.Value()) {
					evidence = append(evidence, haAtNode(h, n, what+" with a template"))
				}
			}
			all, _ := root.Sections("shell_command")
			for _, f := range all {
				for _, c := range f.Value.Fields {
					look(c.Value, "shell_command."+c.Key)
				}
			}
			all, _ = root.Sections("rest_command")
			for _, f := range all {
				for _, c := range f.Value.Fields {
					_, rest, _ := strings.Cut(c.Value.Get("url").Value(), "://")
					if server, _, _ := strings.Cut(rest, "/"); haTemplate(server) || rest == "" && haTemplate(c.Value.Get("url").Value()) {
						evidence = append(evidence, haAtNode(h, c.Value.Get("url"), "rest_command."+c.Key+": the server is a template"))
					}
				}
			}
			all, _ = root.Sections("command_line")
			for _, f := range all {
				f.Value.Walk(func(_ []string, n *ha.Node) {
					for _, key := range []string{"command", "command_on", "command_off", "command_state", "command_open", "command_close", "command_stop"} {
						look(n.Get(key), key)
					}
				})
			}
			return count, evidence
		}),
		ByHand: "What the command shall be given is not to be told from the file.",
	}
}
