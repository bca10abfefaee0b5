package ha

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawYAML draws a value in flow style.
func drawYAML(r *rapid.T, deep int, anchors *int) string {
	choose := func(label string, all ...string) string { return rapid.SampledFrom(all).Draw(r, label) }
	kind := rapid.IntRange(0, 11).Draw(r, "kind")
	if deep == 0 {
		kind = min(kind, 6)
	}
	switch {
	case kind <= 2:
		return choose("scalar", "one", "8123", "true", "false", "null", "~", `"a: b"`, "'null'", "two words", "-5", `"\u00fc"`, "10.0.0.0/8", "'it''s'")
	case kind == 3:
		return "!secret " + choose("secret", "port", "password", "deep", "list", "none")
	case kind == 4:
		return "!include " + choose("file", "a.yaml", "d/x.yaml", "d/sub/y.yaml", "empty.yaml", "../d/x.yaml", "none.yaml", "x.yaml", "sub/y.yaml")
	case kind == 5:
		return choose("folder", "!include_dir_named", "!include_dir_merge_named", "!include_dir_list", "!include_dir_merge_list") + " " + choose("dir", "d", "d/", "./d/sub", "p", "sub", "none")
	case kind == 6:
		if *anchors > 0 {
			return fmt.Sprintf("*x%d ", rapid.IntRange(1, *anchors).Draw(r, "alias"))
		}
		return choose("tag", "!input thing", "!env_var HOME_OF_NOBODY port", "!!str 5", "!magic x", "text")
	}
	anchor := ""
	var parts []string
	for range rapid.IntRange(0, 3).Draw(r, "parts") {
		v := drawYAML(r, deep-1, anchors)
		if kind <= 8 {
			parts = append(parts, v)
		} else {
			parts = append(parts, choose("key", "a", "b", "c", "5", "'q'")+": "+v)
		}
	}
	if kind > 8 && *anchors > 0 && rapid.Bool().Draw(r, "merge") {
		which := func() string { return fmt.Sprintf("*x%d ", rapid.IntRange(1, *anchors).Draw(r, "alias")) }
		parts = append(parts, "<<: "+choose("merged", which(), "["+which()+", "+which()+"]"))
	}
	if rapid.IntRange(0, 2).Draw(r, "anchor") == 0 {
		*anchors++
		anchor = fmt.Sprintf("&x%d ", *anchors)
	}
	if kind <= 8 {
		return anchor + "[" + strings.Join(parts, ", ") + "]"
	}
	return anchor + "{" + strings.Join(parts, ", ") + "}"
}

func drawConfiguration(r *rapid.T, keys ...string) string {
	var b strings.Builder
	anchors := 0
	for range rapid.IntRange(0, 4).Draw(r, "entries") {
		key := rapid.SampledFrom(keys).Draw(r, "key")
		switch rapid.IntRange(0, 5).Draw(r, "form") {
		case 0:
			fmt.Fprintf(&b, "%s:\n  - %s\n  - k: %s\n", key, drawYAML(r, 1, &anchors), drawYAML(r, 1, &anchors))
		case 1:
			fmt.Fprintf(&b, "%s:\n  one: %s\n  # why\n  two: %s\n", key, drawYAML(r, 1, &anchors), drawYAML(r, 1, &anchors))
		case 2:
			fmt.Fprintf(&b, "%s: %s\n", key, rapid.SampledFrom([]string{"|\n  a\n  b", ">-\n  a\n  b", "", "# nothing"}).Draw(r, "block"))
		default:
			fmt.Fprintf(&b, "%s: %s\n", key, drawYAML(r, 2, &anchors))
		}
	}
	return b.String()
}

// plainNode is a node as readers.py has it; problem says that not all is known.
func plainNode(n *Node) (value any, problem error) {
	switch {
	case n.Err != nil:
		return nil, n.Err
	case n.Kind == TextNode:
		return n.Text, nil
	case n.Kind == ListNode:
		items := []any{}
		for _, item := range n.Items {
			v, err := plainNode(item)
			items, problem = append(items, v), cmp.Or(problem, err)
		}
		return map[string]any{"list": items}, problem
	case len(n.Fields) == 0:
		return nil, nil
	}
	pairs := []any{}
	fields := slices.Clone(n.Fields)
	slices.SortFunc(fields, func(a, b Field) int { return strings.Compare(a.Key, b.Key) })
	for _, f := range fields {
		v, err := plainNode(f.Value)
		pairs, problem = append(pairs, []any{f.Key, v}), cmp.Or(problem, err)
	}
	return pairs, problem
}

// A configuration that we know in full is what PyYAML with Home Assistant's tags makes of
// its files: includes, folders in their order, secrets from the nearest file, merges.
func TestConfigurationDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	python := startReaders(t)
	dir := t.TempDir()
	known, unknown, refused := 0, 0, 0
	rapid.Check(t, func(r *rapid.T) {
		if err := os.RemoveAll(filepath.Join(dir, "home")); err != nil {
			r.Fatal(err)
		}
		home := filepath.Join(dir, "home")
		files := map[string]string{"configuration.yaml": drawConfiguration(r, "http", "homeassistant", "script", "a", "b")}
		for _, name := range []string{"a.yaml", "d/x.yaml", "d/sub/y.yaml", "d/m/x.yaml", "d/z.yaml", "d/.hidden.yaml", "d/note.txt", "p/one.yaml", "x.yaml", "sub/y.yaml"} {
			switch rapid.IntRange(0, 5).Draw(r, "what") {
			case 0:
			case 1:
				files[name] = "- 1\n- " + rapid.SampledFrom([]string{"x", "!secret port", "{a: b}", "[]"}).Draw(r, "item") + "\n"
			default:
				files[name] = strings.NewReplacer("!include ", "!secret ", "!include_dir_", "!input ").Replace(drawConfiguration(r, "a", "b", "c"))
			}
		}
		files["empty.yaml"] = rapid.SampledFrom([]string{"", "# nothing\n", "---\n"}).Draw(r, "empty")
		for _, name := range []string{"secrets.yaml", "d/secrets.yaml", "d/sub/secrets.yaml"} {
			if rapid.Bool().Draw(r, "secrets") {
				files[name] = rapid.SampledFrom([]string{"port: 1\npassword: two\n", "port: 3\n", "deep: {a: [b]}\nlist: [1, x]\n", "", "- port\n", "port: &p 4\npassword: *p\n"}).Draw(r, name)
			}
		}
		var show strings.Builder
		for name, text := range files {
			full := filepath.Join(home, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
				r.Fatal(err)
			}
			fmt.Fprintf(&show, "-- %s --\n%s", name, text)
		}
		var there struct{ All any }
		said := python.ask(asked{Kind: "configuration", Folder: home}, &there)
		root, err := ReadConfiguration(os.DirFS(home))
		if err != nil {
			refused++
			return
		}
		value, problem := plainNode(root)
		switch {
		case problem != nil:
			unknown++
			return
		case said != "":
			// It looks at what a later key of the same name hides, too, and does not start.
			refused++
			return
		}
		text, err := json.Marshal(value)
		if err != nil {
			r.Fatal(err)
		}
		want, err := json.Marshal(there.All)
		if err != nil {
			r.Fatal(err)
		}
		if string(text) != string(want) {
			r.Fatalf("we read\n%s\nHome Assistant\n%s\n%s", text, want, show.String())
		}
		known++
	})
	t.Logf("%d configurations agree, of %d not all is known, %d cannot be read", known, unknown, refused)
	if known < unknown/8 || known == 0 {
		t.Error("hardly a configuration is known in full")
	}
}
