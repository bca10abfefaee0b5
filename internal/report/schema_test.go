package report

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// schema is as much of JSON Schema as docs/audit.schema.json uses. A keyword that it does
// not know is an error, so that none is passed over.
type schema struct{ root map[string]any }

func (s schema) check(at string, rule map[string]any, v any) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	for key, want := range rule {
		switch key {
		case "$schema", "$defs", "title", "description":
		case "$ref":
			name := strings.TrimPrefix(want.(string), "#/$defs/")
			def, ok := s.root["$defs"].(map[string]any)[name].(map[string]any)
			if !ok {
				say("no definition %s", name)
				continue
			}
			wrong = append(wrong, s.check(at, def, v)...)
		case "const":
			if !reflect.DeepEqual(want, v) {
				say("%v, want %v", v, want)
			}
		case "enum":
			if !slices.ContainsFunc(want.([]any), func(w any) bool { return reflect.DeepEqual(w, v) }) {
				say("%v is none of %v", v, want)
			}
		case "type":
			types, many := want.([]any)
			if !many {
				types = []any{want}
			}
			if !slices.ContainsFunc(types, func(t any) bool { return isType(t.(string), v) }) {
				say("%v is no %v", v, want)
			}
		case "required":
			if m, ok := v.(map[string]any); ok {
				for _, name := range want.([]any) {
					if _, ok := m[name.(string)]; !ok {
						say("has no %v", name)
					}
				}
			}
		case "properties":
			if m, ok := v.(map[string]any); ok {
				for name, inner := range want.(map[string]any) {
					if value, ok := m[name]; ok {
						wrong = append(wrong, s.check(at+"/"+name, inner.(map[string]any), value)...)
					}
				}
			}
		case "items":
			if list, ok := v.([]any); ok {
				for n, e := range list {
					wrong = append(wrong, s.check(fmt.Sprintf("%s/%d", at, n), want.(map[string]any), e)...)
				}
			}
		case "maxItems":
			if list, ok := v.([]any); ok && float64(len(list)) > want.(float64) {
				say("%d entries", len(list))
			}
		case "minimum":
			if n, ok := v.(float64); ok && n < want.(float64) {
				say("%v is less than %v", v, want)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(want.(string)).MatchString(text) {
				say("%q is not like %v", text, want)
			}
		default:
			say("the schema uses %s, which this test does not know", key)
		}
	}
	return wrong
}

func isType(name string, v any) bool {
	switch name {
	case "object":
		_, ok := v.(map[string]any)
		return ok
	case "array":
		_, ok := v.([]any)
		return ok
	case "string":
		_, ok := v.(string)
		return ok
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "integer":
		n, ok := v.(float64)
		return ok && n == math.Trunc(n)
	case "null":
		return v == nil
	}
	return false
}

// What is written is as docs/audit.schema.json says, and the schema would notice.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile("../../docs/audit.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s.root); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*Report{"everything": sample(), "nothing": {}} {
		written := write(t, r, JSON, Style{})
		var doc map[string]any
		if err := json.Unmarshal([]byte(written), &doc); err != nil {
			t.Fatal(err)
		}
		if wrong := s.check("", s.root, doc); len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
		known := s.root["properties"].(map[string]any)
		for key := range doc {
			if known[key] == nil {
				t.Errorf("the schema does not tell of %s", key)
			}
		}
		if name == "nothing" {
			continue
		}
		for _, c := range doc["checks"].([]any) {
			for key := range c.(map[string]any) {
				if s.root["$defs"].(map[string]any)["check"].(map[string]any)["properties"].(map[string]any)[key] == nil {
					t.Errorf("the schema does not tell of a check’s %s", key)
				}
			}
		}
		for from, to := range map[string]string{`"result": "pass"`: `"result": "good"`, `"schema_version": 1`: `"schema_version": 2`, `"line": 2`: `"line": -2`, `"explicit": true`: `"explicit": "yes"`, `"why"`: `"because"`} {
			var bad map[string]any
			if err := json.Unmarshal([]byte(strings.Replace(written, from, to, 1)), &bad); err != nil {
				t.Fatal(err)
			}
			if len(s.check("", s.root, bad)) == 0 {
				t.Errorf("the schema takes %s", to)
			}
		}
	}
}
