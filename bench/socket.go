package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// dialer opens an authenticated socket to one target.
type dialer struct {
	url    string // wss://localhost:port/api/websocket
	client *http.Client
	header http.Header
	token  string
}

func (d dialer) open(ctx context.Context) (*websocket.Conn, error) {
	c, _, err := websocket.Dial(ctx, d.url, &websocket.DialOptions{HTTPClient: d.client, HTTPHeader: d.header})
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	c.SetReadLimit(1 << 20)
	if err := c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"auth","access_token":%q}`, d.token)); err != nil {
		return nil, fmt.Errorf("authenticate socket: %w", err)
	}
	for {
		_, data, err := c.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("authenticate socket: %w", err)
		}
		var m struct{ Type string }
		if err := json.Unmarshal(data, &m); err != nil {
			return nil, fmt.Errorf("authenticate socket: %w", err)
		}
		switch m.Type {
		case "auth_required":
		case "auth_ok":
			return c, nil
		default:
			return nil, fmt.Errorf("authenticate socket: %s", m.Type)
		}
	}
}

// roundTrips sends n pings, each after the answer to the one before, and returns
// how long each took.
func (d dialer) roundTrips(ctx context.Context, n int) ([]time.Duration, error) {
	c, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.CloseNow() }()
	took := make([]time.Duration, 0, n)
	for id := range n {
		begun := time.Now()
		if err := c.Write(ctx, websocket.MessageText, ping(id)); err != nil {
			return nil, err
		}
		if _, _, err := c.Read(ctx); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

// flood keeps inFlight pings under way on each of several sockets for a while and
// returns how many were answered.
func (d dialer) flood(ctx context.Context, sockets, inFlight int, while time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, while+5*time.Second)
	defer cancel()
	var answered atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, sockets)
	for range sockets {
		c, err := d.open(ctx)
		if err != nil {
			return 0, err
		}
		wg.Go(func() {
			defer func() { _ = c.CloseNow() }()
			until := time.Now().Add(while)
			id := 0
			for ; id < inFlight; id++ {
				if err := c.Write(ctx, websocket.MessageText, ping(id)); err != nil {
					errs <- err
					return
				}
			}
			for time.Now().Before(until) {
				if _, _, err := c.Read(ctx); err != nil {
					errs <- err
					return
				}
				answered.Add(1)
				if err := c.Write(ctx, websocket.MessageText, ping(id)); err != nil {
					errs <- err
					return
				}
				id++
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return 0, fmt.Errorf("flood of pings: %w", err)
	default:
		return int(answered.Load()), nil
	}
}

func ping(id int) []byte { return fmt.Appendf(nil, `{"id":%d,"type":"ping"}`, id+1) }
