package ha

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Bounds of a configuration in YAML. A home with hundreds of packages stays far below.
const (
	maxYAMLFile  = 1 << 20  // bytes
	maxYAMLBytes = 32 << 20 // of all files
	maxYAMLFiles = 2000
	maxYAMLDepth = 24 // of files that include files
	maxYAMLSteps = 1 << 18
)

// yamlValue is a value in a file; Home Assistant's tags in it are not followed yet.
type yamlValue struct {
	file string
	node *yaml.Node
}

func (v yamlValue) place() Place { return Place{v.file, v.node.Line} }

// yamlPair is an entry of a mapping.
type yamlPair struct {
	key   string
	at    Place
	value yamlValue
}

// yamlFiles reads the files of one configuration, as far as they are asked for.
type yamlFiles struct {
	fsys  fs.FS
	bytes int
	steps int // values looked at
	read  map[string]*yaml.Node
	// instead are texts that take the place of files, or nil.
	instead map[string][]byte
}

// readYAML reads the http settings of configuration.yaml and its packages.
func (s *Settings) readYAML(fsys fs.FS) error {
	return s.fromYAML(&yamlFiles{fsys: fsys, read: map[string]*yaml.Node{}})
}

func (s *Settings) fromYAML(y *yamlFiles) error {
	root, err := y.load(configurationFile)
	if err != nil {
		return err
	}
	top, err := y.mapping(root, 0)
	if err != nil {
		return err
	}
	h := defaultHTTP()
	source, at := SourceDefault, Place{}
	packages := []yamlPair(nil)
	for _, p := range top {
		switch p.key {
		case "http":
			options, err := y.mapping(p.value, 0)
			if err != nil {
				return err
			}
			if err := y.setAll(&h, options); err != nil {
				return err
			}
			source, at = SourceYAML, p.at
		case "homeassistant":
			if packages, err = y.packages(p.value); err != nil {
				return err
			}
		}
	}
	// A package adds to the block; where both set an option Home Assistant keeps the
	// block's. Two packages that set the same are an error there.
	main := h.Places
	for _, p := range packages {
		inside, err := y.mapping(p.value, 0)
		if err != nil {
			return err
		}
		for _, part := range inside {
			if part.key != "http" {
				continue
			}
			options, err := y.mapping(part.value, 0)
			if err != nil {
				return err
			}
			var added []yamlPair
			h.Places = clonePlaces(h.Places)
			for _, o := range options {
				if _, set := main[o.key]; set {
					continue
				}
				if first, twice := h.Places[o.key]; twice {
					return &SettingError{o.at, o.key, "is set in " + first.String() + " as well"}
				}
				added = append(added, o)
			}
			if err := y.setAll(&h, added); err != nil {
				return err
			}
			if source == SourceDefault {
				source, at = SourceYAML, part.at
			}
		}
	}
	s.HTTP, s.Source, s.File, s.Line = h, source, at.File, at.Line
	return nil
}

