package lan

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// readMachine reads the interfaces and routes of the machine that we run on.
func readMachine() (reading, error) {
	var r reading
	interfaces, err := net.Interfaces()
	if err != nil {
		return r, fmt.Errorf("read interfaces: %w", err)
	}
	sys := os.DirFS("/sys/class/net")
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away in the meantime
		}
		l := link{
			name:     i.Name,
			loopback: i.Flags&net.FlagLoopback != 0,
			tunnel:   i.Flags&net.FlagPointToPoint != 0,
			hollow:   isHollow(sys, i.Name),
		}
		for _, a := range addrs {
			if p, ok := prefixOf(a); ok {
				l.prefixes = append(l.prefixes, p)
			}
		}
		r.links = append(r.links, l)
	}
	for name, parse := range map[string]func(io.Reader) ([]netip.Addr, error){
		"/proc/net/route": parseRoutes, "/proc/net/ipv6_route": parseRoutes6,
	} {
		routers, err := readRoutes(name, parse)
		if err != nil {
			return r, err
		}
		r.routers = append(r.routers, routers...)
	}
	return r, nil
}

func readRoutes(name string, parse func(io.Reader) ([]netip.Addr, error)) ([]netip.Addr, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without this protocol
	}
	if err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	defer f.Close()
	routers, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("read routes %s: %w", name, err)
	}
	return routers, nil
}

func prefixOf(a net.Addr) (netip.Prefix, bool) {
	n, ok := a.(*net.IPNet)
	if !ok {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	addr = addr.Unmap()
	ones, bits := n.Mask.Size()
	if bits == 128 && addr.Is4() {
		ones -= 96
	}
	p := netip.PrefixFrom(addr, ones)
	return p, p.IsValid()
}

// isHollow reports whether an interface is a bridge to which no network card belongs,
// nor anything that stands on one (a bond, a VLAN), such as Docker's. What cannot be
// read is taken for one.
func isHollow(sys fs.FS, name string) bool {
	if _, err := fs.Stat(sys, name+"/bridge"); err != nil {
		return false
	}
	ports, err := fs.ReadDir(sys, name+"/brif")
	if err != nil {
		return true
	}
	for _, p := range ports {
		if _, err := fs.Stat(sys, p.Name()+"/device"); err == nil {
			return false
		}
		if below, err := fs.Glob(sys, p.Name()+"/lower_*"); err == nil && len(below) > 0 {
			return false
		}
	}
	return true
}

// routeGateway is the kernel's flag of a route that goes through a router (RTF_GATEWAY).
const routeGateway = 0x2

// parseRoutes reads the routers in /proc/net/route: after a headline, fields between
// tabs, the third the gateway as the machine's own 32-bit number in hex, the fourth the flags.
func parseRoutes(r io.Reader) ([]netip.Addr, error) {
	var routers []netip.Addr
	lines := bufio.NewScanner(r)
	for n := 0; lines.Scan(); n++ {
		f := strings.Fields(lines.Text())
		if n == 0 || len(f) == 0 {
			continue
		}
		if len(f) < 4 {
			return nil, fmt.Errorf("line %d is cut short", n+1)
		}
		gateway, err := strconv.ParseUint(f[2], 16, 32)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		flags, err := strconv.ParseUint(f[3], 16, 32)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if flags&routeGateway == 0 {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(gateway))
		routers = append(routers, netip.AddrFrom4(b))
	}
	return routers, lines.Err()
}

// parseRoutes6 reads the routers in /proc/net/ipv6_route: fields between spaces, the
// fifth the next hop in 32 hex digits, the ninth the flags.
func parseRoutes6(r io.Reader) ([]netip.Addr, error) {
	var routers []netip.Addr
	lines := bufio.NewScanner(r)
	for n := 0; lines.Scan(); n++ {
		f := strings.Fields(lines.Text())
		if len(f) == 0 {
			continue
		}
		if len(f) < 9 {
			return nil, fmt.Errorf("line %d is cut short", n+1)
		}
		hop, err := hex.DecodeString(f[4])
		if err != nil || len(hop) != 16 {
			return nil, fmt.Errorf("line %d: %q is not an address", n+1, f[4])
		}
		flags, err := strconv.ParseUint(f[8], 16, 32)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if flags&routeGateway != 0 {
			routers = append(routers, netip.AddrFrom16([16]byte(hop)))
		}
	}
	return routers, lines.Err()
}
