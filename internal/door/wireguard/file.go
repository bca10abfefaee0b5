package wireguard

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The file in which wg-quick(8), the apps and every guide keep a tunnel.

// Bounds of a file that is read.
const (
	maxFile = 1 << 20
	maxLine = 4096
)

// File is what such a file says.
type File struct {
	PrivateKey Key
	Port       uint16         // that it listens on; 0 where it does not say
	Addresses  []netip.Prefix // its own in the tunnel
	DNS        []string       // addresses, and domains
	MTU        int            // 0 where it does not say
	Peers      []FilePeer
	Ignored    []string // what it says that Gatehouse does not do, "line N: KEY"
}

// FilePeer is one [Peer].
type FilePeer struct {
	Line       int    // of its [Peer]
	Comment    string // beside its [Peer], where scripts and people keep its name
	Key        Key    // public
	Preshared  Key    // zero where there is none
	AllowedIPs []netip.Prefix
	Endpoint   string // "host:port"; empty where it does not say
	Keepalive  int    // seconds; 0: off
}

// FileError says what is wrong with a file.
type FileError struct {
	Line int // 0 where it is the whole file
	Err  error
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("line %d: %v", e.Line, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// reader reads a file line by line.
type reader struct {
	file    *File
	line    int
	peer    *FilePeer // nil in [Interface]
	in      bool      // in a section at all
	seen    map[string]bool
	comment string // on the lines before
}

// ParseFile reads a file strictly: what it does not know is an error that names the line,
// as is what is said twice or not at all. The error is a *FileError.
func ParseFile(text []byte) (*File, error) {
	if len(text) > maxFile || !utf8.Valid(text) {
		return nil, &FileError{Err: fmt.Errorf("it is no text of at most %d bytes", maxFile)}
	}
	r := &reader{file: &File{}}
	for line := range bytes.Lines(text) {
		r.line++
		if len(line) > maxLine {
			return nil, &FileError{r.line, fmt.Errorf("it has more than %d bytes", maxLine)}
		}
		if err := r.read(strings.TrimSpace(string(line))); err != nil {
			return nil, &FileError{r.line, err}
		}
	}
	if err := r.endSection(); err != nil {
		return nil, &FileError{r.line, err}
	}
	if r.file.PrivateKey == (Key{}) {
		return nil, &FileError{Err: fmt.Errorf("it has no [Interface] with a PrivateKey")}
	}
	return r.file, r.twice()
}

// twice reports a peer that is there twice.
func (r *reader) twice() error {
	at := map[Key]int{}
	for _, p := range r.file.Peers {
		if first, ok := at[p.Key]; ok {
			return &FileError{p.Line, fmt.Errorf("the peer %s is the one of line %d", p.Key, first)}
		}
		at[p.Key] = p.Line
	}
	return nil
}

// read reads one line.
func (r *reader) read(line string) error {
	text, comment, commented := strings.Cut(line, "#")
	if text = strings.TrimSpace(text); text == "" {
		r.remember(comment, commented)
		return nil
	}
	if strings.HasPrefix(text, "[") {
		if commented && name(comment) != "" {
			r.comment = name(comment)
		}
		return r.begin(text)
	}
	name, value, ok := strings.Cut(text, "=")
	name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
	switch {
	case !ok || value == "":
		return fmt.Errorf("it is no KEY = VALUE")
	case !r.in:
		return fmt.Errorf("%s stands before any section", name)
	case r.seen[name] && name != "address" && name != "dns" && name != "allowedips" && !hooks[name]:
		return fmt.Errorf("%s is said twice", name)
	}
	r.seen[name], r.comment = true, ""
	if r.peer != nil {
		return r.peer.set(name, value)
	}
	return r.set(name, value)
}

// remember keeps a comment for the peer that it stands beside.
func (r *reader) remember(comment string, commented bool) {
	if comment = name(comment); !commented || comment == "" {
		return
	}
	if r.peer != nil && len(r.seen) == 0 && r.peer.Comment == "" {
		r.peer.Comment = comment
		return
	}
	r.comment = comment
}

// name takes a peer's name out of a comment: "### Client anna", "# Name = Anna's phone".
func name(comment string) string {
	comment = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, comment)
	comment = strings.Trim(comment, "# ")
	for _, word := range []string{"BEGIN_PEER ", "END_PEER ", "Client ", "Name:", "Name =", "Name=", "friendly_name=", "friendly_name ="} {
		if len(comment) > len(word) && strings.EqualFold(comment[:len(word)], word) {
			comment = comment[len(word):]
		}
	}
	return strings.TrimSpace(comment)
}

// begin opens a section.
func (r *reader) begin(head string) error {
	if err := r.endSection(); err != nil {
		return err
	}
	switch strings.ToLower(head) {
	case "[interface]":
		if r.in {
			return fmt.Errorf("[Interface] comes first, and once")
		}
		r.peer = nil
	case "[peer]":
		if !r.in {
			return fmt.Errorf("[Interface] comes first")
		}
		if len(r.file.Peers) == MaxPeers {
			return fmt.Errorf("there are more than %d peers", MaxPeers)
		}
		r.file.Peers = append(r.file.Peers, FilePeer{Line: r.line, Comment: r.comment})
		r.peer = &r.file.Peers[len(r.file.Peers)-1]
	default:
		return fmt.Errorf("there is no section %s", head)
	}
	r.in, r.seen, r.comment = true, map[string]bool{}, ""
	return nil
}

// endSection makes sure that a peer has said who it is.
func (r *reader) endSection() error {
	if r.peer != nil && r.peer.Key == (Key{}) {
		return fmt.Errorf("the peer of line %d has no PublicKey", r.peer.Line)
	}
	return nil
}

// hooks are commands, which are never run, and may stand more than once.
var hooks = map[string]bool{"preup": true, "postup": true, "predown": true, "postdown": true}

// set takes a line of [Interface].
func (r *reader) set(name, value string) (err error) {
	f := r.file
	switch name {
	case "privatekey":
		f.PrivateKey, err = key(value)
	case "listenport":
		var n uint64
		if n, err = strconv.ParseUint(value, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("%q is no port", value)
		}
		f.Port = uint16(n)
	case "address":
		err = prefixes(&f.Addresses, value)
	case "dns":
		for _, w := range words(value) {
			if w == "" || strings.ContainsFunc(w, func(c rune) bool { return c <= ' ' || !unicode.IsPrint(c) }) {
				return fmt.Errorf("%q is no address and no domain", w)
			}
			f.DNS = append(f.DNS, w)
		}
	case "mtu":
		if f.MTU, err = strconv.Atoi(value); err != nil || f.MTU < 576 || f.MTU > 65535 {
			return fmt.Errorf("%q is no MTU", value)
		}
	case "table", "fwmark", "saveconfig", "preup", "postup", "predown", "postdown":
		f.Ignored = append(f.Ignored, fmt.Sprintf("line %d: %s", r.line, spelling[name]))
	default:
		return fmt.Errorf("[Interface] knows no %s", name)
	}
	return err
}

// spelling is how wg-quick(8) writes what is passed over.
var spelling = map[string]string{"table": "Table", "fwmark": "FwMark", "saveconfig": "SaveConfig", "preup": "PreUp", "postup": "PostUp", "predown": "PreDown", "postdown": "PostDown"}

// set takes a line of [Peer].
func (p *FilePeer) set(name, value string) (err error) {
	switch name {
	case "publickey":
		p.Key, err = key(value)
	case "presharedkey":
		p.Preshared, err = key(value)
	case "allowedips":
		err = prefixes(&p.AllowedIPs, value)
	case "endpoint":
		host, port, cut := net.SplitHostPort(value)
		if n, wrong := strconv.ParseUint(port, 10, 16); cut != nil || wrong != nil || n == 0 || host == "" {
			return fmt.Errorf("%q is no endpoint", value)
		}
		p.Endpoint = value
	case "persistentkeepalive":
		if value == "off" {
			value = "0"
		}
		var n uint64
		if n, err = strconv.ParseUint(value, 10, 16); err != nil {
			return fmt.Errorf("%q is no number of seconds", value)
		}
		p.Keepalive = int(n)
	default:
		return fmt.Errorf("[Peer] knows no %s", name)
	}
	return err
}

// key reads a key that is one. What it was is not said: it may be secret.
func key(value string) (Key, error) {
	k, err := ParseKey(value)
	if err != nil || k == (Key{}) {
		return Key{}, fmt.Errorf("it %w", errKey)
	}
	return k, nil
}

// prefixes reads addresses, with the length of their network or without.
func prefixes(to *[]netip.Prefix, value string) error {
	for _, w := range words(value) {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			addr, wrong := netip.ParseAddr(w)
			if wrong != nil || addr.Zone() != "" {
				return fmt.Errorf("%q is no address", w)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if p.Addr().Is4In6() {
			return fmt.Errorf("%q is an IPv4 address in the clothes of IPv6", w)
		}
		*to = append(*to, p)
	}
	return nil
}

// words cuts a list at its commas.
func words(value string) (all []string) {
	for w := range strings.SplitSeq(value, ",") {
		all = append(all, strings.TrimSpace(w))
	}
	return all
}

// String writes a file that ParseFile reads as the same, and wg-quick(8) and the apps take.
func (f *File) String() string {
	var b strings.Builder
	line := func(name string, values ...string) {
		if len(values) > 0 {
			fmt.Fprintf(&b, "%s = %s\n", name, strings.Join(values, ", "))
		}
	}
	b.WriteString("[Interface]\n")
	line("PrivateKey", f.PrivateKey.String())
	line("Address", texts(f.Addresses)...)
	if f.Port != 0 {
		line("ListenPort", strconv.Itoa(int(f.Port)))
	}
	line("DNS", f.DNS...)
	if f.MTU != 0 {
		line("MTU", strconv.Itoa(f.MTU))
	}
	for _, p := range f.Peers {
		b.WriteString("\n[Peer]\n")
		if p.Comment != "" {
			b.WriteString("# " + p.Comment + "\n")
		}
		line("PublicKey", p.Key.String())
		if p.Preshared != (Key{}) {
			line("PresharedKey", p.Preshared.String())
		}
		line("AllowedIPs", texts(p.AllowedIPs)...)
		if p.Endpoint != "" {
			line("Endpoint", p.Endpoint)
		}
		if p.Keepalive != 0 {
			line("PersistentKeepalive", strconv.Itoa(p.Keepalive))
		}
	}
	return b.String()
}

func texts(prefixes []netip.Prefix) (all []string) {
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return all
}
