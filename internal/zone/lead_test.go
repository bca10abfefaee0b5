package zone

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func addrs(words ...string) (all []netip.Addr) {
	for _, w := range words {
		all = append(all, netip.MustParseAddr(w))
	}
	return all
}

// leads returns what a provider holds for a name.
func (p *provider) leads(name string) []string {
	return append(p.texts(key(name, "A")), p.texts(key(name, "AAAA"))...)
}

// A name leads where it shall and nowhere else, by each provider's own API, whatever stood
// there before; the text beside it stays.
func TestLead(t *testing.T) {
	for _, word := range Providers() {
		if word == RFC2136 || word == ACMEDNS {
			continue // TestLeadByUpdate, TestTextsAlone
		}
		t.Run(word, func(t *testing.T) {
			p := serve(t)
			name := "ha.example.org"
			if word == DuckDNS {
				name = "house.duckdns.org"
			}
			z, err := Open(Settings{Provider: word}, secretsOf(word), zoneOf)
			if err != nil {
				t.Fatal(err)
			}
			if err := z.Present(t.Context(), name, text); err != nil {
				t.Fatal(err)
			}
			var now []netip.Addr
			for _, want := range [][]netip.Addr{
				addrs("20.30.40.50"), addrs("20.30.40.50", "2a00:1::5"), addrs("20.30.40.51", "2a00:1::5"), addrs("20.30.40.51", "2a00:1::6"),
				addrs("20.30.40.51"), addrs("20.30.40.52", "2a00:1::7"), addrs("2a00:1::7"), addrs("20.30.40.53"), nil,
			} {
				for range 2 { // what is done already is done again, as after a power cut
					if err := z.Lead(t.Context(), name, want, now, time.Minute); err != nil {
						t.Fatalf("%v after %v: %v", want, now, err)
					}
				}
				got := p.leads(name)
				if word == DuckDNS || word == DeSEC { // one that knows nothing of what stands there
					if err := z.Lead(t.Context(), name, want, addrs(got...), time.Minute); err != nil {
						t.Fatal(err)
					}
				}
				if !slices.Equal(addrs(got...), want) {
					t.Fatalf("%v after %v: %v", want, now, got)
				}
				now = want
			}
			if got := p.texts(name); !slices.Equal(got, []string{text}) {
				t.Errorf("the text: %q", got)
			}
		})
	}
}

// The owner's own records of before, several or of another life, make room.
func TestLeadInPlaceOfOthers(t *testing.T) {
	for _, word := range []string{DeSEC, Cloudflare, Hetzner, Gandi} {
		t.Run(word, func(t *testing.T) {
			p := serve(t)
			z, err := Open(Settings{Provider: word}, secretsOf(word), zoneOf)
			if err != nil {
				t.Fatal(err)
			}
			const name = "ha.example.org"
			p.set(key(name, "A"), "20.1.1.1", "20.1.1.2", "20.1.1.3")
			p.set(key("other.example.org", "A"), "20.1.1.1")
			p.ttl[key(name, "A")] = 86400
			if err := z.Lead(t.Context(), name, addrs("20.1.1.9"), addrs("20.1.1.1", "20.1.1.2", "20.1.1.3"), time.Minute); err != nil {
				t.Fatal(err)
			}
			if got, other := p.leads(name), p.leads("other.example.org"); !slices.Equal(got, []string{"20.1.1.9"}) || len(other) != 1 {
				t.Errorf("%v, and at another name %v", got, other)
			}
		})
	}
}

