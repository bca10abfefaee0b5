package ha

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"go.yaml.in/yaml/v4"
)

// NodeKind is the form of a value.
type NodeKind int

// The forms.
const (
	NullNode NodeKind = iota
	TextNode          // a text, a number or a truth value, as it stands there
	MappingNode
	ListNode
)

// Node is a value of the configuration in YAML, with what it includes. Its methods take
// nil for a value that is not there.
type Node struct {
	Place
	Kind   NodeKind
	Text   string
	Tag    string // of a text, Home Assistant's own: "!input"
	Secret bool   // it is in secrets.yaml, or in the environment
	Fields []Field
	Items  []*Node
	Err    error // why it is not known; what else is said of it is then empty
}

// Field is an entry of a mapping.
type Field struct {
	Key   string
	At    Place
	Value *Node
}

const maxNodeDepth = 48

// ReadConfiguration reads configuration.yaml with all that it includes. What cannot be
// read below it is a node with an error in its place.
func ReadConfiguration(fsys fs.FS) (*Node, error) { return ReadYAML(fsys, configurationFile) }

// ReadYAML reads another file of the configuration folder in the same way.
func ReadYAML(fsys fs.FS, name string) (*Node, error) {
	y := &yamlFiles{fsys: fsys, read: map[string]*yaml.Node{}}
	root, err := y.load(name)
	if err != nil {
		return nil, err
	}
	n := y.tree(root, 0)
	return n, n.Err
}

func (y *yamlFiles) tree(v yamlValue, deep int) *Node {
	if v.node.Kind == yaml.AliasNode && v.node.Alias != nil {
		v.node = v.node.Alias
	}
	n := &Node{Place: v.place()}
	if v.node.Kind == yaml.ScalarNode {
		n.Secret = v.node.Tag == "!secret" || v.node.Tag == "!env_var"
	}
	if deep > maxNodeDepth {
		n.Err = fmt.Errorf("read %s: nests too deep", n.Place)
		return n
	}
	if v, n.Err = y.follow(v, 0); n.Err != nil {
		return n
	}
	if !n.Secret {
		n.Place = v.place()
	}
	isList := v.node.Kind == yaml.SequenceNode || isFolder(v.node) && strings.HasSuffix(v.node.Tag, "_list")
	switch {
	case isNull(v.node):
	case isList:
		var items []yamlValue
		if items, n.Err = y.sequence(v, 0); n.Err == nil {
			n.Kind = ListNode
			for _, item := range items {
				n.Items = append(n.Items, y.tree(item, deep+1))
			}
		}
	case v.node.Kind == yaml.MappingNode || isFolder(v.node):
		var all []yamlPair
		if all, n.Err = y.mapping(v, 0); n.Err == nil {
			n.Kind = MappingNode
			for _, p := range all {
				n.Fields = append(n.Fields, Field{p.key, p.at, y.tree(p.value, deep+1)})
			}
		}
	default:
		n.Kind, n.Text = TextNode, v.node.Value
		if !strings.HasPrefix(v.node.Tag, "!!") {
			n.Tag = v.node.Tag
		}
	}
	return n
}

// Get follows keys into mappings; nil where one of them is not there.
func (n *Node) Get(keys ...string) *Node {
	for _, key := range keys {
		if n == nil {
			return nil
		}
		var next *Node
		for _, f := range n.Fields {
			if f.Key == key {
				next = f.Value
			}
		}
		n = next
	}
	return n
}

// List is the items of a list; a single value is a list of one, as for most of Home
// Assistant's options, null is none.
func (n *Node) List() []*Node {
	switch {
	case n == nil, n.Kind == NullNode && n.Err == nil:
		return nil
	case n.Kind == ListNode:
		return n.Items
	}
	return []*Node{n}
}

// Value is the text of a scalar; empty for anything else.
func (n *Node) Value() string {
	if n == nil || n.Kind != TextNode {
		return ""
	}
	return n.Text
}

// True reports whether a value is one of Home Assistant's words for true.
func (n *Node) True() bool {
	b, ok := parseBool(n.Value())
	return ok && b
}

// Walk calls f for a node and all below it, with the keys that lead there; items of a
// list have the key of the list.
func (n *Node) Walk(f func(keys []string, n *Node)) { n.walk(nil, f) }

func (n *Node) walk(keys []string, f func([]string, *Node)) {
	if n == nil {
		return
	}
	f(keys, n)
	for _, field := range n.Fields {
		field.Value.walk(append(keys[:len(keys):len(keys)], field.Key), f)
	}
	for _, item := range n.Items {
		item.walk(keys, f)
	}
}

// Unread is why not all of a node is known; nil if it is.
func (n *Node) Unread() error {
	var all []error
	n.Walk(func(_ []string, n *Node) {
		if n.Err != nil && !n.Secret && len(all) < 4 {
			all = append(all, n.Err)
		}
	})
	return errors.Join(all...)
}

// Sections are what the configuration says of an integration: its own block, those with
// a name behind it ("automation lights:"), and those of the packages. The error says
// that there may be more.
func (n *Node) Sections(domain string) ([]Field, error) {
	var found []Field
	var errs []error
	from := func(n *Node) {
		if n.Err != nil {
			errs = append(errs, n.Err)
		}
		for _, f := range n.Fields {
			if name, _, _ := strings.Cut(f.Key, " "); name == domain {
				found = append(found, f)
				if f.Value.Err != nil {
					errs = append(errs, f.Value.Err)
				}
			}
		}
	}
	from(n)
	for _, f := range n.Fields {
		if f.Key != "homeassistant" {
			continue
		}
		packages := f.Value.Get("packages")
		if err := cmp.Or(f.Value.Err, errOf(packages)); err != nil {
			errs = append(errs, err)
		}
		if packages != nil {
			for _, p := range packages.Fields {
				from(p.Value)
			}
		}
	}
	return found, errors.Join(errs...)
}

func errOf(n *Node) error {
	if n == nil {
		return nil
	}
	return n.Err
}
