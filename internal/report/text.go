package report

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"gatehouse/internal/finding"
)

// width is of a text, in characters.
const width = 80

// mostEvidence is how many lines of evidence people are shown of a check.
const mostEvidence = 5

// The colours of a terminal (ECMA-48).
const (
	bold   = "1"
	red    = "31"
	yellow = "33"
	green  = "32"
)

// writing is a text in the making.
type writing struct {
	*bufio.Writer
	m      *messages
	colour bool
}

func (r *Report) writeText(to io.Writer, s Style) error {
	w := &writing{bufio.NewWriter(to), s.Language.words(), s.Colour}
	w.wrap("", "", r.headline(w.m))
	if !r.AsRoot {
		w.wrap("", "", w.m.NotRoot)
	}
	w.line("")
	grade, good := r.grade(w.m)
	w.line(w.paint(grade, bold, good))
	w.wrap("", "", r.sum(w.m))
	if first := r.First(doFirst); len(first) > 0 {
		w.headline(w.m.FirstTitle)
		for n, f := range first {
			number := strconv.Itoa(n+1) + ". "
			w.wrap("  "+number, "     ", title(w.m, f)+" ("+plain(f.ID)+", "+w.m.severity(string(f.Severity))+")")
			w.evidence("     ", f)
			w.wrap("     ", "     ", plain(f.Why))
			w.wrap("     → ", "       ", plain(f.Fix))
			if f.Fixable {
				w.wrap("       ", "       ", fill(w.m.DoesIt, "what", plain(f.ID)))
			}
		}
	} else {
		w.line("")
		w.line(w.m.NothingFails)
	}
	r.sinceText(w)
	for _, topic := range r.topics() {
		r.topicText(w, s.Language, topic)
	}
	told := false
	for _, v := range r.Waivers {
		if text := waiverRemark(w.m, v); text != "" {
			if !told {
				w.line("")
				told = true
			}
			w.wrap("", "", text)
		}
	}
	w.line("")
	w.wrap("", "", w.m.Explain)
	return w.Flush()
}

// title is what a check is about: of one that fails, what should be so.
func title(m *messages, f finding.Finding) string {
	if f.Result == finding.Fail || f.Result == finding.Waived {
		return fill(m.Should, "what", plain(f.Title))
	}
	return plain(f.Title)
}

// headline is what the report is about, in a sentence.
func (r *Report) headline(m *messages) string {
	root := r.Root
	if root == "/" || root == "" {
		root = m.ThisMachine
	}
	text := m.Title + " " + fill(m.Of, "what", plain(root)) + ", " + fill(m.At, "what", stamp(r))
	if r.HADir != "" {
		text += ", " + fill(m.HomeDir, "what", plain(r.HADir))
	}
	return text
}

func stamp(r *Report) string { return r.At.Format("2006-01-02 15:04") }

// grade is the grade's line and its colour.
func (r *Report) grade(m *messages) (text, colour string) {
	g := r.Grade()
	switch g {
	case "":
		unknown := r.count(finding.Unknown, finding.Crit, finding.High)
		asked := unknown + r.count(finding.Pass, finding.Crit, finding.High) + r.count(finding.Fail, finding.Crit, finding.High) + r.count(finding.Waived, finding.Crit, finding.High)
		if asked == 0 {
			return m.NoGradeNone, yellow
		}
		return fill(m.NoGrade, "n", strconv.Itoa(unknown), "m", strconv.Itoa(asked)), yellow
	case "A", "B":
		colour = green
	case "C", "D":
		colour = yellow
	default:
		colour = red
	}
	return fill(m.Grade, "what", g), colour
}

// sum counts the results.
func (r *Report) sum(m *messages) string {
	var parts []string
	for _, p := range r.sums(m) {
		parts = append(parts, p.text)
	}
	return strings.Join(parts, ", ") + "."
}

type counted struct {
	result finding.Result
	text   string
}

func (r *Report) sums(m *messages) (all []counted) {
	for _, p := range []counted{{finding.Fail, m.SumFails}, {finding.Unknown, m.SumUnknown}, {finding.Waived, m.SumWaived}, {finding.Pass, m.SumFine}, {finding.NotApplicable, m.SumNotAbout}} {
		if n := r.count(p.result); n > 0 || p.result == finding.Fail {
			all = append(all, counted{p.result, fill(p.text, "n", strconv.Itoa(n))})
		}
	}
	return all
}

func (r *Report) sinceText(w *writing) {
	if r.Since == nil {
		return
	}
	w.headline(fill(w.m.SinceTitle, "what", r.Since.At.Format("2006-01-02 15:04")))
	if len(r.Since.New)+len(r.Since.Gone)+len(r.Since.Changed) == 0 {
		w.line("  " + w.m.SinceNothing)
		return
	}
	list := func(name string, ids []string) {
		if len(ids) > 0 {
			w.wrap("  "+name+": ", "    ", plain(strings.Join(ids, ", ")))
		}
	}
	list(w.m.SinceNew, r.Since.New)
	list(w.m.SinceGone, r.Since.Gone)
	list(w.m.SinceChanged, changes(w.m, r.Since))
}

