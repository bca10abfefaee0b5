// Package report writes what an audit found: as a text for people, as JSON, SARIF,
// HTML, Markdown and Prometheus' text for programs and for keeping.
//
// Its own words stand in one catalogue, in English and German (words.go); the words of
// the checks are theirs. What stands in a host's files is shown, so nothing of it may
// become markup or move a terminal's cursor.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/finding"
)

// A Report is what an audit found, and on what.
type Report struct {
	Version string    // of Gatehouse
	At      time.Time // when it was made
	Root    string    // the file system that was read; "/" is this machine
	HADir   string    // of Home Assistant, as a path of the host; empty if none was looked at
	AsRoot  bool      // everything could be read
	Checks  []finding.Finding
	Waivers []Waiver
	Since   *Since // what is different from a former report; nil if none was named
}

// A Waiver is what the owner lets be, for a while.
type Waiver struct {
	ID     string      `json:"id"`
	Reason string      `json:"reason"`
	Until  string      `json:"until"` // the last day, 2006-01-02
	State  WaiverState `json:"state"`
}

// WaiverState says what a waiver does.
type WaiverState string

// The states of waivers.
const (
	InForce  WaiverState = "in-force" // the check fails, and is waived
	Expired  WaiverState = "expired"  // it counts no more
	Unneeded WaiverState = "unneeded" // the check does not fail, or was not asked
)

// Waive puts waivers over findings: what fails and is waived on that day is Waived. It
// returns the waivers with what they do.
func Waive(all []finding.Finding, waivers []Waiver, day string) []Waiver {
	done := slices.Clone(waivers)
	for n := range done {
		w := &done[n]
		if w.State = Unneeded; w.Until < day {
			w.State = Expired
			continue
		}
		for k := range all {
			if f := &all[k]; f.ID == w.ID && (f.Result == finding.Fail || f.Result == finding.Waived) {
				f.Result, w.State = finding.Waived, InForce
			}
		}
	}
	return done
}

// Since is what is different from a former report.
type Since struct {
	At      time.Time `json:"at"` // of the former one
	New     []string  `json:"new"`
	Gone    []string  `json:"gone"`
	Changed []Change  `json:"changed"`
}

// A Change is a check that came out otherwise, and neither began nor ceased to fail; or
// one that fails over something else.
type Change struct {
	ID     string         `json:"id"`
	Before finding.Result `json:"before"`
	After  finding.Result `json:"after"`
}

// Compare says what is new (fails, and did not), gone (failed, and is fine or about
// nothing) and changed. What failed and cannot be judged any more is changed, not gone.
func Compare(before, now []finding.Finding) *Since {
	s := &Since{New: []string{}, Gone: []string{}, Changed: []Change{}}
	was := make(map[string]finding.Finding, len(before))
	for _, f := range before {
		was[f.ID] = f
	}
	for _, f := range now {
		b, ok := was[f.ID]
		switch {
		case f.Result == finding.Fail && (!ok || b.Result != finding.Fail):
			s.New = append(s.New, f.ID)
		case !ok:
		case b.Result == finding.Fail && (f.Result == finding.Pass || f.Result == finding.NotApplicable):
			s.Gone = append(s.Gone, f.ID)
		case b.Result != f.Result, f.Result == finding.Fail && !sameValue(b.Effective, f.Effective):
			s.Changed = append(s.Changed, Change{f.ID, b.Result, f.Result})
		}
	}
	return s
}

// sameValue compares a value that was read from JSON with one that was not.
func sameValue(a, b any) bool { return jsonOf(a) == jsonOf(b) }

