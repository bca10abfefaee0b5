// Package wireguard is the door that a VPN leads to. WireGuard itself and the TCP/IP
// inside its tunnel run in this process: there is no kernel module, no interface and no
// route, and nothing of it needs a right that others have not.
//
// # Decisions
//
// A device is a peer: its key proves it before there is a first byte of TCP, and each
// connection says whose it is by its source, which WireGuard has compared with the peer's
// own addresses. Who is no peer gets not one packet back, so that nobody can find the
// door. When a peer is taken away its tunnel ends at once, with every connection in it.
//
// Inside, a peer reaches the gateway and nothing else: TLS on port 443 for the home's exact
// name, port 80, which leads there and serves nothing, and port 53, which knows the home's
// name and no other, so that the certificate fits. What else the owner names is reached by
// connections that the gateway makes for the peer, TCP and UDP alone; never this machine's
// own addresses, which what runs here would take for itself. Peers never reach one another.
package wireguard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.zx2c4.com/wireguard/device"

	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// The sizes of packets in the tunnel, in bytes: what fits into an Ethernet's with IPv6
// around it, and what fits everywhere. A client's file says the second.
const (
	MTU      = 1420
	LeastMTU = 1280
)

// Config says where the door is and what it answers to.
type Config struct {
	Listen     string         // "address:port" or ":port", UDP
	PrivateKey Key            // the door's own
	Networks   []netip.Prefix // the door's addresses in the tunnel, each in the network of its peers; at least one
	MTU        int            // in the tunnel; 0: MTU
	Names      []string       // exact host names, lower-case; at least one
	TLS        *tls.Config    // of this door alone, with what shows its certificate
	// Ready reports whether there is a certificate for a name. nil: always.
	Ready func(name string) bool
	// Reach are the networks behind the gateway that peers may reach, and Spare reports
	// which of their addresses are reached in no case. Spare may be nil.
	Reach []netip.Prefix
	Spare func(netip.Addr) bool
	// Upstream answers what the door is asked for other names than its own. The zero one:
	// nobody does, and it refuses.
	Upstream netip.AddrPort
	// Allow says from where a handshake is taken at all. May be nil.
	Allow func(netip.Addr) bool
	// Refused is told why a connection did not come through; it must be quick and safe
	// for concurrent use. May be nil.
	Refused func(remote net.Addr, reason string)
	Log     *slog.Logger
}

// Limits of one peer, and of all that has not begun yet.
const (
	maxStreams  = 256 // TCP connections
	maxFlows    = 128 // UDP, each a pair of addresses and ports
	maxBegun    = 512 // TCP handshakes of all peers
	maxAccepted = 64  // connections that nobody has taken yet
)

// The ports inside the tunnel.
const (
	portDNS   = 53
	portPlain = 80
	portTLS   = 443
)

// Door is the open door: a listener whose connections have a TLS handshake behind them.
type Door struct {
	*wire.TLSListener
	cfg     Config
	own     []netip.Addr
	public  Key
	port    int // UDP
	tunnel  *tunnel
	bind    *bind
	device  *device.Device
	peers   *table
	secure  *queue // for TLS
	plain   *queue // for who leads to it
	names   *answerer
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // to who is behind
	setting sync.Mutex                                                           // held while peers are set

	mu      sync.Mutex
	running bool
	trouble error // the socket cannot be opened anew
	shut    bool
}

// Listen opens the door. Nobody is let in before SetPeers and Run are called.
func Listen(c Config) (*Door, error) {
	d, addr, err := newDoor(c)
	if err != nil {
		return nil, fmt.Errorf("open door wireguard: %w", err)
	}
	if d.tunnel, err = newTunnel(d.own, c.Reach, d.cfg.MTU); err != nil {
		return nil, fmt.Errorf("open door wireguard: %w", err)
	}
	d.bind = newBind(addr.Addr(), c.Allow)
	d.device = device.NewDevice(d.tunnel, d.bind, d.logger())
	d.tunnel.serve(d.stream, d.flow)
	err = d.device.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\n", c.PrivateKey.hex(), addr.Port()))
	if err == nil {
		err = d.device.Up()
	}
	if err == nil {
		err = d.findPort()
	}
	if err != nil {
		d.shutDown()
		return nil, fmt.Errorf("open door wireguard: %w", err)
	}
	d.TLSListener = wire.ListenTLS(d.secure, c.TLS, wire.TLSOptions{Admit: d.admit, Refused: c.Refused})
	return d, nil
}

