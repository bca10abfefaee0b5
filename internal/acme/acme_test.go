package acme

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/ledger"
)

// A new name gets its certificate by TLS-ALPN-01; a start after that needs nobody.
func TestTLSALPN01AndRestart(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	ca := newPebble(t, names, step.port, nil).run(t)
	c := config(t, names, ca.issuer("Pebble"))
	var got []Got
	c.Obtained = func(g Got) { got = append(got, g) }
	m := newManager(t, c)
	if why, _ := m.Why(home); !strings.Contains(why, "is being got") {
		t.Errorf("before the first try: %q", why)
	}
	step.of(m)
	stop := runManager(t, m)
	eventually(t, "a certificate", has(m))
	stop()
	first := m.Certificate(home)
	s := m.State()[0]
	if s.Issuer != "Pebble" || s.Why != "" || !s.Until.Equal(first.Leaf.NotAfter) || !s.Renew.After(time.Now()) || len(got) != 1 || got[0].Name != home {
		t.Errorf("state %+v, told of %+v", s, got)
	}
	if m.Proof(home) != nil {
		t.Error("the proof is still given after the order")
	}
	ca.stop()

	again := newManager(t, c)
	if c := again.Certificate(home); c == nil || !c.Leaf.Equal(first.Leaf) {
		t.Fatal("the certificate is not there after a start")
	}
	if again.Certificate("other.example.org") != nil || again.Certificate("x."+home) != nil {
		t.Error("it is shown for another name")
	}
	if c, err := again.GetCertificate(&tls.ClientHelloInfo{ServerName: strings.ToUpper(home)}); err != nil || !c.Leaf.Equal(first.Leaf) {
		t.Errorf("asked for in capitals: %v", err)
	}
	// What the ledger keeps is sealed.
	var sealed []byte
	if err := c.Ledger.View(t.Context(), func(tx *ledger.Tx) error { return tx.One([]any{&sealed}, `SELECT key_sealed FROM certificates`) }); err != nil {
		t.Fatal(err)
	}
	if _, err := parseKey(sealed); err == nil || strings.Contains(hex.EncodeToString(sealed), "06072a8648ce3d0201") {
		t.Error("the key lies open in the ledger")
	}
}

