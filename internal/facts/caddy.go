package facts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	caddyFile = "/etc/caddy/Caddyfile"
	caddyDir  = "/etc/caddy"
)

// Caddyfile is the configuration of Caddy: its sites, each with its addresses as Args and
// an empty Name; the global options have no Args. Snippets and files are in place.
func (h *Host) Caddyfile() ([]Directive, error) {
	return remember(h, "caddy", func() ([]Directive, error) {
		in := &including{h: h}
		c := &caddy{in: in, snippets: map[string][]Directive{}}
		return c.file(caddyFile)
	})
}

type caddy struct {
	in       *including
	snippets map[string][]Directive
}

func (c *caddy) read(name string) ([]Directive, error) {
	t, err := c.in.text(name)
	if err != nil {
		return nil, err
	}
	words, err := caddyWords(t.Path, string(t.Bytes))
	if err != nil {
		return nil, err
	}
	all, rest, err := c.block(t.Path, words, false)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%s:%d: a } too many", t.Path, rest[0].line)
	}
	return all, err
}

// file reads a file of sites.
func (c *caddy) file(name string) ([]Directive, error) {
	lines, err := c.read(name)
	if err != nil {
		return nil, err
	}
	var sites []Directive
	for n := 0; n < len(lines); n++ {
		d := lines[n]
		keys := append([]string{d.Name}, d.Args...)
		switch {
		case d.Name == "import":
			part, err := c.imported(d, c.file)
			if err != nil {
				return nil, err
			}
			sites = append(sites, part...)
			continue
		case d.Block == nil && strings.HasSuffix(keys[len(keys)-1], ",") && n+1 < len(lines):
			lines[n+1].Args = append(append(keys[1:], lines[n+1].Name), lines[n+1].Args...)
			lines[n+1].Name, lines[n+1].Line = keys[0], d.Line
			continue
		case d.Block == nil: // one site without a block: the rest of the file is in it
			d.Block = lines[n+1:]
			n = len(lines)
		case d.Name == "" && len(d.Args) == 0:
			if d.Block, err = c.inside(d.Block); err != nil {
				return nil, err
			}
			sites = append(sites, d)
			continue
		case strings.HasPrefix(d.Name, "(") && strings.HasSuffix(d.Name, ")"):
			c.snippets[strings.Trim(d.Name, "()")] = d.Block
			continue
		}
		if d.Block, err = c.inside(d.Block); err != nil {
			return nil, err
		}
		d.Name, d.Args = "", nil
		for _, k := range keys {
			if k = strings.Trim(k, ","); k != "" {
				d.Args = append(d.Args, strings.Split(k, ",")...)
			}
		}
		sites = append(sites, d)
	}
	return sites, nil
}

// inside puts what is imported into a block in place.
func (c *caddy) inside(block []Directive) ([]Directive, error) {
	all := []Directive{}
	for _, d := range block {
		if err := c.in.one(d.File, d.Line); err != nil {
			return nil, err
		}
		var err error
		if d.Name == "import" {
			part, err := c.imported(d, c.read)
			if err != nil {
				return nil, err
			}
			if c.in.opens++; c.in.opens > maxIncludeDepth {
				return nil, fmt.Errorf("%s:%d: %w", d.File, d.Line, errTooMuch)
			}
			part, err = c.inside(part)
			c.in.opens--
			if err != nil {
				return nil, err
			}
			all = append(all, part...)
			continue
		}
		if d.Block != nil {
			if d.Block, err = c.inside(d.Block); err != nil {
				return nil, err
			}
		}
		all = append(all, d)
	}
	return all, nil
}

func (c *caddy) imported(d Directive, read func(string) ([]Directive, error)) ([]Directive, error) {
	what := d.Arg(0)
	if what == "" {
		return nil, fmt.Errorf("%s:%d: imports nothing", d.File, d.Line)
	}
	if snippet, ok := c.snippets[what]; ok {
		return withArguments(snippet, d.Args[1:]), nil
	}
	return c.in.each(absolute(caddyDir, what), d.File, d.Line, false, read)
}