// newDoor makes sure of a configuration.
func newDoor(c Config) (d *Door, listen netip.AddrPort, err error) {
	addr, port, err := cutListen(c.Listen)
	if err != nil {
		return nil, listen, err
	}
	if c.MTU == 0 {
		c.MTU = MTU
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d = &Door{cfg: c, peers: newTable(), dial: (&net.Dialer{Timeout: dialTime}).DialContext}
	if d.public, err = c.PrivateKey.Public(); err != nil {
		return nil, listen, err
	}
	switch {
	case len(c.Names) == 0:
		return nil, listen, errors.New("no host name")
	case c.TLS == nil:
		return nil, listen, errors.New("no TLS configuration")
	case len(c.Networks) == 0:
		return nil, listen, errors.New("no network of its own")
	case c.MTU < LeastMTU || c.MTU > 1500:
		return nil, listen, fmt.Errorf("an MTU of %d", c.MTU)
	}
	for _, n := range c.Networks {
		if !n.IsValid() || slices.ContainsFunc(c.Reach, n.Overlaps) {
			return nil, listen, fmt.Errorf("the network %s is reached through itself", n)
		}
		d.own = append(d.own, n.Addr())
	}
	at := &net.TCPAddr{IP: d.own[0].AsSlice(), Port: portTLS}
	d.secure, d.plain = newQueue(at), newQueue(&net.TCPAddr{IP: at.IP, Port: portPlain})
	d.names = newAnswerer(c.Names, d.own, c.Upstream)
	return d, netip.AddrPortFrom(addr, port), nil
}

// logger is what WireGuard says of itself, which is of use to who looks for a fault.
func (d *Door) logger() *device.Logger {
	say := func(format string, args ...any) { d.cfg.Log.Debug("wireguard: " + fmt.Sprintf(format, args...)) }
	return &device.Logger{Verbosef: device.DiscardLogf, Errorf: say}
}

// findPort asks which port was taken.
func (d *Door) findPort() error {
	state, err := d.state()
	d.port = state.port
	return err
}

// admit is asked before TLS answers.
func (d *Door) admit(hello *wire.ClientHello, _ net.Conn) bool {
	return slices.Contains(d.cfg.Names, hello.ServerName) && (d.cfg.Ready == nil || d.cfg.Ready(hello.ServerName))
}

// Name is the door's word in the design.
func (d *Door) Name() policy.Door { return policy.WireGuard }

// AtHome is false: here a peer's device is known, wherever it is.
func (d *Door) AtHome(netip.Addr) bool { return false }

// HostAllowed reports whether a Host, lower-case and with its port if it has one, is one of
// the door's names.
func (d *Door) HostAllowed(host string) bool {
	return slices.Contains(d.cfg.Names, strings.TrimSuffix(host, ":443"))
}

// Origins returns the origins, https://host, that the door answers to.
func (d *Door) Origins() []string {
	var all []string
	for _, n := range d.cfg.Names {
		all = append(all, "https://"+n)
	}
	return all
}

// Port is the UDP port that WireGuard listens on.
func (d *Door) Port() int { return d.port }

// Public is the public half of the door's key.
func (d *Door) Public() Key { return d.public }

// Networks are the door's addresses in the tunnel, each with the network of its peers.
func (d *Door) Networks() []netip.Prefix { return slices.Clone(d.cfg.Networks) }

// Trouble says why nobody can come at this moment: the socket failed and cannot be opened
// anew. nil where all is well.
func (d *Door) Trouble() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.trouble
}

// drain is how long connections in the tunnel may take to end with the door.
const drain = 3 * time.Second

// Run answers for names, leads from port 80 to TLS, opens the socket anew when it fails, and
// has peers end when their time is over. It ends with ctx, and the tunnel with it, once
// what was served in it has ended.
func (d *Door) Run(ctx context.Context) error {
	d.mu.Lock()
	if d.shut || d.running {
		d.mu.Unlock()
		return errors.New("door wireguard: it is closed, or runs already")
	}
	d.running = true
	d.mu.Unlock()
	defer d.shutDown()
	group, running := errgroup.WithContext(ctx)
	lead := &wire.Server{Handler: http.HandlerFunc(d.lead), ErrorLog: d.cfg.Log}
	group.Go(func() error {
		if err := lead.Serve(running, d.plain); !errors.Is(err, net.ErrClosed) { // Close may be sooner than ctx
			return err
		}
		return nil
	})
	for _, addr := range d.own {
		group.Go(func() error { return d.answer(running, addr) })
	}
	group.Go(func() error { d.reopen(running); return nil })
	group.Go(func() error { d.endExpired(running); return nil })
	err := group.Wait()
	d.peers.wait(drain)
	return err
}

// lead sends who comes without TLS to the same page with it. Nothing is served here: a
// cookie, a passkey and a bookmark belong to the encrypted name.
func (d *Door) lead(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSuffix(strings.ToLower(r.Host), ":80")
	if !slices.Contains(d.cfg.Names, name) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Location", "https://"+name+r.URL.RequestURI())
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// reopenAfter is how long it takes until a failed socket is opened anew, the first time;
// then twice as long each time, up to reopenMost.
const (
	reopenAfter = 200 * time.Millisecond
	reopenMost  = 30 * time.Second
)

// reopen opens the socket anew when reading from it has failed: its network went away,
// or memory was short for a while.
func (d *Door) reopen(ctx context.Context) {
	wait := reopenAfter
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.bind.failed:
		}
		for again := true; again; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			err := d.device.BindUpdate()
			d.mu.Lock()
			d.trouble = err
			d.mu.Unlock()
			if again = err != nil; again {
				wait = min(2*wait, reopenMost)
				d.cfg.Log.Warn("the door wireguard cannot open its socket anew", "error", err)
			} else {
				wait = reopenAfter
			}
		}
	}
}

// Close takes no more connections. Where Run does not run, the tunnel ends, too.
func (d *Door) Close() error {
	err := d.TLSListener.Close()
	_ = d.plain.Close()
	d.mu.Lock()
	running := d.running
	d.mu.Unlock()
	if !running {
		d.shutDown()
	}
	return err
}

// shutDown ends the tunnel.
func (d *Door) shutDown() {
	d.mu.Lock()
	done := d.shut
	d.shut, d.running = true, false
	d.mu.Unlock()
	if done {
		return
	}
	_ = d.secure.Close()
	_ = d.plain.Close()
	d.peers.endAll()
	d.device.Close() // and the tunnel with it
	d.tunnel.end()
	_ = d.tunnel.Close()
}
