package ddns

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// machine is the network of the machine that we run on, read anew each time.
type machine struct {
	addrs func() ([]address, error)
	ways  func() ([]way, error)
}

func thisMachine() machine { return machine{addrs: readAddrs, ways: readWays} }

// An address is one of this machine's own, as the kernel has it (rtnetlink(7)).
type address struct {
	addr      netip.Addr
	link      string // its interface
	flags     uint32 // IFA_F_…
	forever   bool   // it is preferred for ever: somebody chose it
	createdAt uint32 // hundredths of a second after the start of the machine
}

// A way is a route to everywhere.
type way struct {
	link   string
	router netip.Addr // invalid where there is none, as with PPP
	six    bool
	metric uint64
}

// Interfaces is the address that this machine itself has on the interface by which it
// reaches the Internet.
func Interfaces() Source { return thisMachine().source() }

func (m machine) source() Source {
	return Source{Name: "this machine", Address: func(_ context.Context, kind Kind) (netip.Addr, error) {
		ways, err := m.ways()
		if err != nil {
			return netip.Addr{}, err
		}
		addrs, err := m.addrs()
		if err != nil {
			return netip.Addr{}, err
		}
		return choose(kind, addrs, ways)
	}}
}

// choose returns the address of a kind that a name may lead to for long: neither one that
// is used for a day so that nobody is recognised by it (temporary, RFC 8981), nor one that
// is on its way out (deprecated), nor one that may be somebody else's (tentative). Of
// several, what somebody chose comes first, then the newest: a router that forgot an old
// network does not say that it ended.
func choose(kind Kind, addrs []address, ways []way) (netip.Addr, error) {
	var links []string
	for _, w := range ways {
		if w.six == (kind == IPv6) {
			links = append(links, w.link)
		}
	}
	name := map[Kind]string{IPv4: "IPv4", IPv6: "IPv6"}[kind]
	if len(links) == 0 {
		return netip.Addr{}, &None{Why: "this machine has no way to the Internet by " + name}
	}
	const passing = unix.IFA_F_TEMPORARY | unix.IFA_F_DEPRECATED
	const unsure = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	var fit []address
	var home, brief []string
	for _, a := range addrs {
		switch {
		case !kind.of(a.addr) || !slices.Contains(links, a.link) || a.addr.IsLinkLocalUnicast() || a.flags&unsure != 0:
		case !IsPublic(a.addr):
			home = append(home, a.addr.String())
		case kind == IPv6 && a.flags&passing != 0:
			brief = append(brief, a.addr.String())
		default:
			fit = append(fit, a)
		}
	}
	switch {
	case len(fit) > 0:
	case len(brief) > 0:
		return netip.Addr{}, &None{Why: "this machine's addresses of IPv6 are temporary or on their way out: " + strings.Join(brief, ", "),
			Hint: "give it a stable one: the setting is called addr_gen_mode, IPv6PrivacyExtensions or ipv6.ip6-privacy"}
	case len(home) > 0:
		return netip.Addr{}, &None{Why: "this machine has an address of home alone (" + strings.Join(home, ", ") + ")"}
	default:
		return netip.Addr{}, &None{Why: "this machine has no address of " + name}
	}
	return slices.MinFunc(fit, func(a, b address) int {
		switch {
		case a.forever != b.forever && a.forever:
			return -1
		case a.forever != b.forever:
			return 1
		}
		return cmp.Or(cmp.Compare(b.createdAt, a.createdAt), a.addr.Compare(b.addr))
	}).addr, nil
}

// Local is this machine's addresses and ways out in words, to see whether they are others
// than before.
func Local() string {
	addrs, err := readAddrs()
	ways, errWays := readWays()
	text := fmt.Sprint(ways, err, errWays)
	for _, a := range addrs {
		text += fmt.Sprint(" ", a.addr, a.link, a.flags)
	}
	return text
}

func readAddrs() ([]address, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("read this machine's interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		if l.Flags&net.FlagUp != 0 && l.Flags&net.FlagLoopback == 0 {
			names[l.Index] = l.Name
		}
	}
	text, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("read this machine's addresses: %w", err)
	}
	return parseAddrs(text, names)
}

