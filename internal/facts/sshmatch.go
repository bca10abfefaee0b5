package facts

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// SSHPeer is who comes in, as far as it is known; what is empty may be anything.
type SSHPeer struct {
	User         string
	Groups       []string
	Host         string
	Address      string
	LocalAddress string
	LocalPort    int
}

// answer is no, perhaps or yes, in that order.
type answer int

const (
	no answer = iota
	perhaps
	yes
)

func answered(b bool) answer {
	if b {
		return yes
	}
	return no
}

// sshCriterion is one condition of a Match line.
type sshCriterion struct{ name, value string }

// sshCriteria reads what follows "Match".
func sshCriteria(rest string, r SSHRelease) (all []sshCriterion, everything bool, err error) {
	words, whole := sshMatchWords(rest)
	if !whole {
		return nil, false, errors.New("quotes that do not end in a Match line")
	}
	for n := 0; n < len(words); n++ {
		name := strings.ToLower(words[n])
		if name == "all" {
			if len(words) > 1 {
				return nil, false, errors.New("all stands alone in a Match line")
			}
			return nil, true, nil
		}
		if name == "invalid-user" && (!r.known() || r.AtLeast(9, 9)) {
			all = append(all, sshCriterion{name, ""})
			continue
		}
		if n++; n >= len(words) || words[n] == "" {
			return nil, false, fmt.Errorf("a Match line does not say which %s", name)
		}
		value := words[n]
		switch name {
		case "user", "group", "host", "rdomain":
		case "version":
			if r.known() && !r.AtLeast(10, 0) {
				return nil, false, errors.New("a Match line cannot ask for the version before OpenSSH 10.0")
			}
		case "address", "localaddress":
			for _, a := range strings.Split(value, ",") {
				if _, err := sshAddress(strings.TrimPrefix(a, "!"), netip.Addr{}); err != nil {
					return nil, false, err
				}
			}
		case "localport":
			if p, err := strconv.Atoi(value); err != nil || p < 0 || p > 65535 {
				return nil, false, fmt.Errorf("%q is no port", value)
			}
		default:
			return nil, false, fmt.Errorf("a Match line cannot ask for %q", name)
		}
		all = append(all, sshCriterion{name, value})
	}
	if len(all) == 0 {
		return nil, false, errors.New("a Match line asks for nothing")
	}
	return all, false, nil
}

// holds judges a condition.
func (k sshCriterion) holds(c SSHPeer) answer {
	switch k.name {
	case "user":
		if c.User != "" {
			return answered(sshPatterns(c.User, k.value) > 0)
		}
	case "group":
		if c.Groups != nil {
			found := false
			for _, g := range c.Groups {
				switch sshPatterns(g, k.value) {
				case -1:
					return no
				case 1:
					found = true
				}
			}
			return answered(found)
		}
	case "host":
		if c.Host != "" {
			return answered(sshPatterns(strings.ToLower(c.Host), strings.ToLower(k.value)) > 0)
		}
	case "address":
		return sshAddresses(c.Address, k.value)
	case "localaddress":
		return sshAddresses(c.LocalAddress, k.value)
	case "localport":
		if c.LocalPort != 0 {
			return answered(strconv.Itoa(c.LocalPort) == k.value)
		}
	case "invalid-user":
		if c.User != "" {
			return no // who is asked about exists
		}
	}
	return perhaps
}

// sshAddresses judges a list of addresses, networks and patterns.
func sshAddresses(address, list string) answer {
	if address == "" {
		return perhaps
	}
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return perhaps
	}
	result := no
	for _, a := range strings.Split(list, ",") {
		pattern, negated := strings.CutPrefix(a, "!")
		if ok, _ := sshAddress(pattern, addr); ok {
			if negated {
				return no
			}
			result = yes
		}
	}
	return result
}

