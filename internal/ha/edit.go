package ha

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A Listener is where Home Assistant shall listen, and whom it shall believe.
type Listener struct {
	Hosts []string // server_host; empty: the option is removed, and it listens on all addresses
	Port  int      // server_port; 0: the option is removed, and the default holds
	// Proxies are added to trusted_proxies. If there is any, use_x_forwarded_for is
	// switched on.
	Proxies []netip.Addr
}

// check returns a copy in which the proxies are plain addresses.
func (l Listener) check() (Listener, error) {
	if l.Port < 0 || l.Port > 65535 {
		return l, fmt.Errorf("%d is no port", l.Port)
	}
	for _, host := range l.Hosts {
		if host == "" || len(host) > 255 || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return l, fmt.Errorf("%q is no host", host)
		}
	}
	l.Proxies = slices.Clone(l.Proxies)
	for i, addr := range l.Proxies {
		if !addr.IsValid() {
			return l, errors.New("a proxy has no address")
		}
		l.Proxies[i] = addr.Unmap().WithZone("")
	}
	return l, nil
}

// missing are the proxies that are not trusted yet.
func (l Listener) missing(h HTTPSettings) (list []netip.Addr) {
	for _, addr := range l.Proxies {
		if !slices.ContainsFunc(h.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) }) && !slices.Contains(list, addr) {
			list = append(list, addr)
		}
	}
	return list
}

// wanted is what the settings shall be after the change.
func (l Listener) wanted(h HTTPSettings) HTTPSettings {
	h.ServerHost, h.ServerPort = l.Hosts, l.Port
	if l.Port == 0 {
		h.ServerPort = defaultHTTP().ServerPort
	}
	h.TrustedProxies = slices.Clone(h.TrustedProxies)
	for _, addr := range l.missing(h) {
		h.TrustedProxies = append(h.TrustedProxies, netip.PrefixFrom(addr, addr.BitLen()))
	}
	h.UseXForwardedFor = h.UseXForwardedFor || len(l.Proxies) > 0
	return h
}

// equal reports whether two settings are the same, wherever they stand.
func (s HTTPSettings) equal(o HTTPSettings) bool {
	for _, h := range []*HTTPSettings{&s, &o} {
		h.Places = nil
		for _, list := range []*[]string{&h.ServerHost, &h.CORSAllowedOrigins} {
			if len(*list) == 0 {
				*list = nil
			}
		}
		if len(h.TrustedProxies) == 0 {
			h.TrustedProxies = nil
		}
	}
	return reflect.DeepEqual(s, o)
}

// EditHTTP changes the http settings in configuration.yaml, or in the file that it
// includes for them, and leaves every other byte as it is. It returns the changed
// file's path below the root, its text and the text to be written.
//
// What cannot be changed with certainty is an error that says where a person has to do
// it. The result was read again: it has the wanted listener, and all else is as before.
// Releases from 2026.8 on that have taken their settings over into .storage/http do not
// look at the file any more (ha-protocol 4.1); that is an error as well.
func EditHTTP(fsys fs.FS, l Listener) (file string, before, after []byte, err error) {
	if l, err = l.check(); err != nil {
		return "", nil, nil, fmt.Errorf("edit the http settings: %w", err)
	}
	if err := stillInYAML(fsys); err != nil {
		return "", nil, nil, err
	}
	var was Settings
	if err := was.readYAML(fsys); err != nil {
		return "", nil, nil, err
	}
	e := &httpEditor{fsys: fsys, was: was.HTTP}
	if err := e.open(nil); err != nil {
		return "", nil, nil, err
	}
	file = e.file
	if before, err = readFile(fsys, file, maxYAMLFile); err != nil {
		return "", nil, nil, err
	}
	// Each is tried on the file as it is first, so that an error names a line of it.
	for _, change := range changes(l) {
		if err := e.open(before); err != nil {
			return "", nil, nil, err
		}
		if err := change(e); err != nil {
			return "", nil, nil, err
		}
	}
	after = before
	for _, change := range changes(l) {
		if err := e.open(after); err != nil {
			return "", nil, nil, err
		}
		if err := change(e); err != nil {
			return "", nil, nil, err
		}
		after = e.apply()
	}
	if err := proveEdit(fsys, file, before, after, l.wanted(was.HTTP), listenerOption); err != nil {
		return "", nil, nil, err
	}
	return file, before, after, nil
}

