package hatest

import (
	"reflect"
	"testing"
)

func TestDecodeJSON(t *testing.T) {
	for in, want := range map[string]any{
		`{"a":1,"a":2}`: object{"a": int64(2)}, ` [1.0] `: []any{1.0}, `18446744073709551615`: uint64(18446744073709551615), `"\u0041"`: "A", `null`: nil,
	} {
		if got, err := decodeJSON([]byte(in)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "{", "NaN", "1 2", "\ufeff1", `"\ud800"`, "\"\xff\"", "[1,]", "{} {}"} {
		if got, err := decodeJSON([]byte(in)); err == nil {
			t.Errorf("%q is read as %v", in, got)
		}
	}
}

// What was read and is written is read the same again.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"id":1,"type":"ping"}`, `[1,2.5,"x",null,true,{"a":{}}]`, `{"a":1,"a":[]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := decodeJSON(data)
		if err != nil {
			return
		}
		again, err := decodeJSON(encodeJSON(first))
		if err != nil {
			t.Fatalf("%s: %v", encodeJSON(first), err)
		}
		if a, b := string(encodeJSON(first)), string(encodeJSON(again)); a != b {
			t.Fatalf("%s became %s", a, b)
		}
	})
}
