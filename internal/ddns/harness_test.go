package ddns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"gatehouse/internal/ledger"
	"gatehouse/internal/resolver"
	"gatehouse/internal/zone"
)

func TestMain(m *testing.M) {
	if os.Getenv(killedDir) != "" {
		toBeKilled()
		return
	}
	goleak.VerifyTestMain(m)
}

const home = "ha.example.org"

// The key that updates of the zone are signed with (RFC 8945).
const (
	tsigName = "gatehouse."
	tsigKey  = "c2l4dGVlbiBieXRlcyBvZiBrZXk="
)

// A nameServer is the authoritative server of example.org, and a resolver: it takes
// dynamic updates (RFC 2136) that are signed.
type nameServer struct {
	addr string

	mu      sync.Mutex
	records []dns.RR
	updates int
	silent  bool   // it answers no question
	refuses bool   // it takes no update
	deaf    bool   // it says that it takes updates, and does not
	during  func() // called before an update is answered
}

func newNameServer(t *testing.T, records ...string) *nameServer {
	t.Helper()
	s := &nameServer{}
	packet, stream := listenBoth(t)
	s.addr = packet.LocalAddr().String()
	for _, r := range append([]string{
		"example.org. 60 IN SOA ns.example.org. root.example.org. 1 60 60 60 60", "example.org. 60 IN NS ns.example.org.", "ns.example.org. 60 IN A 127.0.0.1",
	}, records...) {
		s.add(t, r)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	for _, server := range []*dns.Server{{PacketConn: packet}, {Listener: stream}} {
		started := make(chan struct{})
		server.Handler, server.TsigSecret, server.NotifyStartedFunc = s, map[string]string{tsigName: tsigKey}, func() { close(started) }
		server.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		wg.Go(func() { _ = server.ActivateAndServe() })
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return s
}

// listenBoth listens by UDP and TCP on one port, which others may have by one of the two.
func listenBoth(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for tries := 0; ; tries++ {
		packet, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stream, err := net.Listen("tcp", packet.LocalAddr().String())
		if err == nil {
			return packet, stream
		}
		_ = packet.Close()
		if tries > 50 {
			t.Fatal(err)
		}
	}
}

func (s *nameServer) add(t *testing.T, record string) {
	t.Helper()
	rr, err := dns.NewRR(record)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.records = append(s.records, rr)
	s.mu.Unlock()
}

func (s *nameServer) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// holds is all that stands at the home's name, in words.
func (s *nameServer) holds() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, rr := range s.records {
		if rr.Header().Name == home+"." {
			all = append(all, strings.Join(strings.Fields(rr.String())[3:], " "))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (s *nameServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.updates
}

func (s *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := new(dns.Msg).SetReply(q)
	answer.Authoritative, answer.RecursionAvailable = true, true
	defer func() {
		if sig := q.IsTsig(); sig != nil {
			answer.SetTsig(sig.Hdr.Name, sig.Algorithm, 300, time.Now().Unix())
		}
		_ = w.WriteMsg(answer)
	}()
	switch {
	case q.Opcode == dns.OpcodeUpdate:
		s.updates++
		if s.refuses || q.IsTsig() == nil || w.TsigStatus() != nil {
			answer.Rcode = dns.RcodeRefused
			return
		}
		if !s.deaf {
			s.update(q.Ns)
		}
		if s.during != nil {
			s.during()
		}
	case s.silent:
		answer.Rcode = dns.RcodeServerFailure
	case len(q.Question) == 1:
		name := q.Question[0].Name
		answer.Rcode = dns.RcodeNameError
		for _, rr := range s.records {
			if h := rr.Header(); strings.EqualFold(h.Name, name) {
				answer.Rcode = dns.RcodeSuccess
				if h.Rrtype == q.Question[0].Qtype || h.Rrtype == dns.TypeCNAME {
					answer.Answer = append(answer.Answer, rr)
				}
			}
		}
	}
}

func (s *nameServer) update(changes []dns.RR) {
	for _, rr := range changes {
		h := *rr.Header()
		switch h.Class {
		case dns.ClassINET:
			s.records = append(s.records, rr)
		case dns.ClassANY:
			s.records = slices.DeleteFunc(s.records, func(r dns.RR) bool { return r.Header().Name == h.Name && r.Header().Rrtype == h.Rrtype })
		case dns.ClassNONE:
			gone := dns.Copy(rr)
			gone.Header().Class = dns.ClassINET
			s.records = slices.DeleteFunc(s.records, func(r dns.RR) bool { return dns.IsDuplicate(r, gone) })
		}
	}
}

func (s *nameServer) resolver() resolver.Resolver {
	_, port, _ := net.SplitHostPort(s.addr)
	return resolver.Resolver{Servers: []string{s.addr}, Port: port}
}

func (s *nameServer) zone() func(context.Context) (Zone, error) {
	return func(context.Context) (Zone, error) {
		return zone.Open(zone.Settings{Provider: zone.RFC2136, Server: s.addr, KeyName: tsigName, Zone: "example.org"}, []string{tsigKey}, nil)
	}
}

// A house is where its addresses are, or why there are none.
type house struct {
	mu sync.Mutex
	is map[Kind]any // netip.Addr or error; nothing: the kind is not known
}

func at(four, six any) *house {
	h := &house{}
	h.move(four, six)
	return h
}

func (h *house) move(four, six any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.is = map[Kind]any{}
	for kind, v := range map[Kind]any{IPv4: four, IPv6: six} {
		if text, ok := v.(string); ok {
			v = netip.MustParseAddr(text)
		}
		h.is[kind] = v
	}
}

func (h *house) source() Source {
	return Source{Name: "the test", Address: func(_ context.Context, kind Kind) (netip.Addr, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		switch v := h.is[kind].(type) {
		case netip.Addr:
			return v, nil
		case error:
			return netip.Addr{}, v
		}
		return netip.Addr{}, nil
	}}
}

// A clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openLedger(t *testing.T, dir string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir, ledger.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A kept is a keeper and what it told.
type kept struct {
	*Keeper
	clock   *clock
	changes []string
	failed  []string
}

func keep(t *testing.T, names *nameServer, h *house, more func(*Config)) *kept {
	t.Helper()
	k := &kept{clock: newClock()}
	c := Config{Ledger: openLedger(t, ""), Name: home, Kinds: []Kind{IPv4, IPv6}, Sources: []Source{h.source()}, Life: 5 * time.Minute, Holder: "a",
		Resolver: names.resolver(), Zone: names.zone(), Now: k.clock.time,
		Changed: func(what string) { k.changes = append(k.changes, what) }, Failed: func(err *Error) { k.failed = append(k.failed, err.What) }}
	if more != nil {
		more(&c)
	}
	var err error
	if k.Keeper, err = New(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return k
}

// look makes one round, after a while.
func (k *kept) look(t *testing.T, after time.Duration) State {
	t.Helper()
	k.clock.pass(after)
	if again := k.round(t.Context()); again <= 0 || again > every {
		t.Errorf("it looks again after %s", again)
	}
	return k.State()
}

func want(t *testing.T, names *nameServer, holds string) {
	t.Helper()
	if got := names.holds(); got != holds {
		t.Errorf("the zone has %q, want %q", got, holds)
	}
}

var errSilent = errors.New("it says nothing")