func changes(m *messages, s *Since) (all []string) {
	for _, c := range s.Changed {
		text := c.ID
		if c.Before != c.After {
			text += " (" + m.result(c.Before) + " → " + m.result(c.After) + ")"
		}
		all = append(all, text)
	}
	return all
}

func (m *messages) result(r finding.Result) string {
	switch r {
	case finding.Pass:
		return m.Fine
	case finding.Fail:
		return m.Fails
	case finding.Unknown:
		return m.Unknown
	case finding.NotApplicable:
		return m.NotAbout
	case finding.Waived:
		return m.Waived
	}
	return plain(string(r))
}

func (r *Report) topicText(w *writing, l Language, topic string) {
	w.headline(l.Headline(topic))
	fine, notAbout := 0, 0
	for _, f := range r.of(topic) {
		switch f.Result {
		case finding.Pass:
			fine++
			continue
		case finding.NotApplicable:
			notAbout++
			continue
		}
		mark := w.m.result(f.Result)
		colour := yellow
		if f.Result == finding.Fail {
			mark = w.m.severity(string(f.Severity))
			if f.Severity.AtLeast(finding.High) {
				colour = red
			}
		} else {
			mark += ", " + w.m.severity(string(f.Severity))
		}
		w.line("  " + w.paint(plain(f.ID), bold) + "  " + w.paint(mark, colour))
		w.wrap("    ", "    ", title(w.m, f))
		switch f.Result {
		case finding.Waived:
			v := r.waiver(f.ID)
			w.wrap("    ", "    ", fill(w.m.WaivedFor, "what", plain(v.Reason), "until", v.Until))
		case finding.Fail:
			w.evidence("    ", f)
			if f.Severity.AtLeast(finding.High) {
				w.wrap("    → ", "      ", plain(f.Fix))
				if f.Fixable {
					w.wrap("      ", "      ", fill(w.m.DoesIt, "what", plain(f.ID)))
				}
			}
		default:
			w.wrap("    ", "    ", fill(w.m.Because, "what", reason(f.Why)))
		}
	}
	var rest []string
	if fine > 0 {
		rest = append(rest, fill(w.m.SumFine, "n", strconv.Itoa(fine)))
	}
	if notAbout > 0 {
		rest = append(rest, fill(w.m.SumNotAbout, "n", strconv.Itoa(notAbout)))
	}
	if len(rest) > 0 {
		w.line("  " + strings.Join(rest, ", "))
	}
}

func waiverRemark(m *messages, v Waiver) string {
	switch v.State {
	case Expired:
		return fill(m.WaiverOver, "what", plain(v.ID), "until", plain(v.Until))
	case Unneeded:
		return fill(m.WaiverIdle, "what", plain(v.ID))
	}
	return ""
}

// evidence writes what a result rests on; where there is no line of a file, what holds.
func (w *writing) evidence(indent string, f finding.Finding) {
	for n, e := range f.Evidence {
		if n == mostEvidence {
			w.line(indent + fill(w.m.More, "n", strconv.Itoa(len(f.Evidence)-n)))
			break
		}
		w.wrap(indent, indent+"  ", where(e))
	}
	if v := value(f); v != "" && len(f.Evidence) == 0 {
		w.wrap(indent, indent+"  ", fill(w.m.InForce, "what", v))
	}
}

func (w *writing) headline(text string) {
	w.line("")
	w.line(w.paint(text, bold))
}

func (w *writing) line(text string) {
	_, _ = w.WriteString(text) // what went wrong is kept and returned by Flush
	_ = w.WriteByte('\n')
}

// paint gives a text colours, if it has any.
func (w *writing) paint(text string, colours ...string) string {
	if !w.colour || text == "" {
		return text
	}
	return "\x1b[" + strings.Join(colours, ";") + "m" + text + "\x1b[0m"
}

// wrap writes a text in lines of at most width; a word that is longer is broken.
func (w *writing) wrap(first, indent, text string) {
	line, room := first, width-utf8.RuneCountInString(first)
	empty := true
	for _, word := range strings.Fields(text) {
		for {
			n := utf8.RuneCountInString(word)
			if !empty && n+1 > room {
				w.line(strings.TrimRight(line, " "))
				line, room, empty = indent, width-utf8.RuneCountInString(indent), true
			}
			if !empty {
				line, room = line+" ", room-1
			}
			if n <= room {
				line, room, empty = line+word, room-n, false
				break
			}
			r := []rune(word)
			line, word, room, empty = line+string(r[:room]), string(r[room:]), 0, false
		}
	}
	if !empty {
		w.line(line)
	}
}
