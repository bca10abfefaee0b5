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
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"gatehouse/internal/ha/hatest"
)

// benchPath is what every target is asked for: a state, as an app asks for it.
const benchPath = "/api/states/light.bench"

// What apps ask for while nobody looks at them.
const (
	webhookPath = "/api/webhook/"
	tokenPath   = "/auth/token"
)

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

// serveUpstream answers what is measured by a loop that costs next to nothing, so that
// the targets are what is measured; everything else goes to home. It serves until the
// listener is closed.
func serveUpstream(l net.Listener, home http.Handler) error {
	rest := &handover{addr: l.Addr(), conns: make(chan net.Conn)}
	server := &http.Server{Handler: home}
	server.SetKeepAlivesEnabled(false) // what comes next may be measured
	go func() { _ = server.Serve(rest) }()
	defer func() { _ = server.Close() }()
	f := &fast{state: answerOf(benchBody()), hook: answerOf(`{"sensor_0":{"success":true},"sensor_1":{"success":true},"sensor_2":{"success":true}}`), rest: rest.conns,
		file: sync.OnceValue(func() []byte { return answerOf(strings.Repeat("gatehouse bench\n", fileSize/16)) })}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go f.serve(c)
	}
}

func answerOf(body string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// filePath is a large file of the home's, and fileSize how large it is.
const (
	filePath = "/local/bench.bin"
	fileSize = 64 << 20
)

// fast answers a state, webhooks, token refreshes and a large file.
type fast struct {
	state, hook []byte
	file        func() []byte
	tokens      atomic.Int64 // given out; no two are alike
	rest        chan<- net.Conn
}

// token is an answer to a refresh; the access token is as long as Home Assistant's.
func (f *fast) token() []byte {
	return answerOf(fmt.Sprintf(`{"access_token":"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.%0100d.%043d","token_type":"Bearer","expires_in":1800}`, f.tokens.Add(1), 0))
}

// answer is what is answered to a request, nil if that is for home.
func (f *fast) answer(head, body []byte) []byte {
	switch {
	case bytes.HasPrefix(head, []byte("GET "+benchPath+" ")):
		return f.state
	case bytes.HasPrefix(head, []byte("GET "+filePath+" ")):
		return f.file()
	case bytes.HasPrefix(head, []byte("POST "+webhookPath)):
		return f.hook
	case bytes.HasPrefix(head, []byte("POST "+tokenPath+" ")) && bytes.Contains(body, []byte("grant_type=refresh_token")):
		return f.token()
	}
	return nil
}

// serve answers on one connection; the first request that is for home goes there, with
// the connection.
func (f *fast) serve(c net.Conn) {
	in := bufio.NewReaderSize(c, 16<<10)
	var head, body []byte
	for {
		head, body = head[:0], body[:0]
		length := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				_ = c.Close()
				return
			}
			head = append(head, line...)
			if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
			}
			if len(line) <= 2 {
				break
			}
		}
		if length > 0 && length < 16<<10 {
			body = slices.Grow(body, length)[:length]
			if _, err := io.ReadFull(in, body); err != nil {
				_ = c.Close()
				return
			}
		}
		answer := f.answer(head, body)
		if answer == nil {
			buffered, _ := in.Peek(in.Buffered())
			f.rest <- &replay{Conn: c, first: slices.Concat(head, body, buffered)}
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
