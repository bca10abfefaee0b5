package report

import (
	"bufio"
	"io"
	"strings"

	"gatehouse/internal/finding"
)

// Explanation is all that is to be said of one check, and how it came out here.
type Explanation struct {
	Finding finding.Finding
	Why     string
	Fix     string
	Repairs bool   // "gatehouse fix" does it
	ByHand  string // why it does not; may be empty
	Reads   string // what it is judged from
}

type explanation struct {
	SchemaVersion int             `json:"schema_version"`
	ID            string          `json:"id"`
	Title         string          `json:"title"`
	Severity      string          `json:"severity"`
	Why           string          `json:"why"`
	Fix           string          `json:"fix"`
	Repairs       bool            `json:"repairs"`
	ByHand        string          `json:"by_hand,omitzero"`
	Reads         string          `json:"reads"`
	Reference     []string        `json:"reference"`
	Here          finding.Finding `json:"here"`
}

// WriteJSON writes it as one document.
func (e Explanation) WriteJSON(w io.Writer) error {
	f := e.Finding
	f.Effective = tame(f.Effective)
	return writeDocument(w, explanation{schemaVersion, f.ID, f.Title, string(f.Severity), e.Why, e.Fix, e.Repairs, e.ByHand, e.Reads, f.Reference, f})
}

// WriteText writes it for people.
func (e Explanation) WriteText(to io.Writer, s Style) error {
	w, f := &writing{bufio.NewWriter(to), s.Language.words(), s.Colour}, e.Finding
	m := w.m
	w.wrap("", "", plain(f.Title)+" ("+plain(f.ID)+", "+m.severity(string(f.Severity))+")")
	part := func(name, text string) {
		if text != "" {
			w.headline(name)
			w.wrap("  ", "  ", plain(text))
		}
	}
	part(m.Why, e.Why)
	part(m.Judged, e.Reads)
	w.headline(m.Here)
	w.line("  " + m.result(f.Result))
	if f.Result == finding.Unknown || f.Result == finding.NotApplicable {
		w.wrap("  ", "  ", plain(f.Why))
	}
	if v := value(f); v != "" {
		w.wrap("  ", "    ", fill(m.InForce, "what", v))
	}
	for _, one := range f.Evidence {
		w.wrap("  ", "    ", where(one))
	}
	part(m.ToDo, e.Fix)
	switch {
	case e.Repairs:
		w.wrap("  ", "  ", fill(m.DoesIt, "what", plain(f.ID)))
	case e.ByHand != "":
		w.wrap("  ", "  ", fill(m.ByHand, "what", plain(e.ByHand)))
	}
	part(m.Reference, strings.Join(f.Reference, ", "))
	return w.Flush()
}
