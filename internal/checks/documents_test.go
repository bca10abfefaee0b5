package checks

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/audit"
	"gatehouse/internal/finding"
	"gatehouse/internal/report"
)

var update = flag.Bool("update", false, "write docs/checks anew")

// documents is where the pages of the checks are.
const documents = "../../docs/checks"

// The pages of docs/checks are what the rules say: one of each check, and a table of all.
// go test ./internal/checks -run TestDocuments -update writes them.
func TestDocuments(t *testing.T) {
	pages := map[string]string{"README.md": tableOf(All())}
	for _, c := range All() {
		pages[c.ID+".md"] = pageOf(c)
	}
	if *update {
		if err := os.MkdirAll(documents, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range pages {
			if err := os.WriteFile(filepath.Join(documents, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(documents, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		if pages[name] != "" || name == leftOut {
			continue
		}
		if !*update {
			t.Errorf("%s is of no check", name)
		} else if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		text, err := os.ReadFile(filepath.Join(documents, name))
		if err != nil || string(text) != pages[name] {
			t.Errorf("docs/checks/%s is not what the rules say (go test ./internal/checks -run TestDocuments -update): %v", name, err)
		}
	}
}

// leftOut is the page of what is not checked, and why. It is written by hand.
const leftOut = "left-out.md"

// tableOf is the page of all checks, by topic.
func tableOf(all []audit.Check) string {
	var b strings.Builder
	count := map[finding.Severity]int{}
	for _, c := range all {
		count[c.Severity]++
	}
	fmt.Fprintf(&b, "# Checks\n\nWhat `gatehouse audit` asks: %d checks", len(all))
	for n, s := range finding.Severities() {
		fmt.Fprintf(&b, "%s%d %s", map[bool]string{true: ": ", false: ", "}[n == 0], count[s], s)
	}
	b.WriteString(". A title says what is so where all is well. A check that cannot judge says why and is never taken for good.\n\n" +
		"These pages are written from the rules by `go test ./internal/checks -run TestDocuments -update`.\n")
	if _, err := os.Stat(filepath.Join(documents, leftOut)); err == nil {
		fmt.Fprintf(&b, "\n[What is not checked, and why](%s)\n", leftOut)
	}
	var topics []string
	for _, c := range all {
		if !slices.Contains(topics, c.Topic()) {
			topics = append(topics, c.Topic())
		}
	}
	for _, topic := range topics {
		fmt.Fprintf(&b, "\n## %s\n\n| check | severity | what is so |\n| --- | --- | --- |\n", report.English.Headline(topic))
		for _, c := range all {
			if c.Topic() == topic {
				fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s |\n", c.ID, c.ID, c.Severity, marked(c.Title))
			}
		}
	}
	return b.String()
}

// pageOf is the page of one check.
func pageOf(c audit.Check) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n`%s` · %s · %s\n", marked(c.Title), c.ID, c.Severity, report.English.Headline(c.Topic()))
	for _, part := range [][2]string{{"Why", marked(c.Why)}, {"What to do", marked(c.Fix)}, {"Judged from", judgedFrom(c.Needs)}, {"References", marked(strings.Join(c.Reference, ", "))}} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", part[0], part[1])
	}
	switch {
	case c.Repair != nil && c.Profile != "":
		fmt.Fprintf(&b, "\n## Repair\n\n`gatehouse fix %s`; recommended by `gatehouse harden --profile %s`. [How repairs work](../fix.md).\n", c.ID, c.Profile)
	case c.Repair != nil:
		fmt.Fprintf(&b, "\n## Repair\n\n`gatehouse fix %s`, where you ask for it. [How repairs work](../fix.md).\n", c.ID)
	case c.ByHand != "":
		fmt.Fprintf(&b, "\n## Repair\n\nBy hand: %s\n", marked(c.ByHand))
	}
	if homes := examplesOf(c.ID); homes != "" {
		fmt.Fprintf(&b, "\n## A home where it fails\n\n%s", homes)
	}
	return b.String()
}

func judgedFrom(n audit.Need) string {
	var all []string
	for _, p := range []struct {
		need audit.Need
		text string
	}{
		{audit.NeedHost, "The machine’s own files: not asked in a container, on Home Assistant OS, or where there is nothing but Home Assistant’s directory."},
		{audit.NeedHA, "Home Assistant’s configuration directory."},
		{audit.AlsoHA, "Home Assistant’s configuration directory as well, where there is one."},
		{audit.NeedLive, "The running machine: elsewhere it cannot be judged."},
		{audit.NeedRouter, "The router, which is asked from the running machine."},
	} {
		if n&p.need != 0 {
			all = append(all, p.text)
		}
	}
	if len(all) == 0 {
		return "Whatever of it is there."
	}
	return strings.Join(all, " ")
}

// examplesOf is the first drawing of a check in which it fails, as testdata has it. That
// there is one is for TestChecks to say.
func examplesOf(id string) string {
	const most = 30 // lines
	text, err := os.ReadFile(filepath.Join("testdata", id+".txt"))
	if err != nil {
		return ""
	}
	for _, part := range strings.Split("\n"+string(text), "\n== ")[1:] {
		header, drawing, _ := strings.Cut(part, "\n")
		if words := strings.Fields(header); len(words) < 2 || words[1] != string(finding.Fail) {
			continue
		}
		lines := strings.Split(strings.TrimRight(drawing, "\n"), "\n")
		if len(lines) > most {
			lines = append(lines[:most], "…")
		}
		for n, l := range lines {
			lines[n] = strings.TrimRight("    "+l, " ")
		}
		return strings.Join(lines, "\n") + "\n"
	}
	return ""
}

// marked makes a text mean nothing but itself in Markdown.
func marked(s string) string {
	return strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "<", "\\<", ">", "\\>", "|", "\\|", "[", "\\[", "]", "\\]", "#", "\\#").Replace(s)
}
