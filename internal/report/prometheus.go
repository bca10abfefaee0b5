package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"gatehouse/internal/finding"
)

// writePrometheus writes Prometheus' text format, for the node exporter's directory of
// text files.
func (r *Report) writePrometheus(to io.Writer) error {
	w := bufio.NewWriter(to)
	label := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	quote := func(s string) string { return `"` + label.Replace(strings.ToValidUTF8(s, "\uFFFD")) + `"` }
	fmt.Fprint(w, "# HELP gatehouse_audit_check A check of gatehouse audit and how it came out.\n# TYPE gatehouse_audit_check gauge\n")
	for _, f := range r.Checks {
		fmt.Fprintf(w, "gatehouse_audit_check{id=%s,severity=%s,result=%s} 1\n", quote(f.ID), quote(string(f.Severity)), quote(string(f.Result)))
	}
	fmt.Fprint(w, "# HELP gatehouse_audit_checks How many checks came out like this.\n# TYPE gatehouse_audit_checks gauge\n")
	for _, s := range finding.Severities() {
		for _, result := range finding.Results() {
			fmt.Fprintf(w, "gatehouse_audit_checks{severity=%s,result=%s} %d\n", quote(string(s)), quote(string(result)), r.count(result, s))
		}
	}
	fmt.Fprint(w, "# HELP gatehouse_audit_time_seconds When the audit was made, in Unix time.\n# TYPE gatehouse_audit_time_seconds gauge\n")
	fmt.Fprintf(w, "gatehouse_audit_time_seconds %d\n", r.At.Unix())
	return w.Flush()
}
