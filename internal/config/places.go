package config

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// places says on which line of a file each key and table stands. Keys are dotted:
// "doors.lan.listen". Of tables that come several times each has its number, from 0, and
// the first stands without one, too: "guard.rules[1].from".
type places map[string]int

// has reports whether the file says anything about a key.
func (p places) has(key string) bool { _, ok := p[key]; return ok }

// line returns the line of a key, of the table that it would be in, or 0.
func (p places) line(key string) int {
	for {
		if n, ok := p[key]; ok {
			return n
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return 0
		}
		key = key[:i]
	}
}

// at returns the key that stands on a line, the longest if there are several.
func (p places) at(line int) string {
	found := ""
	for key, n := range p {
		if n == line && (len(key) > len(found) || len(key) == len(found) && key < found) {
			found = key
		}
	}
	return found
}

// locate reads where the keys of a file are. What is no TOML it leaves out: the
// decoder says so.
func locate(data []byte) places {
	p := places{}
	parser := unstable.Parser{}
	parser.Reset(data)
	table := ""
	for parser.NextExpression() {
		e := parser.Expression()
		switch e.Kind {
		case unstable.Table:
			table = p.add(&parser, "", e)
		case unstable.ArrayTable:
			line := 0
			for it := e.Key(); it.Next(); {
				line = parser.Shape(it.Node().Raw).Start.Line
			}
			table = p.next(p.add(&parser, "", e), line)
		case unstable.KeyValue:
			p.addValue(&parser, table, e)
		}
	}
	return p
}

// add notes the key of an expression below a table and returns it dotted.
func (p places) add(parser *unstable.Parser, table string, e *unstable.Node) string {
	key := table
	for it := e.Key(); it.Next(); {
		part := it.Node()
		key = join(key, string(part.Data))
		if !p.has(key) {
			p[key] = parser.Shape(part.Raw).Start.Line
		}
	}
	return key
}

// next numbers one more table of a key that comes several times.
func (p places) next(key string, line int) string {
	for n := 0; ; n++ {
		if numbered := fmt.Sprintf("%s[%d]", key, n); !p.has(numbered) {
			p[numbered] = line
			return numbered
		}
	}
}

// addValue notes a key and the keys of the inline tables that it may hold.
func (p places) addValue(parser *unstable.Parser, table string, e *unstable.Node) {
	key := p.add(parser, table, e)
	v := e.Value()
	switch {
	case v.Valid() && v.Kind == unstable.InlineTable:
		p.addInline(parser, key, v)
	case v.Valid() && v.Kind == unstable.Array:
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.InlineTable {
				p.addInline(parser, p.next(key, p[key]), it.Node())
			}
		}
	}
}

func (p places) addInline(parser *unstable.Parser, table string, v *unstable.Node) {
	for it := v.Children(); it.Next(); {
		if it.Node().Kind == unstable.KeyValue {
			p.addValue(parser, table, it.Node())
		}
	}
}

func join(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}