// changes are what leads to a listener, one option each. New options go before those
// that are there, so the last comes first.
func changes(l Listener) []func(*httpEditor) error {
	return []func(*httpEditor) error{
		func(e *httpEditor) error { return e.trust(l.missing(e.was)) },
		func(e *httpEditor) error {
			if len(l.Proxies) == 0 || e.was.UseXForwardedFor {
				return nil
			}
			return e.set("use_x_forwarded_for", "true")
		},
		func(e *httpEditor) error {
			switch {
			case l.Port == 0:
				return e.remove("server_port")
			case l.Port == e.was.ServerPort:
				return nil
			}
			return e.set("server_port", strconv.Itoa(l.Port))
		},
		func(e *httpEditor) error {
			switch {
			case len(l.Hosts) == 0:
				return e.remove("server_host")
			case slices.Equal(l.Hosts, e.was.ServerHost):
				return nil
			}
			return e.set("server_host", l.Hosts...)
		},
	}
}

// stillInYAML returns an error if Home Assistant reads its http settings elsewhere.
func stillInYAML(fsys fs.FS) error {
	version, err := readFile(fsys, ".HA_VERSION", 100)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		release, err := ParseRelease(strings.TrimSpace(string(version)))
		if err != nil {
			return inFile(".HA_VERSION", err)
		}
		if !release.AtLeast(2026, 8) {
			return nil
		}
	}
	var s Settings
	found, err := s.readStorage(fsys)
	if found {
		return fmt.Errorf("edit %s: Home Assistant keeps its http settings in %s now", configurationFile, storageFile)
	}
	return err
}

// proveEdit reads a changed file again with all that belongs to it. changed says of an option
// that it was to be.
func proveEdit(fsys fs.FS, file string, before, after []byte, want HTTPSettings, changed func(option string) bool) error {
	var now Settings
	if err := now.fromYAML(&yamlFiles{fsys: fsys, read: map[string]*yaml.Node{}, instead: map[string][]byte{file: after}}); err != nil {
		return fmt.Errorf("edit %s: read it again: %w", file, err)
	}
	if !now.HTTP.equal(want) {
		return fmt.Errorf("edit %s: its http settings are written in a way that cannot be changed with certainty", file)
	}
	old, err := parseYAML(before)
	if err != nil {
		return inFile(file, err)
	}
	fresh, err := parseYAML(after)
	if err != nil {
		return inFile(file, err)
	}
	if !sameBut(old, fresh, func(key string) bool { return key == "http" || changed(key) }) {
		return fmt.Errorf("edit %s: more than its http settings would change", file)
	}
	return nil
}

// listenerOption reports whether a Listener is kept in an option.
func listenerOption(name string) bool {
	return name == "server_host" || name == "server_port" || name == "use_x_forwarded_for" || name == "trusted_proxies"
}

// sameBut compares two documents without the entries of the outermost mapping that
// are left out.
func sameBut(a, b *yaml.Node, leftOut func(key string) bool) bool {
	entries := func(n *yaml.Node) (list []*yaml.Node) {
		if n.Kind != yaml.MappingNode {
			return nil
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !leftOut(n.Content[i].Value) {
				list = append(list, n.Content[i], n.Content[i+1])
			}
		}
		return list
	}
	for _, n := range []*yaml.Node{a, b} {
		if n.Kind != yaml.MappingNode && !isNull(n) {
			return false
		}
	}
	return slices.EqualFunc(entries(a), entries(b), sameNode)
}

func sameNode(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Style == b.Style && a.Tag == b.Tag && a.Value == b.Value && a.Anchor == b.Anchor && slices.EqualFunc(a.Content, b.Content, sameNode)
}

// httpEditor makes one change after the other to one file; it is opened anew for each.
type httpEditor struct {
	fsys fs.FS
	was  HTTPSettings
	yaml *yamlFiles

	file  string
	text  []byte
	lines []int  // where each line begins
	eol   string // how lines end
	// options is the mapping of the settings, or null where there is none yet: the
	// place of a null that comes after a key, or the end of the file.
	options  *yaml.Node
	root     *yaml.Node
	missing  bool // there is no http block
	included bool // the settings are the whole file

	from, to int // what is replaced
	by       string
}

