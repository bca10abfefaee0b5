package facts

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The kernel's flags of a route (linux/route.h): it holds, it goes through a router, it
// refuses.
const (
	routeUp      = 0x1
	routeGateway = 0x2
	routeReject  = 0x200
)

// A route is a way to everywhere.
type route struct {
	gateway netip.Addr
	metric  uint64
}

// Gateways returns the addresses of the routers to which this machine gives what is for
// everywhere (/proc/net/route and ipv6_route): of IPv4 first, then of IPv6, of each those
// that are preferred. One of IPv6 is usually an address of the link, with its interface.
func (h *Host) Gateways() ([]netip.Addr, error) {
	if !h.Live {
		return nil, errors.New("it takes the running machine to tell")
	}
	return remember(h, "gateways", func() ([]netip.Addr, error) {
		var all []netip.Addr
		for _, of := range []struct {
			file string
			read func(Text) ([]route, error)
		}{{"/proc/net/route", routes4}, {"/proc/net/ipv6_route", routes6}} {
			t, err := h.Text(of.file)
			if errors.Is(err, fs.ErrNotExist) && of.file == "/proc/net/ipv6_route" {
				continue // a kernel without IPv6
			}
			if err != nil {
				return nil, fmt.Errorf("see who the router is: %w", err)
			}
			ways, err := of.read(t)
			if err != nil {
				return nil, err
			}
			all = append(all, preferred(ways)...)
		}
		return all, nil
	})
}

// preferred returns the routers of the routes of the lowest metric.
func preferred(ways []route) (all []netip.Addr) {
	slices.SortStableFunc(ways, func(a, b route) int { return cmp.Compare(a.metric, b.metric) })
	for _, w := range ways {
		if w.metric == ways[0].metric && !slices.Contains(all, w.gateway) {
			all = append(all, w.gateway)
		}
	}
	return all
}

// routes4 reads the routers of the routes to everywhere: after a headline, fields between
// tabs; addresses are the machine's own 32-bit numbers in hex.
func routes4(t Text) (all []route, err error) {
	for n, line := range t.Lines {
		f := strings.Fields(line)
		if n == 0 || len(f) == 0 {
			continue
		}
		bad := func() ([]route, error) { return nil, fmt.Errorf("%s:%d: no route", t.Path, n+1) }
		if len(f) < 8 {
			return bad()
		}
		var to, gateway, flags, metric, mask uint64
		for _, of := range []struct {
			into        *uint64
			field, base int
		}{{&to, 1, 16}, {&gateway, 2, 16}, {&flags, 3, 16}, {&metric, 6, 10}, {&mask, 7, 16}} {
			if *of.into, err = strconv.ParseUint(f[of.field], of.base, 32); err != nil {
				return bad()
			}
		}
		if to != 0 || mask != 0 || flags&routeUp == 0 || flags&routeGateway == 0 || flags&routeReject != 0 {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(gateway))
		all = append(all, route{netip.AddrFrom4(b), metric})
	}
	return all, nil
}

// routes6 reads the same of IPv6: fields between spaces, the first the network, the second
// its length, the fifth the next hop, the sixth the metric, the ninth the flags, the tenth
// the interface, all numbers in hex.
func routes6(t Text) (all []route, err error) {
	for n, line := range t.Lines {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		bad := func() ([]route, error) { return nil, fmt.Errorf("%s:%d: no route", t.Path, n+1) }
		if len(f) < 10 {
			return bad()
		}
		hop, err := hex.DecodeString(f[4])
		if err != nil || len(hop) != 16 {
			return bad()
		}
		metric, err := strconv.ParseUint(f[5], 16, 32)
		if err != nil {
			return bad()
		}
		flags, err := strconv.ParseUint(f[8], 16, 32)
		if err != nil {
			return bad()
		}
		if strings.Trim(f[0], "0") != "" || f[1] != "00" || flags&routeUp == 0 || flags&routeGateway == 0 || flags&routeReject != 0 {
			continue
		}
		gateway := netip.AddrFrom16([16]byte(hop))
		if gateway.IsLinkLocalUnicast() {
			gateway = gateway.WithZone(f[9])
		}
		all = append(all, route{gateway, metric})
	}
	return all, nil
}
