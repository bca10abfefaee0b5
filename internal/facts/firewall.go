package facts

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Firewall is a manager of the firewall as its files say it: what is loaded into the
// kernel is not read.
type Firewall struct {
	Name    string // "nftables", "ufw", "firewalld", "iptables"
	Enabled bool   // it is loaded at boot
	File    string // what says so, or its configuration
	Line    int
	V4, V6  Inbound
	// AntiSpoof: what claims to come from 127/8 but does not come over lo is dropped.
	AntiSpoof bool
}

// Inbound is what a firewall does with what comes in.
type Inbound struct {
	Filtered bool // there are rules for it at all
	Denies   bool // what no rule lets in stays out
	Loopback bool // the machine reaches itself
	File     string
	Line     int
	Opens    []Opening
}

// Opening is a rule that lets something in.
type Opening struct {
	Proto string   // "tcp", "udp", empty for both
	Ports []string // "22", "8000-8100"; nil for all
	From  string   // who may; empty for everybody
	File  string
	Line  int
	Text  string
}

// Admits returns the rule by which everybody may reach a port, and whether there is one.
// Where nothing is filtered there is no rule, but everybody may.
func (in Inbound) Admits(proto string, port int) (Opening, bool) {
	if !in.Denies {
		return Opening{File: in.File, Line: in.Line, Text: "what no rule names is let in"}, true
	}
	for _, o := range in.Opens {
		if o.From == "" && (o.Proto == "" || o.Proto == proto) && (o.Ports == nil || slices.ContainsFunc(o.Ports, func(p string) bool { return portIn(p, port) })) {
			return o, true
		}
	}
	return Opening{}, false
}

func portIn(ports string, port int) bool {
	from, to, many := strings.Cut(strings.ReplaceAll(ports, ":", "-"), "-")
	first, err := strconv.Atoi(from)
	if err != nil {
		return portOf(from) == port
	}
	if !many {
		return first == port
	}
	last, err := strconv.Atoi(to)
	return err == nil && first <= port && port <= last
}

// portOf is the port of a service that rules call by its name (services(5)).
func portOf(service string) int {
	switch service {
	case "ssh":
		return 22
	case "domain":
		return 53
	case "http":
		return 80
	case "https":
		return 443
	case "microsoft-ds":
		return 445
	case "mqtt":
		return 1883
	case "home-assistant":
		return 8123
	}
	return 0
}

// Firewalls returns the managers that there are, also those that are off.
func (h *Host) Firewalls() ([]Firewall, error) {
	return remember(h, "firewalls", func() ([]Firewall, error) {
		var all []Firewall
		for _, read := range []func() (Firewall, error){h.nftables, h.ufw, h.firewalld, h.iptables} {
			f, err := read()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			all = append(all, f)
		}
		return all, nil
	})
}

// starts says by which link a unit is started at boot.
func (h *Host) starts(f *Firewall, unit string) error {
	u, err := h.Unit(unit)
	if err != nil {
		return err
	}
	f.Enabled = u.Starts()
	return nil
}

// nftRule is a rule of a chain, as words.
type nftRule struct {
	words []string
	line  int
}

type nftChain struct {
	family, table, name string
	hook                string
	drops               bool
	file                string
	line                int
	rules               []nftRule
}