// open finds the settings in the file as it is now; nil is the file as it was.
func (e *httpEditor) open(text []byte) error {
	e.yaml = &yamlFiles{fsys: e.fsys, read: map[string]*yaml.Node{}}
	if text != nil {
		e.yaml.instead = map[string][]byte{e.file: text}
	}
	top, err := e.yaml.load(configurationFile)
	if err != nil {
		return err
	}
	e.from, e.to, e.by = 0, 0, ""
	e.file, e.root, e.options, e.missing, e.included = configurationFile, top.node, nil, true, false
	if !isNull(top.node) && (top.node.Kind != yaml.MappingNode || top.node.Tag != "!!map") {
		return fmt.Errorf("edit %s: not a mapping of its own", top.place())
	}
	if err := e.findHTTP(top); err != nil {
		return err
	}
	if e.text, err = e.yaml.text(e.file); err != nil {
		return err
	}
	if err := e.measure(); err != nil {
		return err
	}
	return e.certain()
}

// findHTTP finds the block, in the file or in one that it includes.
func (e *httpEditor) findHTTP(top yamlValue) error {
	entries, err := e.yaml.mapping(top, 0)
	if err != nil {
		return err
	}
	merged := false
	for _, p := range entries {
		switch p.key {
		case "http":
			merged = true
		case "homeassistant":
			if err := e.noPackage(p.value); err != nil {
				return err
			}
		}
	}
	for i := 0; i+1 < len(top.node.Content); i += 2 {
		key, value := top.node.Content[i], yamlValue{top.file, top.node.Content[i+1]}
		if key.Value != "http" || key.Kind != yaml.ScalarNode {
			continue
		}
		if !e.missing {
			return fmt.Errorf("edit %s: there is a second http block", Place{top.file, key.Line})
		}
		e.missing = false
		for n := 0; value.node.Kind == yaml.ScalarNode && value.node.Tag == "!include"; n++ {
			if n > maxYAMLDepth {
				return fmt.Errorf("edit %s: includes nest too deep", value.place())
			}
			if value, err = e.yaml.include(value); err != nil {
				return inFile(Place{top.file, key.Line}.String(), err)
			}
			e.included, e.file, e.root = true, value.file, value.node
		}
		e.options = value.node
	}
	if merged && e.missing {
		return fmt.Errorf("edit %s: its http block is merged from elsewhere", top.place())
	}
	return nil
}

// noPackage returns an error if a package has http settings.
func (e *httpEditor) noPackage(homeassistant yamlValue) error {
	packages, err := e.yaml.packages(homeassistant)
	if err != nil {
		return err
	}
	for _, p := range packages {
		inside, err := e.yaml.mapping(p.value, 0)
		if err != nil {
			return err
		}
		for _, part := range inside {
			if part.key == "http" {
				return fmt.Errorf("edit %s: a package has http settings", part.at)
			}
		}
	}
	return nil
}

// measure finds the lines of the text. Line ends that YAML has and editors do not show
// are not counted on.
func (e *httpEditor) measure() error {
	if !utf8.Valid(e.text) || bytes.ContainsAny(e.text, "\x00\u0085\u2028\u2029") || bytes.Count(e.text, []byte("\r")) != bytes.Count(e.text, []byte("\r\n")) {
		return fmt.Errorf("edit %s: it is no text with usual line ends", e.file)
	}
	start := 0
	if bytes.HasPrefix(e.text, []byte("\ufeff")) {
		start = len("\ufeff")
	}
	e.lines, e.eol = []int{start}, "\n"
	for i, b := range e.text {
		if b == '\n' {
			e.lines = append(e.lines, i+1)
		}
	}
	if i := bytes.IndexByte(e.text, '\n'); i > 0 && e.text[i-1] == '\r' {
		e.eol = "\r\n"
	}
	return nil
}