// maxCaddyArgument bounds what one placeholder grows to, in bytes.
const maxCaddyArgument = 4096

// withArguments is a snippet with what it is given.
func withArguments(block []Directive, args []string) []Directive {
	all := slices.Clone(block)
	for n := range all {
		all[n].Args = slices.Clone(all[n].Args)
		for k, a := range all[n].Args {
			for i, v := range args {
				for _, at := range []string{"{args[" + strconv.Itoa(i) + "]}", "{args." + strconv.Itoa(i) + "}"} {
					if strings.Count(a, at)*len(v) <= maxCaddyArgument { // a snippet may repeat itself in itself
						a = strings.ReplaceAll(a, at, v)
					}
				}
			}
			all[n].Args[k] = a
		}
		if all[n].Block != nil && len(args) > 0 {
			all[n].Block = withArguments(all[n].Block, args)
		}
	}
	return all
}

func (c *caddy) block(file string, words []word, inside bool) (all []Directive, rest []word, err error) {
	if c.in.depth++; c.in.depth > maxBlockDepth {
		return nil, nil, fmt.Errorf("%s: %w", file, errTooMuch)
	}
	defer func() { c.in.depth-- }()
	for len(words) > 0 {
		switch {
		case words[0].mark && words[0].text == "\n":
			words = words[1:]
			continue
		case words[0].mark && words[0].text == "}":
			if inside {
				return all, words[1:], nil
			}
			return all, words, nil
		}
		d := Directive{File: file, Line: words[0].line}
		if err := c.in.one(file, d.Line); err != nil {
			return nil, nil, err
		}
		n := 0
		for n < len(words) && !words[n].mark {
			if n == 0 {
				d.Name = words[0].text
			} else {
				d.Args = append(d.Args, words[n].text)
			}
			n++
		}
		words = words[n:]
		if len(words) > 0 && words[0].text == "{" && words[0].mark {
			if d.Block, words, err = c.block(file, words[1:], true); err != nil {
				return nil, nil, err
			}
			if d.Block == nil {
				d.Block = []Directive{}
			}
		}
		all = append(all, d)
	}
	if inside {
		return nil, nil, fmt.Errorf("%s: a block that does not end", file)
	}
	return all, nil, nil
}

// caddyWords splits a Caddyfile; the end of a line is a mark.
func caddyWords(file, text string) ([]word, error) {
	var words []word
	line := 1
	for text != "" {
		switch c := text[0]; {
		case c == '\n':
			words = append(words, word{text: "\n", line: line, mark: true})
			line++
			text = text[1:]
		case c == ' ' || c == '\t' || c == '\r':
			text = text[1:]
		case c == '\\' && strings.HasPrefix(text[1:], "\n"):
			line++
			text = text[2:]
		case c == '#':
			_, after, more := strings.Cut(text, "\n")
			if text = ""; more {
				text = "\n" + after
			}
		case c == '"' || c == '`':
			s, lines, rest, ok := quotedWord(text)
			if !ok {
				return nil, fmt.Errorf("%s:%d: a quote that does not end", file, line)
			}
			words = append(words, word{text: s, line: line, quoted: true})
			line += lines
			text = rest
		default:
			n := strings.IndexAny(text, " \t\r\n")
			if n < 0 {
				n = len(text)
			}
			s := text[:n]
			words = append(words, word{text: s, line: line, mark: s == "{" || s == "}"})
			text = text[n:]
			if end, ok := strings.CutPrefix(s, "<<"); ok && end != "" { // up to a line that is that word
				_, after, _ := strings.Cut(text, "\n")
				var body []string
				done := false
				for !done && after != "" {
					var l string
					l, after, _ = strings.Cut(after, "\n")
					line++
					if done = strings.TrimSpace(l) == end; !done {
						body = append(body, l)
					}
				}
				if !done {
					return nil, fmt.Errorf("%s:%d: a text that does not end", file, line)
				}
				words[len(words)-1] = word{text: strings.Join(body, "\n"), line: line, quoted: true}
				line++
				words = append(words, word{text: "\n", line: line, mark: true})
				text = after
			}
		}
	}
	return words, nil
}
