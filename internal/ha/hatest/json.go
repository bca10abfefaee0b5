package hatest

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// object is a JSON object.
type object = map[string]any

// Home Assistant reads JSON with orjson, which nests this deep.
const maxDepth = 1024

var errJSON = errors.New("not JSON as Home Assistant reads it")

// decodeJSON reads JSON as orjson does: of duplicate keys the last one wins;
// invalid UTF-8, lone surrogates, NaN, a byte order mark and trailing data are
// errors. Numbers become int64, uint64 or float64.
func decodeJSON(data []byte) (any, error) {
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true))
	v, err := decodeValue(d, 1)
	if err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errJSON
	}
	return v, nil
}

func decodeValue(d *jsontext.Decoder, depth int) (any, error) {
	t, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return t.Bool(), nil
	case '"':
		return t.String(), nil
	case '0':
		return number(t.String())
	}
	if depth > maxDepth {
		return nil, errJSON
	}
	if t.Kind() == '[' {
		list := []any{}
		for d.PeekKind() != ']' {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.ReadToken()
		return list, err
	}
	o := object{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		v, err := decodeValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		o[key] = v
	}
	_, err = d.ReadToken()
	return o, err
}

// number keeps apart what Python does: 1 is an int, 1.0 and 1e3 are floats.
func number(s string) (any, error) {
	if !strings.ContainsAny(s, ".eE") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, errJSON
	}
	return f, nil
}

// encodeJSON is for values made here, which always encode.
func encodeJSON(v any) []byte {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return []byte("null")
	}
	return b
}
