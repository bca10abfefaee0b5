package ssh

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/net/nettest"
)

// between makes both ends of a channel, each as a connection of ours.
func between(t *testing.T, h *home) (c1, c2 *conn, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	keys := h.door.HostKeys().signers()
	asked := make(chan *client, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		config := &gossh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(keys[0])
		conn, channels, requests, err := gossh.NewServerConn(raw, config)
		if err != nil {
			return
		}
		asked <- &client{Conn: raw, line: newLine(raw), ssh: conn, channels: channels, requests: requests}
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, channels, requests, err := gossh.NewClientConn(raw, "", &gossh.ClientConfig{HostKeyCallback: gossh.FixedHostKey(keys[0].PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	go gossh.DiscardRequests(requests)
	go func() {
		for c := range channels {
			_ = c.Reject(gossh.Prohibited, "")
		}
	}()
	far := <-asked
	go gossh.DiscardRequests(far.requests)
	opened := make(chan *conn, 1)
	go func() {
		channel, requests, err := (<-far.channels).Accept()
		if err != nil {
			return
		}
		go gossh.DiscardRequests(requests)
		opened <- newConn(far, channel)
	}()
	channel, inside, err := near.OpenChannel("direct-tcpip", nil)
	if err != nil {
		t.Fatal(err)
	}
	go gossh.DiscardRequests(inside)
	c1, c2 = <-opened, newConn(&client{line: newLine(raw)}, channel)
	for _, c := range []*conn{c1, c2} {
		go c.receive()
		go c.send()
	}
	return c1, c2, func() {
		_, _ = c1.Close(), c2.Close()
		_ = near.Close()
		far.end()
		_ = near.Wait()
		_ = far.ssh.Wait()
	}
}

// A channel is a connection as Go's own tests of connections want it.
func TestConn(t *testing.T) {
	h := openHome(t, nil)
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		c1, c2, stop := between(t, h)
		return c1, c2, stop, nil
	})
}

// Who does not read holds up a write no longer than its deadline, and neither the close nor
// other channels; what was written before a close arrives, and half a connection ends first.
func TestConnHoldsNobodyUp(t *testing.T) {
	h := openHome(t, nil)
	c1, c2, stop := between(t, h)
	defer stop()
	if err := c1.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	total := 0
	for {
		n, err := c1.Write(make([]byte, 64<<10))
		total += n
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after %d bytes: %v", total, err)
			}
			break
		}
		if total > 64<<20 {
			t.Fatal("all of it is held in memory")
		}
	}
	if err := c1.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := c1.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after half a close: %v", err)
	}
	got, err := io.Copy(io.Discard, c2)
	if err != nil || got != int64(total) {
		t.Errorf("%d of %d bytes, %v", got, total, err)
	}
	if _, err := c2.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := c2.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(c1); string(text) != "answer" || err != nil {
		t.Errorf("the other half: %q, %v", text, err)
	}
}
