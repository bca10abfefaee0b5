package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener of pipes.
type pipes struct{ c chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.c
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p.c); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A handshake that others make computes in turn: one reads on only when another, which has
// read, writes or reads again. What it waits for has two times, and none when it is done.
func TestHandshakesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := pipes{make(chan net.Conn)}
		step, met := make(chan string, 10), make(chan bool)
		l := ListenHandshake(inner, TLSOptions{MaxComputing: 1, HelloTimeout: 10 * time.Second, HandshakeTimeout: time.Minute}, func(s *Shaking) (net.Conn, Reason) {
			buf := make([]byte, 1)
			if _, err := s.Read(buf); err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("after ten seconds: %v", err)
				}
				step <- "silent"
				return nil, ReasonTruncated
			}
			step <- string(buf)
			<-met // computes
			s.Met()
			if _, err := s.Write(buf); err != nil {
				return nil, ReasonTruncated
			}
			if _, err := s.Read(buf); err != nil {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("after a minute: %v", err)
				}
				step <- "late"
				return nil, ReasonTruncated
			}
			if err := s.Done(); err != nil {
				t.Error(err)
			}
			return s, ""
		})
		got := make(chan net.Conn, 3)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				got <- c
			}
		}()
		dial := func() net.Conn {
			near, far := net.Pipe()
			inner.c <- far
			return near
		}
		a, b, late := dial(), dial(), dial()
		begin := time.Now()
		write := func(c net.Conn, text string) {
			if _, err := io.WriteString(c, text); err != nil {
				t.Error(err)
			}
		}
		write(a, "a")
		if s := <-step; s != "a" {
			t.Fatalf("%q comes first", s)
		}
		write(b, "b")
		synctest.Wait()
		select {
		case s := <-step:
			t.Fatalf("%q comes while another computes", s)
		default:
		}
		met <- true
		if _, err := a.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if s := <-step; s != "b" {
			t.Fatalf("%q comes next", s)
		}
		met <- true
		if _, err := b.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		write(a, "c")
		done := <-got
		if s := <-step; s != "silent" || time.Since(begin) != 10*time.Second {
			t.Errorf("the silent one: %q after %v", s, time.Since(begin))
		}
		if s := <-step; s != "late" || time.Since(begin) != time.Minute {
			t.Errorf("the slow one: %q after %v", s, time.Since(begin))
		}
		time.Sleep(time.Hour)
		go write(a, "d")
		if n, err := done.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("an hour later: %v", err)
		}
		for _, c := range []net.Conn{a, b, late, done} {
			_ = c.Close()
		}
		_ = l.Close()
	})
}