// At OVH a zone is served anew only when it is said; a change that was broken off before
// that is finished by the next.
func TestLeadBrokenOff(t *testing.T) {
	p := serve(t)
	z, err := Open(Settings{Provider: OVH}, secretsOf(OVH), zoneOf)
	if err != nil {
		t.Fatal(err)
	}
	p.stuck = true
	if err := z.Lead(t.Context(), "ha.example.org", addrs("20.1.1.1"), nil, time.Minute); err == nil {
		t.Fatal("it is written")
	}
	p.mu.Lock()
	p.stuck = false
	p.mu.Unlock()
	if err := z.Lead(t.Context(), "ha.example.org", addrs("20.1.1.1"), nil, time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := p.leads("ha.example.org"); !slices.Equal(got, []string{"20.1.1.1"}) {
		t.Errorf("%v", got)
	}
}

// acme-dns holds no addresses, and says so.
func TestTextsAlone(t *testing.T) {
	z, err := Open(Settings{Provider: ACMEDNS, Server: "https://acme-dns.example.org", Subdomain: "x"}, secretsOf(ACMEDNS), zoneOf)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Lead(t.Context(), "ha.example.org", addrs("20.1.1.1"), nil, time.Minute); err == nil || HoldsAddresses(ACMEDNS) {
		t.Errorf("%v", err)
	}
	for _, word := range Providers() {
		if word != ACMEDNS && !HoldsAddresses(word) {
			t.Error(word)
		}
	}
}

// A secret that is wrong is not told.
func TestLeadTellsNoSecret(t *testing.T) {
	for _, word := range []string{DuckDNS, DeSEC, Cloudflare, Hetzner, Gandi, OVH} {
		serve(t)
		wrong := secretsOf(word)
		for i := range wrong {
			wrong[i] = strings.Replace(wrong[i], "0a1b", "ffff", 1)
		}
		z, err := Open(Settings{Provider: word}, wrong, zoneOf)
		if err != nil {
			t.Fatal(err)
		}
		name := "ha.example.org"
		if word == DuckDNS {
			name = "house.duckdns.org"
		}
		if err := z.Lead(t.Context(), name, addrs("20.1.1.1"), nil, time.Minute); err == nil || strings.Contains(err.Error(), "ffff2c3d") {
			t.Errorf("%s: %v", word, err)
		}
	}
}

// A name server of one's own is told by one signed update a kind, which replaces what
// stands there in one step.
func TestLeadByUpdate(t *testing.T) {
	const key = "c2l4dGVlbiBieXRlcyBvZiBrZXk="
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var said []string
	started, ended := make(chan struct{}), make(chan error, 1)
	server := &dns.Server{Listener: stream, TsigSecret: map[string]string{"home.": key}, NotifyStartedFunc: func() { close(started) },
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			answer := new(dns.Msg).SetReply(q)
			if sig := q.IsTsig(); sig == nil || w.TsigStatus() != nil {
				answer.Rcode = dns.RcodeNotAuth
			} else {
				answer.SetTsig(sig.Hdr.Name, sig.Algorithm, 300, time.Now().Unix())
				mu.Lock()
				for _, rr := range q.Ns {
					h := rr.Header()
					words := []string{dns.ClassToString[h.Class], h.Name, dns.TypeToString[h.Rrtype]}
					switch rr := rr.(type) {
					case *dns.A:
						words = append(words, rr.A.String())
					case *dns.AAAA:
						words = append(words, rr.AAAA.String())
					}
					said = append(said, strings.Join(words, " "))
				}
				mu.Unlock()
			}
			_ = w.WriteMsg(answer)
		})}
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown(); <-ended })
	z, err := Open(Settings{Provider: RFC2136, Server: stream.Addr().String(), KeyName: "home", Zone: "example.org"}, []string{key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want, now []netip.Addr
		said      []string
	}{
		{addrs("20.1.1.1", "2a00:1::5"), addrs("20.1.1.9"), []string{"ANY ha.example.org. A", "IN ha.example.org. A 20.1.1.1", "ANY ha.example.org. AAAA", "IN ha.example.org. AAAA 2a00:1::5"}},
		{addrs("20.1.1.1"), addrs("20.1.1.1", "2a00:1::5"), []string{"NONE ha.example.org. AAAA 2a00:1::5"}},
		{addrs("20.1.1.1"), addrs("20.1.1.1"), nil},
	} {
		said = nil
		if err := z.Lead(t.Context(), "ha.example.org", c.want, c.now, time.Minute); err != nil {
			t.Fatal(err)
		}
		for i := range said { // what stands beside the class ANY is empty
			said[i] = strings.TrimSuffix(said[i], " <nil>")
		}
		if !slices.Equal(said, c.said) {
			t.Errorf("%v instead of %v: %q", c.want, c.now, said)
		}
	}
}
