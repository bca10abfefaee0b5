package acme

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Port 80 answers one question, and that while an order is pending: the challenge's
// path, asked for by GET under the name it is for. Whoever asks anything else, or at
// another time, is closed on without a byte.

const (
	http01Patience = 5 * time.Second
	http01Head     = 4 << 10 // bytes of a request at most
	http01Many     = 256     // connections at a time
	http01Each     = 8       // of them from one source: nobody alone keeps an issuer out
)

// crowd is who is connected now, by source.
type crowd struct {
	mu  sync.Mutex
	all int
	by  map[netip.Prefix]int
}

// enter reports whether there is room for one more from an address, who leaves by leave.
func (c *crowd) enter(addr net.Addr) (leave func(), ok bool) {
	source := sourceOf(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= http01Many || c.by[source] >= http01Each {
		return nil, false
	}
	c.all++
	c.by[source]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if c.by[source]--; c.by[source] == 0 {
			delete(c.by, source)
		}
	}, true
}

// sourceOf is an address of IPv4, or the network of one of IPv6.
func sourceOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	a := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	source, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return source
}

// ServeHTTP01 answers HTTP-01 challenges at a listener, which it closes when ctx ends.
func (m *Manager) ServeHTTP01(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	here := crowd{by: map[netip.Prefix]int{}}
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("port for HTTP-01: %w", err)
		}
		if err != nil { // too many open files, for example: it passes
			if pause(ctx, 100*time.Millisecond) != nil {
				return nil
			}
			continue
		}
		leave, ok := here.enter(c.RemoteAddr())
		if !ok {
			_ = c.Close()
			continue
		}
		all.Go(func() {
			defer leave()
			m.answerHTTP01(ctx, c)
		})
	}
}

// answerHTTP01 reads one request and answers it, or closes.
func (m *Manager) answerHTTP01(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if _, pending := m.text("", ""); !pending {
		return
	}
	if c.SetDeadline(time.Now().Add(http01Patience)) != nil {
		return
	}
	head, err := readHead(c)
	if err != nil {
		return
	}
	host, path, ok := parseHTTP01(head)
	if !ok {
		return
	}
	if text, _ := m.text(host, path); text != "" {
		// Nobody is left to tell where this fails: the issuer asks again.
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
	}
}

// readHead reads up to the empty line that ends a request's head.
func readHead(r io.Reader) ([]byte, error) {
	head := make([]byte, 0, 512)
	for len(head) < http01Head {
		n, err := r.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if end := bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
			return head[:end], nil
		}
		if err != nil {
			return nil, err
		}
		if len(head) == cap(head) {
			head = append(head, make([]byte, len(head))...)[:len(head)]
		}
	}
	return nil, errors.New("too long")
}

// parseHTTP01 reads the head of a request: GET, a path below the challenges', one Host.
func parseHTTP01(head []byte) (host, path string, ok bool) {
	lines := strings.Split(string(head), "\r\n")
	words := strings.Split(lines[0], " ")
	if len(words) != 3 || words[0] != "GET" || words[2] != "HTTP/1.1" || !strings.HasPrefix(words[1], "/.well-known/acme-challenge/") {
		return "", "", false
	}
	for _, line := range lines[1:] {
		name, value, found := strings.Cut(line, ":")
		if !found || name == "" || strings.ContainsAny(line, "\r\n\x00") {
			return "", "", false
		}
		if strings.EqualFold(name, "host") {
			if host != "" {
				return "", "", false
			}
			host = strings.ToLower(strings.Trim(value, " \t"))
		}
	}
	if name, port, found := strings.Cut(host, ":"); found {
		if strings.Trim(port, "0123456789") != "" {
			return "", "", false
		}
		host = name
	}
	return host, words[1], host != ""
}
