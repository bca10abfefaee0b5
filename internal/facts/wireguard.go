package facts

import (
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// WireGuard is an interface of WireGuard that a file sets up.
type WireGuard struct {
	File      string
	Tool      string // "wg-quick", "networkd" or "NetworkManager"
	Line      int    // of the interface
	PublicKey string // of its private key; empty where that stands elsewhere or is none
	KeyLine   int
	KeyFile   string // where the private key stands elsewhere
	ZeroKey   bool   // the private key is nothing but zeros
	Port      string // ListenPort; empty if any
	PortLine  int
	Hooks     []Directive // PreUp, PostUp, PreDown, PostDown, with the command as one argument
	Save      Directive   // SaveConfig
	Peers     []WireGuardPeer
}

// WireGuardPeer is a peer.
type WireGuardPeer struct {
	Line       int
	PublicKey  string
	KeyLine    int
	Shared     bool // it has a pre-shared key
	Allowed    []netip.Prefix
	AllowedAt  []int
	Endpoint   string
	Persistent bool
}

// Server reports whether the interface waits for peers to come.
func (w WireGuard) Server() bool {
	return w.Port != "" && slices.ContainsFunc(w.Peers, func(p WireGuardPeer) bool { return p.Endpoint == "" })
}

// WireGuards reads the interfaces of wg-quick, systemd-networkd and NetworkManager.
// Beside an error stand those that could be read.
func (h *Host) WireGuards() ([]WireGuard, error) {
	return remember(h, "wireguard", func() ([]WireGuard, error) {
		var all []WireGuard
		var errs []error
		for _, p := range []struct{ pattern, tool string }{
			{"/etc/wireguard/*.conf", "wg-quick"},
			{"/etc/systemd/network/*.netdev", "networkd"}, {"/run/systemd/network/*.netdev", "networkd"}, {"/usr/lib/systemd/network/*.netdev", "networkd"},
			{"/etc/NetworkManager/system-connections/*.nmconnection", "NetworkManager"},
		} {
			names, err := h.Glob(p.pattern)
			if err != nil {
				errs = append(errs, err)
			}
			for _, name := range names[:min(len(names), maxIncludedFiles)] {
				w, ok, err := h.wireGuard(name, p.tool)
				switch {
				case err != nil:
					errs = append(errs, err)
				case ok:
					all = append(all, w)
				}
			}
		}
		return all, errors.Join(errs...)
	})
}

// wireGuard reads one file; ok is false where it sets up something else.
func (h *Host) wireGuard(name, tool string) (w WireGuard, ok bool, err error) {
	t, err := h.Text(name)
	if err != nil {
		if tool == "wg-quick" || !errors.Is(err, fs.ErrNotExist) {
			return w, false, err
		}
		return w, false, nil
	}
	w = WireGuard{File: t.Path, Tool: tool}
	section := ""
	for n, line := range t.Lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = strings.ToLower(strings.Trim(line, "[]"))
			peer := ""
			if key, ok := strings.CutPrefix(section, "wireguard-peer."); ok && key != "" {
				section, peer = "peer", strings.Trim(line, "[]")[len("wireguard-peer."):]
			}
			switch section {
			case "peer", "wireguardpeer":
				w.Peers = append(w.Peers, WireGuardPeer{Line: n + 1, PublicKey: peer, KeyLine: n + 1})
				section = "peer"
			case "interface", "wireguard":
				section, w.Line = "interface", n+1
			}
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found || section == "" {
			if tool == "wg-quick" {
				return w, false, fmt.Errorf("%s:%d: not a line of WireGuard", t.Path, n+1)
			}
			continue
		}
		if tool == "wg-quick" {
			value, _, _ = strings.Cut(value, "#")
		}
		key, value = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(key)), "-", ""), strings.TrimSpace(value)
		switch {
		case section == "netdev" && key == "kind" || section == "connection" && key == "type":
			ok = strings.EqualFold(value, "wireguard")
		case section == "interface":
			err = w.set(key, value, n+1)
		case section == "peer":
			err = w.Peers[len(w.Peers)-1].set(key, value, n+1)
		}
		if err != nil {
			return w, false, fmt.Errorf("%s:%d: %w", t.Path, n+1, err)
		}
	}
	if tool == "wg-quick" {
		ok = w.Line > 0
		if !ok {
			return w, false, fmt.Errorf("%s: no interface of WireGuard", t.Path)
		}
	}
	return w, ok, nil
}

func (w *WireGuard) set(key, value string, line int) error {
	switch key {
	case "privatekey":
		w.KeyLine = line
		raw, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(raw) != 32 {
			if value == "" || strings.HasPrefix(value, "@") {
				return nil // a credential
			}
			return errors.New("a private key of another form")
		}
		if strings.Trim(string(raw), "\x00") == "" {
			w.ZeroKey = true
			return nil
		}
		private, err := ecdh.X25519().NewPrivateKey(raw)
		if err != nil {
			return errors.New("a private key of another form")
		}
		w.PublicKey = base64.StdEncoding.EncodeToString(private.PublicKey().Bytes())
	case "privatekeyfile":
		w.KeyFile, w.KeyLine = value, line
	case "listenport":
		w.Port, w.PortLine = value, line
		if value == "0" || value == "auto" {
			w.Port = ""
		}
	case "preup", "postup", "predown", "postdown":
		if len(w.Hooks) < 1000 {
			w.Hooks = append(w.Hooks, Directive{Name: key, Args: []string{value}, File: w.File, Line: line})
		}
	case "saveconfig":
		w.Save = Directive{Name: key, Args: []string{strings.ToLower(value)}, File: w.File, Line: line}
	}
	return nil
}

func (p *WireGuardPeer) set(key, value string, line int) error {
	switch key {
	case "publickey":
		p.PublicKey, p.KeyLine = value, line
	case "presharedkey", "presharedkeyfile":
		p.Shared = value != ""
	case "endpoint":
		p.Endpoint = value
	case "persistentkeepalive":
		p.Persistent = value != "0" && value != "off"
	case "allowedips":
		for _, a := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == ';' || r == '\t' }) {
			prefix, err := netip.ParsePrefix(a)
			if err != nil {
				addr, err := netip.ParseAddr(a)
				if err != nil {
					return fmt.Errorf("%q is no network", a)
				}
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
			if len(p.Allowed) > 10000 {
				return errTooMuch
			}
			p.Allowed, p.AllowedAt = append(p.Allowed, prefix.Masked()), append(p.AllowedAt, line)
		}
	}
	return nil
}

// WireGuardDir is where wg-quick looks.
const WireGuardDir = "/etc/wireguard"

// KeyPath is the file that holds the private key of an interface.
func (w WireGuard) KeyPath() string {
	if w.KeyFile != "" {
		return path.Clean("/" + w.KeyFile)
	}
	return w.File
}
