package facts

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Directive is a statement of a configuration of blocks, as nginx, Caddy, Apache, HAProxy
// and others have them, with what was included in place.
type Directive struct {
	Name  string // of nginx and Caddy as it stands there; of Apache, HAProxy and Tor in lower case
	Args  []string
	File  string // as a path of the host
	Line  int
	Block []Directive
}

// Arg is an argument, or empty.
func (d Directive) Arg(n int) string {
	if n < len(d.Args) {
		return d.Args[n]
	}
	return ""
}

// String is the statement without its block.
func (d Directive) String() string { return strings.Join(append([]string{d.Name}, d.Args...), " ") }

// Named are the statements of one name in a block.
func Named(block []Directive, name string) []Directive {
	var all []Directive
	for _, d := range block {
		if d.Name == name {
			all = append(all, d)
		}
	}
	return all
}

// Bounds of one configuration with all that it includes.
const (
	maxDirectives     = 1 << 17
	maxIncludeDepth   = 16
	maxIncludedFiles  = 2000
	maxBlockDepth     = 32
	maxGlobWildcards  = 3
	maxDirectiveBytes = 32 << 20
)

var errTooMuch = errors.New("more than any configuration includes")

// including reads the files of one configuration.
type including struct {
	h     *Host
	files int
	bytes int
	count int // directives
	depth int
	opens int // files inside each other
}

// text reads one file of the configuration.
func (in *including) text(name string) (Text, error) {
	t, err := in.h.Text(name)
	if err != nil {
		return t, err
	}
	in.files++
	in.bytes += len(t.Bytes)
	if in.files > maxIncludedFiles || in.bytes > maxDirectiveBytes {
		return t, fmt.Errorf("%s: %w", name, errTooMuch)
	}
	return t, nil
}

// one counts a directive.
func (in *including) one(file string, line int) error {
	if in.count++; in.count > maxDirectives {
		return fmt.Errorf("%s:%d: %w", file, line, errTooMuch)
	}
	return nil
}

// each reads the files that a pattern names, one after another. A pattern without
// wildcards has to be there, unless it may be missing.
func (in *including) each(pattern, file string, line int, mayMiss bool, read func(name string) ([]Directive, error)) ([]Directive, error) {
	wild := 0
	for _, part := range strings.Split(pattern, "/") {
		if strings.ContainsAny(part, `*?[`) {
			wild++
		}
	}
	if in.opens++; in.opens > maxIncludeDepth || wild > maxGlobWildcards {
		return nil, fmt.Errorf("%s:%d: includes %q: %w", file, line, pattern, errTooMuch)
	}
	defer func() { in.opens-- }()
	names, err := in.h.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: includes %q: %w", file, line, pattern, err)
	}
	if len(names) == 0 && wild == 0 && !mayMiss {
		return nil, fmt.Errorf("%s:%d: includes %q, which is not there", file, line, pattern)
	}
	var all []Directive
	for _, name := range names {
		part, err := read(name)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

// absolute is a path that may be relative to a directory.
func absolute(dir, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(dir, name)
}

// word is a part of a line or a mark that stands by itself.
type word struct {
	text   string
	line   int
	mark   bool // { } ; or the end of a line
	quoted bool
}

// quotedWord reads a text in quotes from its first quote; the rest begins behind the last.
func quotedWord(s string) (text string, lines int, rest string, ok bool) {
	var b strings.Builder
	quote := s[0]
	for n := 1; n < len(s); n++ {
		switch {
		case s[n] == '\\' && n+1 < len(s) && (s[n+1] == quote || s[n+1] == '\\'):
			n++
			b.WriteByte(s[n])
		case s[n] == quote:
			return b.String(), lines, s[n+1:], true
		default:
			if s[n] == '\n' {
				lines++
			}
			b.WriteByte(s[n])
		}
	}
	return "", lines, "", false
}

// lineWords splits a line at its blanks, with quotes, up to a comment.
func lineWords(line string) ([]string, error) {
	var words []string
	var now strings.Builder
	in := false
	for n := 0; n < len(line); n++ {
		switch c := line[n]; {
		case c == ' ' || c == '\t':
			if in {
				words, in = append(words, now.String()), false
				now.Reset()
			}
		case c == '#' && !in:
			return words, nil
		case c == '"' || c == '\'':
			text, _, rest, ok := quotedWord(line[n:])
			if !ok {
				return nil, errors.New("a quote that does not end")
			}
			now.WriteString(text)
			in = true
			n = len(line) - len(rest) - 1
		case c == '\\' && n+1 < len(line):
			n++
			now.WriteByte(line[n])
			in = true
		default:
			now.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, now.String())
	}
	return words, nil
}
