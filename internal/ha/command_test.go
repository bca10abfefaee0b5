package ha

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestParseAuth(t *testing.T) {
	for message, want := range map[string]string{
		`{"type":"auth","access_token":"abc"}`:                      "abc",
		` {"access_token":"a\u0062c", "type":"auth"} `:              "abc",
		`{"type":"auth","access_token":""}`:                         "",
		`{"type":"auth"}`:                                           "",
		`{"type":"auth","access_token":"a","id":1}`:                 "",
		`{"type":"auth","api_password":"x"}`:                        "",
		`[{"type":"auth","access_token":"a"}]`:                      "",
		`{"type":"auth","access_token":"a"}{}`:                      "",
		`{"type":"Auth","access_token":"a"}`:                        "",
		`{"Type":"auth","access_token":"a"}`:                        "",
		`{"type":"auth","access_token":1}`:                          "",
		`{"type":"auth","access_token":null}`:                       "",
		`{"type":"auth","type":"auth","access_token":"a"}`:          "",
		`{"type":"auth","access_token":"b","access_token":"a"}`:     "",
		`{"type":"auth","access_token":"b","access\u005ftoken":""}`: "",
		"\xef\xbb\xbf" + `{"type":"auth","access_token":"a"}`:       "",
		`{"type":"auth","access_token":"\udc00"}`:                   "",
		"": "", "null": "", "auth": "",
	} {
		got, err := ParseAuth([]byte(message))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", message, got, err)
		}
	}
	again, err := ParseAuth(AppendAuth([]byte{}, "a\"b\\ü"))
	if err != nil || again != "a\"b\\ü" {
		t.Errorf("%q, %v", again, err)
	}
	if got := string(AppendAuth([]byte("x"), "a.b")); got != `x{"type":"auth","access_token":"a.b"}` {
		t.Error(got)
	}
}

