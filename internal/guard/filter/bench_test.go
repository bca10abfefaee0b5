package filter

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The figures of docs/performance.md: make bench runs these.

const million = 1_000_000

// drawn returns addresses: four of five IPv4, all of the kind that the Internet routes.
func drawn(n int) []netip.Addr {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]netip.Addr, n)
	for i := range all {
		if u := r.Uint32(); i%5 > 0 {
			all[i] = netip.AddrFrom4([4]byte{byte(1 + u>>24%200), byte(u >> 16), byte(u >> 8), byte(u)})
		} else {
			all[i] = netip.AddrFrom16([16]byte{0x20 | byte(u>>28), byte(u >> 16), byte(u >> 8), byte(u), byte(u >> 20), byte(u >> 12), byte(u >> 4), 15: 1})
		}
	}
	return all
}

// lists writes a million networks into files and returns their paths: addresses,
// and every third a network, as in lists of attackers; none is near another, which is the
// worst that can be for memory.
func lists(b *testing.B, files int) []string {
	texts := make([]strings.Builder, files)
	for i, a := range drawn(million) {
		p := netip.PrefixFrom(a, a.BitLen())
		switch {
		case a.Is6():
			p = netip.PrefixFrom(a, 48)
		case i%3 == 0:
			p = netip.PrefixFrom(a, 24)
		}
		fmt.Fprintln(&texts[i%files], p.Masked())
	}
	var paths []string
	for i := range texts {
		path := filepath.Join(b.TempDir(), fmt.Sprint("list", i))
		if err := os.WriteFile(path, []byte(texts[i].String()), 0o600); err != nil {
			b.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkMillion is a question to a rule with a million prefixes in eight lists.
func BenchmarkMillion(b *testing.B) {
	rule := Rule{Action: Deny}
	for _, path := range lists(b, 8) {
		rule.From = append(rule.From, "list:"+path)
	}
	before := heap()
	f, err := New(Config{Rules: []Rule{rule}})
	if err != nil {
		b.Fatal(err)
	}
	used := heap() - before
	asked := drawn(1 << 20)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range asked { // most who come are in no list
		if a := asked[i]; a.Is4() && i%4 > 0 {
			asked[i] = netip.AddrFrom4([4]byte{a.As4()[0], byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		f.Admit(asked[i&(1<<20-1)], "https")
	}
	b.ReportMetric(used, "MiB")
}

// BenchmarkReadMillion is how long a million prefixes take to be read and put in force.
func BenchmarkReadMillion(b *testing.B) {
	rule := Rule{Action: Deny, From: []string{"list:" + lists(b, 1)[0]}}
	b.ResetTimer()
	for b.Loop() {
		if _, err := New(Config{Rules: []Rule{rule}}); err != nil {
			b.Fatal(err)
		}
	}
}

// worldOf is a database of countries as large as one that is given away: some 500,000
// networks, two of three IPv4.
func worldOf(b *testing.B) string {
	networks := map[string]record{}
	codes := strings.Fields(countries)
	for i, a := range drawn(500_000) {
		bits := 20 + i%5
		if a.Is6() {
			bits = 40
		}
		if !AtHome(a) && !sixTo4.Contains(a) && !teredo.Contains(a) {
			networks[netip.PrefixFrom(a, bits).Masked().String()] = maxmindCountry(codes[i%len(codes)])
		}
	}
	return database(b, "GeoLite2-Country", networks)
}

// BenchmarkCountry is a question to a rule of countries.
func BenchmarkCountry(b *testing.B) {
	path := filepath.Join(b.TempDir(), "countries.mmdb")
	if err := os.WriteFile(path, []byte(worldOf(b)), 0o600); err != nil {
		b.Fatal(err)
	}
	before := heap()
	f, err := New(Config{Rules: []Rule{{Action: Deny, From: []string{"country:XK", "country:AQ"}}}, Countries: path})
	if err != nil {
		b.Fatal(err)
	}
	used := heap() - before
	asked := drawn(1 << 20)
	b.Run("ask", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i++ {
			f.Admit(asked[i&(1<<20-1)], "https")
		}
		b.ReportMetric(used, "MiB")
	})
	b.Run("read", func(b *testing.B) {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := openGeo(path, data, forCountries); err != nil {
				b.Fatal(err)
			}
		}
	})
}
