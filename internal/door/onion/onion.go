// Package onion is the door over Tor: onion services of version 3, for when nothing of the
// home can be reached from outside, or nobody is to see that it is.
//
// # Decisions
//
//   - Each device has an onion service of its own: a key, an address and a socket that no
//     other has. The address says which device comes, so a connection needs no cookie, and
//     shutting one out changes nothing for the others.
//   - Client authorization is always on. Without its x25519 key nobody can read a service's
//     descriptor: there is nothing to be found, and nothing to be asked. We keep the public
//     half alone.
//   - tor is the system's, a program of its own that it is hard to do better than. It is
//     commanded over its control port: one of our own, which whoever starts programs starts
//     for us and which ends with us, or one that is there. Services belong to the control
//     connection: if we are killed, they are gone.
//   - A connection comes over a socket in a directory of ours, and the kernel says whose
//     process made it. What is not tor is not a device.
//   - A device's connections have an address that is made of its onion address, in
//     3fff::/20, which is for documentation (RFC 9637) and nobody's: neither this machine's
//     nor that of all of Tor. So the guard and the limits of one address count each device
//     by itself. Home Assistant is told another, which is not at home (see gateway).
//   - Inside it is plain HTTP: Tor encrypts from end to end, and the address is the key.
//   - Proof of work is asked for where tor can do it for services of the control port. The
//     limits of introductions are out of reach there, and nobody without a key gets as far.
package onion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"gatehouse/internal/policy"
)

// KeyKind is the kind of the keys that the door's connections show: identity's word.
const KeyKind = "onionkey"

// Device is one that has an onion service.
type Device struct {
	Address string // of the service, without ".onion"
	Client  string // Client.Public of the device
}

// Start starts tor and hands it a configuration on its standard input. It ends when ctx
// does; ended then says why. A tor that is not installed is ErrMissing.
type Start func(ctx context.Context, torrc string) (pid int, ended <-chan error, err error)

// ErrMissing says that there is no tor on this machine.
var ErrMissing = errors.New("tor is not installed")

// Config says how the door comes to its tor. All but Control, Start, Log and Refused must
// be set, and one of Control and Start.
type Config struct {
	// Dir is the door's own directory. It is made, 0700 for a tor of our own; where tor is
	// another user's, that user must be able to reach what is in it.
	Dir string
	// Control is where a tor that is there is commanded: "unix:/path" or "127.0.0.1:9051".
	// Empty: one of our own is started.
	Control string
	Start   Start
	// Seed returns the secret of the service at an address.
	Seed func(ctx context.Context, address string) ([]byte, error)
	Log  *slog.Logger
	// Refused is told why a connection did not come through. May be nil.
	Refused func(remote net.Addr, reason string)
}

// Door is the open door. It is a listener from the start; its Run finds tor and follows it.
type Door struct {
	cfg    Config
	in     chan net.Conn
	closed chan struct{}
	wake   chan struct{} // there is news in wanted

	mu     sync.Mutex
	over   bool
	wanted []Device
	up     map[string]*service // by address; while a tor is commanded
	state  state
}

// plainPath is what a path may hold that is written into tor's configuration and commands,
// where there are no quotes that fit every place.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9._/+@:=-]+$`)

// New makes the door. It starts nothing: Run does.
func New(c Config) (*Door, error) {
	switch {
	case c.Dir == "", c.Seed == nil, (c.Control == "") == (c.Start == nil):
		return nil, errors.New("door onion: incomplete configuration")
	case !filepath.IsAbs(c.Dir) || !plainPath.MatchString(c.Dir):
		return nil, fmt.Errorf("door onion: the directory %q has a name that tor cannot be told", c.Dir)
	case len(c.Dir)+len("/0123456789abcdef") > maxSocket:
		return nil, fmt.Errorf("door onion: the directory %s has too long a name for a socket in it", c.Dir)
	}
	if c.Control != "" {
		if _, _, err := cutControl(c.Control); err != nil {
			return nil, err
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Refused == nil {
		c.Refused = func(net.Addr, string) {}
	}
	d := &Door{cfg: c, in: make(chan net.Conn), closed: make(chan struct{}), wake: make(chan struct{}, 1), up: make(map[string]*service)}
	d.state.trouble = &trouble{"tor has not been reached yet", "this takes a few seconds; gatehouse doors shows how it stands"}
	return d, nil
}

// maxSocket is how long a Unix socket's path may be on Linux (sun_path, with its zero byte).
const maxSocket = 107

// cutControl reads where a tor is commanded. Only this machine is one that we command.
func cutControl(s string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) || len(path) > maxSocket {
			return "", "", fmt.Errorf("door onion: %q is no socket: it looks like unix:/run/tor/control", s)
		}
		return "unix", path, nil
	}
	at, err := netip.ParseAddrPort(s)
	if err != nil || !at.Addr().IsLoopback() || at.Port() == 0 {
		return "", "", fmt.Errorf("door onion: %q is no control port of this machine: it looks like 127.0.0.1:9051", s)
	}
	return "tcp", at.String(), nil
}

// Set says which devices there are. A service that is not among them is withdrawn, and
// every connection of it ends, before Set returns; others are published as soon as tor is
// there.
func (d *Door) Set(devices []Device) {
	d.mu.Lock()
	d.wanted = slices.Clone(devices)
	var gone []*service
	for address, s := range d.up {
		if !slices.Contains(d.wanted, s.device) {
			gone = append(gone, s)
			delete(d.up, address)
		}
	}
	d.mu.Unlock()
	for _, s := range gone {
		s.close()
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Name is the door's word in the design.
func (d *Door) Name() policy.Door { return policy.Onion }

// AtHome reports that nobody who comes over Tor is at home.
func (d *Door) AtHome(netip.Addr) bool { return false }

// Encrypts reports that Tor encrypts what is plain HTTP here.
func (d *Door) Encrypts() bool { return true }

// HostAllowed reports whether a Host, lower-case and with its port if it has one, is one of
// the door's services. HostOf says which one a connection is for.
func (d *Door) HostAllowed(host string) bool {
	address, ok := strings.CutSuffix(strings.TrimSuffix(host, ":80"), ".onion")
	if !ok {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.wanted, func(x Device) bool { return x.Address == address })
}

// HostOf is the only host name by which the holder of a key asks: one device's service
// answers to no other's name.
func (d *Door) HostOf(key policy.Key) string { return key.ID + ".onion" }

// Accept waits for the next connection.
func (d *Door) Accept() (net.Conn, error) {
	select {
	case c := <-d.in:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close closes the door; what it let in lives on, until Run ends or the device goes.
func (d *Door) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.over {
		d.over = true
		close(d.closed)
	}
	return nil
}

// Addr is what the door is called where other doors have an address.
func (d *Door) Addr() net.Addr { return doorAddr{} }

type doorAddr struct{}

func (doorAddr) Network() string { return "tor" }
func (doorAddr) String() string  { return "tor" }
