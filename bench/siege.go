package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// How a siege is laid: attempts from many addresses of loopback, a new connection and a
// full handshake for each.
const (
	siegeAddresses = 250
	siegeWorkers   = 32
	siegePace      = 500 // attempts a second, where a known device is looked at meanwhile
)

// attempts is what came of a siege.
type attempts struct {
	Answered int64   `json:"answered"` // by whatever status
	Dropped  int64   `json:"dropped"`  // connections that ended without an answer
	Seconds  float64 `json:"seconds"`
}

// runSiege tries to log in at base again and again until ctx ends, and says what came of
// it. pace is attempts a second; 0 means as many as go.
func runSiege(ctx context.Context, base string, pace int) error {
	target, err := url.Parse(base)
	if err != nil {
		return err
	}
	turn := make(chan struct{})
	go func() {
		defer close(turn)
		var tick <-chan time.Time
		if pace > 0 {
			ticker := time.NewTicker(time.Second / time.Duration(pace))
			defer ticker.Stop()
			tick = ticker.C
		}
		for ctx.Err() == nil {
			if tick != nil {
				select {
				case <-tick:
				case <-ctx.Done():
					return
				}
			}
			select {
			case turn <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	begun := time.Now()
	var n, answered, dropped atomic.Int64
	var workers sync.WaitGroup
	for range siegeWorkers {
		workers.Go(func() {
			for range turn {
				if try(ctx, target, int(n.Add(1))) == nil {
					answered.Add(1)
				} else if ctx.Err() == nil {
					dropped.Add(1)
				}
			}
		})
	}
	workers.Wait()
	return json.NewEncoder(os.Stdout).Encode(attempts{answered.Load(), dropped.Load(), time.Since(begun).Seconds()})
}

// try is one wrong login, from the address whose turn it is.
func try(ctx context.Context, target *url.URL, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 7, 0, byte(1+n%siegeAddresses))}}
	plain, err := dialer.DialContext(ctx, "tcp", "127.0.0.1:"+target.Port())
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := plain.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	c := tls.Client(plain, &tls.Config{InsecureSkipVerify: true, ServerName: target.Hostname()}) //nolint:gosec // our own, on loopback
	body := fmt.Sprintf(`{"client_id":"%s/","username":"anna","password":"guess %d"}`, target, n)
	if _, err := fmt.Fprintf(c, "POST /auth/login_flow/0123456789abcdef0123456789abcdef HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		target.Host, len(body), body); err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(c, 64<<10))
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 ")) {
		return errors.Join(errors.New("no answer"), err)
	}
	return nil
}

// besieged has do measured while the target is under siege, and returns the attempts.
func (t *target) besieged(self, dir string, pace int, do func() error) (attempts, error) {
	said, err := os.Create(filepath.Join(dir, "siege.json"))
	if err != nil {
		return attempts{}, err
	}
	defer said.Close()
	siege, err := start(filepath.Join(dir, "siege.log"), said, self, "-siege", t.base, "-pace", strconv.Itoa(pace))
	if err != nil {
		return attempts{}, err
	}
	time.Sleep(500 * time.Millisecond) // until it stands
	err = do()
	siege.stop()
	if err != nil {
		return attempts{}, err
	}
	text, err := os.ReadFile(said.Name())
	if err != nil {
		return attempts{}, err
	}
	var a attempts
	if err := json.Unmarshal(text, &a); err != nil {
		return attempts{}, fmt.Errorf("siege (log: %s): %w", siege.log.Name(), err)
	}
	return a, nil
}

// paced asks as a known device does who uses the house: one request at a time on a kept
// connection, with a little rest between them.
func paced(ctx context.Context, t *target, n int) (sample, error) {
	client := loopback()
	defer client.CloseIdleConnections()
	took := make([]time.Duration, 0, n)
	header := make(http.Header)
	for _, line := range t.header {
		name, value, _ := bytes.Cut([]byte(line), []byte(": "))
		header.Add(string(name), string(value))
	}
	for range n {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base+benchPath, nil)
		if err != nil {
			return sample{}, err
		}
		r.Header = header
		begun := time.Now()
		answer, err := client.Do(r)
		if err != nil {
			return sample{}, err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		took = append(took, time.Since(begun))
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return sample{}, err
		}
		if answer.StatusCode != http.StatusOK {
			return sample{}, fmt.Errorf("a known device was answered %s", answer.Status)
		}
		time.Sleep(4 * time.Millisecond)
	}
	return sample{requests: n, p50: quantile(took, 0.50), p99: quantile(took, 0.99)}, nil
}

// besiege measures what a siege costs a known device, and how many attempts are taken.
func (r *result) besiege(ctx context.Context, p plan, targets []*target, self, dir string) (err error) {
	if r.calm, err = rounds(ctx, p, targets, "a known device", func(t *target) (sample, error) {
		return paced(ctx, t, p.visits)
	}); err != nil {
		return err
	}
	if r.paced, err = rounds(ctx, p, targets, "a known device under siege", func(t *target) (s sample, err error) {
		_, err = t.besieged(self, dir, siegePace, func() (err error) {
			s, err = paced(ctx, t, p.visits)
			return err
		})
		return s, err
	}); err != nil {
		return err
	}
	r.absorbed, err = rounds(ctx, p, targets, "siege", func(t *target) (sample, error) {
		a, err := t.besieged(self, dir, 0, func() error { time.Sleep(p.each); return nil })
		n := int(a.Answered + a.Dropped)
		return sample{requests: n, perSecond: float64(n) / max(a.Seconds, 1e-9)}, err
	})
	return err
}