// messages are what clients send, and what is in them: id and type of each command.
var messages = []struct{ message, want string }{
	{`{"id":1,"type":"supported_features","features":{"coalesce_messages":1}}`, "1 supported_features"},
	{`[{"id":2,"type":"ping"},{"type":"get_states","id":3}]`, "2 ping, 3 get_states"},
	{` [ {"id" : 2 , "type" : "ping"} , { } ] `, "2 ping, 0 "},
	{`[]`, ""},
	{` [ ] `, ""},
	{`{}`, "0 "},
	{`{"i\u0064":7,"t\u0079pe":"p\u0069ng"}`, "7 ping"},
	{`{"id":18446744073709551615,"type":"ping"}`, "18446744073709551615 ping"},
	{`{"id":18446744073709551616,"type":"ping"}`, "0 ping"},
	{`{"id":1.0,"type":"ping"}`, "0 ping"},
	{`{"id":1e3,"type":"ping"}`, "0 ping"},
	{`{"id":-1,"type":"ping"}`, "0 ping"},
	{`{"id":0,"type":"ping"}`, "0 ping"},
	{`{"id":"1","type":"ping"}`, "0 ping"},
	{`{"id":true,"type":"ping"}`, "0 ping"},
	{`{"id":null,"type":null}`, "0 "},
	{`{"id":5,"type":["ping"]}`, "5 "},
	{`{"ID":5,"Type":"ping"}`, "0 "},
	{`{"id":5,"type":"ping","data":{"id":6,"type":"other","x":[{"id":7}]}}`, "5 ping"},
	{`{"id":5,"type":"call_service","x":"[{\"}\u2028ü"}`, "5 call_service"},
	{`{"id":5,"type":""}`, "5 "},
	{`{"id":5,"type":"x","d":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, "5 x"},
	{`{"id":5,"type":"x","d":"` + strings.Repeat("[{", 5000) + `"}`, "5 x"},
}

var badMessages = []string{
	"", " ", "null", "1", `"x"`, "true", "NaN", "x", "{", "[", "[{}", `{"id":1`, `{"id":}`, `[1]`, `[{},1]`, `[[]]`, `[[{"id":1,"type":"ping"}]]`, `[{}[]]`, `[null]`, `[{},]`, `{"id":1,}`,
	`{"id":1,"id":2}`, `{"id":1,"i\u0064":2}`, `{"type":"ping","type":"ping"}`, `{"id":1,"type":"x","d":{"a":1,"a":1}}`, `{"id":1,"type":"x","d":[{"a":1,"\u0061":1}]}`, `[{"id":1,"id":1}]`,
	`{"id":1,"type":"ping"}{"id":2,"type":"ping"}`, `{"id":1,"type":"ping"} x`, `[] []`, `[]]`, `{}}`, "\xef\xbb\xbf{}", "{\"id\":1,\"type\":\"\xff\"}", "{\"\xff\":1}", `{"type":"\ud800"}`, `{"type":"\ud800x"}`,
	`{"type":"\udc00\ud800"}`, `{"d":"\ud83d"}`, `{"\ud800":1}`, "{\"type\":\"a\nb\"}", "{\"type\":\"a\x00b\"}", `{'id':1}`, `{id:1}`, `{"id":01}`, `{"id":+1}`, `{"id":.5}`, `{"d":NaN}`, `{"d":Infinity}`, `/**/{}`, `{}//`,
	`{"type":"\x41"}`, `{"type":"\u00"}`, "\x00", "{}\x00", "\u00a0{}", "\f{}",
	`{"d":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, strings.Repeat("[", 100000), strings.Repeat(`{"a":`, 100000),
	"[" + strings.Repeat("{},", maxCommands) + "{}]",
}

func said(commands []Command) string {
	var out []string
	for _, c := range commands {
		out = append(out, fmt.Sprintf("%d %s", c.ID, c.Type))
	}
	return strings.Join(out, ", ")
}

func TestParseCommands(t *testing.T) {
	for _, c := range messages {
		got, err := ParseCommands([]byte(c.message))
		if err != nil || said(got) != c.want {
			t.Errorf("%.80s: %q, %v", c.message, said(got), err)
		}
		for _, one := range got {
			if again, err := ParseCommands(one.Raw); err != nil || len(again) != 1 || again[0].ID != one.ID || again[0].Type != one.Type || !bytes.Equal(again[0].Raw, one.Raw) {
				t.Errorf("%s read alone: %v, %v", one.Raw, again, err)
			}
		}
	}
	for _, message := range badMessages {
		if got, err := ParseCommands([]byte(message)); err == nil || got != nil {
			t.Errorf("%.80q is taken: %v", message, got)
		}
	}
	got, err := ParseCommands([]byte(`[ {"id":1, "type":"a"} , {"id":2}]`))
	if err != nil || string(got[0].Raw) != `{"id":1, "type":"a"}` || string(got[1].Raw) != `{"id":2}` {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestParseCommandsAtOnce holds that the readers which are used again share nothing.
func TestParseCommandsAtOnce(t *testing.T) {
	for i := range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for range 200 {
				message := fmt.Appendf(nil, `[{"id":%d,"type":"t%d"}]`, i+1, i)
				if got, err := ParseCommands(message); err != nil || said(got) != fmt.Sprintf("%d t%d", i+1, i) {
					t.Errorf("%s: %v, %v", message, got, err)
				}
				_, _ = ParseCommands([]byte(`[{"id":1,`))
			}
		})
	}
}

// FuzzParseCommands: what is taken has the same commands when it is put together
// anew from their Raw, and a strict reader finds the same ids and types in it.
func FuzzParseCommands(f *testing.F) {
	for _, c := range messages {
		if len(c.message) < 2000 {
			f.Add([]byte(c.message))
		}
	}
	for _, m := range badMessages {
		if len(m) < 2000 {
			f.Add([]byte(m))
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		kept := bytes.Clone(message)
		got, err := ParseCommands(message)
		if !bytes.Equal(message, kept) {
			t.Fatal("the message was changed")
		}
		if err != nil {
			return
		}
		var raws [][]byte
		for _, c := range got {
			raws = append(raws, c.Raw)
			var m map[string]any
			if err := json.Unmarshal(c.Raw, &m); err != nil {
				t.Fatalf("%q: %v", c.Raw, err)
			}
			if kind, _ := m["type"].(string); kind != c.Type {
				t.Fatalf("%q has type %q, not %q", c.Raw, kind, c.Type)
			}
			if id, isNumber := m["id"].(float64); c.ID != 0 && (!isNumber || id != float64(c.ID)) {
				t.Fatalf("%q has id %v, not %d", c.Raw, m["id"], c.ID)
			}
		}
		again, err := ParseCommands(append(append([]byte{'['}, bytes.Join(raws, []byte{','})...), ']'))
		if err != nil || said(again) != said(got) {
			t.Fatalf("%q is put together as %q, %v", message, said(again), err)
		}
		if token, err := ParseAuth(message); err == nil {
			if back, err := ParseAuth(AppendAuth(nil, token)); err != nil || back != token {
				t.Fatalf("%q comes back as %q, %v", token, back, err)
			}
		}
	})
}

func BenchmarkParseCommands(b *testing.B) {
	big := `{"id":77,"type":"call_service","domain":"light","service":"turn_on","service_data":{"brightness_pct":50,"rgb_color":[1,2,3]},"target":{"entity_id":["light.a","light.b"]}}`
	for name, message := range map[string]string{"ping": `{"id":41,"type":"ping"}`, "call_service": big, "array": "[" + big + "," + big + "," + big + "]",
		"4MiB": `{"id":1,"type":"x","d":"` + strings.Repeat("abcdefgh", 512<<10) + `"}`} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			m := []byte(message)
			for b.Loop() {
				if _, err := ParseCommands(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestHandshake(t *testing.T) {
	m, err := ParseAuthMessage(AuthRequired("2026.11.0\"x"))
	if err != nil || m != (AuthMessage{"auth_required", "2026.11.0\"x"}) {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := ParseAuthMessage(AuthInvalid); err != nil || m.Type != "auth_invalid" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := ParseAuthMessage([]byte(`{"type":"auth_ok"`)); err == nil {
		t.Errorf("%+v", m)
	}
	for command, want := range map[string]string{
		`{"id":1,"type":"supervisor/api","endpoint":"/ingress/session","method":"post"}`: "/ingress/session",
		`{"id":1,"type":"supervisor/api"}`:                                               "",
		`{"endpoint":1}`:                                                                 "",
	} {
		if got := SupervisorEndpoint([]byte(command)); got != want {
			t.Errorf("%s: %q", command, got)
		}
	}
}
