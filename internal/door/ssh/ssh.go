// Package ssh is the door for those who have SSH: `ssh -N -L 8123:localhost:8123` carries
// the house's pages to where it runs, and nothing else is to be had. There is no shell, no
// command, no file, no agent and no way to anywhere but the gateway: what a client opens
// is not dialled, it becomes a connection of this listener itself.
//
// # Decisions
//
// Who holds a key that a person was invited with, or a certificate of the owner's authority
// for it, comes in under that person's name. There are no passwords. What a client asks for
// otherwise is refused in the words of the protocol, and the same whatever the reason.
//
// SSH encrypts, so plain HTTP may come through it, which browsers take for secure at
// localhost; what begins with TLS is answered with TLS. Names are localhost, gatehouse and
// the home's own, at any port, because each client chooses its own; what a page on the
// Internet can give to an address of this machine (DNS rebinding) is none of them.
//
// A handshake is bounded as one of TLS is (wire.HandshakeListener). Nobody is at home here,
// wherever the source is.
package ssh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// Kind is the kind of the keys that this door verifies.
const Kind = "sshkey"

// Config says where the door is and whom it lets in.
type Config struct {
	Listen string   // "address:port" or ":port"
	Names  []string // the home's host names, lower-case; may be empty
	Ports  []int    // that may be asked for besides 80, 443 and 8123, such as those of other doors
	Keys   HostKeys // of this host
	// TLS answers what begins with TLS inside the tunnel. nil: nothing does.
	TLS *tls.Config
	// Authorities sign certificates of users. Each is strong enough: see ParseKeys.
	Authorities []Key
	// Person finds a person by the name that was typed. It must not be nil.
	Person func(name string) (person string, ok bool)
	// Certify is told of a certificate that is good and whose key is not known yet, or not for
	// that long: it makes the key known, by SetKeys, before it returns. nil: no certificates.
	Certify func(context.Context, Certified) error
	// Allow says who may come in at all, Favoured where a known device was lately and Tight
	// who gets little: see wire.TLSOptions. May be nil.
	Allow, Favoured, Tight func(netip.Addr) bool
	// Refused is told why a connection did not come through; it must be quick and safe
	// for concurrent use. May be nil.
	Refused func(remote net.Addr, reason string)
	// Now is the clock that certificates are judged by; default time.Now.
	Now func() time.Time
}

// Known is a key that is somebody's.
type Known struct {
	ID     string // its fingerprint, as OpenSSH prints it
	Person string
	// Certified is set where a certificate made it known: without one it opens nothing.
	Certified bool
	Expires   time.Time // zero where it does not
}

// Certified is a certificate's word.
type Certified struct {
	ID      string // fingerprint of the key that it is for
	Person  string
	Label   string    // what the authority wrote on it
	Expires time.Time // zero where it does not
}

// The bounds of what a client may hold, and how long it may be silent.
const (
	maxClients       = 512
	maxClientsPerKey = 16
	maxChannels      = 128
	maxTries         = 6
	loginTime        = time.Minute
	meetTime         = 10 * time.Second
	askAfter         = 30 * time.Second // of silence the client is asked whether it is there
	goneAfter        = 90 * time.Second
	writeTime        = 30 * time.Second
	graceTime        = 6 * time.Second // for connections to end when the door closes
)

// Door is the open door: a listener whose connections came through a client's tunnel.
type Door struct {
	cfg     Config
	clients *wire.HandshakeListener
	targets []string
	ports   []int
	now     func() time.Time

	start   sync.Once
	closing sync.Once
	out     chan net.Conn
	ctx     context.Context // ends with Close
	end     context.CancelFunc
	failed  chan struct{} // closed when clients cannot be taken any more; err says why
	err     error
	running sync.WaitGroup

	opened   atomic.Uint64 // clients since the start
	hostKeys atomic.Pointer[HostKeys]

	mu     sync.Mutex
	known  map[string]Known
	live   []*client // the oldest first
	closed bool
}

// Listen opens the door. Nobody is let in before Accept is called, and nobody but who holds
// a key of SetKeys.
func Listen(c Config) (*Door, error) {
	if c.Person == nil || len(c.Keys.Now) == 0 {
		return nil, errors.New("door ssh: incomplete configuration")
	}
	inner, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("open door ssh: %w", err)
	}
	return listen(c, inner), nil
}

func listen(c Config, inner net.Listener) *Door {
	d := &Door{cfg: c, now: c.Now, out: make(chan net.Conn), failed: make(chan struct{}), known: make(map[string]Known)}
	d.ctx, d.end = context.WithCancel(context.Background())
	if d.now == nil {
		d.now = time.Now
	}
	d.targets = append([]string{"localhost", "127.0.0.1", "::1", "gatehouse"}, c.Names...)
	d.ports = append([]int{80, 443, 8123}, c.Ports...)
	d.hostKeys.Store(&c.Keys)
	d.clients = wire.ListenHandshake(inner, wire.TLSOptions{Allow: c.Allow, Favoured: c.Favoured, Tight: c.Tight, Refused: c.Refused,
		HelloTimeout: meetTime, HandshakeTimeout: loginTime, MaxPendingPerAddr: 16}, d.shake)
	return d
}