func TestHTTP01(t *testing.T) {
	names := newNameServer(t, home+". 60 IN A 127.0.0.1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := newPebble(t, names, l.Addr().(*net.TCPAddr).Port, nil).run(t)
	c := config(t, names, ca.issuer("Pebble"))
	c.Challenge = ByHTTP
	m := newManager(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.ServeHTTP01(ctx, l) }()
	runManager(t, m)
	eventually(t, "a certificate", has(m))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A certificate for all names of a level is proved in the zone, where the challenge's
// name may lead to another. The texts are gone afterwards.
func TestDNS01Wildcard(t *testing.T) {
	for name, lead := range map[string]string{"_acme-challenge.example.org.": "", "proofs.example.org.": "_acme-challenge.example.org. 60 IN CNAME proofs.example.org."} {
		t.Run(name, func(t *testing.T) {
			names := newNameServer(t)
			if lead != "" {
				names.add(t, lead)
			}
			ca := newPebble(t, names, 1, nil).run(t)
			c := config(t, names, ca.issuer("Pebble"))
			c.Challenge, c.Zone, c.Names = ByDNS, names.zone(), []string{"*.example.org"}
			m := newManager(t, c)
			runManager(t, m)
			eventually(t, "a certificate", has(m))
			if m.Certificate("example.org") != nil || m.Certificate("a.b.example.org") != nil {
				t.Error("it is shown for a name that it is not for")
			}
			names.mu.Lock()
			written := slices.Clone(names.written)
			names.mu.Unlock()
			if !slices.Equal(written, []string{name}) {
				t.Errorf("written at %v", written)
			}
			eventually(t, "nothing left in the zone", func() bool { return len(names.texts()) == 0 })
		})
	}
}

// What an earlier run left in the zone is taken out at the next start.
func TestLeftInTheZone(t *testing.T) {
	names := newNameServer(t)
	c := config(t, names, Issuer{Name: "none", Directory: "https://127.0.0.1:1/dir"})
	c.Challenge, c.Zone, c.Names = ByDNS, names.zone(), []string{"*.example.org"}
	m := newManager(t, c)
	z, err := m.cfg.Zone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.note(t.Context(), "_acme-challenge.example.org", "left"); err != nil {
		t.Fatal(err)
	}
	if err := z.Present(t.Context(), "_acme-challenge.example.org", "left"); err != nil {
		t.Fatal(err)
	}
	if len(names.texts()) != 1 {
		t.Fatal("nothing was written")
	}
	m.sweep(t.Context())
	if left := names.texts(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// An issuer that wants a certificate renewed now gets asked for the next at once. Who is in
// stays, and who comes next sees the new one.
func TestRenewalByARI(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	ca := newPebble(t, names, step.port, nil).run(t)
	m := newManager(t, config(t, names, ca.issuer("Pebble")))
	step.of(m)
	stop := runManager(t, m)
	eventually(t, "a certificate", has(m))
	stop()
	first := m.Certificate(home)
	dial := door(t, m)
	open := dial()
	ca.renewAt(t, first.Leaf, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
	c, err := m.load(t.Context(), home)
	if err != nil {
		t.Fatal(err)
	}
	c.ask = time.Now() // the six hours are over
	if err := m.schedule(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	stop = runManager(t, m)
	eventually(t, "another certificate", func() bool { return !m.Certificate(home).Leaf.Equal(first.Leaf) })
	stop()
	open.echoes(t)
	if next := dial(); next.ConnectionState().PeerCertificates[0].Equal(first.Leaf) {
		t.Error("who comes next sees the old one")
	}
	if !strings.Contains(ca.log.String(), "replace") && m.State()[0].Why != "" {
		t.Errorf("state %+v", m.State()[0])
	}
}

// visitor is a connection to a door that gives back what it is told.
type visitor struct{ *tls.Conn }

func (v visitor) echoes(t *testing.T) {
	t.Helper()
	said := make([]byte, 5)
	if _, err := v.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(v, said); err != nil || string(said) != "hello" {
		t.Fatalf("it says %q, %v", said, err)
	}
}

// door shows what a manager has, to whoever dials.
func door(t *testing.T, m *Manager) (dial func() visitor) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: m.GetCertificate})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { _, _ = io.Copy(c, c); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return func() visitor {
		t.Helper()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: home, InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		v := visitor{c}
		v.echoes(t)
		return v
	}
}

// Where the first issuer refuses, the second issues.
func TestNextIssuer(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	refuses := newPebble(t, names, step.port, map[string]any{"domainBlocklist": []string{home}}).run(t)
	issues := newPebble(t, names, step.port, nil).run(t)
	m := newManager(t, config(t, names, refuses.issuer("No"), issues.issuer("Yes")))
	step.of(m)
	stop := runManager(t, m)
	eventually(t, "a certificate", has(m))
	stop()
	if s := m.State()[0]; s.Issuer != "Yes" {
		t.Errorf("state %+v", s)
	}
	tried, err := m.try(t.Context(), home, refuses.directory)
	if err != nil || !strings.Contains(m.issuerName(m.cfg.Issuers[0].Directory), "No") {
		t.Errorf("%+v, %v", tried, err)
	}
}

// An issuer that is down at the start is told of in words, asked again later, and issues then.
func TestIssuerDownAtStart(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	ca := newPebble(t, names, step.port, nil)
	c := config(t, names, ca.issuer("Pebble"))
	failed := make(chan *Error, 10)
	c.Failed = func(_ string, err *Error) { failed <- err }
	m := newManager(t, c)
	step.of(m)
	stop := runManager(t, m)
	if err := <-failed; !strings.Contains(err.What, "cannot be reached") || err.Hint == "" {
		t.Errorf("told of %q, %q", err.What, err.Hint)
	}
	s := m.State()[0]
	if wait := time.Until(s.NextTry); wait < 50*time.Second || wait > time.Minute {
		t.Errorf("tried again in %s", wait)
	}
	stop()

	// A start after that waits, too, and says why.
	m = newManager(t, c)
	if again := m.State()[0]; again.Why != s.Why || !again.NextTry.Equal(s.NextTry.Truncate(time.Millisecond)) {
		t.Errorf("after a start: %+v, before: %+v", again, s)
	}
	ca.run(t)
	step.of(m)
	runManager(t, m)
	if err := m.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a certificate", has(m))
}

// A clock that is wrong by years or hours is named, and nobody is asked for a certificate.
func TestClock(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	ca := newPebble(t, names, step.port, nil).run(t)
	for _, off := range []time.Duration{-56 * 365 * 24 * time.Hour, -90 * time.Minute, 2 * time.Hour, 20 * 365 * 24 * time.Hour} {
		c := config(t, names, ca.issuer("Pebble"))
		c.Now = func() time.Time { return time.Now().Add(off) }
		m := newManager(t, c)
		step.of(m)
		m.round(t.Context(), home)
		if s := m.State()[0]; !strings.Contains(s.Why, "clock") || !strings.Contains(s.Hint, "timedatectl") {
			t.Errorf("off by %s: %+v", off, s)
		}
		if strings.Contains(ca.log.String(), "order-plz") {
			t.Fatalf("off by %s: an order was placed", off)
		}
	}
}

// Once a clock that was years ahead is set, nobody waits for the time that it had, with or
// without a start in between.
func TestClockIsSet(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	ca := newPebble(t, names, step.port, nil).run(t)
	for _, start := range []bool{false, true} {
		ahead := 20 * 365 * 24 * time.Hour
		c := config(t, names, ca.issuer("Pebble"))
		c.Now = func() time.Time { return time.Now().Add(ahead) }
		m := newManager(t, c)
		step.of(m)
		m.round(t.Context(), home)
		if s := m.State()[0]; !strings.Contains(s.Why, "clock") {
			t.Fatalf("start %t: ahead: %+v", start, s)
		}
		ahead = 0
		if start {
			m = newManager(t, c)
			step.of(m)
		}
		m.round(t.Context(), home)
		if s := m.State()[0]; m.Certificate(home) == nil || s.Why != "" {
			t.Errorf("start %t: set: %+v", start, s)
		}
	}
}

// A certificate that is kept is shown whatever the clock says, and the state says so.
func TestClockBackWithCertificate(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	ca := newPebble(t, names, step.port, nil).run(t)
	c := config(t, names, ca.issuer("Pebble"))
	m := newManager(t, c)
	step.of(m)
	m.round(t.Context(), home)
	ca.stop()
	c.Now = func() time.Time { return time.Now().AddDate(-1, 0, 0) }
	m = newManager(t, c)
	m.round(t.Context(), home)
	if s := m.State()[0]; m.Certificate(home) == nil || !strings.Contains(s.Why, "clock") {
		t.Errorf("state %+v", s)
	}
}

// Two gateways that share a ledger place one order between them, and both show what came of it.
func TestTwoGateways(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	ca := newPebble(t, names, step.port, nil).run(t)
	dir := t.TempDir()
	var got atomic.Int32
	var both []*Manager
	for _, holder := range []string{"a", "b"} {
		c := config(t, names, ca.issuer("Pebble"))
		c.Ledger, c.Holder, c.Lease = openLedger(t, dir), holder, 4*time.Second
		c.Obtained = func(Got) { got.Add(1) }
		both = append(both, newManager(t, c))
	}
	step.of(both...)
	for _, m := range both {
		runManager(t, m)
	}
	eventually(t, "a certificate in both", func() bool { return has(both[0])() && has(both[1])() })
	if n := got.Load(); n != 1 || !both[0].Certificate(home).Leaf.Equal(both[1].Certificate(home).Leaf) {
		t.Errorf("%d certificates were got", n)
	}
	if n := strings.Count(ca.log.String(), "POST /order-plz"); n == 0 || strings.Count(ca.log.String(), "Issued certificate") > 1 {
		t.Errorf("%d orders", n)
	}
}

// An account that the issuer has shut, or does not know any more, is made anew.
func TestAccountGone(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	for _, how := range []string{"deactivated", "forgotten"} {
		t.Run(how, func(t *testing.T) {
			ca := newPebble(t, names, step.port, nil).run(t)
			m := newManager(t, config(t, names, ca.issuer("Pebble")))
			step.of(m)
			client, ear := m.client(m.cfg.Issuers[0])
			account, made, err := m.signUp(t.Context(), client, m.cfg.Issuers[0])
			if err != nil || !made {
				t.Fatal(made, err)
			}
			if how == "deactivated" {
				gone := *account
				gone.Status = "deactivated"
				if _, err := client.UpdateAccount(t.Context(), gone); err != nil {
					t.Fatal(err)
				}
			} else {
				ca.stop()
				ca.run(t) // its memory is all it has
			}
			ear.close()
			m.round(t.Context(), home)
			if m.Certificate(home) == nil {
				t.Fatalf("state %+v", m.State()[0])
			}
			now, err := m.account(t.Context(), ca.directory)
			if err != nil || now.PrivateKey == account.PrivateKey || now.Location == "" {
				t.Errorf("the account is %+v, %v", now, err)
			}
		})
	}
}

// An issuer that wants its own kind of account gets it, and says so where it is missing.
func TestAccountBinding(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	const mac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	ca := newPebble(t, names, step.port, map[string]any{"externalAccountBindingRequired": true, "externalAccountMACKeys": map[string]string{"kid-1": mac}}).run(t)
	issuer := ca.issuer("Pebble")
	m := newManager(t, config(t, names, issuer))
	step.of(m)
	m.round(t.Context(), home)
	if s := m.State()[0]; !strings.Contains(s.Why, "account of its own") || !strings.Contains(s.Hint, "certificates token") {
		t.Errorf("without: %+v", s)
	}
	issuer.Binding = func(context.Context) (string, string, error) { return "kid-1", mac, nil }
	m = newManager(t, config(t, names, issuer))
	step.of(m)
	m.round(t.Context(), home)
	if m.Certificate(home) == nil {
		t.Errorf("with: %+v", m.State()[0])
	}
}

// A new name is tried at the staging side first; where that fails, production is not asked.
func TestStagingFirst(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	staging, production := newPebble(t, names, step.port, nil).run(t), newPebble(t, names, step.port, nil).run(t)
	issuer := production.issuer("Pebble")
	issuer.Staging = staging.directory
	issuer.Roots.AppendCertsFromPEM(readFile(t, staging.dir+"/cert.pem"))
	m := newManager(t, config(t, names, issuer))
	m.round(t.Context(), home) // nobody answers at the doorstep
	if s := m.State()[0]; m.Certificate(home) != nil || s.Why == "" {
		t.Fatalf("state %+v", s)
	}
	if strings.Contains(production.log.String(), "/order-plz") {
		t.Error("production was asked although staging failed")
	}
	step.of(m)
	if err := m.Again(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.round(t.Context(), home)
	if m.Certificate(home) == nil {
		t.Fatalf("state %+v", m.State()[0])
	}
	if n := strings.Count(staging.log.String(), "Issued certificate"); n != 1 {
		t.Errorf("staging issued %d times", n)
	}
	// Nothing of staging is kept, and a renewal goes straight to production.
	c, err := m.load(t.Context(), home)
	if err != nil || c.issuer != production.directory {
		t.Fatalf("%+v, %v", c, err)
	}
	c.renew, c.ask = time.Now(), time.Time{}
	if err := m.schedule(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	m.round(t.Context(), home)
	if m.Certificate(home).Leaf.Equal(c.pair.Leaf) || strings.Count(staging.log.String(), "Issued certificate") != 1 {
		t.Error("the renewal went to staging")
	}
}

// A gateway that sleeps through its lease keeps nothing under it, and gives up its order.
func TestFence(t *testing.T) {
	names := newNameServer(t)
	dir := t.TempDir()
	var both []*Manager
	var now atomic.Int64
	for _, holder := range []string{"a", "b"} {
		c := config(t, names, Issuer{Name: "none", Directory: "https://127.0.0.1:1/dir"})
		c.Ledger, c.Holder, c.Lease = openLedger(t, dir), holder, time.Minute
		c.Now = func() time.Time { return time.Unix(1_800_000_000+now.Load(), 0) }
		both = append(both, newManager(t, c))
	}
	a, b := both[0], both[1]
	first, _, err := a.leases.Take(t.Context(), "x")
	if err != nil || first == nil {
		t.Fatal(first, err)
	}
	if other, free, err := b.leases.Take(t.Context(), "x"); err != nil || other != nil || !free.Equal(time.Unix(1_800_000_060, 0)) {
		t.Fatalf("b has it, too: %v %v %v", other, free, err)
	}
	now.Store(60)
	second, _, err := b.leases.Take(t.Context(), "x")
	if err != nil || second == nil || second.Fence <= first.Fence {
		t.Fatal(second, err)
	}
	if err := a.leases.Until(t.Context(), first, time.Now()); err != ledger.ErrFenced {
		t.Errorf("a still holds it: %v", err)
	}
	cert, key, _ := selfSigned(t)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.save(t.Context(), &certificate{name: "x", chain: string(cert), pair: &pair}, first); err != ledger.ErrFenced {
		t.Errorf("a writes over b: %v", err)
	}
	// The same gateway, started again, takes its own lease at once; what it was before is fenced.
	third, _, err := b.leases.Take(t.Context(), "x")
	if err != nil || third == nil || third.Fence <= second.Fence {
		t.Fatal(third, err)
	}
	if err := b.save(t.Context(), &certificate{name: "x", chain: string(cert), pair: &pair}, second); err != ledger.ErrFenced {
		t.Errorf("its own past writes: %v", err)
	}
	if err := b.save(t.Context(), &certificate{name: "x", chain: string(cert), pair: &pair}, third); err != nil {
		t.Error(err)
	}
}

// A lease that is held is renewed; one that is lost ends what was done under it.
func TestHold(t *testing.T) {
	names := newNameServer(t)
	dir := t.TempDir()
	c := config(t, names, Issuer{Name: "none", Directory: "https://127.0.0.1:1/dir"})
	c.Ledger, c.Lease = openLedger(t, dir), 400*time.Millisecond
	a := newManager(t, c)
	c.Ledger, c.Holder = openLedger(t, dir), "b"
	b := newManager(t, c)
	l, _, err := a.leases.Take(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	held, done := a.leases.Hold(t.Context(), l)
	<-time.After(2 * a.cfg.Lease)
	if other, _, err := b.leases.Take(t.Context(), "x"); err != nil || other != nil || held.Err() != nil {
		t.Fatalf("not held: %v %v %v", other, err, held.Err())
	}
	if _, _, err := a.leases.Take(t.Context(), "x"); err != nil { // a, started twice by mistake
		t.Fatal(err)
	}
	<-held.Done()
	if context.Cause(held) != ledger.ErrFenced {
		t.Errorf("ended by %v", context.Cause(held))
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

func TestIncomplete(t *testing.T) {
	names := newNameServer(t)
	good := config(t, names, Issuer{Name: "none", Directory: "https://127.0.0.1:1/dir"})
	for what, spoil := range map[string]func(*Config){
		"ledger": func(c *Config) { c.Ledger = nil }, "name": func(c *Config) { c.Names = nil }, "issuer": func(c *Config) { c.Issuers = nil },
		"holder": func(c *Config) { c.Holder = "" }, "challenge": func(c *Config) { c.Challenge = "magic" }, "zone": func(c *Config) { c.Challenge = ByDNS },
		"home name": func(c *Config) { c.Names = []string{"house.local"} }, "wildcard by tls": func(c *Config) { c.Names = []string{"*.example.org"} },
	} {
		c := good
		spoil(&c)
		if _, err := New(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
