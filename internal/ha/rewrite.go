package ha

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// YAMLEntry is a value of one file as it stands there: what it includes is not followed.
type YAMLEntry struct {
	Keys []string // that lead to it; the items of a list have the key of the list
	Line int
	// KeyLine is where its key stands; 0 of an item of a list.
	KeyLine int
	Kind    NodeKind
	Text    string // of a text, a number or a truth value
	Tag     string // of one, Home Assistant's own: "!secret"
	Item    bool   // it is an item of a list

	node, around *yaml.Node
}

// Field is the text that stands under a key in a mapping; Beside is the same of the mapping
// that a value stands in.
func (e YAMLEntry) Field(key string) string  { return fieldText(e.node, key) }
func (e YAMLEntry) Beside(key string) string { return fieldText(e.around, key) }

func fieldText(n *yaml.Node, key string) string {
	if n == nil || n.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key && n.Content[i+1].Kind == yaml.ScalarNode {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// YAMLChange is what becomes of a value; the zero value leaves it.
type YAMLChange struct {
	Remove bool   // with its key; a mapping or list that has nothing left goes with it
	Put    string // what is written in its place, in one line
}

// RewriteYAML changes values of a file and leaves every other byte as it is, comments and
// all. What cannot be changed with certainty is an error that names its line: the result was
// read again and is what was there, with these changes.
func RewriteYAML(name string, text []byte, change func(YAMLEntry) YAMLChange) ([]byte, error) {
	root, err := parseYAML(text)
	if err != nil {
		return nil, inFile(name, err)
	}
	e := &httpEditor{file: name, text: text}
	if err := e.measure(); err != nil {
		return nil, err
	}
	r := &rewriter{httpEditor: e, change: change}
	want, err := r.value(YAMLEntry{}, nil, root, -1)
	if err != nil {
		return nil, err
	}
	if len(r.edits) == 0 {
		return text, nil
	}
	slices.SortFunc(r.edits, func(a, b yamlEdit) int { return b.from - a.from })
	after := text
	for n, edit := range r.edits {
		if n > 0 && edit.to > r.edits[n-1].from {
			return nil, fmt.Errorf("edit %s: its values are written into each other", name)
		}
		after = slices.Concat(after[:edit.from], []byte(edit.by), after[edit.to:])
	}
	now, err := parseYAML(after)
	if err != nil || !(want == nil && isNull(now) || want != nil && sameNode(now, want)) {
		return nil, fmt.Errorf("edit %s: it is written in a way that cannot be changed with certainty", Place{name, root.Line})
	}
	return after, nil
}

type yamlEdit struct {
	from, to int
	by       string
}

// rewriter goes through a file and collects what is changed in it.
type rewriter struct {
	*httpEditor
	change func(YAMLEntry) YAMLChange
	edits  []yamlEdit
	steps  int
}

// value is what a value shall be afterwards; nil where it goes. The caller takes it out.
// indent is how far what it stands in is indented.
func (r *rewriter) value(at YAMLEntry, around, n *yaml.Node, indent int) (*yaml.Node, error) {
	if r.steps++; r.steps > maxYAMLSteps || len(at.Keys) > maxNodeDepth {
		return nil, fmt.Errorf("edit %s: nests too deep", Place{r.file, n.Line})
	}
	at.Line, at.node, at.around = n.Line, n, around
	switch {
	case n.Kind == yaml.MappingNode:
		at.Kind = MappingNode
	case n.Kind == yaml.SequenceNode:
		at.Kind = ListNode
	case n.Kind == yaml.AliasNode || isNull(n):
	default:
		at.Kind, at.Text = TextNode, n.Value
		if !strings.HasPrefix(n.Tag, "!!") {
			at.Tag = n.Tag
		}
	}
	c := r.change(at)
	switch {
	case c.Remove:
		return nil, nil
	case c.Put != "" && n.Kind == yaml.ScalarNode:
		return r.put(n, c.Put, indent)
	case c.Put != "":
		return nil, fmt.Errorf("edit %s: not a text of its own", Place{r.file, n.Line})
	case at.Kind != MappingNode && at.Kind != ListNode:
		return n, nil
	}
	return r.inside(at, n)
}

// inside goes through a mapping or a list.
func (r *rewriter) inside(at YAMLEntry, n *yaml.Node) (*yaml.Node, error) {
	step := 1
	if n.Kind == yaml.MappingNode {
		step = 2
	}
	want := *n
	want.Content = nil
	gone := make([]bool, len(n.Content)/step)
	changed := false
	for i := 0; i+step <= len(n.Content); i += step {
		child := YAMLEntry{Keys: at.Keys, Item: step == 1}
		indent := n.Column - 1
		if step == 2 {
			child.Keys = append(at.Keys[:len(at.Keys):len(at.Keys)], n.Content[i].Value)
			indent, child.KeyLine = n.Content[i].Column-1, n.Content[i].Line
		}
		v := n.Content[i+step-1]
		next, err := r.value(child, n, v, indent)
		if err != nil {
			return nil, err
		}
		if next == nil {
			gone[i/step] = true
			continue
		}
		changed = changed || next != v
		if step == 2 {
			want.Content = append(want.Content, n.Content[i])
		}
		want.Content = append(want.Content, next)
	}
	switch {
	case slices.Contains(gone, true) && !slices.Contains(gone, false):
		if n.Anchor != "" {
			return nil, fmt.Errorf("edit %s: something else refers to it", Place{r.file, n.Line})
		}
		if at.Keys == nil && !at.Item { // the whole file
			return nil, r.removeRuns(n, step, gone)
		}
		return nil, nil
	case slices.Contains(gone, true):
		return &want, r.removeRuns(n, step, gone)
	case changed:
		return &want, nil
	}
	return n, nil
}

// removeRuns takes entries out of a mapping or list.
func (r *rewriter) removeRuns(n *yaml.Node, step int, gone []bool) error {
	for i := 0; i < len(gone); i++ {
		if !gone[i] {
			continue
		}
		if !isFlow(n) {
			if err := r.removeLines(n, step, i); err != nil {
				return err
			}
			continue
		}
		j := i
		for j+1 < len(gone) && gone[j+1] {
			j++
		}
		from, err := r.offset(n.Content[i*step])
		if err != nil {
			return err
		}
		to := 0
		if j+1 < len(gone) {
			to, err = r.offset(n.Content[(j+1)*step])
		} else if to, err = r.end(n.Content[j*step+step-1], -1); err == nil && i > 0 {
			from, err = r.end(n.Content[i*step-1], -1)
		}
		if err != nil {
			return err
		}
		if bytes.IndexByte(r.text[from:to], '#') >= 0 && bytes.IndexByte(r.text[from:to], '\n') >= 0 {
			return fmt.Errorf("edit %s: there is a comment beside it", Place{r.file, n.Line})
		}
		r.edits = append(r.edits, yamlEdit{from, to, ""})
		i = j
	}
	return nil
}

// removeLines takes an entry out that has its lines to itself.
func (r *rewriter) removeLines(n *yaml.Node, step, i int) error {
	first, last := n.Content[i*step], n.Content[i*step+step-1]
	from, err := r.offset(first)
	if err != nil {
		return err
	}
	indent := n.Column - 1
	if step == 2 {
		indent = first.Column - 1
	}
	before := strings.Trim(string(r.text[r.lines[first.Line-1]:from]), " ")
	if step == 2 && before != "" || step == 1 && before != "-" {
		return fmt.Errorf("edit %s: something else is on its line", Place{r.file, first.Line})
	}
	to, err := r.end(last, indent)
	if err != nil {
		return err
	}
	if to < from { // nothing stands there
		to = r.lineEnd(first.Line)
	}
	lastLine := first.Line + bytes.Count(r.text[from:to], []byte("\n"))
	end := len(r.text)
	if lastLine < len(r.lines) {
		end = r.lines[lastLine]
	}
	r.edits = append(r.edits, yamlEdit{r.lines[first.Line-1], end, ""})
	return nil
}

// put writes something in the place of a scalar; its anchor stays.
func (r *rewriter) put(n *yaml.Node, literal string, indent int) (*yaml.Node, error) {
	s, err := r.scalar(n, indent)
	if err != nil {
		return nil, err
	}
	by := literal
	if s.anchor != "" {
		by = s.anchor + " " + by
	}
	if s.from > 0 && strings.IndexByte(":-,", r.text[s.from-1]) >= 0 {
		by = " " + by
	}
	r.edits = append(r.edits, yamlEdit{s.from, s.to, by + s.comment})
	alone, err := parseYAML([]byte("x: " + literal))
	if err != nil || alone.Kind != yaml.MappingNode || len(alone.Content) != 2 || alone.Content[1].Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("edit %s: what shall be written there is no text of its own", Place{r.file, n.Line})
	}
	want := alone.Content[1]
	want.Anchor = n.Anchor
	return want, nil
}

// end is where a value ends, however it is written.
func (r *rewriter) end(n *yaml.Node, indent int) (int, error) {
	switch {
	case n.Kind == yaml.AliasNode:
		from, err := r.offset(n)
		return from + 1 + len(n.Value), err
	case n.Kind == yaml.ScalarNode:
		s, err := r.scalar(n, indent)
		return s.to, err
	case isFlow(n):
		_, to, err := r.extent("value", n)
		return to, err
	case len(n.Content) == 0:
		return r.offset(n)
	}
	inner := n.Column - 1
	if n.Kind == yaml.MappingNode {
		inner = n.Content[len(n.Content)-2].Column - 1
	}
	to, err := r.end(n.Content[len(n.Content)-1], inner)
	if n.Kind == yaml.MappingNode && err == nil { // a key may have nothing behind it
		key, keyErr := r.end(n.Content[len(n.Content)-2], inner)
		to, err = max(to, key), keyErr
	}
	return to, err
}

// scalarText is a scalar as it is written.
type scalarText struct {
	from, to int    // with its anchor
	anchor   string // "&name"
	raw      string // its tag and text on one line; empty where it goes over several
	comment  string // of the line on which a block of text begins
}

var errSeveralLines = errors.New("is written over several lines")

// scalar finds a scalar in the text.
func (e *httpEditor) scalar(n *yaml.Node, indent int) (s scalarText, err error) {
	if s.from, err = e.offset(n); err != nil {
		return s, err
	}
	fail := func(err error) (scalarText, error) {
		return s, fmt.Errorf("edit %s: the value %w", Place{e.file, n.Line}, err)
	}
	at, tag := s.from, ""
	for at < len(e.text) && (e.text[at] == '&' || e.text[at] == '!') {
		end := at
		for end < len(e.text) && strings.IndexByte(" \t\r\n,[]{}", e.text[end]) < 0 {
			end++
		}
		if e.text[at] == '&' {
			s.anchor = string(e.text[at:end])
		} else {
			tag = string(e.text[at:end]) + " "
		}
		for at = end; at < len(e.text) && (e.text[at] == ' ' || e.text[at] == '\t'); at++ {
		}
	}
	rest := string(e.text[at:])
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		if indent < -1 || rest == "" || rest[0] != '|' && rest[0] != '>' {
			return fail(errSeveralLines)
		}
		head := e.lineEnd(n.Line)
		mark := at
		for mark < head && strings.IndexByte("|>+-0123456789", e.text[mark]) >= 0 {
			mark++
		}
		s.to, s.comment = head, strings.TrimRight(string(e.text[mark:head]), " \t")
		for line := n.Line + 1; line <= len(e.lines); line++ {
			end := e.lineEnd(line)
			text := string(e.text[e.lines[line-1]:max(end, e.lines[line-1])])
			if strings.Trim(text, " ") == "" {
				continue
			}
			if len(text)-len(strings.TrimLeft(text, " ")) <= indent {
				break
			}
			s.to = end
		}
		return s, nil
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		m := quotedTwice.FindString(rest)
		if n.Style&yaml.SingleQuotedStyle != 0 {
			m = quotedOnce.FindString(rest)
		}
		if m == "" {
			return fail(errSeveralLines)
		}
		s.to = at + len(m)
		if !strings.Contains(m, "\n") {
			s.raw = tag + m
		}
		return s, nil
	case strings.HasPrefix(rest, n.Value):
		line, _, _ := strings.Cut(rest[len(n.Value):], "\n")
		if after := strings.TrimSpace(line); after == "" || strings.IndexByte(",]}:#", after[0]) >= 0 {
			s.to, s.raw = at+len(n.Value), tag+n.Value
			return s, nil
		}
	}
	return fail(errSeveralLines)
}

// appendYAML adds entries to a mapping that a file is, at its end.
func appendYAML(name string, text []byte, lines []string) ([]byte, error) {
	root, err := parseYAML(text)
	if err != nil {
		return nil, inFile(name, err)
	}
	e := &httpEditor{file: name, text: text, root: root}
	if err := e.measure(); err != nil {
		return nil, err
	}
	if !isNull(root) && (root.Kind != yaml.MappingNode || isFlow(root) || root.Tag != "!!map") || isNull(root) && root.Tag == "!!null" && root.Column > 0 {
		return nil, fmt.Errorf("edit %s: not a mapping with an entry a line", Place{name, root.Line})
	}
	if err := e.append(strings.Join(lines, e.eol)); err != nil {
		return nil, err
	}
	after := e.apply()
	if !utf8.Valid(after) {
		return nil, fmt.Errorf("edit %s: not a text", name)
	}
	return after, nil
}