// parseAddrs reads what the kernel says of addresses (rtnetlink(7), RTM_NEWADDR). Those of
// interfaces that are not named are left out.
func parseAddrs(text []byte, names map[int]string) (all []address, err error) {
	messages, err := syscall.ParseNetlinkMessage(text)
	if err != nil {
		return nil, fmt.Errorf("read this machine's addresses: %w", err)
	}
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return nil, fmt.Errorf("read this machine's addresses: %w", err)
		}
		a := address{flags: uint32(m.Data[2]), link: names[int(binary.NativeEndian.Uint32(m.Data[4:]))]}
		if a.link == "" {
			continue
		}
		local := false
		for _, at := range attributes {
			switch v := at.Value; {
			case at.Attr.Type == unix.IFA_LOCAL, at.Attr.Type == unix.IFA_ADDRESS && !local:
				local = local || at.Attr.Type == unix.IFA_LOCAL // of a tunnel, the other is the far end
				a.addr, _ = netip.AddrFromSlice(v)
			case at.Attr.Type == unix.IFA_FLAGS && len(v) >= 4:
				a.flags = binary.NativeEndian.Uint32(v)
			case at.Attr.Type == unix.IFA_CACHEINFO && len(v) >= 16:
				a.forever = binary.NativeEndian.Uint32(v) == 1<<32-1
				a.createdAt = binary.NativeEndian.Uint32(v[8:])
			}
		}
		if a.addr.IsValid() {
			all = append(all, a)
		}
	}
	return all, nil
}

// The kernel's flags of a route (linux/route.h): it holds, it goes through a router, it
// refuses.
const (
	routeUp      = 0x1
	routeGateway = 0x2
	routeReject  = 0x200
)

func readWays() (all []way, err error) {
	for _, of := range []struct {
		file string
		read func([]byte) ([]way, error)
	}{{"/proc/net/route", parseWays4}, {"/proc/net/ipv6_route", parseWays6}} {
		text, err := os.ReadFile(of.file)
		if errors.Is(err, fs.ErrNotExist) && of.file == "/proc/net/ipv6_route" {
			continue // a kernel without IPv6
		}
		var ways []way
		if err == nil {
			ways, err = of.read(text)
		}
		if err != nil {
			return nil, fmt.Errorf("see where the Internet is: %s: %w", of.file, err)
		}
		slices.SortStableFunc(ways, func(a, b way) int { return cmp.Compare(a.metric, b.metric) })
		all = append(all, ways...)
	}
	return all, nil
}

var errNoRoute = errors.New("it has a line that is no route")

// parseWays4 reads the routes to everywhere: after a headline, fields between tabs;
// addresses are the machine's own 32-bit numbers in hex.
func parseWays4(text []byte) (all []way, err error) {
	for n, line := range bytes.Split(text, []byte("\n")) {
		f := strings.Fields(string(line))
		if n == 0 || len(f) == 0 {
			continue
		}
		if len(f) < 8 {
			return nil, errNoRoute
		}
		var to, router, flags, metric, mask uint64
		for _, of := range []struct {
			into        *uint64
			field, base int
		}{{&to, 1, 16}, {&router, 2, 16}, {&flags, 3, 16}, {&metric, 6, 10}, {&mask, 7, 16}} {
			if *of.into, err = strconv.ParseUint(f[of.field], of.base, 32); err != nil {
				return nil, errNoRoute
			}
		}
		if to != 0 || mask != 0 || flags&routeUp == 0 || flags&routeReject != 0 {
			continue
		}
		w := way{link: f[0], metric: metric}
		if flags&routeGateway != 0 {
			var b [4]byte
			binary.NativeEndian.PutUint32(b[:], uint32(router))
			w.router = netip.AddrFrom4(b)
		}
		all = append(all, w)
	}
	return all, nil
}

// parseWays6 reads the same of IPv6: fields between spaces, the first the network, the
// second its length, the fifth the next hop, the sixth the metric, the ninth the flags, the
// tenth the interface, all numbers in hex.
func parseWays6(text []byte) (all []way, err error) {
	for _, line := range bytes.Split(text, []byte("\n")) {
		f := strings.Fields(string(line))
		if len(f) == 0 {
			continue
		}
		if len(f) < 10 {
			return nil, errNoRoute
		}
		hop, err := hex.DecodeString(f[4])
		metric, errMetric := strconv.ParseUint(f[5], 16, 32)
		flags, errFlags := strconv.ParseUint(f[8], 16, 32)
		if err != nil || errMetric != nil || errFlags != nil || len(hop) != 16 {
			return nil, errNoRoute
		}
		if strings.Trim(f[0], "0") != "" || f[1] != "00" || flags&routeUp == 0 || flags&routeReject != 0 || f[9] == "lo" {
			continue
		}
		w := way{link: f[9], metric: metric, six: true}
		if flags&routeGateway != 0 {
			w.router = netip.AddrFrom16([16]byte(hop))
		}
		all = append(all, w)
	}
	return all, nil
}
