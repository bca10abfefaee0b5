package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// What an issuer writes cannot move the cursor of who reads it, or fill the screen.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\x1b[2Jb\r\nc": "a [2Jb  c", "\u202eevil": "evil", "\xff": "?", "  x ": "x", "\u009b1m": "1m",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	if got := clean(strings.Repeat("ä", 1000)); len(got) > 310 || !strings.HasSuffix(got, "…") {
		t.Errorf("long: %d bytes", len(got))
	}
}

// Every way to fail has words, and most a hint.
func TestExplain(t *testing.T) {
	for _, kind := range []string{
		acme.ProblemTypeConnection, acme.ProblemTypeTLS, acme.ProblemTypeUnauthorized, acme.ProblemTypeDNS, acme.ProblemTypeCAA, acme.ProblemTypeRateLimited,
		acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeExternalAccountRequired, acme.ProblemTypeInvalidContact, acme.ProblemTypeServerInternal, acme.ProblemTypeUserActionRequired,
	} {
		e := explain(fmt.Errorf("order: %w", acme.Problem{Type: kind, Detail: "what\nit says"}))
		if e.What == "" || e.Hint == "" || strings.Contains(e.What, "urn:") || !strings.Contains(e.What, "it says: what it says") {
			t.Errorf("%s: %+v", kind, e)
		}
	}
	if e := explain(acme.Problem{Type: acme.ProblemTypeNamespace + "odd"}); !strings.Contains(e.What, "odd") {
		t.Errorf("an odd one: %+v", e)
	}
	for err, want := range map[error]string{
		context.DeadlineExceeded: "cannot be reached", &net.OpError{Op: "dial", Err: errors.New("refused")}: "cannot be reached: refused",
		&Error{What: "our own"}: "our own", errors.New("other"): "other",
	} {
		if e := explain(err); !strings.Contains(e.What, want) {
			t.Errorf("%v: %+v", err, e)
		}
	}
}

// Nothing that a stranger wrote comes into the owner's words as it is: neither a page that
// answers in an issuer's place, nor a name in the certificate of whoever answers there.
func TestExplainCleans(t *testing.T) {
	const evil = "\x1b[2J"
	long := evil + strings.Repeat("a", 1<<20)
	for what, err := range map[string]error{
		"a page":   fmt.Errorf("attempt 1: HTTP 502: %s", long),
		"a kind":   acme.Problem{Type: acme.ProblemTypeNamespace + long},
		"a name":   x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{long}}, Host: "issuer.example.org"},
		"no route": &net.OpError{Op: "dial", Err: errors.New(long)},
	} {
		if e := explain(err); strings.Contains(e.What, "\x1b") || len(e.What) > 1000 {
			t.Errorf("%s: %d bytes: %.100q", what, len(e.What), e.What)
		}
	}
}

// An issuer that asks to be left alone for a while is, also when the owner says "again"
// and over a start.
func TestRateLimited(t *testing.T) {
	asked := 0
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Replay-Nonce", "nonce")
		if r.URL.Path == "/dir" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"newNonce": "%[1]s/nonce", "newAccount": "%[1]s/account", "newOrder": "%[1]s/order"}`, server.URL)
			return
		}
		if r.Method == http.MethodPost {
			asked++
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"}`)
		}
	}))
	defer server.Close()
	names := newNameServer(t, home+". 60 IN A 127.0.0.1")
	c := config(t, names, Issuer{Name: "Busy", Directory: server.URL + "/dir", Roots: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs})
	m := newManager(t, c)
	m.round(t.Context(), home)
	s := m.State()[0]
	if wait := time.Until(s.NextTry); wait < 119*time.Minute || wait > 2*time.Hour || !strings.Contains(s.Why, "less often") || asked != 1 {
		t.Fatalf("asked %d times: %+v", asked, s)
	}
	if err := m.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.round(t.Context(), home)
	again := newManager(t, c)
	again.round(t.Context(), home)
	if asked != 1 || !again.State()[0].NextTry.After(time.Now().Add(time.Hour)) {
		t.Errorf("asked %d times, then %+v", asked, again.State()[0])
	}
}

// An issuer that asks to be left alone for a lifetime does not let the certificate run out.
func TestIssuerCannotAskForALifetime(t *testing.T) {
	m := newManager(t, config(t, newNameServer(t), Issuer{Name: "Odd", Directory: "https://issuer.invalid/dir"}))
	now := time.Now()
	next := m.backOff(t.Context(), home, "https://issuer.invalid/dir", &Error{What: "not now", After: now.AddDate(68, 0, 0)})
	if wait := next.Sub(now); wait < 24*time.Hour || wait > 8*24*time.Hour {
		t.Errorf("it is asked again in %s", wait)
	}
}

// An issuer whose certificates are due when they come, by their dates or by what it says of
// them, is not asked for one after the other.
func TestDueWhenItComes(t *testing.T) {
	m := newManager(t, config(t, newNameServer(t), Issuer{Name: "Odd", Directory: "https://issuer.invalid/dir"}))
	now := time.Now().Truncate(time.Second)
	for _, left := range []time.Duration{5 * time.Second, time.Hour, 90 * 24 * time.Hour} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{home}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.Add(left)}
		der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := m.accept(home, m.cfg.Issuers[0], string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), key)
		if err != nil {
			t.Fatal(err)
		}
		if c.renew.Before(now.Add(max(time.Minute, left/5))) || left > time.Hour && c.renew.After(now.Add(left)) {
			t.Errorf("%s left: the next in %s", left, c.renew.Sub(now))
		}
		if c.ask.Before(now.Add(time.Hour)) {
			t.Errorf("the issuer is asked when to renew in %s", c.ask.Sub(now))
		}
		for _, w := range [][2]time.Time{{}, {now, now.Add(-time.Hour)}} {
			info := acme.RenewalInfo{}
			info.SuggestedWindow.Start, info.SuggestedWindow.End = w[0], w[1]
			if at := within(now.Add(time.Second), info, &x509.Certificate{NotBefore: now, NotAfter: now.AddDate(0, 3, 0)}); !at.Equal(now.Add(time.Second)) {
				t.Errorf("the window %v moves it to %s", w, at)
			}
		}
	}
}
