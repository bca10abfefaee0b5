package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Error is everything that is wrong with a file.
type Error struct {
	File     string
	Problems []Problem // at least one, in the file's order
}

// Problem is one thing that is wrong.
type Problem struct {
	Line    int    `json:"line"`           // from 1; 0 where it is about the whole file
	Key     string `json:"key,omitempty"`  // dotted; empty where no key is concerned
	Message string `json:"message"`        // what is wrong
	Hint    string `json:"hint,omitempty"` // what to do about it; may be empty
}

// Error lists the problems, one a line, each with its hint.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
		b.WriteString(p.Message)
		if p.Hint != "" {
			b.WriteString("; ")
			b.WriteString(p.Hint)
		}
	}
	return b.String()
}

// explain turns what the decoder says into our own words.
func explain(name string, at places, err error) *Error {
	e := &Error{File: name}
	var unknown *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		for i := range unknown.Errors {
			line, _ := unknown.Errors[i].Position()
			e.Problems = append(e.Problems, misspelt(strings.Join(unknown.Errors[i].Key(), "."), line))
		}
	case errors.As(err, &bad):
		line, _ := bad.Position()
		e.Problems = []Problem{wrongValue(at, line, bad)}
	default:
		e.Problems = []Problem{{Message: strings.TrimPrefix(err.Error(), "toml: ")}}
	}
	return e
}

// misspelt is the problem of a key that does not exist.
func misspelt(key string, line int) Problem {
	p := Problem{Line: line, Key: key, Message: "unknown key " + key}
	if near := nearest(key); near != "" {
		p.Hint = "did you mean " + near + "?"
		return p
	}
	table := key
	for {
		i := strings.LastIndexByte(table, '.')
		if i < 0 {
			p.Hint = "the tables are " + strings.Join(below(""), ", ")
			return p
		}
		table = table[:i]
		if keys := below(table); len(keys) > 0 {
			p.Hint = "[" + table + "] has " + strings.Join(keys, ", ")
			return p
		}
	}
}

// wrongValue is the problem of a value that cannot be decoded, or of what is no TOML.
func wrongValue(at places, line int, bad *toml.DecodeError) Problem {
	message := strings.TrimPrefix(bad.Error(), "toml: ")
	p := Problem{Line: line, Message: message}
	key := general(at.at(line))
	kind, ok := known()[key]
	if !ok {
		return p
	}
	p.Key = key
	if message != errDuration.Error() && !strings.HasPrefix(message, "cannot ") {
		p.Message = key + ": " + message // no TOML: what the parser says is best
		return p
	}
	p.Message = key + " " + wants(kind)
	return p
}

// wants says in words what a key's value must be.
func wants(t reflect.Type) string {
	if t == reflect.TypeFor[Duration]() {
		return `wants a length of time in quotes, like "90s", "10m", "36h" or "30d"`
	}
	switch t.Kind() {
	case reflect.String:
		return `wants a text in quotes`
	case reflect.Int:
		return `wants a number without quotes`
	case reflect.Bool:
		return `wants true or false, without quotes`
	case reflect.Slice:
		return `wants a list of texts, like ["one", "two"]`
	default:
		return `is a table: write [` + `…` + `] above its keys`
	}
}
