package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"

	"gatehouse/internal/finding"
)

//go:embed page.html
var pageText string

// mostOnPage is how many lines of evidence a page shows of a check; JSON has them all.
const mostOnPage = 25

// sheet is what page.html is filled with.
type sheet struct {
	M           *messages
	Lang        Language
	At          string
	Headline    string
	NotRoot     bool
	Grade       string
	GradeColour string
	Sums        []sheetSum
	First       []sheetCheck
	Since       *sheetSince
	Topics      []sheetTopic
	Remarks     []string
	MadeBy      string
}

type sheetSum struct{ Class, Text string }

type sheetSince struct {
	Title string
	Lists []sheetList
}

type sheetList struct{ Name, Text string }

type sheetTopic struct {
	ID    string
	Name  string
	Fails int
	Told  []sheetCheck // what fails, is unknown or waived
	Rest  []sheetCheck
}

type sheetCheck struct {
	M         *messages
	ID        string
	Title     string
	Mark      string // how it came out
	Class     string
	Reason    string
	Why       string
	Fix       string
	Evidence  []string
	More      string
	Reference string
}

func (r *Report) writeHTML(w io.Writer, s Style) error {
	page, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := page.Execute(w, r.sheet(s.Language)); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (r *Report) sheet(l Language) sheet {
	m := l.words()
	p := sheet{M: m, Lang: l, At: stamp(r), Headline: r.headline(m), NotRoot: !r.AsRoot, MadeBy: fill(m.MadeBy, "what", plain(r.Version))}
	var colour string
	p.Grade, colour = r.grade(m)
	p.GradeColour = map[string]string{green: "good", yellow: "warn", red: "bad"}[colour]
	for _, c := range r.sums(m) {
		p.Sums = append(p.Sums, sheetSum{classOf(c.result, ""), c.text})
	}
	for _, f := range r.First(doFirst) {
		c := r.sheetCheck(m, f)
		c.Reference = "" // it stands below its topic
		p.First = append(p.First, c)
	}
	if r.Since != nil {
		p.Since = &sheetSince{Title: fill(m.SinceTitle, "what", r.Since.At.Format("2006-01-02 15:04"))}
		for _, list := range []sheetList{{m.SinceNew, strings.Join(r.Since.New, ", ")}, {m.SinceGone, strings.Join(r.Since.Gone, ", ")}, {m.SinceChanged, strings.Join(changes(m, r.Since), ", ")}} {
			if list.Text != "" {
				p.Since.Lists = append(p.Since.Lists, sheetList{list.Name, plain(list.Text)})
			}
		}
	}
	for n, topic := range r.topics() {
		t := sheetTopic{ID: "t" + strconv.Itoa(n+1), Name: l.Headline(topic)}
		for _, f := range r.of(topic) {
			c := r.sheetCheck(m, f)
			switch f.Result {
			case finding.Pass, finding.NotApplicable:
				t.Rest = append(t.Rest, c)
				continue
			case finding.Fail:
				t.Fails++
			}
			t.Told = append(t.Told, c)
		}
		p.Topics = append(p.Topics, t)
	}
	for _, v := range r.Waivers {
		if text := waiverRemark(m, v); text != "" {
			p.Remarks = append(p.Remarks, text)
		}
	}
	return p
}

func (r *Report) sheetCheck(m *messages, f finding.Finding) sheetCheck {
	c := sheetCheck{M: m, ID: plain(f.ID), Title: title(m, f), Class: classOf(f.Result, f.Severity), Reference: plain(strings.Join(f.Reference, ", "))}
	c.Mark = m.result(f.Result)
	switch f.Result {
	case finding.Fail:
		c.Mark = m.severity(string(f.Severity))
		c.Why, c.Fix = plain(f.Why), plain(f.Fix)
		for n, e := range f.Evidence {
			if n == mostOnPage {
				c.More = fill(m.More, "n", strconv.Itoa(len(f.Evidence)-n))
				break
			}
			c.Evidence = append(c.Evidence, where(e))
		}
		if v := value(f); v != "" && len(c.Evidence) == 0 {
			c.Evidence = []string{v}
		}
	case finding.Waived:
		v := r.waiver(f.ID)
		c.Mark += ", " + m.severity(string(f.Severity))
		c.Reason = fill(m.WaivedFor, "what", plain(v.Reason), "until", plain(v.Until))
	case finding.NotApplicable:
		c.Reason = reason(f.Why)
	case finding.Pass:
	default:
		c.Mark += ", " + m.severity(string(f.Severity))
		c.Reason = fill(m.Because, "what", reason(f.Why))
	}
	return c
}

func classOf(r finding.Result, s finding.Severity) string {
	switch {
	case r == finding.Pass:
		return "good"
	case r == finding.NotApplicable:
		return "quiet"
	case r == finding.Fail && (s == "" || s.AtLeast(finding.High)):
		return "bad"
	}
	return "warn"
}
