package onion

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// service is one device's onion service as far as it is ours: the socket to which tor
// connects, and what came over it.
type service struct {
	door      *Door
	device    Device
	from      net.Addr // of its connections
	path      string
	listener  *net.UnixListener
	tor       process
	published bool // guarded by the door's mu

	mu    sync.Mutex
	over  bool
	conns map[*Conn]struct{}
	wg    sync.WaitGroup
}

// process is who may connect to a service. A pid of 0 is any process of that user.
type process struct{ uid, pid int }

// newService makes the socket. mode is who may connect to it beside us.
func newService(d *Door, device Device, tor process, mode os.FileMode) (*service, error) {
	s := &service{door: d, device: device, tor: tor, conns: make(map[*Conn]struct{}), from: net.TCPAddrFromAddrPort(netip.AddrPortFrom(Source(device.Address), 80)),
		path: filepath.Join(d.cfg.Dir, strings.ToLower(rand.Text()[:16]))}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the socket of an onion service: %w", err)
	}
	if err := os.Chmod(s.path, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("make the socket of an onion service: %w", err), l.Close())
	}
	s.listener = l
	s.wg.Go(s.acceptAll)
	return s, nil
}

// acceptAll hands connections of tor's to the door until the service is closed.
func (s *service) acceptAll() {
	for {
		c, err := s.listener.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.door.cfg.Log.Error("door onion: a socket of its own is gone", "error", err)
			}
			return
		}
		if err := s.tor.isPeer(c); err != nil {
			s.door.cfg.Log.Warn("door onion: a program that is not tor came to a socket of its own", "why", err)
			s.door.cfg.Refused(s.from, string(wire.ReasonNotAllowed))
			_ = c.Close()
			continue
		}
		s.wg.Go(func() { s.deliver(&Conn{UnixConn: c, service: s, gone: make(chan struct{})}) })
	}
}

// deliver hands a connection to whoever accepts at the door.
func (s *service) deliver(c *Conn) {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		_ = c.UnixConn.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	select {
	case s.door.in <- c:
	case <-c.gone:
	case <-s.door.closed:
		_ = c.Close()
	}
}

// close ends the service on our side: its socket, and every connection.
func (s *service) close() {
	_ = s.listener.Close() // removes the socket
	s.mu.Lock()
	s.over = true
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for c := range conns {
		c.end()
	}
	s.wg.Wait()
}

// isPeer makes sure that a connection is this process's.
func (p process) isPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	if ctl := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); ctl != nil {
		return ctl
	}
	if err != nil {
		return err
	}
	if int(peer.Uid) != p.uid || p.pid != 0 && int(peer.Pid) != p.pid {
		return fmt.Errorf("process %d of user %d", peer.Pid, peer.Uid)
	}
	return nil
}

// Source is the address that the connections of an onion service have: one in 3fff::/20,
// in a /64 of its own.
func Source(address string) netip.Addr {
	sum := sha256.Sum256([]byte("gatehouse onion source " + address))
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], 0x3fff<<48|binary.BigEndian.Uint64(sum[:8])>>20)
	a[15] = 1
	return netip.AddrFrom16(a)
}

// Conn is a connection of a device's.
type Conn struct {
	*net.UnixConn
	service *service

	once sync.Once
	gone chan struct{} // closed when the connection is
}

// Key is the device's key: its service's address.
func (c *Conn) Key() policy.Key {
	return policy.Key{Kind: KeyKind, ID: c.service.device.Address}
}

// RemoteAddr is made of the service's address: see Source.
func (c *Conn) RemoteAddr() net.Addr { return c.service.from }

// Close ends the connection.
func (c *Conn) Close() error {
	s := c.service
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	return c.end()
}

// end closes it without telling its service.
func (c *Conn) end() (err error) {
	err = net.ErrClosed
	c.once.Do(func() {
		close(c.gone)
		err = c.UnixConn.Close()
	})
	return err
}
