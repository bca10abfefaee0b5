package ha

import (
	"strings"
	"testing"
)

// Sign-ins go, and every other byte stays as Home Assistant wrote it.
func TestDropTokens(t *testing.T) {
	const before = "{\n  \"version\": 1,\n  \"key\": \"auth\",\n  \"data\": {\n    \"users\": [{\"id\": \"]\"}],\n    \"refresh_tokens\": [\n      {\"id\": \"a\", \"x\": [1]},\n      {\"id\": \"b\"},\n      {\"id\": \"c\"}\n    ]\n  }\n}"
	for _, c := range []struct{ drop, want string }{
		{"a", "[\n      {\"id\": \"b\"},\n      {\"id\": \"c\"}\n    ]"}, {"b", "[\n      {\"id\": \"a\", \"x\": [1]},\n      {\"id\": \"c\"}\n    ]"},
		{"bc", "[\n      {\"id\": \"a\", \"x\": [1]}\n    ]"}, {"abc", "[]"},
	} {
		got, err := DropTokens([]byte(before), func(n int) bool { return strings.Contains(c.drop, string(rune('a'+n))) })
		head, _, _ := strings.Cut(before, "[\n")
		if want := head + c.want + "\n  }\n}"; err != nil || string(got) != want {
			t.Errorf("without %s: %v\n%s\nwant\n%s", c.drop, err, got, want)
		}
	}
	for _, bad := range []string{"", "{", `{"data":{"refresh_tokens":{}}}`, `{"data":{"refresh_tokens":[`, `{"refresh_tokens":[1]}`, `{"data":{"refresh_tokens":[]}}`, `{"data":{"refresh_tokens":[1]}} x`} {
		if got, err := DropTokens([]byte(bad), func(int) bool { return true }); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

// Whatever the file is, what comes out of it is JSON with fewer sign-ins, or nothing does.
func FuzzDropTokens(f *testing.F) {
	f.Add([]byte(`{"data":{"refresh_tokens":[{"id":1},{"id":2}]}}`), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, nth uint8) {
		after, err := DropTokens(text, func(n int) bool { return n == int(nth) })
		if err != nil {
			return
		}
		seen := 0
		again, err := DropTokens(after, func(int) bool { seen++; return true })
		if len(after) >= len(text) || err != nil && seen > 0 || err == nil && len(again) >= len(after) {
			t.Fatalf("%q became %q, then %q: %v", text, after, again, err)
		}
	})
}
