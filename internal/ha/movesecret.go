package ha

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// MoveSecrets writes !secret and a name in the place of values of a file, and the values into
// a file of secrets, "secrets.yaml" or another one that is looked into for this file. Both
// texts are returned; nothing else in them changes, and a value means the same to Home
// Assistant afterwards: as it was written it is moved, with its quotes.
//
// What cannot be moved with certainty is an error that names its line. The configuration was
// read again with the new texts, and every value is as before.
func MoveSecrets(fsys fs.FS, file, into string, move func(YAMLEntry) bool) (changed, secrets []byte, err error) {
	text, err := readFile(fsys, file, maxYAMLFile)
	if err != nil {
		return nil, nil, err
	}
	kept, err := readFile(fsys, into, maxYAMLFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	names, err := secretNames(fsys, file, into)
	if err != nil {
		return nil, nil, err
	}
	e := &httpEditor{file: file, text: text}
	if err := e.measure(); err != nil {
		return nil, nil, err
	}
	var lines []string
	var failed error
	given := map[string]string{} // the names of what is moved, by how it is written
	moved := map[string]*yaml.Node{}
	changed, err = RewriteYAML(file, text, func(v YAMLEntry) YAMLChange {
		if failed != nil || v.Kind != TextNode || !move(v) {
			return YAMLChange{}
		}
		raw, err := movable(e, v)
		if err != nil {
			failed = err
			return YAMLChange{}
		}
		wish := secretName(file, v)
		name := given[wish+"\n"+raw]
		if name == "" {
			name = wish
			for n := 2; names[name]; n++ {
				name = wish + "_" + strconv.Itoa(n)
			}
			names[name], given[wish+"\n"+raw], moved[name] = true, name, v.node
			lines = append(lines, name+": "+raw)
		}
		return YAMLChange{Put: "!secret " + name}
	})
	if err = errors.Join(failed, err); err != nil {
		return nil, nil, err
	}
	if len(lines) == 0 {
		return nil, nil, fmt.Errorf("edit %s: there is nothing to move", file)
	}
	if secrets, err = appendYAML(into, kept, lines); err != nil {
		return nil, nil, err
	}
	return changed, secrets, proveMoved(fsys, file, into, changed, secrets, kept, moved)
}

// movable is how a value is written in a line of the file of secrets.
func movable(e *httpEditor, v YAMLEntry) (string, error) {
	s, err := e.scalar(v.node, len(e.text)) // a block of text is written anew, where it ends is no matter
	switch {
	case err != nil:
		return "", err
	case s.raw != "":
		return s.raw, nil
	case v.Tag != "" || v.node.Style&yaml.TaggedStyle != 0:
		return "", fmt.Errorf("edit %s: the value %w", Place{e.file, v.Line}, errSeveralLines)
	}
	return strconv.QuoteToASCII(v.Text), nil
}

// secretNames are the names that are in use already where a file looks for secrets.
func secretNames(fsys fs.FS, file, into string) (map[string]bool, error) {
	names := map[string]bool{"logger": true} // which Home Assistant takes for its own
	looks := []string{into}
	for dir := path.Dir(file); ; dir = path.Dir(dir) {
		looks = append(looks, path.Join(dir, "secrets.yaml"))
		if dir == "." {
			break
		}
	}
	for _, name := range looks {
		y := &yamlFiles{fsys: fsys, read: map[string]*yaml.Node{}}
		v, err := y.load(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all, err := y.mapping(v, 0)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			names[p.key] = true
		}
	}
	return names, nil
}

// secretName is what a value may be called: its key, with what it belongs to before it.
func secretName(file string, v YAMLEntry) string {
	keys := slices.Clone(v.Keys)
	if len(keys) > 2 && keys[0] == "homeassistant" && keys[1] == "packages" {
		keys = keys[2:]
	}
	var parts []string
	for _, k := range keys {
		word := strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_':
				return r
			case r >= 'A' && r <= 'Z':
				return r + 'a' - 'A'
			}
			return '_'
		}, k)
		parts = append(parts, word)
	}
	last := "value"
	if len(parts) > 0 {
		last, parts = parts[len(parts)-1], parts[:len(parts)-1]
	}
	if p := v.Beside("platform"); p != "" && strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		stem := strings.TrimSuffix(path.Base(file), path.Ext(file))
		parts = []string{strings.Trim(strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, strings.ToLower(stem)), "_")}
	}
	if len(parts) > 2 {
		parts = []string{parts[0], parts[len(parts)-1]}
	}
	name := last
	for _, p := range slices.Backward(parts) {
		if !strings.HasPrefix(name, p) {
			name = p + "_" + name
		}
	}
	for strings.Contains(name, "__") {
		name = strings.ReplaceAll(name, "__", "_")
	}
	if name = strings.Trim(name, "_"); name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "secret_" + name
	}
	return name
}

// proveMoved reads what was written again.
func proveMoved(fsys fs.FS, file, into string, changed, secrets, kept []byte, moved map[string]*yaml.Node) error {
	uncertain := fmt.Errorf("edit %s: its secrets are written in a way that cannot be moved with certainty", file)
	old, err := parseYAML(kept)
	if err != nil {
		return inFile(into, err)
	}
	fresh, err := parseYAML(secrets)
	if err != nil {
		return uncertain
	}
	found := 0
	for i := 0; fresh.Kind == yaml.MappingNode && i+1 < len(fresh.Content); i += 2 {
		if was := moved[fresh.Content[i].Value]; was != nil {
			found++
			if now := fresh.Content[i+1]; now.Kind != yaml.ScalarNode || now.Value != was.Value || now.ShortTag() != was.ShortTag() {
				return uncertain
			}
		}
	}
	if found != len(moved) || !sameBut(old, fresh, func(key string) bool { return moved[key] != nil }) {
		return uncertain
	}
	read := func(instead map[string][]byte, name string) *Node {
		y := &yamlFiles{fsys: fsys, read: map[string]*yaml.Node{}, instead: instead}
		v, err := y.load(name)
		if err != nil {
			return &Node{Err: err}
		}
		return y.tree(v, 0)
	}
	instead := map[string][]byte{file: changed, into: secrets}
	if path.Dir(file) != path.Dir(into) && path.Base(into) != "secrets.yaml" {
		return uncertain
	}
	for _, name := range []string{file, configurationFile} {
		if !sameValues(read(nil, name), read(instead, name)) {
			return uncertain
		}
	}
	return nil
}

// sameValues reports whether two trees say the same, wherever it stands.
func sameValues(a, b *Node) bool {
	if a.Kind != b.Kind || a.Text != b.Text || a.Tag != b.Tag || (a.Err == nil) != (b.Err == nil) || len(a.Fields) != len(b.Fields) || len(a.Items) != len(b.Items) {
		return false
	}
	for i := range a.Fields {
		if a.Fields[i].Key != b.Fields[i].Key || !sameValues(a.Fields[i].Value, b.Fields[i].Value) {
			return false
		}
	}
	for i := range a.Items {
		if !sameValues(a.Items[i], b.Items[i]) {
			return false
		}
	}
	return true
}
