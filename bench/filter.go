package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"gatehouse/internal/guard/filter"
)

// filtered is what a rule with a million networks costs.
type filtered struct {
	networks, lists int
	ask, read       time.Duration // one question; to read the lists and put them in force
	mib             float64
}

// filterLists is over how many files the networks of a rule are spread.
const filterLists = 8

// measureFilter asks a rule of many networks, of which none is near another, about
// addresses of which most are in none.
func measureFilter(dir string, networks, questions int) (f filtered, err error) {
	f = filtered{networks: networks, lists: filterLists}
	draw := rand.New(rand.NewPCG(1, 2))
	rule := filter.Rule{Action: filter.Deny}
	for i := range filterLists {
		path := filepath.Join(dir, fmt.Sprintf("list-%d", i))
		if err := writeList(path, draw, networks/filterLists); err != nil {
			return f, err
		}
		rule.From = append(rule.From, "list:"+path)
	}
	asked := make([]netip.Addr, 1<<20)
	for i := range asked {
		asked[i] = drawnAddr(draw)
	}
	before := heapMiB()
	start := time.Now()
	rules, err := filter.New(filter.Config{Rules: []filter.Rule{rule}})
	if err != nil {
		return f, err
	}
	f.read = time.Since(start)
	f.mib = heapMiB() - before
	start = time.Now()
	for i := range questions {
		rules.Admit(asked[i&(len(asked)-1)], "https")
	}
	f.ask = time.Since(start) / time.Duration(questions)
	return f, nil
}

// writeList writes a list of networks: two of three single addresses, one a /24; of IPv6 all /48.
func writeList(path string, draw *rand.Rand, networks int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	for i := range networks {
		a := drawnAddr(draw)
		bits := a.BitLen()
		switch {
		case a.Is6():
			bits = 48
		case i%3 == 0:
			bits = 24
		}
		fmt.Fprintln(out, netip.PrefixFrom(a, bits).Masked())
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// drawnAddr is an address of the Internet, four of five IPv4.
func drawnAddr(draw *rand.Rand) netip.Addr {
	u := draw.Uint32()
	if draw.IntN(5) > 0 {
		return netip.AddrFrom4([4]byte{byte(11 + u>>24%80), byte(u >> 16), byte(u >> 8), byte(u)})
	}
	return netip.AddrFrom16([16]byte{0x26, byte(u >> 24), byte(u >> 16), byte(u >> 8), byte(u), byte(draw.Uint32()), 15: 1})
}

func heapMiB() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// line is the result as a sentence.
func (f filtered) line() string {
	return fmt.Sprintf("A rule for addresses with %d networks in %d lists, none near another: %d ns a question, %.0f MiB, %.1f s to read.\n",
		f.networks, f.lists, f.ask.Nanoseconds(), f.mib, f.read.Seconds())
}
