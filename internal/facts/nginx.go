package facts

import (
	"fmt"
	"slices"
	"strings"
)

// nginxFile is where nginx begins to read, and nginxDir what its paths are relative to.
const (
	nginxFile = "/etc/nginx/nginx.conf"
	nginxDir  = "/etc/nginx"
)

// Nginx is the configuration of nginx with all that it includes. The error wraps
// fs.ErrNotExist where there is none.
func (h *Host) Nginx() ([]Directive, error) {
	return remember(h, "nginx", func() ([]Directive, error) {
		return (&including{h: h}).nginx(nginxFile)
	})
}

func (in *including) nginx(name string) ([]Directive, error) {
	t, err := in.text(name)
	if err != nil {
		return nil, err
	}
	words, err := nginxWords(t.Path, string(t.Bytes))
	if err != nil {
		return nil, err
	}
	all, rest, err := in.nginxBlock(t.Path, words, false)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%s:%d: a } too many", t.Path, rest[0].line)
	}
	return all, err
}

// nginxBlock reads statements up to the end of a block, or of the file.
func (in *including) nginxBlock(file string, words []word, inside bool) (all []Directive, rest []word, err error) {
	if in.depth++; in.depth > maxBlockDepth {
		return nil, nil, fmt.Errorf("%s: %w", file, errTooMuch)
	}
	defer func() { in.depth-- }()
	for len(words) > 0 {
		if words[0].mark && words[0].text == "}" {
			if inside {
				return all, words[1:], nil
			}
			return all, words, nil
		}
		n := 0
		for n < len(words) && !words[n].mark {
			n++
		}
		if n == 0 || n == len(words) || words[n].text == "}" {
			return nil, nil, fmt.Errorf("%s:%d: not a statement of nginx", file, words[0].line)
		}
		d := Directive{Name: words[0].text, File: file, Line: words[0].line}
		for _, w := range words[1:n] {
			d.Args = append(d.Args, w.text)
		}
		if err := in.one(file, d.Line); err != nil {
			return nil, nil, err
		}
		end := words[n].text
		words = words[n+1:]
		switch {
		case end == "{":
			if d.Block, words, err = in.nginxBlock(file, words, true); err != nil {
				return nil, nil, err
			}
			if d.Block == nil {
				d.Block = []Directive{}
			}
		case d.Name == "include" && len(d.Args) == 1:
			part, err := in.each(absolute(nginxDir, d.Args[0]), file, d.Line, false, in.nginx)
			if err != nil {
				return nil, nil, err
			}
			all = append(all, part...)
			continue
		}
		all = append(all, d)
	}
	if inside {
		return nil, nil, fmt.Errorf("%s: a block that does not end", file)
	}
	return all, nil, nil
}

// nginxWords splits a text of nginx. What a block of Lua holds is left out.
func nginxWords(file, text string) ([]word, error) {
	var words []word
	line := 1
	for text != "" {
		switch c := text[0]; {
		case c == '\n':
			line++
			text = text[1:]
		case c == ' ' || c == '\t' || c == '\r':
			text = text[1:]
		case c == '#':
			_, after, more := strings.Cut(text, "\n")
			if text = ""; more {
				text = "\n" + after
			}
		case c == ';' || c == '{' || c == '}':
			words = append(words, word{text: string(c), line: line, mark: true})
			text = text[1:]
			if n := len(words) - 2; c == '{' && n >= 0 && !words[n].mark && strings.HasSuffix(words[n].text, "_by_lua_block") {
				depth, k := 1, 0
				for ; k < len(text) && depth > 0; k++ {
					switch text[k] {
					case '{':
						depth++
					case '}':
						depth--
					case '\n':
						line++
					}
				}
				if depth > 0 {
					return nil, fmt.Errorf("%s:%d: a block that does not end", file, line)
				}
				words = append(words, word{text: "}", line: line, mark: true})
				text = text[k:]
			}
		case c == '"' || c == '\'':
			s, lines, rest, ok := quotedWord(text)
			if !ok {
				return nil, fmt.Errorf("%s:%d: a quote that does not end", file, line)
			}
			words = append(words, word{text: s, line: line, quoted: true})
			line += lines
			text = rest
		default:
			n := 1
			for ; n < len(text); n++ {
				if text[n] == '\\' && n+1 < len(text) {
					n++
					continue
				}
				if text[n] == '{' && text[n-1] == '$' {
					for n < len(text) && text[n] != '}' && text[n] != '\n' {
						n++
					}
					if n == len(text) || text[n] == '\n' {
						return nil, fmt.Errorf("%s:%d: a variable that does not end", file, line)
					}
					continue
				}
				if strings.IndexByte(" \t\r\n;{}", text[n]) >= 0 {
					break
				}
			}
			n = min(n, len(text))
			words = append(words, word{text: text[:n], line: line})
			line += strings.Count(text[:n], "\n")
			text = text[n:]
		}
	}
	return words, nil
}

// NginxPlace is a block of nginx with those around it, outermost first: the file, http,
// server, locations.
type NginxPlace struct{ Around [][]Directive }

// Effective are the statements of a name that hold here: those of the nearest block that
// has any, as nginx inherits.
func (p NginxPlace) Effective(name string) []Directive {
	for _, block := range slices.Backward(p.Around) {
		if all := Named(block, name); len(all) > 0 {
			return all
		}
	}
	return nil
}

// Last is the statement of a name that holds here.
func (p NginxPlace) Last(name string) (Directive, bool) {
	all := p.Effective(name)
	if len(all) == 0 {
		return Directive{}, false
	}
	return all[len(all)-1], true
}

// NginxServer is a server block of http.
type NginxServer struct {
	Directive Directive
	Place     NginxPlace
	Locations []NginxLocation // those in each other, too
}

// NginxLocation is a location, or an if in one.
type NginxLocation struct {
	Directive Directive
	Place     NginxPlace
}

// NginxServers are the servers of nginx.
func (h *Host) NginxServers() ([]NginxServer, error) {
	all, err := h.Nginx()
	if err != nil {
		return nil, err
	}
	var servers []NginxServer
	for _, http := range Named(all, "http") {
		for _, s := range Named(http.Block, "server") {
			place := NginxPlace{[][]Directive{all, http.Block, s.Block}}
			servers = append(servers, NginxServer{s, place, locationsIn(s.Block, place)})
		}
	}
	return servers, nil
}

func locationsIn(block []Directive, place NginxPlace) []NginxLocation {
	var all []NginxLocation
	for _, d := range block {
		if d.Name == "location" || d.Name == "if" || d.Name == "limit_except" {
			here := NginxPlace{append(slices.Clone(place.Around), d.Block)}
			all = append(all, NginxLocation{d, here})
			all = append(all, locationsIn(d.Block, here)...)
		}
	}
	return all
}
