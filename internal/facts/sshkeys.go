package facts

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// SSHHostKey is a key by which the server shows who it is.
type SSHHostKey struct {
	Private     string // its path
	PrivateInfo Info
	Public      string // "" where there is no file of that name
	PublicInfo  Info
	Type        string // "ssh-ed25519"; "" where it could not be told
	Bits        int
	Err         error // why it could not
}

// SSHHostKeys reads the keys that the server's HostKey names, or those of its defaults
// that are there.
func (h *Host) SSHHostKeys() ([]SSHHostKey, error) {
	return remember(h, "ssh host keys", func() ([]SSHHostKey, error) {
		s, err := h.SSHD()
		if err != nil {
			return nil, err
		}
		v, err := s.Value("hostkey", SSHPeer{})
		if err != nil {
			return nil, err
		}
		names := v.Args
		if !v.Explicit {
			names = []string{"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ed25519_key"}
		}
		var all []SSHHostKey
		for _, name := range names {
			k := SSHHostKey{Private: path.Join("/", name)}
			if k.PrivateInfo, err = h.Stat(k.Private); errors.Is(err, fs.ErrNotExist) {
				continue // sshd passes over what is not there
			} else if err != nil {
				return nil, err
			}
			public := k.Private + ".pub"
			if k.PublicInfo, err = h.Stat(public); err == nil {
				k.Public = public
				t, err := h.Text(public)
				if err != nil {
					k.Err = err
				} else if k.Type, k.Bits, _, _, err = parsePublicKey(firstLine(t.Lines)); err != nil {
					k.Err = fmt.Errorf("%s:1: %w", public, err)
				}
			} else if errors.Is(err, fs.ErrNotExist) {
				p, err := h.SSHPrivateKey(k.Private)
				k.Type, k.Bits, k.Err = p.Type, p.Bits, err
			} else {
				k.Err = err
			}
			all = append(all, k)
		}
		return all, nil
	})
}

func firstLine(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

// SSHPrivateKey is what can be told of a file with a private key without its passphrase.
type SSHPrivateKey struct {
	Type      string // "" where the form does not say it in the clear
	Bits      int
	Encrypted bool
}

// ErrNoKey says that a file holds no private key.
var ErrNoKey = errors.New("no private key")

// SSHPrivateKey reads a private key's form: OpenSSH's own, or PEM. What is secret in it
// is not looked at.
func (h *Host) SSHPrivateKey(name string) (SSHPrivateKey, error) {
	t, err := h.Text(name)
	if err != nil {
		return SSHPrivateKey{}, err
	}
	k, err := parsePrivateKey(t.Bytes)
	if err != nil {
		return k, fmt.Errorf("%s: %w", name, err)
	}
	return k, nil
}

func parsePrivateKey(data []byte) (SSHPrivateKey, error) {
	text := string(bytes.TrimLeft(data, " \t\r\n"))
	head, body, _ := strings.Cut(text, "\n")
	head = strings.TrimSpace(head)
	kind, ok := strings.CutPrefix(head, "-----BEGIN ")
	kind, end := strings.CutSuffix(kind, "PRIVATE KEY-----")
	if !ok || !end {
		return SSHPrivateKey{}, ErrNoKey
	}
	switch strings.TrimSpace(kind) {
	case "OPENSSH":
		body, _, whole := strings.Cut(body, "-----END")
		blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
		if !whole || err != nil {
			return SSHPrivateKey{}, errors.New("half a private key")
		}
		blob, ok := bytes.CutPrefix(blob, []byte("openssh-key-v1\x00"))
		if !ok {
			return SSHPrivateKey{}, errors.New("a private key of a form that is not known")
		}
		cipher, rest, ok1 := sshString(blob)
		kdf, rest, ok2 := sshString(rest)
		_, rest, ok3 := sshString(rest)
		if !ok1 || !ok2 || !ok3 || len(rest) < 4 {
			return SSHPrivateKey{}, errors.New("half a private key")
		}
		public, _, ok := sshString(rest[4:])
		if !ok {
			return SSHPrivateKey{}, errors.New("half a private key")
		}
		name, _, _ := sshString(public)
		k := SSHPrivateKey{Encrypted: string(cipher) != "none" && string(kdf) != "none"}
		k.Type, k.Bits, _, _, err = parsePublicKey(string(name) + " " + base64.StdEncoding.EncodeToString(public))
		return k, err
	case "ENCRYPTED":
		return SSHPrivateKey{Encrypted: true}, nil
	case "RSA", "DSA", "EC", "":
		return SSHPrivateKey{Encrypted: strings.Contains(body, "Proc-Type: 4,ENCRYPTED")}, nil
	}
	return SSHPrivateKey{}, ErrNoKey
}
