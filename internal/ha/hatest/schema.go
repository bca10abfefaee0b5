package hatest

import (
	"fmt"
	"slices"
)

// schema says which fields an object may have. A field that is not named is an
// error, as in Home Assistant.
type schema struct {
	fields []field
	loose  bool // further fields are kept
}

// field is one member of an object.
type field struct {
	name     string
	required bool
	is       func(any) bool
}

// fields makes a schema: need, may and open describe its members.
func fields(f ...field) schema { return schema{fields: f} }

func need(name string, is func(any) bool) field { return field{name, true, is} }
func may(name string, is func(any) bool) field  { return field{name, false, is} }

// check returns v as an object that fits.
func (s schema) check(v any) (object, error) {
	o, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("expected a dictionary")
	}
	for _, f := range s.fields {
		value, ok := o[f.name]
		switch {
		case !ok && f.required:
			return nil, fmt.Errorf("required key not provided at '%s'", f.name)
		case ok && !f.is(value):
			return nil, fmt.Errorf("not a valid value at '%s'", f.name)
		}
	}
	if s.loose {
		return o, nil
	}
	for name := range o {
		if !slices.ContainsFunc(s.fields, func(f field) bool { return f.name == name }) {
			return nil, fmt.Errorf("extra keys not allowed at '%s'", name)
		}
	}
	return o, nil
}

// The kinds of value that Home Assistant's schemas ask for.

func isString(v any) bool { _, ok := v.(string); return ok }
func isBool(v any) bool   { _, ok := v.(bool); return ok }
func isObject(v any) bool { _, ok := v.(object); return ok }
func isAny(any) bool      { return true }

// isInt is Python's: a bool is an int.
func isInt(v any) bool {
	switch v.(type) {
	case int64, uint64, bool:
		return true
	}
	return false
}

func isNumber(v any) bool { _, ok := v.(float64); return ok || isInt(v) }

func isStrings(v any) bool {
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(v any) bool { return !isString(v) })
}

// orNull also takes null.
func orNull(is func(any) bool) func(any) bool {
	return func(v any) bool { return v == nil || is(v) }
}

// oneOf takes these strings.
func oneOf(words ...string) func(any) bool {
	return func(v any) bool {
		s, ok := v.(string)
		return ok && slices.Contains(words, s)
	}
}

// text is the string under a key, or "".
func text(o object, key string) string {
	s, _ := o[key].(string)
	return s
}

// whole is the integer under a key, or otherwise.
func whole(o object, key string, otherwise int64) int64 {
	switch n := o[key].(type) {
	case int64:
		return n
	case uint64:
		return int64(min(n, 1<<62))
	}
	return otherwise
}

// words are the strings under a key, which may be one string or a list.
func words(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}
