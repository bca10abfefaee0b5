package facts

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// AuthorizedKey is an entry of an authorized_keys file (sshd(8)).
type AuthorizedKey struct {
	User    User
	File    string
	Line    int
	Options []SSHKeyOption
	Type    string // "ssh-ed25519"
	Bits    int    // of an RSA or DSA key; 0 of others
	Print   string // the key itself, to see whether two entries hold the same one; no secret, and not shown
	Comment string
	Trouble string // what is wrong with the line, over which sshd skips it
}

// SSHKeyOption is an option before a key; its name is in small letters.
type SSHKeyOption struct {
	Name, Value string
}

// Option finds the values of an option.
func (k AuthorizedKey) Option(name string) []string {
	var all []string
	for _, o := range k.Options {
		if o.Name == name {
			all = append(all, o.Value)
		}
	}
	return all
}

// Allows reports whether what "port-forwarding", "pty", "agent-forwarding", "user-rc" or
// "x11-forwarding" names is left to whoever holds the key: "restrict" takes it, the name
// gives it back, "no-" takes it; the last one counts.
func (k AuthorizedKey) Allows(what string) bool {
	allowed := true
	for _, o := range k.Options {
		switch o.Name {
		case "restrict", "no-" + what:
			allowed = false
		case what:
			allowed = true
		}
	}
	return allowed
}

// KnownSSHKeyOption reports whether sshd knows an option of a key.
func KnownSSHKeyOption(name string) bool {
	return slices.Contains(strings.Fields(`agent-forwarding cert-authority command environment expiry-time from no-agent-forwarding
		no-port-forwarding no-pty no-user-rc no-x11-forwarding permitlisten permitopen port-forwarding principals pty
		no-touch-required verify-required restrict tunnel user-rc x11-forwarding no-require-user-presence`), name)
}

// AuthorizedKeyFile is a file that sshd asks who may come in by key.
type AuthorizedKeyFile struct {
	User User
	Path string
	Info Info
	Keys []AuthorizedKey
	Err  error // it is there, and could not be read
}

// AuthorizedKeyFiles reads the files that the server's AuthorizedKeysFile names for every
// account; of a host without a server those that it would name. Files that are not there
// are left out.
func (h *Host) AuthorizedKeyFiles() ([]AuthorizedKeyFile, error) {
	return remember(h, "authorized_keys", func() ([]AuthorizedKeyFile, error) {
		users, err := h.Users()
		if err != nil {
			return nil, err
		}
		s, err := h.SSHD()
		if err != nil && !errors.Is(err, ErrNoSSHD) {
			return nil, err
		}
		var all []AuthorizedKeyFile
		seen := map[string]bool{}
		for _, u := range users {
			patterns := []string{".ssh/authorized_keys", ".ssh/authorized_keys2"}
			if s != nil {
				values, err := s.Values("authorizedkeysfile", SSHPeer{User: u.Name})
				if err != nil {
					return nil, err
				}
				patterns = nil
				for _, v := range values {
					patterns = append(patterns, v.Args...)
				}
			}
			for _, p := range patterns {
				if strings.EqualFold(p, "none") || u.Home == "" {
					continue
				}
				name := SSHKeyPath(p, u)
				if seen[u.Name+" "+name] {
					continue
				}
				seen[u.Name+" "+name] = true
				info, err := h.Stat(name)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				f := AuthorizedKeyFile{User: u, Path: name, Info: info, Err: err}
				if err == nil && info.Mode.IsRegular() {
					t, err := h.Text(name)
					f.Err = err
					f.Keys = parseAuthorizedKeys(u, name, t.Lines)
				} else if err == nil {
					continue // sshd takes none but files; /dev/null stands for none
				}
				all = append(all, f)
			}
		}
		return all, nil
	})
}

// SSHKeyPath is the file that one word of AuthorizedKeysFile names for an account.
func SSHKeyPath(pattern string, u User) string {
	name := strings.NewReplacer("%%", "%", "%h", u.Home, "%u", u.Name, "%U", strconv.Itoa(u.UID)).Replace(pattern)
	if !path.IsAbs(name) {
		name = path.Join(u.Home, name)
	}
	return path.Clean(name)
}

// AuthorizedKeys reads the entries of one file for an account.
func (h *Host) AuthorizedKeys(name string, u User) ([]AuthorizedKey, error) {
	t, err := h.Text(name)
	if err != nil {
		return nil, err
	}
	return parseAuthorizedKeys(u, name, t.Lines), nil
}