func (h *Host) nftables() (Firewall, error) {
	name := "/etc/nftables.conf"
	if there, err := h.Exists(name); err != nil {
		return Firewall{}, err
	} else if !there {
		name = "/etc/sysconfig/nftables.conf"
	}
	r := nftReader{h: h}
	if err := r.file(name, 0); err != nil {
		return Firewall{}, err
	}
	f := Firewall{Name: "nftables", File: name}
	if err := h.starts(&f, "nftables.service"); err != nil {
		return f, err
	}
	for _, v6 := range []bool{false, true} {
		in := &f.V4
		if v6 {
			in = &f.V6
		}
		in.File = name
		for _, c := range r.chains {
			if c.hook != "input" || c.family != "inet" && (c.family == "ip6") != v6 || c.family != "inet" && c.family != "ip" && c.family != "ip6" {
				continue
			}
			drops := c.drops
			if n := len(c.rules); n > 0 && nftUnconditional(c.rules[n-1].words) {
				drops = true
			}
			// A chain that denies nothing opens nothing: another one that does still holds.
			in.Filtered = true
			if !drops {
				if in.Line == 0 {
					in.File, in.Line = c.file, c.line
				}
				continue
			}
			in.Denies, in.File, in.Line = true, c.file, c.line
			for _, other := range r.chains {
				if other.family != c.family || other.table != c.table || other.hook != "" && other.name != c.name {
					continue
				}
				for _, rule := range other.rules {
					o, lo, spoof := nftOpening(rule, v6)
					in.Loopback = in.Loopback || lo
					f.AntiSpoof = f.AntiSpoof || spoof
					if o != nil {
						o.File = other.file
						in.Opens = append(in.Opens, *o)
					}
				}
			}
		}
	}
	return f, nil
}

// nftUnconditional reports whether a rule drops all that comes to it.
func nftUnconditional(words []string) bool {
	for n := 0; n < len(words); n++ {
		switch words[n] {
		case "counter", "log":
		case "prefix", "comment", "level", "with":
			n++
		case "drop", "reject":
			return true
		default:
			return false
		}
	}
	return false
}

// nftOpening is what a rule lets in; of everybody where it asks nothing of who it is.
func nftOpening(r nftRule, v6 bool) (o *Opening, loopback, spoof bool) {
	w := r.words
	text := strings.Join(w, " ")
	accepts := slices.Contains(w, "accept")
	lo := strings.Contains(text, "iif lo") || strings.Contains(text, "iifname lo")
	if lo && accepts {
		return nil, true, false
	}
	if strings.Contains(text, "saddr 127.0.0.0/8") && (slices.Contains(w, "drop") || slices.Contains(w, "reject")) ||
		strings.Contains(text, "iif != lo") && strings.Contains(text, "daddr 127.0.0.0/8") || strings.Contains(text, "iifname != lo") && strings.Contains(text, "127.0.0.0/8") {
		return nil, false, true
	}
	if !accepts || slices.Contains(w, "icmp") || slices.Contains(w, "icmpv6") || slices.Contains(w, "ipv6-icmp") || slices.Contains(w, "igmp") {
		return nil, false, false
	}
	if (slices.Contains(w, "state") || slices.Contains(w, "vmap")) && !slices.Contains(w, "new") {
		return nil, false, false // what was asked for
	}
	o = &Opening{Line: r.line, Text: text}
	for n := 0; n < len(w); n++ {
		switch w[n] {
		case "tcp", "udp":
			o.Proto = w[n]
		case "dport":
			if n+1 < len(w) && w[n+1] == "{" {
				for n += 2; n < len(w) && w[n] != "}"; n++ {
					if w[n] != "," {
						o.Ports = append(o.Ports, w[n])
					}
				}
			} else if n+1 < len(w) && w[n+1] != "!=" {
				n++
				o.Ports = append(o.Ports, w[n])
			}
		case "ip":
			if v6 && n+1 < len(w) {
				return nil, false, false
			}
		case "ip6":
			if !v6 {
				return nil, false, false
			}
		case "saddr", "iif", "iifname", "mark", "ether":
			if n+1 < len(w) && w[n+1] != "0.0.0.0/0" && w[n+1] != "::/0" {
				o.From = strings.Join(w[n:min(n+2, len(w))], " ")
			}
		}
	}
	return o, false, false
}

// nftReader reads files of nft(8).
type nftReader struct {
	h      *Host
	chains []nftChain
	vars   map[string][]string
	files  int
}

// The bounds of what is read.
const (
	maxNftFiles = 100
	maxNftDepth = 16
	maxNftRules = 20000
)

type nftToken struct {
	text string
	line int
}