// certain returns an error if the block is written in a way that a change could mean
// something else in.
func (e *httpEditor) certain() error {
	if e.options == nil || e.options.Kind == yaml.ScalarNode && isNull(e.options) && e.options.Anchor == "" && e.options.Style == 0 {
		return nil
	}
	if e.options.Kind != yaml.MappingNode || e.options.Tag != "!!map" || e.options.Style&yaml.TaggedStyle != 0 {
		return fmt.Errorf("edit %s: the http block is not a mapping of its own", Place{e.file, e.options.Line})
	}
	if n := anchored(e.options); n != nil {
		return fmt.Errorf("edit %s: the http block has an anchor, an alias or a merge", Place{e.file, n.Line})
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(e.options.Content); i += 2 {
		key := e.options.Content[i]
		if seen[key.Value] {
			return &SettingError{Place{e.file, key.Line}, key.Value, "is set twice"}
		}
		seen[key.Value] = true
	}
	return nil
}

// anchored is the first node of a tree that has to do with another one.
func anchored(n *yaml.Node) *yaml.Node {
	if n.Anchor != "" || n.Kind == yaml.AliasNode || n.ShortTag() == "!!merge" {
		return n
	}
	for _, c := range n.Content {
		if found := anchored(c); found != nil {
			return found
		}
	}
	return nil
}

func (e *httpEditor) apply() []byte {
	return slices.Concat(e.text[:e.from], []byte(e.by), e.text[e.to:])
}

func (e *httpEditor) replace(from, to int, by string) { e.from, e.to, e.by = from, to, by }

// find is an option's key and value, nil if it is not set.
func (e *httpEditor) find(name string) (key, value *yaml.Node, at int) {
	if e.options == nil || e.options.Kind != yaml.MappingNode {
		return nil, nil, 0
	}
	for i := 0; i+1 < len(e.options.Content); i += 2 {
		if e.options.Content[i].Value == name {
			return e.options.Content[i], e.options.Content[i+1], i
		}
	}
	return nil, nil, 0
}

// set gives an option one value, or a list.
func (e *httpEditor) set(name string, values ...string) error {
	literal := yamlLiteral(values)
	_, value, _ := e.find(name)
	if value == nil {
		return e.add(name, literal)
	}
	switch {
	case value.Kind == yaml.ScalarNode:
		return e.replaceScalar(name, value, literal)
	case value.Kind == yaml.SequenceNode && isFlow(value):
		from, to, err := e.extent(name, value)
		if err != nil {
			return err
		}
		if bytes.IndexByte(e.text[from:to], '#') >= 0 {
			return &SettingError{Place{e.file, value.Line}, name, "has a comment inside its list"}
		}
		e.replace(from, to, "["+strings.Join(yamlLiterals(values), ", ")+"]")
		return nil
	case value.Kind == yaml.SequenceNode:
		return e.setItems(name, value, values)
	}
	return &SettingError{Place{e.file, value.Line}, name, "is neither a text nor a list"}
}

// replaceScalar puts a literal in the place of a text, a number, a secret or nothing.
func (e *httpEditor) replaceScalar(name string, value *yaml.Node, literal string) error {
	if !strings.HasPrefix(value.Tag, "!!") && value.Tag != "!secret" {
		return &SettingError{Place{e.file, value.Line}, name, "stands in another place (" + value.Tag + ")"}
	}
	from, to, err := e.extent(name, value)
	if err != nil {
		return err
	}
	if from == to && from > 0 && e.text[from-1] == ':' {
		literal = " " + literal
	}
	e.replace(from, to, literal)
	return nil
}

// setItems rewrites a list that has an item a line: items that stay keep their lines,
// with their comments.
func (e *httpEditor) setItems(name string, list *yaml.Node, values []string) error {
	var text []byte
	at, to := -1, -1
	for i, item := range list.Content {
		indent, err := e.itemIndent(name, item)
		if err != nil {
			return err
		}
		from, end, err := e.extent(name, item)
		if err != nil {
			return err
		}
		if at < 0 {
			at = from
		} else {
			text = append(text, e.text[to:from]...)
		}
		if i >= len(values) { // takes its line with it
			if to < 0 {
				return &SettingError{Place{e.file, item.Line}, name, "cannot become an empty list"}
			}
			text = text[:len(text)-(from-e.lines[item.Line-1])]
			to = e.lineEnd(item.Line)
			if to < len(e.text) {
				to = e.lines[item.Line]
			}
			continue
		}
		if item.Value == values[i] && strings.HasPrefix(item.Tag, "!!") {
			text = append(text, e.text[from:end]...)
		} else {
			text = append(text, yamlLiteral(values[i:i+1])...)
		}
		to = end
		if i == len(list.Content)-1 && len(values) > len(list.Content) {
			rest := e.lineEnd(item.Line)
			text = append(text, e.text[end:rest]...)
			for _, v := range values[i+1:] {
				text = append(text, e.eol+indent+yamlLiteral([]string{v})...)
			}
			to = rest
		}
	}
	if at < 0 {
		return &SettingError{Place{e.file, list.Line}, name, "is an empty list"}
	}
	e.replace(at, to, string(text))
	return nil
}

// itemIndent is what stands on the line of an item before it: spaces, a dash, spaces.
func (e *httpEditor) itemIndent(name string, item *yaml.Node) (string, error) {
	from, err := e.offset(item)
	if err != nil {
		return "", err
	}
	before := string(e.text[e.lines[item.Line-1]:from])
	if strings.Trim(before, " ") != "-" || item.Kind != yaml.ScalarNode {
		return "", &SettingError{Place{e.file, item.Line}, name, "is not a list with an item a line"}
	}
	return before, nil
}

// trust adds to trusted_proxies.
func (e *httpEditor) trust(addrs []netip.Addr) error {
	const name = "trusted_proxies"
	if len(addrs) == 0 {
		return nil
	}
	var more []string
	for _, a := range addrs {
		more = append(more, a.String())
	}
	added := strings.Join(yamlLiterals(more), ", ")
	_, value, _ := e.find(name)
	switch {
	case value == nil:
		return e.add(name, "["+added+"]")
	case value.Kind == yaml.ScalarNode:
		// As it was read: a secret's value is written out.
		old, err := e.yaml.option(yamlValue{e.file, value})
		if err != nil {
			return err
		}
		return e.replaceScalar(name, value, "["+strings.Join(yamlLiterals(append(old.texts, more...)), ", ")+"]")
	case value.Kind != yaml.SequenceNode:
		return &SettingError{Place{e.file, value.Line}, name, "is neither a text nor a list"}
	case isFlow(value) && len(value.Content) == 0:
		from, _, err := e.extent(name, value)
		if err == nil {
			e.replace(from+1, from+1, added)
		}
		return err
	}
	last := value.Content[len(value.Content)-1]
	_, to, err := e.extent(name, last)
	if err != nil {
		return err
	}
	if isFlow(value) {
		e.replace(to, to, ", "+added)
		return nil
	}
	indent, err := e.itemIndent(name, last)
	if err != nil {
		return err
	}
	text := ""
	for _, m := range yamlLiterals(more) {
		text += e.eol + indent + m
	}
	end := e.lineEnd(last.Line)
	e.replace(end, end, text)
	return nil
}

// add sets an option that is not there: before the others, whose end need not be known.
func (e *httpEditor) add(name, literal string) error {
	option := name + ": " + literal
	switch {
	case e.missing && isFlow(e.root):
		return fmt.Errorf("edit %s: it is written in braces and has no http block", e.file)
	case e.missing:
		return e.append("http:" + e.eol + e.step() + option)
	case e.options.Kind != yaml.MappingNode && e.included:
		return e.append(option)
	case e.options.Kind != yaml.MappingNode:
		return e.addToNull(option)
	}
	from, err := e.offset(e.options)
	if err != nil {
		return err
	}
	if isFlow(e.options) {
		if len(e.options.Content) > 0 {
			option += ", "
		}
		e.replace(from+1, from+1, option)
		return nil
	}
	first := e.options.Content[0]
	indent, err := e.keyIndent(first)
	if err != nil {
		return err
	}
	from = e.lines[first.Line-1]
	e.replace(from, from, indent+option+e.eol)
	return nil
}

// append puts lines at the end of the file.
func (e *httpEditor) append(lines string) error {
	for i, from := range e.lines {
		if line := e.text[from:e.lineEnd(i+1)]; bytes.HasPrefix(line, []byte("...")) {
			return fmt.Errorf("edit %s: the document ends before the file does", Place{e.file, i + 1})
		}
	}
	indent := ""
	if e.root.Kind == yaml.MappingNode && len(e.root.Content) > 0 {
		var err error
		if indent, err = e.keyIndent(e.root.Content[0]); err != nil {
			return err
		}
	}
	start := ""
	if end := len(e.text); end > e.lines[0] && e.text[end-1] != '\n' {
		start = e.eol
	}
	lines = indent + strings.ReplaceAll(lines, e.eol, e.eol+indent)
	e.replace(len(e.text), len(e.text), start+lines+e.eol)
	return nil
}

// addToNull sets the first option of an http block that is empty.
func (e *httpEditor) addToNull(option string) error {
	from, to, err := e.extent("", e.options)
	if err != nil {
		return err
	}
	space := ""
	if from > 0 && e.text[from-1] == ':' {
		space = " "
	}
	if isFlow(e.root) {
		e.replace(from, to, space+"{"+option+"}")
		return nil
	}
	var key *yaml.Node
	for i := 0; i+1 < len(e.root.Content); i += 2 {
		if e.root.Content[i+1] == e.options {
			key = e.root.Content[i]
		}
	}
	if key == nil || key.Line != e.options.Line {
		return fmt.Errorf("edit %s: the http block is not written as usual", Place{e.file, e.options.Line})
	}
	indent, err := e.keyIndent(key)
	if err != nil {
		return err
	}
	end := e.lineEnd(e.options.Line)
	rest := string(e.text[to:end])
	if from != to && strings.TrimSpace(rest) == "" { // of "http: null" nothing is left behind
		for from > 0 && e.text[from-1] == ' ' {
			from--
		}
		rest = ""
	}
	e.replace(from, end, rest+e.eol+indent+e.step()+option)
	return nil
}

// step is how far the file indents what is inside: what its first block shows, or two.
func (e *httpEditor) step() string {
	for i := 1; i < len(e.root.Content); i += 2 {
		if v := e.root.Content[i]; v.Kind == yaml.MappingNode && !isFlow(v) && v.Column > e.root.Column && v.Line > e.root.Content[i-1].Line {
			return strings.Repeat(" ", v.Column-e.root.Column)
		}
	}
	return "  "
}

// remove takes an option out, with its lines; lines of comments stay.
func (e *httpEditor) remove(name string) error {
	key, value, at := e.find(name)
	if key == nil {
		return nil
	}
	from, err := e.offset(key)
	if err != nil {
		return err
	}
	if value.Kind != yaml.ScalarNode && value.Kind != yaml.SequenceNode {
		return &SettingError{Place{e.file, value.Line}, name, "is neither a text nor a list"}
	}
	_, to, err := e.extent(name, value)
	if err != nil {
		return err
	}
	if isFlow(e.options) {
		return e.removeFlow(name, from, to, at)
	}
	if _, err := e.keyIndent(key); err != nil {
		return err
	}
	gone := map[int]bool{key.Line: true}
	if value.Kind == yaml.SequenceNode && !isFlow(value) {
		for _, item := range value.Content {
			if _, err := e.itemIndent(name, item); err != nil {
				return err
			}
			gone[item.Line] = true
		}
	} else {
		last := value.Line + bytes.Count(e.text[from:to], []byte("\n")) - (value.Line - key.Line)
		for n := value.Line; n <= last; n++ {
			gone[n] = true
		}
	}
	first, end := e.lines[key.Line-1], 0
	var kept []byte
	for n := key.Line; n <= len(e.lines); n++ {
		after := len(e.text)
		if n < len(e.lines) {
			after = e.lines[n]
		}
		if gone[n] {
			delete(gone, n)
		} else {
			kept = append(kept, e.text[e.lines[n-1]:after]...)
		}
		if len(gone) == 0 {
			end = after
			break
		}
	}
	e.replace(first, end, string(kept))
	return nil
}

func (e *httpEditor) removeFlow(name string, from, to, at int) error {
	entries := e.options.Content
	var err error
	switch {
	case at+2 < len(entries):
		to, err = e.offset(entries[at+2])
	case at > 0:
		_, from, err = e.extent(name, entries[at-1])
	default: // the only one: a comma after it goes as well
		for rest := to; rest < len(e.text) && strings.IndexByte(" \t\r\n,", e.text[rest]) >= 0; rest++ {
			if e.text[rest] == ',' {
				to = rest + 1
				break
			}
		}
	}
	if err != nil {
		return err
	}
	if bytes.IndexByte(e.text[from:to], '#') >= 0 {
		return &SettingError{Place{e.file, entries[at].Line}, name, "has a comment beside it"}
	}
	e.replace(from, to, "")
	return nil
}

// offset is where a node begins. The parser counts characters.
func (e *httpEditor) offset(n *yaml.Node) (int, error) {
	if n.Line < 1 || n.Line > len(e.lines) {
		return 0, fmt.Errorf("edit %s: line %d is not there", e.file, n.Line)
	}
	at := e.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(e.text[at:])
		if size == 0 {
			return 0, fmt.Errorf("edit %s: the line is shorter than column %d", Place{e.file, n.Line}, n.Column)
		}
		at += size
	}
	return at, nil
}

