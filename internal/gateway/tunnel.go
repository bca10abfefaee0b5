package gateway

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// tunnel passes an add-on's own WebSocket through, unread: what an add-on speaks is
// not Home Assistant's protocol. It is for whoever policy lets at ingress, and ends
// with the device.
func (f *flight) tunnel() *refusal {
	if !f.sameOrigin() {
		return &refusal{why: "WebSocket from another site"}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.r.Context()))
	defer cancel()
	out := f.gw.upstream.request(ctx, f)
	out.Header.Set("Connection", "Upgrade")
	out.Header.Set("Upgrade", "websocket")
	answer, err := f.gw.upstream.transport.RoundTrip(out)
	if err != nil {
		return f.unanswered(err)
	}
	defer answer.Body.Close()
	far, ok := answer.Body.(io.ReadWriteCloser)
	if answer.StatusCode != http.StatusSwitchingProtocols || !ok {
		f.pass(answer)
		return nil
	}
	near, buffered, err := http.NewResponseController(f.w).Hijack()
	if err != nil {
		return f.unanswered(err)
	}
	defer near.Close()
	remove, ok := f.enlist(func() { near.Close(); far.Close() })
	if !ok {
		return nil // it ended meanwhile; closing is all that is left to say
	}
	defer remove()
	_ = near.SetDeadline(time.Time{})
	h := make(http.Header)
	answerHeaders(h, answer.Header)
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	if _, err := io.WriteString(buffered, "HTTP/1.1 101 Switching Protocols\r\n"); err != nil {
		return nil
	}
	if h.Write(buffered) != nil {
		return nil
	}
	if _, err := io.WriteString(buffered, "\r\n"); err != nil || buffered.Flush() != nil {
		return nil
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(far, buffered); far.Close(); near.Close() })
	both.Go(func() { _, _ = io.Copy(near, far); far.Close(); near.Close() })
	both.Wait()
	return nil
}
