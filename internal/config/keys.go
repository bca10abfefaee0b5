package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// known returns every key and table there is, dotted, with its type.
func known() map[string]reflect.Type {
	keys := make(map[string]reflect.Type)
	var walk func(prefix string, t reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			key, kind := join(prefix, name), f.Type
			if kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			keys[key] = kind
			if kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.Struct {
				walk(key, kind.Elem())
			}
			if kind.Kind() == reflect.Struct {
				walk(key, kind)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
	return keys
}

// below returns the names directly below a table, in order.
func below(table string) []string {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(known())) {
		if parent, name := split(key); parent == table {
			names = append(names, name)
		}
	}
	return names
}

func split(key string) (table, name string) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key
	}
	return key[:i], key[i+1:]
}

// maxTypo is how long a word may be for which the right one is looked for, in bytes.
const maxTypo = 64

// nearest returns the key that was probably meant: one of the same name elsewhere,
// or the one that is the fewest slips of the finger away, "" if all are far.
func nearest(key string) string {
	table, name := split(key)
	if len(name) > maxTypo {
		return ""
	}
	best, bestSlips, tie := "", 1+max(1, len(name)/3), false
	for _, candidate := range slices.Sorted(maps.Keys(known())) {
		t, n := split(candidate)
		slips := slips(name, n)
		if t != table {
			slips += 1 + min(1, slips) // another table only if nothing here is as near
		}
		switch {
		case slips < bestSlips:
			best, bestSlips, tie = candidate, slips, false
		case slips == bestSlips && best != "":
			tie = true
		}
	}
	if tie && bestSlips > 1 {
		return ""
	}
	return best
}

// slips counts the letters to add, drop, change or swap to get from a to b.
func slips(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			n := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				n = min(n, rows[i-2][j-2]+1)
			}
			rows[i][j] = n
		}
	}
	return rows[len(x)][len(y)]
}

// Near reports whether a word was probably meant as another.
func Near(word, meant string) bool { return slips(word, meant) <= max(1, len(meant)/3) }
