package pki

import (
	"context"
	"crypto/tls"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// remembers is a client that offers its last ticket wherever it goes.
type remembers struct{ last *tls.ClientSessionState }

func (r *remembers) Get(string) (*tls.ClientSessionState, bool)    { return r.last, r.last != nil }
func (r *remembers) Put(_ string, session *tls.ClientSessionState) { r.last = session }

// speak makes a handshake with a door and reads what comes behind it.
func speak(t *testing.T, door, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	near, far := pair(t)
	go func() {
		c := tls.Server(far, door)
		if c.HandshakeContext(context.Background()) == nil {
			_, _ = c.Write([]byte("."))
		}
		_ = far.Close()
	}()
	c := tls.Client(near, client)
	defer near.Close()
	if err := c.HandshakeContext(t.Context()); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err := io.ReadAll(c)
	if err == io.ErrUnexpectedEOF {
		err = nil // far is closed as it is
	}
	return c.ConnectionState(), err
}

// The post-quantum exchange comes first, X25519 next, P-256 for the rest, and no other.
func TestKeyExchanges(t *testing.T) {
	a, _, now := open(t, "house.test")
	for policy, config := range map[string]func(GetCertificate) *tls.Config{"modern": ServerConfig, "intermediate": IntermediateConfig} {
		door := config(a.GetCertificate([]string{"house.test"}, nil))
		door.Time = func() time.Time { return *now }
		for _, c := range []struct {
			offers []tls.CurveID
			want   tls.CurveID // 0: refused
		}{
			{nil, tls.X25519MLKEM768},
			{[]tls.CurveID{tls.CurveP256, tls.X25519, tls.X25519MLKEM768}, tls.X25519MLKEM768},
			{[]tls.CurveID{tls.CurveP256, tls.X25519}, tls.X25519},
			{[]tls.CurveID{tls.CurveP384, tls.CurveP256}, tls.CurveP256},
			{[]tls.CurveID{tls.CurveP384, tls.CurveP521}, 0},
		} {
			state, err := speak(t, door, &tls.Config{InsecureSkipVerify: true, CurvePreferences: c.offers})
			if (err != nil) != (c.want == 0) || err == nil && state.CurveID != c.want {
				t.Errorf("%s, %v: %v, %v", policy, c.offers, state.CurveID, err)
			}
		}
	}
}

// A ticket resumes at its own door and for its own name; anywhere else the handshake is a
// whole one.
func TestTicketsAreForOneNameAndDoor(t *testing.T) {
	a, _, now := open(t, "house.test", "other.test")
	get := a.GetCertificate([]string{"house.test", "other.test"}, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		door, another := IntermediateConfig(get), IntermediateConfig(get)
		clone := door.Clone()
		for _, c := range []*tls.Config{door, another, clone} {
			c.Time = func() time.Time { return *now }
		}
		for _, c := range []struct {
			what    string
			at      *tls.Config
			name    string
			resumes bool
		}{
			{"the same name", door, "house.test", true},
			{"the same name in capitals", door, "House.Test", true},
			{"the same door by a clone", clone, "house.test", true},
			{"another name", door, "other.test", false},
			{"no name", door, "", false},
			{"another door", another, "house.test", false},
		} {
			client := &tls.Config{InsecureSkipVerify: true, ServerName: "house.test", MaxVersion: version, ClientSessionCache: &remembers{}, Time: door.Time}
			for range 2 { // the second by a ticket, of which a third is made
				if _, err := speak(t, door, client); err != nil {
					t.Fatal(err)
				}
			}
			client.ServerName = c.name
			state, err := speak(t, c.at, client)
			if err != nil || state.DidResume != c.resumes {
				t.Errorf("TLS %x, %s: resumed %t, %v", version, c.what, state.DidResume, err)
			}
		}
	}
}

// The keys of tickets change every day, and the old ones are forgotten: whoever takes the
// machine resumes nothing that was said more than a week ago. What is open goes on.
func TestTicketKeysAreForgotten(t *testing.T) {
	a, _, start := open(t, "house.test")
	var clock atomic.Int64
	clock.Store(start.UnixNano())
	door := ServerConfig(a.GetCertificate([]string{"house.test"}, nil))
	door.Time = func() time.Time { return time.Unix(0, clock.Load()) }
	cache := &remembers{}
	near, far := pair(t)
	go func() {
		c := tls.Server(far, door)
		_, _ = io.Copy(c, c)
		_ = far.Close()
	}()
	open := tls.Client(near, &tls.Config{InsecureSkipVerify: true, ServerName: "house.test", Time: door.Time})
	if err := open.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var tickets [][]byte
	for range 10 { // days
		if _, err := speak(t, door, &tls.Config{InsecureSkipVerify: true, ServerName: "house.test", ClientSessionCache: cache, Time: door.Time}); err != nil {
			t.Fatal(err)
		}
		ticket, _, err := cache.last.ResumptionState()
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, slices.Clone(ticket))
		echo := make([]byte, 1)
		if _, err := open.Write([]byte(".")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(open, echo); err != nil {
			t.Fatalf("the connection of the first day, on day %d: %v", len(tickets), err)
		}
		clock.Add(int64(25 * time.Hour))
	}
	clock.Add(-int64(25 * time.Hour))
	for day, ticket := range tickets {
		session, err := door.DecryptTicket(ticket, tls.ConnectionState{})
		if readable := session != nil; err != nil || readable != (len(tickets)-1-day <= 6) {
			t.Errorf("of %d days ago: readable %t, %v", len(tickets)-1-day, readable, err)
		}
	}
}
