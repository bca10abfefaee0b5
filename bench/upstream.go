package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"gatehouse/internal/ha/hatest"
)

// benchPath is what every target is asked for: a state, as an app asks for it.
const benchPath = "/api/states/light.bench"

// benchBody is about as large as a light's state is: 1 kB.
func benchBody() string {
	return `{"entity_id":"light.bench","state":"on","attributes":{"friendly_name":"Bench","effect_list":["` +
		strings.Repeat(`rainbow","`, 90) + `off"]}}`
}

// runUpstream serves the small home that is behind every target until ctx ends.
func runUpstream(ctx context.Context, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	home := hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	context.AfterFunc(ctx, func() { _ = l.Close() })
	if err := serveUpstream(l, home); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// serveUpstream answers requests for benchPath by a loop that costs next to nothing,
// so that the targets are what is measured; everything else goes to home. It
// serves until the listener is closed.
func serveUpstream(l net.Listener, home http.Handler) error {
	body := benchBody()
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	rest := &handover{addr: l.Addr(), conns: make(chan net.Conn)}
	mux := http.NewServeMux()
	mux.Handle("/", home)
	mux.HandleFunc("GET "+benchPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	})
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(rest) }()
	defer func() { _ = server.Close() }()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go fastLoop(c, answer, rest.conns)
	}
}

// fastLoop answers requests for benchPath; the first other one goes, with the
// connection, to rest.
func fastLoop(c net.Conn, answer []byte, rest chan<- net.Conn) {
	in := bufio.NewReaderSize(c, 16<<10)
	want := []byte("GET " + benchPath + " ")
	var head []byte
	for {
		head = head[:0]
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				_ = c.Close()
				return
			}
			head = append(head, line...)
			if len(line) <= 2 {
				break
			}
		}
		if !bytes.HasPrefix(head, want) {
			buffered, _ := in.Peek(in.Buffered())
			rest <- &replay{Conn: c, first: append(bytes.Clone(head), buffered...)}
			return
		}
		if _, err := c.Write(answer); err != nil {
			_ = c.Close()
			return
		}
	}
}

// handover is a listener whose connections come from fastLoop.
type handover struct {
	addr  net.Addr
	conns chan net.Conn
}

func (h *handover) Accept() (net.Conn, error) { return <-h.conns, nil }
func (h *handover) Close() error              { return nil }
func (h *handover) Addr() net.Addr            { return h.addr }

// replay is a connection whose first bytes were read already.
type replay struct {
	net.Conn
	first []byte
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.first) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.first)
	r.first = r.first[n:]
	return n, nil
}
