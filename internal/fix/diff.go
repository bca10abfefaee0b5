package fix

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"gatehouse/internal/finding"
)

// Show says a step as a person reads it: a unified diff of what is written, a line of the
// rest. What is secret is told without being shown.
func Show(s finding.Step) string {
	switch {
	case s.Kind == finding.StepSysctl:
		text := fmt.Sprintf("sysctl %s: %s → %s\n", strings.ReplaceAll(s.Path, "/", "."), *s.Before.Content, *s.After.Content)
		if s.Final {
			text += "  (the kernel takes it back only when the machine starts again)\n"
		}
		return text
	case s.Kind == finding.StepHTTP:
		return "Home Assistant's web server, by its API (it restarts):\n" + visible(udiff.Unified(s.Path, s.Path, *s.Before.Content+"\n", *s.After.Content+"\n"))
	case s.After == nil:
		return visible(fmt.Sprintf("take away %s (it is kept in the journal)\n", s.Path))
	case s.Before == nil && s.After.Type == finding.EntryDirectory:
		return visible(fmt.Sprintf("make the directory %s, %s\n", s.Path, attributesOf(s.After)))
	case s.Before == nil && s.After.Type == finding.EntryLink:
		return visible(fmt.Sprintf("make the symbolic link %s → %s\n", s.Path, s.After.Target))
	}
	head, before := "", ""
	switch {
	case s.Before == nil:
		head = fmt.Sprintf("make the file %s, %s\n", s.Path, attributesOf(s.After))
	case s.Before.Mode != s.After.Mode || s.Before.UID != s.After.UID || s.Before.GID != s.After.GID:
		head = fmt.Sprintf("%s: %s → %s\n", s.Path, attributesOf(s.Before), attributesOf(s.After))
	}
	if s.After.Content == nil {
		return visible(head)
	}
	if s.Before != nil && s.Before.Content != nil {
		before = *s.Before.Content
	}
	diff := udiff.Unified(s.Path, s.Path, before, *s.After.Content)
	if s.Secret {
		diff = masked(diff)
	}
	return visible(head) + visible(unsaid(diff))
}

// unsaid is a diff in which no value is shown that its name calls secret. The lines around a
// change say what they say, and a diff is read at the desk, too.
func unsaid(diff string) string {
	const name = `[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|api_?key|access_?key|private_?key|preshared_?key|psk|credentials?|authorization)`
	assigned := regexp.MustCompile(`(?i)(` + name + `["']?[ \t]*[:=][ \t]*)("[^"\n]*"|'[^'\n]*'|[^\s"',;}][^,;}\n]*)`)
	harmless := regexp.MustCompile(`(?i)^["']?(?:yes|no|true|false|on|off|none|null|[0-9]{1,4}|!\w.*|[/$%{].*)?["']?$`)
	diff = assigned.ReplaceAllStringFunc(diff, func(found string) string {
		part := assigned.FindStringSubmatch(found)
		if harmless.MatchString(strings.TrimSpace(part[2])) {
			return found
		}
		return part[1] + "…"
	})
	for _, said := range []string{`(://[^/\s:@]*:)[^/\s@]+(@)`, `(?i)(\b(?:basic|bearer)[ \t]+)[\w+/=.~-]{8,}()`, `(?i)(\bHashedControlPassword[ \t]+)\S+()`, `(?i)(\buser[ \t]+\S+[ \t]+(?:insecure-)?password[ \t]+)\S+()`} {
		diff = regexp.MustCompile(said).ReplaceAllString(diff, "${1}…${2}")
	}
	return diff
}

func attributesOf(e *finding.Entry) string {
	return fmt.Sprintf("%04o %d:%d", e.Mode, e.UID, e.GID)
}

// masked is a diff without values: of each line its indentation and name are left, and what
// says where the value is now.
func masked(diff string) string {
	var b strings.Builder
	name := regexp.MustCompile(`^[ \t]*(?:- )?["']?[\w.-][\w. -]{0,39}["']?[ \t]*$`)
	for line := range strings.Lines(diff) {
		if strings.HasPrefix(line, "---") || strings.HasPrefix(line, "+++") || strings.HasPrefix(line, "@@") {
			b.WriteString(line)
			continue
		}
		at := strings.IndexAny(line, ":=")
		switch rest := line[at+1:]; {
		case at < 0 || !name.MatchString(line[1:at]) || line[at] == '=' && strings.Trim(rest, "= \r\n") == "":
			b.WriteString(line[:1] + "…\n") // it may be the secret itself, as the last line of a key
		case strings.HasPrefix(strings.TrimSpace(rest), "!secret "):
			b.WriteString(line)
		case strings.TrimSpace(rest) == "":
			b.WriteString(line)
		default:
			b.WriteString(line[:at+1] + " …\n")
		}
	}
	return b.String()
}

// visible is a text in which nothing moves a terminal's cursor.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '�'
		}
		return r
	}, text)
}
