package router

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// pcpBox answers over PCP alone, as RFC 6887 has it: to ANNOUNCE, and to MAP with an
// opening from an address. It notes for how long it was asked.
type pcpBox struct {
	external netip.Addr
	result   byte

	mu    sync.Mutex
	lives []uint32
	spoil func(answer []byte) []byte
}

func (p *pcpBox) answer(q []byte) []byte {
	if len(q) < 24 || q[0] != versionPCP {
		return append([]byte{versionPCP, 0x80, 0, 1}, make([]byte, 20)...) // section 9: to an older version
	}
	if q[1] == pcpAnnounce {
		return append([]byte{versionPCP, isReply, 0, 0}, make([]byte, 20)...)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lives = append(p.lives, binary.BigEndian.Uint32(q[4:]))
	a := bytes.Clone(q)
	a[1], a[3] = isReply|pcpMap, p.result
	clear(a[8:24])
	external := p.external.As16()
	copy(a[44:], external[:])
	if p.spoil != nil {
		a = p.spoil(a)
	}
	return a
}

func (b *box) where() (netip.Addr, error) {
	b.asking.outside = true
	return b.asking.where(b.t.Context(), []netip.Addr{b.at})
}

// A router's address outside, as each of the three protocols has it; whatever it is. The
// list of openings is not asked for.
func TestOutside(t *testing.T) {
	igd := func(external string) http.Handler { return speaking(described("/ctl", ""), external) }
	here := func(at string) []string { return []string{found(at + "/d.xml")} }
	pmp := func(q []byte) []byte {
		if q[0] != versionPMP {
			return []byte{0, 0x80, 0, 1, 0, 0, 0, 9}
		}
		return append([]byte{0, 0x80, 0, 0}, 0, 0, 0, 9, 20, 30, 40, 50)
	}
	for _, c := range []struct {
		name string
		b    *box
		want string
		why  string
	}{
		{"UPnP", &box{searches: here, serve: igd(address("20.30.40.50"))}, "20.30.40.50", ""},
		{"NAT-PMP", &box{pmp: pmp}, "20.30.40.50", ""},
		{"PCP alone", &box{pmp: (&pcpBox{external: netip.MustParseAddr("20.30.40.50")}).answer}, "20.30.40.50", ""},
		{"behind the provider's", &box{searches: here, serve: igd(address("100.64.7.9"))}, "100.64.7.9", ""},
		{"UPnP without an address", &box{searches: here, serve: igd(address("0.0.0.0"))}, "", "it has no public address"},
		{"UPnP says junk, PCP does not", &box{searches: here, serve: igd("junk"), pmp: (&pcpBox{external: netip.MustParseAddr("20.30.40.50")}).answer}, "20.30.40.50", ""},
		{"junk", &box{searches: here, serve: igd("junk")}, "", "its address"},
		{"PCP refuses", &box{pmp: (&pcpBox{result: 2, external: netip.IPv4Unspecified()}).answer}, "", "refuses over PCP"},
		{"nothing", &box{}, "", "neither to UPnP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := c.b
			b.t = t
			b.start()
			got, err := b.where()
			if c.want != "" && (err != nil || got.String() != c.want) || c.want == "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
				t.Errorf("%v, %v", got, err)
			}
			if n := b.asked.Load(); n > 2 {
				t.Errorf("%d requests over HTTP", n)
			}
		})
	}
}

// An opening that was asked for, to be told the address, is given back; answers to other
// questions do not count.
func TestOpeningIsGivenBack(t *testing.T) {
	p := &pcpBox{external: netip.MustParseAddr("20.30.40.50")}
	b := &box{t: t, pmp: p.answer}
	b.start()
	if got, err := b.where(); err != nil || got.String() != "20.30.40.50" {
		t.Fatalf("%v, %v", got, err)
	}
	returned := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.lives) == 2 && p.lives[0] == mapLife && p.lives[1] == 0
	}
	for end := time.Now().Add(5 * time.Second); !returned(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("lives %v", p.lives)
		}
	}
	for name, at := range map[string]int{"another nonce": 24, "another protocol": 36, "another port": 41} {
		p := &pcpBox{external: netip.MustParseAddr("20.30.40.50"), spoil: func(a []byte) []byte { a[at]++; return a }}
		b := &box{t: t, pmp: p.answer}
		b.start()
		b.asking.patience = 200 * time.Millisecond
		if got, err := b.where(); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	// The audit changes nothing, not for a moment.
	p = &pcpBox{external: netip.MustParseAddr("20.30.40.50")}
	b = &box{t: t, pmp: p.answer}
	b.start()
	if got := b.ask(); !got.PCP || got.External != "" || len(p.lives) != 0 {
		t.Errorf("%+v, asked for openings %v", got, p.lives)
	}
}

func FuzzMap(f *testing.F) {
	o := opening{self: netip.MustParseAddr("192.0.2.9"), port: 4711}
	f.Add((&pcpBox{external: netip.MustParseAddr("20.30.40.50")}).answer(o.request(mapLife)))
	f.Add((&pcpBox{external: netip.MustParseAddr("2a00:1::5"), result: 8}).answer(o.request(mapLife)))
	f.Add(announceRequest(o.self))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := o.parse(b)
		if a.IsValid() && (err != nil || a.IsUnspecified() || a.Zone() != "" || a.Is4In6() || b[3] != 0 || !bytes.Equal(b[24:36], o.nonce[:])) {
			t.Errorf("%x: %v, %v", b, a, err)
		}
	})
}