// lineEnd is where a line ends, without its line end.
func (e *httpEditor) lineEnd(line int) int {
	end := len(e.text)
	if line < len(e.lines) {
		end = e.lines[line] - 1
		if end > 0 && e.text[end-1] == '\r' {
			end--
		}
	}
	return end
}

// keyIndent is what stands before a key that is the first on its line: spaces.
func (e *httpEditor) keyIndent(key *yaml.Node) (string, error) {
	from, err := e.offset(key)
	if err != nil {
		return "", err
	}
	before := string(e.text[e.lines[key.Line-1]:from])
	if strings.Trim(before, " ") != "" {
		return "", fmt.Errorf("edit %s: more than a key is on the line", Place{e.file, key.Line})
	}
	return before, nil
}

// extent is where a value begins and ends. A text that goes on over several lines is
// not followed.
func (e *httpEditor) extent(name string, n *yaml.Node) (from, to int, err error) {
	if from, err = e.offset(n); err != nil {
		return 0, 0, err
	}
	unusual := func(why string) (int, int, error) {
		if name == "" {
			return 0, 0, fmt.Errorf("edit %s: the http block is %s", Place{e.file, n.Line}, why)
		}
		return 0, 0, &SettingError{Place{e.file, n.Line}, name, "is " + why}
	}
	switch {
	case n.Kind == yaml.ScalarNode:
		if to, err = e.scalarEnd(from, n); err != nil {
			return unusual(err.Error())
		}
		return from, to, nil
	case n.Kind != yaml.SequenceNode && n.Kind != yaml.MappingNode:
		return unusual("not a value of its own")
	}
	to = from + 1
	if len(n.Content) > 0 {
		if _, to, err = e.extent(name, n.Content[len(n.Content)-1]); err != nil {
			return 0, 0, err
		}
	}
	if !isFlow(n) {
		return from, to, nil
	}
	closes := byte(']')
	if n.Kind == yaml.MappingNode {
		closes = '}'
	}
	if from >= len(e.text) || e.text[from] != closes-2 { // [ and ], { and } are two apart
		return unusual("not written as usual")
	}
	for comment := false; to < len(e.text); to++ {
		switch c := e.text[to]; {
		case comment:
			comment = c != '\n'
		case c == '#':
			comment = true
		case c == closes:
			return from, to + 1, nil
		case strings.IndexByte(" \t\r\n,", c) < 0:
			return unusual("not written as usual")
		}
	}
	return unusual("not closed")
}