// parseAuthorizedKeys reads the entries of a file.
func parseAuthorizedKeys(u User, file string, lines []string) []AuthorizedKey {
	var all []AuthorizedKey
	for n, line := range lines {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		k := AuthorizedKey{User: u, File: file, Line: n + 1}
		var err error
		if k.Type, k.Bits, k.Print, k.Comment, err = parsePublicKey(line); err != nil {
			options, rest, whole := cutKeyOptions(line)
			switch {
			case !whole:
				k.Trouble = "quotes that do not end"
			default:
				k.Options = parseKeyOptions(options)
				if k.Type, k.Bits, k.Print, k.Comment, err = parsePublicKey(rest); err != nil {
					k.Trouble = err.Error()
				}
			}
		}
		all = append(all, k)
	}
	return all
}

// cutKeyOptions cuts the options off a line: up to the first space that is not in quotes.
func cutKeyOptions(line string) (options, rest string, whole bool) {
	quoted := false
	for n := 0; n < len(line); n++ {
		switch {
		case line[n] == '\\' && n+1 < len(line) && line[n+1] == '"':
			n++
		case line[n] == '"':
			quoted = !quoted
		case !quoted && (line[n] == ' ' || line[n] == '\t'):
			return line[:n], strings.TrimLeft(line[n:], " \t"), true
		}
	}
	return line, "", !quoted
}

// parseKeyOptions splits options at the commas that are not in quotes.
func parseKeyOptions(options string) []SSHKeyOption {
	var all []SSHKeyOption
	quoted, start := false, 0
	add := func(text string) {
		name, value, _ := strings.Cut(text, "=")
		if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
			value = strings.ReplaceAll(value[1:len(value)-1], `\"`, `"`)
		}
		if name != "" {
			all = append(all, SSHKeyOption{strings.ToLower(name), value})
		}
	}
	for n := 0; n < len(options); n++ {
		switch {
		case options[n] == '\\' && n+1 < len(options) && options[n+1] == '"':
			n++
		case options[n] == '"':
			quoted = !quoted
		case !quoted && options[n] == ',':
			add(options[start:n])
			start = n + 1
		}
	}
	add(options[start:])
	return all
}

// parsePublicKey reads "TYPE BASE64 COMMENT".
func parsePublicKey(line string) (kind string, bits int, print, comment string, err error) {
	words := strings.SplitN(strings.TrimSpace(line), " ", 3)
	if strings.ContainsRune(line, '\t') {
		words = strings.Fields(line)
	}
	if len(words) < 2 {
		return "", 0, "", "", errors.New("no key")
	}
	if len(words) > 2 {
		comment = strings.Join(words[2:], " ")
	}
	known := append(sshAll(""), "ssh-xmss@openssh.com")
	if !slices.Contains(known, words[0]) {
		return "", 0, "", "", errors.New("no key of a kind that is known")
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return "", 0, "", "", fmt.Errorf("a key of %s that is no base64", words[0])
	}
	inner, rest, ok := sshString(blob)
	if !ok || string(inner) != words[0] {
		return "", 0, "", "", fmt.Errorf("a key that says %s and is something else", words[0])
	}
	switch strings.TrimSuffix(words[0], "-cert-v01@openssh.com") {
	case "ssh-rsa", "ssh-dss":
		if words[0] == "ssh-rsa" {
			if _, rest, ok = sshString(rest); !ok {
				return "", 0, "", "", errors.New("half a key")
			}
		} else if strings.Contains(words[0], "cert") {
			break
		}
		number, _, whole := sshString(rest)
		if !whole {
			return "", 0, "", "", errors.New("half a key")
		}
		bits = bitLength(number)
	default:
		if _, _, ok := sshString(rest); !ok {
			return "", 0, "", "", errors.New("half a key")
		}
	}
	return words[0], bits, words[1], comment, nil
}

// sshString takes a string with its length before it off data (RFC 4251 5).
func sshString(data []byte) (s, rest []byte, ok bool) {
	if len(data) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(data)
	if uint64(n) > uint64(len(data)-4) {
		return nil, nil, false
	}
	return data[4 : 4+n], data[4+n:], true
}

func bitLength(number []byte) int {
	for len(number) > 0 && number[0] == 0 {
		number = number[1:]
	}
	if len(number) == 0 {
		return 0
	}
	bits := len(number) * 8
	for top := number[0]; top < 0x80; top <<= 1 {
		bits--
	}
	return bits
}
