package ha

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// DropTokens takes sign-ins out of .storage/auth and leaves every other byte as Home
// Assistant wrote it; drop says by their place in the list which ones. Home Assistant
// writes the file anew when it stops, so it must not run.
func DropTokens(text []byte, drop func(n int) bool) ([]byte, error) {
	const name, list = ".storage/auth", jsontext.Pointer("/data/refresh_tokens")
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	var from, to []int
	for inside := false; ; {
		kind := dec.PeekKind()
		if kind == 0 {
			return nil, fmt.Errorf("edit %s: it is not as Home Assistant writes it", name)
		}
		switch {
		case inside && kind == ']':
			return dropTokens(name, text, from, to, drop)
		case inside:
			value, err := dec.ReadValue()
			if err != nil {
				return nil, fmt.Errorf("edit %s: it is not as Home Assistant writes it", name)
			}
			end := int(dec.InputOffset())
			from, to = append(from, end-len(value)), append(to, end)
			if dec.StackPointer() != list+jsontext.Pointer("/"+strconv.Itoa(len(from)-1)) {
				return nil, fmt.Errorf("edit %s: it is not as Home Assistant writes it", name)
			}
			continue
		}
		if _, err := dec.ReadToken(); err != nil {
			return nil, fmt.Errorf("edit %s: it is not as Home Assistant writes it", name)
		}
		inside = kind == '[' && dec.StackPointer() == list
	}
}

func dropTokens(name string, text []byte, from, to []int, drop func(int) bool) ([]byte, error) {
	var kept [][]byte
	for n := range from {
		if !drop(n) {
			kept = append(kept, text[from[n]:to[n]])
		}
	}
	if len(kept) == len(from) {
		return nil, errors.New("edit " + name + ": there is nothing to take out")
	}
	first, last := from[0], to[len(to)-1]
	between := []byte(",")
	if len(from) > 1 {
		between = text[to[0]:from[1]]
	}
	if len(kept) == 0 { // Home Assistant writes an empty list without a line end in it
		first = bytes.LastIndexByte(text[:first], '[') + 1
		last += bytes.IndexByte(text[last:], ']')
	}
	after := slices.Concat(text[:first], bytes.Join(kept, between), text[last:])
	if !jsontext.Value(after).IsValid() {
		return nil, fmt.Errorf("edit %s: it is not as Home Assistant writes it", name)
	}
	return after, nil
}