func clonePlaces(m map[string]Place) map[string]Place {
	out := make(map[string]Place, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// packages finds homeassistant: packages:.
func (y *yamlFiles) packages(homeassistant yamlValue) ([]yamlPair, error) {
	core, err := y.mapping(homeassistant, 0)
	if err != nil {
		return nil, err
	}
	for _, p := range core {
		if p.key == "packages" {
			return y.mapping(p.value, 0)
		}
	}
	return nil, nil
}

func (y *yamlFiles) setAll(h *HTTPSettings, options []yamlPair) error {
	for _, o := range options {
		v, err := y.option(o.value)
		if err != nil {
			return err
		}
		if v.null && o.key != "trusted_proxies" && o.key != "cors_allowed_origins" {
			return &SettingError{o.at, o.key, "has no value"}
		}
		if err := h.set(o.key, v, o.at); err != nil {
			return err
		}
	}
	return nil
}

// option reads a value that is text or a list of texts.
func (y *yamlFiles) option(v yamlValue) (optionValue, error) {
	v, err := y.follow(v, 0)
	if err != nil {
		return optionValue{}, err
	}
	if v.node.Kind == yaml.ScalarNode && !isFolder(v.node) {
		if isNull(v.node) {
			return optionValue{null: true}, nil
		}
		text, err := plainText(v)
		return optionValue{texts: []string{text}}, err
	}
	items, err := y.sequence(v, 0)
	if err != nil {
		return optionValue{}, err
	}
	out := optionValue{list: true}
	for _, item := range items {
		item, err := y.follow(item, 0)
		if err != nil {
			return out, err
		}
		text, err := plainText(item)
		if err != nil {
			return out, err
		}
		out.texts = append(out.texts, text)
	}
	return out, nil
}

// plainText is a scalar as it stands there.
func plainText(v yamlValue) (string, error) {
	if v.node.Kind != yaml.ScalarNode || isNull(v.node) || v.node.Tag != "" && !strings.HasPrefix(v.node.Tag, "!!") {
		return "", fmt.Errorf("read %s: not a text, number or truth value", v.place())
	}
	return v.node.Value, nil
}

// isFolder reports whether a value stands for the files of a folder.
func isFolder(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && strings.HasPrefix(n.Tag, "!include_dir_")
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// load reads one file.
func (y *yamlFiles) load(name string) (yamlValue, error) {
	if n := y.read[name]; n != nil {
		return yamlValue{name, n}, nil
	}
	if len(y.read) >= maxYAMLFiles {
		return yamlValue{}, fmt.Errorf("read %s: more than %d files", name, maxYAMLFiles)
	}
	text, err := y.text(name)
	if err != nil {
		return yamlValue{}, err
	}
	if y.bytes += len(text); y.bytes > maxYAMLBytes {
		return yamlValue{}, fmt.Errorf("read %s: the configuration is larger than %d bytes", name, maxYAMLBytes)
	}
	node, err := parseYAML(text)
	if err != nil {
		return yamlValue{}, inFile(name, err)
	}
	y.read[name] = node
	return yamlValue{name, node}, nil
}

func (y *yamlFiles) text(name string) ([]byte, error) {
	if text, ok := y.instead[name]; ok {
		return text, nil
	}
	return readFile(y.fsys, name, maxYAMLFile)
}

// parseYAML reads a file of one document, or of none, which is null. A key that comes
// twice is for mapping to settle.
func parseYAML(text []byte) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithUniqueKeys(false))
	if err != nil {
		return nil, err
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1}
	for n := 0; ; n++ {
		var document yaml.Node
		switch err := loader.Load(&document); {
		case err == io.EOF:
			return node, nil
		case err != nil:
			return nil, withoutText(err)
		case n > 0:
			return nil, errors.New("more than one document")
		case document.Kind == yaml.DocumentNode && len(document.Content) == 1:
			node = document.Content[0]
		}
	}
}

// withoutText keeps of a parser's error what says where, and no text of the file: it
// may be a secret.
func withoutText(err error) error {
	text := err.Error()
	if i := strings.IndexAny(text, "`'\""); i >= 0 {
		text = text[:i]
	}
	return errors.New(strings.TrimSpace(text))
}

// follow resolves aliases and the tags that stand for one value (util/yaml/loader.py).
func (y *yamlFiles) follow(v yamlValue, deep int) (yamlValue, error) {
	if y.steps++; y.steps > maxYAMLSteps {
		return v, fmt.Errorf("read %s: the configuration grows without end", v.place())
	}
	for ; ; deep++ {
		if deep > maxYAMLDepth {
			return v, fmt.Errorf("read %s: includes nest too deep", v.place())
		}
		switch {
		case v.node.Kind == yaml.AliasNode:
			v.node = v.node.Alias
			continue
		case v.node.Kind != yaml.ScalarNode:
			return v, nil
		}
		var err error
		at := v.place()
		switch v.node.Tag {
		case "!include":
			v, err = y.include(v)
		case "!secret":
			v, err = y.secret(v)
		case "!env_var":
			err = errors.New("its value is in Home Assistant's environment")
		default:
			return v, nil
		}
		if err != nil {
			return v, inFile(at.String(), err)
		}
	}
}

// inside is a path of the configuration folder that a file names; HA takes it from
// the file's own folder.
func inside(from, name string) (string, error) {
	full := path.Join(path.Dir(from), name)
	if path.IsAbs(name) || !fs.ValidPath(full) {
		return "", errors.New("leads out of the configuration folder")
	}
	return full, nil
}

func (y *yamlFiles) include(v yamlValue) (yamlValue, error) {
	name, err := inside(v.file, v.node.Value)
	if err != nil {
		return v, err
	}
	return y.load(name)
}

// secret looks into secrets.yaml beside the file, then in each folder above.
func (y *yamlFiles) secret(v yamlValue) (yamlValue, error) {
	for dir := path.Dir(v.file); ; dir = path.Dir(dir) {
		found, err := y.load(path.Join(dir, "secrets.yaml"))
		switch {
		case err == nil && !isNull(found.node):
			secrets, err := y.mapping(found, 0)
			if err != nil {
				return v, err
			}
			for _, p := range secrets {
				if p.key == v.node.Value {
					return p.value, nil
				}
			}
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return v, err
		}
		if dir == "." {
			return v, errors.New("there is no such secret")
		}
	}
}

// mapping returns the entries of a mapping in order, the last of those that have the
// same key alone, with what it includes and merges.
func (y *yamlFiles) mapping(v yamlValue, deep int) ([]yamlPair, error) {
	v, err := y.follow(v, deep)
	if err != nil {
		return nil, err
	}
	if deep > maxYAMLDepth {
		return nil, fmt.Errorf("read %s: nests too deep", v.place())
	}
	var out pairs
	switch {
	case isNull(v.node):
		return nil, nil
	case v.node.Kind == yaml.ScalarNode && (v.node.Tag == "!include_dir_named" || v.node.Tag == "!include_dir_merge_named"):
		files, err := y.files(v)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if v.node.Tag == "!include_dir_named" {
				stem := strings.TrimSuffix(path.Base(f.file), ".yaml")
				out.put(yamlPair{stem, Place{f.file, 1}, f})
				continue
			}
			f, err := y.follow(f, deep+1)
			if err != nil {
				return nil, err
			}
			if f.node.Kind != yaml.MappingNode && !isFolder(f.node) {
				continue // nothing to merge, says Home Assistant
			}
			more, err := y.mapping(f, deep+1)
			if err != nil {
				return nil, err
			}
			for _, p := range more {
				out.put(p)
			}
		}
		return out.all, nil
	case v.node.Kind != yaml.MappingNode || v.node.Tag != "" && v.node.Tag != "!!map":
		return nil, fmt.Errorf("read %s: not a mapping", v.place())
	}
	var merged []yamlPair
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, value := yamlValue{v.file, v.node.Content[i]}, yamlValue{v.file, v.node.Content[i+1]}
		if key.node.ShortTag() == "!!merge" {
			more, err := y.merge(value, deep+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		if key.node.Kind == yaml.AliasNode {
			key.node = key.node.Alias
		}
		if key.node.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("read %s: a key that is no text", key.place())
		}
		out.put(yamlPair{key.node.Value, key.place(), value})
	}
	for _, p := range merged { // what is written here wins, then what is merged first
		if _, set := out.at[p.key]; !set {
			out.put(p)
		}
	}
	return out.all, nil
}