// sshAddress reports whether an address matches one of a list. An error is a network
// that sshd does not take: one whose mask does not fit it.
func sshAddress(pattern string, addr netip.Addr) (bool, error) {
	if one, err := netip.ParseAddr(pattern); err == nil {
		return one == addr, nil
	}
	if text, bits, ok := strings.Cut(pattern, "/"); ok {
		base, err := netip.ParseAddr(text)
		if err != nil {
			return false, nil // a pattern with a slash, which matches nothing
		}
		n, err := strconv.Atoi(bits)
		if err != nil || n < 0 || n > base.BitLen() {
			return false, nil // the same
		}
		net := netip.PrefixFrom(base, n)
		if net.Masked().Addr() != base {
			return false, fmt.Errorf("%q is no network: its mask is too short", pattern)
		}
		return net.Contains(addr), nil
	}
	return addr.IsValid() && sshPattern(addr.String(), pattern), nil
}

// sshPatterns judges a list of patterns (ssh_config(5), PATTERNS): 1 one matches, 0 none,
// -1 one that is negated does.
func sshPatterns(s, list string) int {
	result := 0
	for _, p := range strings.Split(list, ",") {
		pattern, negated := strings.CutPrefix(p, "!")
		if !sshPattern(s, pattern) {
			continue
		}
		if negated {
			return -1
		}
		result = 1
	}
	return result
}

// SSHPattern reports whether a name matches a pattern of sshd's, with * and ?.
func SSHPattern(s, pattern string) bool { return sshPattern(s, pattern) }

// sshPattern matches with * and ?, in time that grows with both lengths alone.
func sshPattern(s, pattern string) bool {
	i, j, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, from = j, i
			j++
		case j < len(pattern) && (pattern[j] == '?' || pattern[j] == s[i]):
			i++
			j++
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}

// sshKeyword takes the first word off a line, and the "=" behind it. ok is false where
// quotes do not end.
func sshKeyword(line string) (keyword, rest string, ok bool) {
	line = strings.TrimRight(strings.TrimLeft(line, " \t\r"), " \t\r\n\f")
	if line == "" || line[0] == '#' {
		return "", "", true
	}
	return sshToken(line, true)
}

// sshToken takes a word off, which may be quoted.
func sshToken(line string, equals bool) (word, rest string, ok bool) {
	const space = " \t\r\n"
	end := strings.IndexAny(line, space+`"`)
	if equals {
		end = strings.IndexAny(line, space+`"=`)
	}
	switch {
	case end < 0:
		return line, "", true
	case line[end] == '"':
		inner, after, closed := strings.Cut(line[end+1:], `"`)
		return line[:end] + inner, strings.TrimLeft(after, space), closed
	}
	was := line[end]
	rest = strings.TrimLeft(line[end+1:], space)
	if equals && was != '=' && strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], space)
	}
	return line[:end], rest, true
}

// sshMatchWords splits a Match line; a "#" at the beginning of a word ends it.
func sshMatchWords(rest string) (words []string, whole bool) {
	for rest != "" {
		var word string
		if word, rest, whole = sshToken(rest, true); !whole {
			return words, false
		}
		if strings.HasPrefix(word, "#") {
			break
		}
		words = append(words, word)
	}
	return words, true
}

// sshWords splits arguments: quotes of both kinds, a backslash before a quote, a
// backslash or a space, and a comment at the end. whole is false where quotes do not end.
func sshWords(s string) (words []string, whole bool) {
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			continue
		}
		if s[i] == '#' {
			break
		}
		var word []byte
		var quote byte
		for ; i < len(s); i++ {
			c := s[i]
			if c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || quote == 0 && s[i+1] == ' ') {
				i++
				word = append(word, s[i])
				continue
			}
			if quote == 0 && (c == ' ' || c == '\t') {
				break
			}
			switch {
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case quote != 0 && c == quote:
				quote = 0
			default:
				word = append(word, c)
			}
		}
		if quote != 0 {
			return words, false
		}
		words = append(words, string(word))
	}
	return words, true
}