func nftTokens(t Text) ([]nftToken, error) {
	var all []nftToken
	for n, line := range t.Lines {
		for line != "" {
			switch c := line[0]; {
			case c == ' ' || c == '\t' || c == '\r':
				line = line[1:]
			case c == '#':
				line = ""
			case c == '"' || c == '\'':
				end := strings.IndexByte(line[1:], c)
				if end < 0 {
					return nil, fmt.Errorf("%s:%d: a quote without end", t.Path, n+1)
				}
				all = append(all, nftToken{line[1 : end+1], n + 1})
				line = line[end+2:]
			case c == '{' || c == '}' || c == ';' || c == ',':
				all = append(all, nftToken{line[:1], n + 1})
				line = line[1:]
			case line == `\`:
				line = ""
				all = append(all, nftToken{`\`, n + 1})
			default:
				end := strings.IndexAny(line, " \t\r{};,\"#")
				if end < 0 {
					end = len(line)
				}
				all = append(all, nftToken{line[:end], n + 1})
				line = line[end:]
			}
		}
		if len(all) > 0 && all[len(all)-1].text == `\` {
			all = all[:len(all)-1]
		} else {
			all = append(all, nftToken{"\n", n + 1})
		}
	}
	return all, nil
}

func (r *nftReader) file(name string, depth int) error {
	if r.files++; r.files > maxNftFiles || depth > maxNftDepth {
		return fmt.Errorf("%s: too many files include each other", name)
	}
	t, err := r.h.Text(name)
	if err != nil {
		return err
	}
	tokens, err := nftTokens(t)
	if err != nil {
		return err
	}
	return r.read(t.Path, tokens, depth)
}

func (r *nftReader) include(from, pattern string, line, depth int) error {
	if !path.IsAbs(pattern) {
		pattern = path.Join("/etc", pattern)
	}
	names := []string{pattern}
	if strings.ContainsAny(pattern, "*?[") {
		var err error
		if names, err = r.h.Glob(pattern); err != nil {
			return err
		}
	}
	for _, n := range names {
		if err := r.file(n, depth+1); err != nil {
			return fmt.Errorf("%s:%d: %w", from, line, errHidden{err})
		}
	}
	return nil
}

// errHidden is an error of something that is named elsewhere: that it is not there is no
// reason to say that whatever names it is not there.
type errHidden struct{ err error }

func (e errHidden) Error() string { return e.err.Error() }

// Is keeps that only root may look.
func (e errHidden) Is(target error) bool {
	return target == fs.ErrPermission && errors.Is(e.err, fs.ErrPermission)
}

// read walks the blocks: table FAMILY NAME { chain NAME { rules } }.
func (r *nftReader) read(file string, tokens []nftToken, depth int) error {
	var family, table string
	var chain *nftChain
	level, other := 0, 0 // blocks around; blocks inside that are none of ours
	var words []string
	from := 0
	end := func() error {
		defer func() { words = nil }()
		if len(words) == 0 || other > 0 {
			return nil
		}
		switch {
		case words[0] == "include" && len(words) > 1:
			return r.include(file, words[1], from, depth)
		case words[0] == "define" && len(words) > 3:
			if r.vars == nil {
				r.vars = map[string][]string{}
			}
			r.vars["$"+words[1]] = words[3:]
		case words[0] == "flush" && len(words) > 1 && words[1] == "ruleset":
			r.chains = nil
		case level == 0 && (words[0] == "add" || words[0] == "insert"):
			return r.command(file, words[1:], from)
		case chain != nil && words[0] == "type":
			for n, w := range words {
				if w == "hook" && n+1 < len(words) {
					chain.hook, chain.line = words[n+1], from
				}
			}
		case chain != nil && words[0] == "policy" && len(words) > 1:
			chain.drops, chain.line = words[1] == "drop", from
		case chain != nil:
			if len(chain.rules) >= maxNftRules {
				return fmt.Errorf("%s: %w", file, ErrTooLarge)
			}
			chain.rules = append(chain.rules, nftRule{r.expand(words), from})
		}
		return nil
	}
	for _, k := range tokens {
		switch k.text {
		case "{":
			isTable := level == 0 && len(words) > 1 && (words[0] == "table" || words[0] == "add" && words[1] == "table")
			isChain := level == 1 && table != "" && len(words) == 2 && words[0] == "chain"
			switch {
			case isTable:
				if words[0] == "add" {
					words = words[1:]
				}
				family, table = "ip", words[len(words)-1]
				if len(words) > 2 {
					family = words[1]
				}
				level, words = 1, nil
			case isChain:
				r.chains = append(r.chains, nftChain{family: family, table: table, name: words[1], file: file, line: k.line})
				chain, level, words = &r.chains[len(r.chains)-1], 2, nil
			default: // a set
				other++
				words = append(words, "{")
			}
		case "}":
			if other > 0 {
				other--
				words = append(words, "}")
				continue
			}
			if err := end(); err != nil {
				return err
			}
			if level == 0 {
				return fmt.Errorf("%s:%d: closes nothing", file, k.line)
			}
			if level--; level == 1 {
				chain = nil
			} else {
				table = ""
			}
		case "\n", ";":
			if other > 0 {
				continue
			}
			if err := end(); err != nil {
				return err
			}
		default:
			if len(words) == 0 {
				from = k.line
			}
			words = append(words, k.text)
		}
	}
	if level > 0 || other > 0 {
		return fmt.Errorf("%s: a block without end", file)
	}
	return end()
}

// command reads "add chain inet filter input { … }" and "add rule inet filter input …",
// as nft list and scripts write them.
func (r *nftReader) command(file string, words []string, line int) error {
	if len(words) < 3 || words[0] != "rule" && words[0] != "chain" {
		return nil
	}
	what, family := words[0], "ip"
	words = words[1:]
	if slices.Contains([]string{"ip", "ip6", "inet", "arp", "bridge", "netdev"}, words[0]) {
		family, words = words[0], words[1:]
	}
	if len(words) < 2 {
		return fmt.Errorf("%s:%d: not a command", file, line)
	}
	table, name := words[0], words[1]
	at := slices.IndexFunc(r.chains, func(c nftChain) bool { return c.family == family && c.table == table && c.name == name })
	if at < 0 {
		if len(r.chains) >= maxNftRules {
			return fmt.Errorf("%s: %w", file, ErrTooLarge)
		}
		r.chains = append(r.chains, nftChain{family: family, table: table, name: name, file: file, line: line})
		at = len(r.chains) - 1
	}
	c := &r.chains[at]
	if what == "rule" {
		if len(c.rules) >= maxNftRules {
			return fmt.Errorf("%s: %w", file, ErrTooLarge)
		}
		c.rules = append(c.rules, nftRule{r.expand(words[2:]), line})
		return nil
	}
	for n, w := range words {
		if w == "hook" && n+1 < len(words) {
			c.hook = strings.TrimSuffix(words[n+1], ";")
		}
		if w == "policy" && n+1 < len(words) {
			c.drops = strings.TrimSuffix(words[n+1], ";") == "drop"
		}
	}
	return nil
}

// expand puts in what is defined; a definition inside one stays as it is.
func (r *nftReader) expand(words []string) []string {
	var all []string
	for _, w := range words {
		if v, ok := r.vars[w]; ok {
			all = append(all, v...)
		} else {
			all = append(all, w)
		}
	}
	return all
}

// shellSetting finds NAME=value in a file of such lines.
func shellSetting(t Text, name string) (value string, line int) {
	for n, l := range t.Lines {
		if k, v, ok := strings.Cut(strings.TrimSpace(l), "="); ok && strings.TrimSpace(k) == name {
			value, line = strings.Trim(strings.TrimSpace(v), `"'`), n+1
		}
	}
	return value, line
}

func (h *Host) ufw() (Firewall, error) {
	conf, err := h.Text("/etc/ufw/ufw.conf")
	if err != nil {
		return Firewall{}, err
	}
	enabled, line := shellSetting(conf, "ENABLED")
	f := Firewall{Name: "ufw", Enabled: strings.EqualFold(enabled, "yes"), File: conf.Path, Line: line, AntiSpoof: true}
	defaults, err := h.Text("/etc/default/ufw")
	if err != nil {
		return f, errHidden{err}
	}
	policy, line := shellSetting(defaults, "DEFAULT_INPUT_POLICY")
	in := Inbound{Filtered: true, Denies: policy == "DROP" || policy == "REJECT", Loopback: true, File: defaults.Path, Line: line}
	f.V4, f.V6 = in, in
	if v6, line := shellSetting(defaults, "IPV6"); !strings.EqualFold(v6, "yes") {
		f.V6 = Inbound{File: defaults.Path, Line: line}
	}
	if f.V4.Opens, err = h.ufwRules("user.rules"); err != nil {
		return f, err
	}
	f.V6.Opens, err = h.ufwRules("user6.rules")
	return f, err
}

func (h *Host) ufwRules(name string) ([]Opening, error) {
	t, err := h.Text("/etc/ufw/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		if t, err = h.Text("/lib/ufw/" + name); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	var all []Opening
	for n, line := range t.Lines {
		tuple, ok := strings.CutPrefix(line, "### tuple ### ")
		if !ok {
			continue
		}
		f := strings.Fields(tuple)
		if len(f) < 6 {
			return nil, fmt.Errorf("%s:%d: no rule", t.Path, n+1)
		}
		action := strings.Split(f[0], "_")[0]
		if action != "allow" && action != "limit" || slices.Contains(f, "out") || strings.HasPrefix(f[0], "route") {
			continue
		}
		o := Opening{File: t.Path, Line: n + 1, Text: strings.Join(f[:6], " ")}
		if f[1] != "any" {
			o.Proto = f[1]
		}
		if f[2] != "any" {
			o.Ports = strings.Split(f[2], ",")
		}
		if f[5] != "0.0.0.0/0" && f[5] != "::/0" {
			o.From = f[5]
		}
		if face := f[len(f)-1]; strings.HasPrefix(face, "in_") {
			o.From = strings.TrimPrefix(face, "in_")
		}
		all = append(all, o)
	}
	return all, nil
}

type firewalldZone struct {
	Target   string             `xml:"target,attr"`
	Services []firewalldService `xml:"service"`
	Ports    []firewalldPort    `xml:"port"`
}

type firewalldService struct {
	Name string `xml:"name,attr"`
}

type firewalldPort struct {
	Port  string `xml:"port,attr"`
	Proto string `xml:"protocol,attr"`
}

func (h *Host) firewalld() (Firewall, error) {
	conf, err := h.Text("/etc/firewalld/firewalld.conf")
	if err != nil {
		return Firewall{}, err
	}
	f := Firewall{Name: "firewalld", File: conf.Path, AntiSpoof: true}
	if err := h.starts(&f, "firewalld.service"); err != nil {
		return f, err
	}
	zone, line := shellSetting(conf, "DefaultZone")
	if zone == "" {
		zone = "public"
	}
	in := Inbound{Filtered: true, Loopback: true, File: conf.Path, Line: line}
	if strings.ContainsRune(zone, '/') {
		return f, fmt.Errorf("%s:%d: no name of a zone", conf.Path, line)
	}
	var t Text
	for _, dir := range []string{"/etc/firewalld/zones/", "/usr/lib/firewalld/zones/"} {
		if t, err = h.Text(dir + zone + ".xml"); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return f, errHidden{err}
	}
	var z firewalldZone
	if err := xml.Unmarshal(t.Bytes, &z); err != nil {
		return f, fmt.Errorf("%s: not a zone", t.Path)
	}
	in.Denies = z.Target != "ACCEPT"
	at := func(word string) int {
		return 1 + slices.IndexFunc(t.Lines, func(l string) bool { return strings.Contains(l, `"`+word+`"`) })
	}
	for _, p := range z.Ports {
		in.Opens = append(in.Opens, Opening{Proto: p.Proto, Ports: []string{p.Port}, File: t.Path, Line: at(p.Port), Text: "port " + p.Port + "/" + p.Proto})
	}
	for _, s := range z.Services {
		in.Opens = append(in.Opens, Opening{Ports: []string{s.Name}, File: t.Path, Line: at(s.Name), Text: "service " + s.Name})
	}
	f.V4, f.V6 = in, in
	return f, nil
}

func (h *Host) iptables() (Firewall, error) {
	f := Firewall{Name: "iptables"}
	files, unit := []string{"/etc/iptables/rules.v4", "/etc/iptables/rules.v6"}, "netfilter-persistent.service"
	if there, err := h.Exists(files[0]); err != nil {
		return f, err
	} else if !there {
		files, unit = []string{"/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables"}, "iptables.service"
	}
	f.File = files[0]
	t, err := h.Text(files[0])
	if err != nil {
		return f, err
	}
	if err := h.starts(&f, unit); err != nil {
		return f, err
	}
	if f.V4, err = iptablesInput(t, &f); err != nil {
		return f, err
	}
	t, err = h.Text(files[1])
	if errors.Is(err, fs.ErrNotExist) {
		f.V6 = Inbound{File: files[1]}
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.V6, err = iptablesInput(t, &f)
	return f, err
}

// iptablesInput reads the chain INPUT of what iptables-save writes.
func iptablesInput(t Text, f *Firewall) (Inbound, error) {
	in, filter := Inbound{File: t.Path}, false
	for n, line := range t.Lines {
		w := strings.Fields(line)
		switch {
		case len(w) == 0 || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "*"):
			filter = w[0] == "*filter"
		case w[0] == "COMMIT":
			filter = false
		case !filter && !strings.HasPrefix(line, ":") && !strings.HasPrefix(line, "-"):
			return in, fmt.Errorf("%s:%d: no rule", t.Path, n+1)
		case filter && w[0] == ":INPUT" && len(w) > 1:
			in.Filtered, in.Denies, in.Line = true, w[1] == "DROP", n+1
		case filter && w[0] == "-A" && len(w) > 2:
			iptablesRule(w[1], w[2:], n+1, &in, f)
		}
	}
	return in, nil
}

func iptablesRule(chain string, w []string, line int, in *Inbound, f *Firewall) {
	o := Opening{File: in.File, Line: line, Text: strings.Join(w, " ")}
	target, established, conditions, lo, icmp := "", false, 0, false, false
	for n := 0; n+1 < len(w); n++ {
		value := w[n+1]
		switch w[n] {
		case "-j", "-g":
			target = value
			continue
		case "-m", "--reject-with", "--comment", "--tcp-flags", "--log-prefix":
			n++
			continue
		case "-p":
			o.Proto = value
			icmp = strings.Contains(value, "icmp") || value == "igmp"
		case "--dport", "--dports":
			o.Ports = strings.Split(value, ",")
		case "-s", "-i", "--match-set", "--mac-source":
			o.From = w[n] + " " + value
			lo = lo || w[n] == "-i" && value == "lo"
		case "--state", "--ctstate":
			established = !strings.Contains(value, "NEW")
		default:
			continue
		}
		conditions++
	}
	switch {
	case target == "ACCEPT" && lo:
		in.Loopback = true
	case (target == "DROP" || target == "REJECT") && strings.HasPrefix(o.From, "-s 127."):
		f.AntiSpoof = true
	case (target == "DROP" || target == "REJECT") && conditions == 0 && chain == "INPUT":
		in.Denies = true
	case target == "ACCEPT" && !established && !icmp && chain != "OUTPUT" && chain != "FORWARD":
		in.Opens = append(in.Opens, o)
	}
}