// pairs collects the entries of a mapping.
type pairs struct {
	all []yamlPair
	at  map[string]int
}

// put adds an entry, in place of one with the same key.
func (p *pairs) put(pair yamlPair) {
	if i, ok := p.at[pair.key]; ok {
		p.all[i] = pair
		return
	}
	if p.at == nil {
		p.at = map[string]int{}
	}
	p.at[pair.key] = len(p.all)
	p.all = append(p.all, pair)
}

// merge reads what a << entry merges: a mapping or a list of them.
func (y *yamlFiles) merge(v yamlValue, deep int) ([]yamlPair, error) {
	if v.node.Kind == yaml.AliasNode {
		v.node = v.node.Alias
	}
	if v.node.Kind != yaml.SequenceNode {
		return y.mapping(v, deep)
	}
	var out []yamlPair
	for _, n := range v.node.Content {
		more, err := y.mapping(yamlValue{v.file, n}, deep+1)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// sequence returns the items of a list.
func (y *yamlFiles) sequence(v yamlValue, deep int) ([]yamlValue, error) {
	v, err := y.follow(v, deep)
	if err != nil {
		return nil, err
	}
	if deep > maxYAMLDepth {
		return nil, fmt.Errorf("read %s: nests too deep", v.place())
	}
	switch {
	case isNull(v.node):
		return nil, nil
	case v.node.Kind == yaml.ScalarNode && (v.node.Tag == "!include_dir_list" || v.node.Tag == "!include_dir_merge_list"):
		files, err := y.files(v)
		if err != nil {
			return nil, err
		}
		var out []yamlValue
		for _, f := range files {
			if v.node.Tag == "!include_dir_list" {
				if !isNull(f.node) {
					out = append(out, f)
				}
				continue
			}
			f, err := y.follow(f, deep+1)
			if err != nil {
				return nil, err
			}
			if f.node.Kind != yaml.SequenceNode && !isFolder(f.node) {
				continue
			}
			items, err := y.sequence(f, deep+1)
			if err != nil {
				return nil, err
			}
			out = append(out, items...)
		}
		return out, nil
	case v.node.Kind != yaml.SequenceNode || v.node.Tag != "" && v.node.Tag != "!!seq":
		return nil, fmt.Errorf("read %s: not a list", v.place())
	}
	out := make([]yamlValue, len(v.node.Content))
	for i, n := range v.node.Content {
		out[i] = yamlValue{v.file, n}
	}
	return out, nil
}

// files loads every .yaml file below a folder, without hidden ones and secrets.
func (y *yamlFiles) files(v yamlValue) ([]yamlValue, error) {
	at := v.place().String()
	dir, err := inside(v.file, v.node.Value)
	if err != nil {
		return nil, inFile(at, err)
	}
	var out []yamlValue
	err = y.below(dir, func(name string) error {
		f, err := y.load(name)
		out = append(out, f)
		return err
	})
	// Home Assistant takes a folder that is missing for an empty one.
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, inFile(at, err)
	}
	return out, nil
}

// below calls f for the files of a folder, then for those of each folder in it: what is
// merged later wins. Home Assistant takes the folders in the order of the file system.
func (y *yamlFiles) below(dir string, f func(name string) error) error {
	entries, err := fs.ReadDir(y.fsys, dir)
	if err != nil {
		return err
	}
	for _, folders := range []bool{false, true} {
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			switch {
			case e.IsDir() != folders || strings.HasPrefix(e.Name(), "."):
			case folders:
				err = y.below(name, f)
			case strings.HasSuffix(e.Name(), ".yaml") && e.Name() != "secrets.yaml":
				err = f(name)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