// scalarEnd is where a scalar of one line ends.
func (e *httpEditor) scalarEnd(from int, n *yaml.Node) (int, error) {
	line := e.text[from:max(from, e.lineEnd(n.Line))]
	at := 0
	if n.Style&yaml.TaggedStyle != 0 {
		for at < len(line) && line[at] != ' ' && line[at] != '\t' {
			at++
		}
		for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
			at++
		}
	}
	rest := string(line[at:])
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 0, errors.New("written over several lines")
	case n.Style&yaml.DoubleQuotedStyle != 0:
		if m := quotedTwice.FindString(rest); m != "" {
			return from + at + len(m), nil
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		if m := quotedOnce.FindString(rest); m != "" {
			return from + at + len(m), nil
		}
	case strings.HasPrefix(rest, n.Value):
		after := strings.TrimLeft(rest[len(n.Value):], " \t")
		if after == "" || strings.IndexByte(",]}:#", after[0]) >= 0 {
			return from + at + len(n.Value), nil
		}
	}
	return 0, errors.New("written over several lines")
}

var (
	quotedTwice = regexp.MustCompile(`^"(?:[^"\\]|\\.)*"`)
	quotedOnce  = regexp.MustCompile(`^'(?:[^']|'')*'`)
	// plainSafe are texts that YAML takes for a text as they are: names that begin with
	// a letter, and IPv4 addresses and networks.
	plainSafe = regexp.MustCompile(`^(?:[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)+|[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?|[1-9][0-9]{0,4}|true)$`)
)

func isFlow(n *yaml.Node) bool { return n.Style&yaml.FlowStyle != 0 }

// yamlLiteral writes one text, or a list of texts.
func yamlLiteral(values []string) string {
	if len(values) == 1 {
		return yamlLiterals(values)[0]
	}
	return "[" + strings.Join(yamlLiterals(values), ", ") + "]"
}

func yamlLiterals(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		if out[i] = v; !plainSafe.MatchString(v) {
			out[i] = strconv.QuoteToASCII(v)
		}
	}
	return out
}