// Accept waits for the next connection that a client opens through its tunnel: a *tls.Conn
// whose handshake is still to be made, or one that speaks plain HTTP.
func (d *Door) Accept() (net.Conn, error) {
	d.start.Do(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.closed {
			d.running.Go(d.acceptAll)
		}
	})
	select {
	case c := <-d.out:
		return c, nil
	case <-d.ctx.Done():
		return nil, net.ErrClosed
	case <-d.failed:
		return nil, d.err
	}
}

func (d *Door) acceptAll() {
	for {
		c, err := d.clients.Accept()
		if err != nil {
			d.err = err
			close(d.failed)
			return
		}
		d.admit(c.(*client))
	}
}

// admit serves a client if there is room and its key still counts. Of one key's clients, and
// of all, the oldest makes room: it is the one that nobody may be at any more.
func (d *Door) admit(c *client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.known[c.key.ID]; d.closed || !ok || known.Person != c.person {
		c.end()
		d.running.Go(c.drain)
		return
	}
	of := func(l *client) bool { return l.key == c.key }
	if ofKey := slices.DeleteFunc(slices.Clone(d.live), func(l *client) bool { return !of(l) }); len(ofKey) >= maxClientsPerKey {
		ofKey[0].end()
	} else if len(d.live) >= maxClients {
		d.live[0].end()
	}
	d.live = append(d.live, c)
	d.opened.Add(1)
	d.running.Go(func() {
		c.serve(d)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.live = slices.DeleteFunc(d.live, func(l *client) bool { return l == c })
	})
}

// Run asks silent clients whether they are there, until ctx ends and the door is closed; it
// returns when all clients have gone.
func (d *Door) Run(ctx context.Context) error {
	tick := time.NewTicker(askAfter / 3)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			for _, c := range d.clientsNow() {
				c.check(d, time.Now())
			}
		}
	}
	<-d.ctx.Done()
	d.running.Wait()
	return nil
}

func (d *Door) clientsNow() []*client {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.live)
}

// Clients is how many are there now.
func (d *Door) Clients() int { return len(d.clientsNow()) }

// SetKeys says which keys are whose, in place of all before. A client whose key is not there
// any more, or is somebody else's, ends at once with all that goes through it.
func (d *Door) SetKeys(keys []Known) {
	known := make(map[string]Known, len(keys))
	for _, k := range keys {
		known[k.ID] = k
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = known
	for _, c := range d.live {
		if k, ok := known[c.key.ID]; !ok || k.Person != c.person {
			c.end()
		}
	}
}

// SetHostKeys has the host show other keys from the next client on.
func (d *Door) SetHostKeys(keys HostKeys) { d.hostKeys.Store(&keys) }

// HostKeys are the ones that the host shows now.
func (d *Door) HostKeys() HostKeys { return *d.hostKeys.Load() }

// Close ends the listener. Clients end when nothing goes through them any more, or after a
// time of grace.
func (d *Door) Close() error {
	err := net.ErrClosed
	d.closing.Do(func() {
		d.mu.Lock()
		d.closed = true
		d.mu.Unlock()
		d.end()
		err = d.clients.Close()
		for _, c := range d.clientsNow() {
			c.finish()
		}
	})
	return err
}

// Addr is where the door listens.
func (d *Door) Addr() net.Addr { return d.clients.Addr() }

// Port is the port on which the door listens.
func (d *Door) Port() int { return d.Addr().(*net.TCPAddr).Port }

// Name is the door's word in the design.
func (d *Door) Name() policy.Door { return policy.SSH }

// AtHome is false: here a known key is asked for wherever the source is.
func (d *Door) AtHome(netip.Addr) bool { return false }

// Encrypts is true: what is plain HTTP came through SSH.
func (d *Door) Encrypts() bool { return true }

// HostAllowed reports whether a Host, lower-case and with its port if it has one, is what
// the near end of a tunnel to this home may be called.
func (d *Door) HostAllowed(host string) bool {
	name := host
	if i := len(host) - 1; i >= 0 && host[i] != ']' {
		if n, port, err := net.SplitHostPort(host); err == nil {
			number, err := strconv.ParseUint(port, 10, 16)
			if err != nil || number == 0 || strconv.FormatUint(number, 10) != port {
				return false
			}
			if name = n; host[0] == '[' {
				name = "[" + n + "]"
			}
		}
	}
	switch name {
	case "localhost", "127.0.0.1", "[::1]", "gatehouse":
		return true
	}
	return slices.Contains(d.cfg.Names, name)
}

// serves reports whether a client may open a connection to a host and port: to the gateway,
// as it is called from inside the tunnel.
func (d *Door) serves(host string, port uint32) bool {
	return slices.Contains(d.targets, host) && slices.Contains(d.ports, int(port))
}

// shake makes a client's handshake.
func (d *Door) shake(s *wire.Shaking) (net.Conn, wire.Reason) {
	l := newLine(s)
	a := &arrival{door: d}
	conn, channels, requests, err := gossh.NewServerConn(l, a.config(s.Met))
	switch {
	case l.notSSH:
		return nil, wire.ReasonNotSSH
	case l.begun < len(opening):
		return nil, wire.ReasonTruncated
	case err != nil:
		return nil, a.why(err)
	}
	known := a.shown(conn)
	c := &client{Conn: l, line: l, ssh: conn, channels: channels, requests: requests, keys: a.keys,
		key: policy.Key{Kind: Kind, ID: known.ID}, person: known.Person, until: known.Expires}
	if err := s.Done(); err != nil {
		c.end()
		return nil, wire.ReasonTruncated
	}
	l.steady.Store(true)
	return c, ""
}
