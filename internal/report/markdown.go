package report

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gatehouse/internal/finding"
)

// escape makes a text mean nothing but itself in Markdown (CommonMark 2.4, and GitHub's
// tables and mentions).
func escape(s string) string {
	var b strings.Builder
	for _, r := range plain(s) {
		if strings.ContainsRune("\\`*_{}[]<>#+!|~&@$", r) || r == '-' && b.Len() == 0 {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (r *Report) writeMarkdown(to io.Writer, s Style) error {
	w, m := bufio.NewWriter(to), s.Language.words()
	fmt.Fprintf(w, "# %s\n\n%s\n\n", m.Title, escape(r.headline(m)))
	if !r.AsRoot {
		fmt.Fprintf(w, "%s\n\n", m.NotRoot)
	}
	grade, _ := r.grade(m)
	fmt.Fprintf(w, "**%s** – %s\n", grade, r.sum(m))
	if first := r.First(doFirst); len(first) > 0 {
		fmt.Fprintf(w, "\n## %s\n\n", m.FirstTitle)
		for n, f := range first {
			fmt.Fprintf(w, "%d. **%s** (%s, %s)\\\n   %s\\\n   → %s\n", n+1, escape(title(m, f)), escape(f.ID), m.severity(string(f.Severity)), escape(f.Why), escape(f.Fix))
		}
	} else {
		fmt.Fprintf(w, "\n%s\n", m.NothingFails)
	}
	if r.Since != nil {
		fmt.Fprintf(w, "\n## %s\n\n", escape(fill(m.SinceTitle, "what", r.Since.At.Format("2006-01-02 15:04"))))
		if len(r.Since.New)+len(r.Since.Gone)+len(r.Since.Changed) == 0 {
			fmt.Fprintf(w, "%s\n", m.SinceNothing)
		}
		for _, l := range []struct {
			name string
			ids  []string
		}{{m.SinceNew, r.Since.New}, {m.SinceGone, r.Since.Gone}, {m.SinceChanged, changes(m, r.Since)}} {
			if len(l.ids) > 0 {
				fmt.Fprintf(w, "- %s: %s\n", l.name, escape(strings.Join(l.ids, ", ")))
			}
		}
	}
	for _, topic := range r.topics() {
		fmt.Fprintf(w, "\n## %s\n\n| %s | %s | %s | %s |\n| --- | --- | --- | --- |\n", escape(s.Language.Headline(topic)), m.Result, m.Severity, m.Check, m.Evidence)
		for _, f := range r.of(topic) {
			fmt.Fprintf(w, "| %s | %s | %s (%s) | %s |\n", m.result(f.Result), m.severity(string(f.Severity)), escape(title(m, f)), escape(f.ID), strings.Join(r.cells(m, f), "<br>"))
		}
	}
	for n, v := range r.Waivers {
		if n == 0 {
			fmt.Fprintln(w)
		}
		if text := waiverRemark(m, v); text != "" {
			fmt.Fprintf(w, "- %s\n", escape(text))
		}
	}
	return w.Flush()
}

// cells is what is told of a check in a table.
func (r *Report) cells(m *messages, f finding.Finding) (all []string) {
	switch f.Result {
	case finding.Unknown, finding.NotApplicable:
		return []string{escape(reason(f.Why))}
	case finding.Waived:
		v := r.waiver(f.ID)
		all = append(all, escape(fill(m.WaivedFor, "what", v.Reason, "until", v.Until)))
	}
	for n, e := range f.Evidence {
		if n == mostEvidence {
			all = append(all, fill(m.More, "n", strconv.Itoa(len(f.Evidence)-n)))
			break
		}
		all = append(all, escape(where(e)))
	}
	return all
}