func jsonOf(v any) string {
	text, err := json.Marshal(tame(v), json.Deterministic(true))
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// count is how many checks of these severities have a result; of all where none is named.
func (r *Report) count(result finding.Result, severities ...finding.Severity) (n int) {
	for _, f := range r.Checks {
		if f.Result == result && (len(severities) == 0 || slices.Contains(severities, f.Severity)) {
			n++
		}
	}
	return n
}

// Grade is A to F, or empty where too much of what matters could not be judged: more than
// a quarter of what is critical or high. What the owner waived does not count.
//
//	F  something critical fails            C  one or two high ones fail
//	E  more than five high ones fail       B  none of these, but more than a tenth of the
//	D  three to five high ones fail           medium ones fail, or something critical is unknown
func (r *Report) Grade() string {
	unknown := r.count(finding.Unknown, finding.Crit, finding.High)
	asked := unknown
	for _, result := range []finding.Result{finding.Pass, finding.Fail, finding.Waived} {
		asked += r.count(result, finding.Crit, finding.High)
	}
	if asked == 0 || 4*unknown > asked {
		return ""
	}
	high := r.count(finding.Fail, finding.High)
	medium := r.count(finding.Fail, finding.Med)
	switch {
	case r.count(finding.Fail, finding.Crit) > 0:
		return "F"
	case high > 5:
		return "E"
	case high > 2:
		return "D"
	case high > 0:
		return "C"
	case r.count(finding.Unknown, finding.Crit) > 0, 10*medium > medium+r.count(finding.Pass, finding.Med):
		return "B"
	}
	return "A"
}

// First is what to do first: the worst that fails, at most n.
func (r *Report) First(n int) []finding.Finding {
	var all []finding.Finding
	for _, f := range r.Checks {
		if f.Result == finding.Fail {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b finding.Finding) int { return rank(a.Severity) - rank(b.Severity) })
	return all[:min(n, len(all))]
}

// rank is 0 of the worst. A severity that is none stands behind all others.
func rank(s finding.Severity) int {
	if n := slices.Index(finding.Severities(), s); n >= 0 {
		return n
	}
	return len(finding.Severities())
}

// topics returns the topics of the checks in their order.
func (r *Report) topics() (names []string) {
	for _, f := range r.Checks {
		if !slices.Contains(names, f.Topic) {
			names = append(names, f.Topic)
		}
	}
	return names
}

// of returns the checks of a topic: what fails first, the worst first; then what could
// not be judged; then what is waived; then the rest in their order.
func (r *Report) of(topic string) (all []finding.Finding) {
	for _, f := range r.Checks {
		if f.Topic == topic {
			all = append(all, f)
		}
	}
	order := []finding.Result{finding.Fail, finding.Unknown, finding.Waived, finding.Pass, finding.NotApplicable}
	slices.SortStableFunc(all, func(a, b finding.Finding) int {
		if x, y := slices.Index(order, a.Result), slices.Index(order, b.Result); x != y {
			return x - y
		}
		return rank(a.Severity) - rank(b.Severity)
	})
	return all
}

// waiver is the one that is in force for a check.
func (r *Report) waiver(id string) Waiver {
	for _, w := range r.Waivers {
		if w.ID == id && w.State == InForce {
			return w
		}
	}
	return Waiver{ID: id}
}

// Format is a form of a report.
type Format string

// The formats.
const (
	Text       Format = "text"
	JSON       Format = "json"
	SARIF      Format = "sarif"
	HTML       Format = "html"
	Markdown   Format = "markdown"
	Prometheus Format = "prometheus"
)

// Formats returns every format.
func Formats() []Format { return []Format{Text, JSON, SARIF, HTML, Markdown, Prometheus} }

// Style is how a report looks.
type Style struct {
	Language Language
	Colour   bool // in a text
}

// Write writes a report in a format.
func (r *Report) Write(w io.Writer, f Format, s Style) error {
	switch f {
	case Text:
		return r.writeText(w, s)
	case JSON:
		return r.writeJSON(w)
	case SARIF:
		return r.writeSARIF(w)
	case HTML:
		return r.writeHTML(w, s)
	case Markdown:
		return r.writeMarkdown(w, s)
	case Prometheus:
		return r.writePrometheus(w)
	}
	return fmt.Errorf("there is no format %q", f)
}

// plain makes a text one line without anything that moves a cursor, hides or turns round
// what stands beside it.
func plain(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n' || r == '\t' || r == '\r' || r == '\u2028' || r == '\u2029':
			b.WriteByte(' ')
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

// short is plain, and not longer than a line or two; reason not longer than some.
func short(s string) string { return cut(plain(s), 160) }

func reason(s string) string { return cut(plain(s), 480) }

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// where is a piece of evidence in one line.
func where(e finding.Evidence) string {
	place := short(e.File)
	if e.Line > 0 {
		place = fmt.Sprintf("%s:%d", place, e.Line)
	}
	if e.Value == "" {
		return place
	}
	if place == "" {
		return short(e.Value)
	}
	return place + ": " + short(e.Value)
}

// value is what holds, for people; empty where that says nothing.
func value(f finding.Finding) string {
	switch v := f.Effective.(type) {
	case nil:
		return ""
	case string:
		return short(v)
	default:
		return short(jsonOf(v))
	}
}
