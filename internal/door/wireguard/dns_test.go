package wireguard

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ask writes a question.
func ask(t testing.TB, name string, kind dnsmessage.Type, change func(*dnsmessage.Message)) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 4711, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	if change != nil {
		change(&m)
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func ownAnswerer(upstream netip.AddrPort) *answerer {
	return newAnswerer([]string{houseName}, []netip.Addr{networks[0].Addr(), networks[1].Addr()}, upstream)
}

// The home's name has the door's addresses in the tunnel; any other is refused, and what
// is no question is not answered.
func TestOwnNames(t *testing.T) {
	a := ownAnswerer(netip.AddrPort{})
	for _, c := range []struct {
		name string
		kind dnsmessage.Type
		want string
	}{
		{"house.test.", dnsmessage.TypeA, "10.77.0.1"},
		{"HoUsE.TeSt.", dnsmessage.TypeA, "10.77.0.1"},
		{"house.test.", dnsmessage.TypeAAAA, "fd77::1"},
		{"house.test.", dnsmessage.TypeALL, "10.77.0.1 fd77::1"},
		{"house.test.", dnsmessage.TypeMX, ""},
		{"house.test.", dnsmessage.Type(65), ""},
		{"www.house.test.", dnsmessage.TypeA, "RCodeRefused"},
		{"example.org.", dnsmessage.TypeA, "RCodeRefused"},
		{".", dnsmessage.TypeNS, "RCodeRefused"},
	} {
		packed, up := a.local(ask(t, c.name, c.kind, nil))
		var m dnsmessage.Message
		must(t, m.Unpack(packed))
		if got := said(m); got != c.want || up || m.ID != 4711 || !m.Response || m.Questions[0].Name.String() != c.name {
			t.Errorf("%s %s: %q, want %q (%+v)", c.name, c.kind, got, c.want, m.Header)
		}
	}
	extended := ask(t, "house.test.", dnsmessage.TypeA, func(m *dnsmessage.Message) {
		var h dnsmessage.ResourceHeader
		must(t, h.SetEDNS0(1400, dnsmessage.RCodeSuccess, true))
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	})
	packed, _ := a.local(extended)
	var m dnsmessage.Message
	must(t, m.Unpack(packed))
	if len(m.Additionals) != 1 || said(m) != "10.77.0.1" {
		t.Errorf("with EDNS: %+v", m)
	}
	for what, c := range map[string]struct {
		query []byte
		want  string
	}{
		"an answer":      {ask(t, "house.test.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Response = true }), "silence"},
		"nothing":        {nil, "silence"},
		"half a header":  {make([]byte, 11), "silence"},
		"too much":       {append(ask(t, "house.test.", dnsmessage.TypeA, nil), make([]byte, maxQuestion)...), "silence"},
		"another opcode": {ask(t, "house.test.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.OpCode = 5 }), "RCodeNotImplemented"},
		"two questions":  {ask(t, "house.test.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }), "RCodeFormatError"},
		"no question":    {ask(t, "house.test.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions = nil }), "RCodeFormatError"},
		"another class":  {ask(t, "house.test.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }), "RCodeRefused"},
		"a cut off name": {ask(t, "house.test.", dnsmessage.TypeA, nil)[:16], "RCodeFormatError"},
	} {
		packed, up := a.local(c.query)
		got := "silence"
		if packed != nil {
			var m dnsmessage.Message
			must(t, m.Unpack(packed))
			got = said(m)
		}
		if got != c.want || up {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	if _, up := ownAnswerer(netip.MustParseAddrPort("192.0.2.1:53")).local(ask(t, "example.org.", dnsmessage.TypeA, nil)); !up {
		t.Error("the upstream is not asked")
	}
}

// said is an answer in words.
func said(m dnsmessage.Message) string {
	if m.RCode != dnsmessage.RCodeSuccess {
		return m.RCode.GoString()[len("dnsmessage."):]
	}
	var all []string
	for _, r := range m.Answers {
		switch b := r.Body.(type) {
		case *dnsmessage.AResource:
			all = append(all, netip.AddrFrom4(b.A).String())
		case *dnsmessage.AAAAResource:
			all = append(all, netip.AddrFrom16(b.AAAA).String())
		}
	}
	return strings.Join(all, " ")
}

// Through the tunnel names are answered by UDP and TCP, and others by the upstream that the
// owner named, whose answers belong to the question.
func TestNamesInTheTunnel(t *testing.T) {
	upstream := newUpstream(t)
	h := open(t, func(c *Config) { c.Upstream = upstream })
	p := newPhone(t, 2)
	must(t, h.SetPeers([]Peer{p.peer}))
	p.dial(h)
	for _, at := range networks {
		for _, network := range []string{"udp", "tcp"} {
			c := p.dialDNS(network, at.Addr())
			for name, want := range map[string]string{"house.test.": "10.77.0.1", "example.org.": "192.0.2.7"} {
				must(t, c.SetDeadline(time.Now().Add(10*time.Second)))
				must(t, send(c, network, ask(t, name, dnsmessage.TypeA, nil)))
				packed, err := receive(c, network, maxAnswer)
				must(t, err)
				var m dnsmessage.Message
				must(t, m.Unpack(packed))
				if said(m) != want || m.ID != 4711 {
					t.Errorf("%s at %s by %s: %s", name, at, network, said(m))
				}
			}
			_ = c.Close()
		}
	}
	hosts, err := p.net.LookupHost(houseName)
	must(t, err)
	if len(hosts) != 2 {
		t.Errorf("a resolver finds %v", hosts)
	}
}

func (p *phone) dialDNS(network string, at netip.Addr) net.Conn {
	p.t.Helper()
	if network == "udp" {
		c, err := p.net.DialUDPAddrPort(netip.AddrPort{}, netip.AddrPortFrom(at, portDNS))
		must(p.t, err)
		return c
	}
	c, err := p.tcp(netip.AddrPortFrom(at, portDNS).String(), 5*time.Second)
	must(p.t, err)
	return c
}

// newUpstream answers every question with 192.0.2.7, by UDP after an answer to another
// question and one with another number.
func newUpstream(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	u, err := net.ListenPacket("udp", l.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = l.Close(); _ = u.Close() })
	go func() {
		for {
			query := make([]byte, 512)
			n, from, err := u.ReadFrom(query)
			if err != nil {
				return
			}
			right := answered(query[:n], "192.0.2.7")
			wrong := answered(query[:n], "203.0.113.9")
			wrong[0]++
			other := answered(ask(t, "other.test.", dnsmessage.TypeA, nil), "203.0.113.9")
			copy(other, query[:2])
			for _, a := range [][]byte{wrong, other, right} {
				_, _ = u.WriteTo(a, from)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if query, err := receive(c, "tcp", maxQuestion); err == nil {
				_ = send(c, "tcp", answered(query, "192.0.2.7"))
			}
			_ = c.Close()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func answered(query []byte, addr string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil
	}
	return build(dnsmessage.Header{ID: m.ID, Response: true}, m.Questions, []dnsmessage.ResourceBody{&dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()}}, false)
}

// An answer is one to the very question, says nothing of any name but the home's, and can
// be read.
func FuzzAnswer(f *testing.F) {
	f.Add(ask(f, "house.test.", dnsmessage.TypeA, nil))
	f.Add(ask(f, "example.org.", dnsmessage.TypeAAAA, nil))
	f.Add([]byte{})
	a := ownAnswerer(netip.AddrPort{})
	f.Fuzz(func(t *testing.T, query []byte) {
		packed, up := a.local(query)
		if up {
			t.Fatal("somebody else is asked")
		}
		if packed == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(packed); err != nil {
			t.Fatal(err)
		}
		if !m.Response || m.ID != uint16(query[0])<<8|uint16(query[1]) {
			t.Errorf("%+v", m.Header)
		}
		for _, r := range m.Answers {
			if !strings.EqualFold(r.Header.Name.String(), houseName+".") || m.RCode != dnsmessage.RCodeSuccess {
				t.Errorf("it says something of %s", r.Header.Name)
			}
		}
	})
}
