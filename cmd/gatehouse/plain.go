package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/door/lan"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
)

// plainDoor is the door without TLS, where Home Assistant listened before it was moved
// behind us. It opens and closes while the server runs.
type plainDoor struct {
	s *server

	mu       sync.Mutex
	run      context.Context // of the server; nil before it runs
	listener *lan.Plain      // nil while it is closed
	why      error           // it is closed, and should not be
	stop     context.CancelFunc
	serving  sync.WaitGroup
}

// plainEvery is how often a port that somebody else still has is asked for.
const plainEvery = 100 * time.Millisecond

// take opens the door, as soon as its port is free.
func (d *plainDoor) take(ctx context.Context) error {
	for {
		err := d.open()
		if err == nil {
			return nil
		}
		if wait := pause(ctx, plainEvery); wait != nil {
			return errors.Join(err, wait)
		}
	}
}

// open opens the door, if it is not open. It is served from the moment that the server runs.
func (d *plainDoor) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		return nil
	}
	if d.run != nil && d.run.Err() != nil { // the server ends, and nobody would close it
		return d.run.Err()
	}
	s := d.s.mover.stance()
	if !s.moved() {
		return nil
	}
	proxies := lanProxies(d.s.cfg)
	d.listener, d.why = lan.ListenPlain(lan.PlainConfig{Listen: s.Was.plain(), Names: lanNames(d.s.cfg), Links: d.s.links,
		HomeName: pki.IsHomeName, Proxies: proxies, Allow: d.s.admits(policy.LAN, proxies), Refused: d.s.turnedAway(policy.LAN, proxies)})
	if d.why != nil {
		return d.why
	}
	if d.run != nil {
		d.serve()
	}
	return nil
}

// serve answers at the door. The caller holds mu.
func (d *plainDoor) serve() {
	ctx, stop := context.WithCancel(d.run)
	listener := d.listener
	d.stop = stop
	w := d.s.reader(policy.LAN, listener.Proxies, d.s.gateway.PlainHandler(listener, d.s.overTLS))
	d.serving.Go(func() {
		if err := w.Serve(ctx, listener); err != nil && ctx.Err() == nil {
			d.s.parts.log.Error("the door without TLS is closed", "error", err)
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.listener == listener {
				d.listener, d.why = nil, err
			}
		}
	})
}

// begin serves the door if it is open, until ctx ends.
func (d *plainDoor) begin(ctx context.Context) error {
	d.mu.Lock()
	d.run = ctx
	if d.listener != nil {
		d.serve()
	}
	d.mu.Unlock()
	<-ctx.Done()
	d.drop()
	d.serving.Wait()
	return nil
}

// drop closes the door, so that another may have its port.
func (d *plainDoor) drop() {
	d.mu.Lock()
	listener, stop := d.listener, d.stop
	d.listener, d.stop, d.why = nil, nil, nil
	d.mu.Unlock()
	if stop != nil {
		stop()
	}
	if listener != nil {
		_ = listener.Close() // a second close says nothing that anybody needs
	}
}

// row is the door in a document; ok is false where there is none.
func (d *plainDoor) row() (row doorRow, ok bool) {
	s := d.s.mover.stance()
	if !s.moved() {
		return row, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	row = doorRow{Name: string(policy.LAN), Listen: s.Was.plain(), Open: d.listener != nil, State: stateOf(d.listener != nil), Origins: []string{}}
	if d.why != nil {
		row.Why = d.why.Error()
	} else if d.listener == nil {
		row.Why = "Home Assistant is being moved"
	}
	if d.listener != nil {
		host := "127.0.0.1"
		if addr := addrAtHome(d.s.links.Addrs()); addr.IsValid() {
			host = addr.String()
		}
		row.Origins = []string{"http://" + netip.AddrPortFrom(netip.MustParseAddr(host), uint16(s.Was.Port)).String()}
	}
	return row, true
}

// addrAtHome is an address of this machine's under which a home knows it.
func addrAtHome(own []netip.Addr) netip.Addr {
	for _, a := range own {
		if a.Is4() && a.IsPrivate() {
			return a
		}
	}
	return netip.Addr{}
}

// overTLS is where whoever came without TLS finds the same house with it.
func (s *server) overTLS(host string) string {
	for _, d := range s.doors {
		if why, _ := d.closed(); d.name == policy.HTTPS && why == "" && len(d.origins) > 0 {
			return d.origins[0]
		}
	}
	for _, d := range s.doors {
		if d.name != policy.LAN || d.listener == nil {
			continue
		}
		addr, err := netip.ParseAddr(host)
		if slices.Contains(lanNames(s.cfg), host) || err == nil && addr.Is4() {
			return origin(host, portOf(d.listener.Addr().String()))
		}
		if len(d.origins) > 0 {
			return d.origins[0]
		}
	}
	return ""
}

// place says where Home Assistant listens; zero: where the configuration says.
func (s *server) place(at netip.AddrPort) error {
	if !at.IsValid() {
		u, err := url.Parse(s.cfg.Home.HAURL)
		if err != nil {
			return fmt.Errorf("home.ha_url: %w", err)
		}
		s.where.moved.Store(nil)
		if u.Scheme != "http" {
			return nil
		}
		return s.gateway.MoveHA(u)
	}
	to := at.String()
	s.where.moved.Store(&to)
	return s.gateway.MoveHA(&url.URL{Scheme: "http", Host: to})
}

// whereabouts is where Home Assistant listens, for what asks it by the address of the
// configuration.
type whereabouts struct {
	moved atomic.Pointer[string] // host:port; nil where the configuration says it
}

func (w *whereabouts) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if to := w.moved.Load(); to != nil {
		addr = *to
	}
	return (&net.Dialer{Timeout: dialHA}).DialContext(ctx, network, addr)
}

// dialHA is how long a connection to Home Assistant may take to come about.
const dialHA = 5 * time.Second
