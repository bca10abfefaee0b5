// Package router asks the local router which ports it leads into the house: over
// UPnP IGD, NAT-PMP (RFC 6886) and PCP (RFC 6887), and where it is on the Internet's side.
// It asks one machine alone, the one that it is told, believes answers from that address
// alone, and changes nothing there; but a router that speaks PCP alone says its address
// with an opening and not otherwise, so Outside asks for one that leads to the very socket
// that asked, which hears that router alone, and gives it back. No packet of it leaves the link (TTL 1). A router may be old, broken or hostile: all
// that it says has a bound, in time too.
//
// It is a package of its own because facts only reads, and because whoever wants to know
// what is sent to a router should find it in one place.
package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Answers is what the local router said of itself, and what somebody outside tried, where
// the owner asked for it. A doubt is why something is not known; it is empty where all is.
type Answers struct {
	Self      []string // our own addresses, as the router sees them
	UPnP      bool     // it offers IGD: programs may open ports
	UPnPQuiet bool     // it neither answers to UPnP nor refuses it: a firewall of ours that drops answers looks the same
	UPnPDoubt string   // why it is not known whether it does, or whether these are all mappings
	Mappings  []Mapping
	PCP       bool   // it answers to PCP or NAT-PMP
	PCPDoubt  string // why it is not known whether it does
	External  string // its address on the Internet's side; empty where it says none
	Nowhere   string // why that is not known
	Tried     []int  // ports that were tried from outside
	Reached   []int  // those of them that were reached
}

// Mapping is a port that a router leads to a machine in the house.
type Mapping struct {
	Proto    string // "TCP" or "UDP"
	External int
	Client   string // the machine's address
	Internal int
	From     string // the only address that may use it; empty for everybody
	Off      bool   // it is kept, but not in force
	What     string // as whoever opened it calls it
}

// String is as people write it: "TCP 443 to 192.168.1.5:8123 (heating)".
func (m Mapping) String() string {
	text := fmt.Sprintf("%s %d to %s", m.Proto, m.External, net.JoinHostPort(m.Client, fmt.Sprint(m.Internal)))
	if m.What != "" {
		text += " (" + m.What + ")"
	}
	if m.From != "" {
		text += ", from " + m.From + " alone"
	}
	return text
}

// Unasked is for a house whose router could not be asked.
func Unasked(why error) Answers {
	return Answers{UPnPDoubt: why.Error(), PCPDoubt: why.Error(), Nowhere: why.Error()}
}

// Ask asks the routers that stand at these addresses, all at the same time. It takes a
// few seconds at most.
func Ask(ctx context.Context, gateways []netip.Addr) Answers {
	return usual().all(ctx, gateways)
}

// usual is how routers are asked outside tests.
func usual() asking {
	return asking{
		ssdp: 1900, group: netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 255, 250}), 1900), pmp: 5351,
		doors: []uint16{80, 443}, patience: 1500 * time.Millisecond, whole: 3 * time.Second,
	}
}

// asking is how routers are asked.
type asking struct {
	ssdp, pmp uint16
	group     netip.AddrPort
	doors     []uint16      // TCP ports that show whether a router is there at all
	patience  time.Duration // with a router that says nothing
	whole     time.Duration // for all questions together
	outside   bool          // nothing is asked but the address on the Internet's side
}

// Outside asks the routers that stand at these addresses where they are on the Internet's
// side. What they say may be an address that is none of the Internet's: then another
// router, or the provider's, stands before it. An error is why that is not known. It takes
// a few seconds at most.
func Outside(ctx context.Context, gateways []netip.Addr) (netip.Addr, error) {
	a := usual()
	a.outside = true
	return a.where(ctx, gateways)
}

func (a asking) where(ctx context.Context, gateways []netip.Addr) (netip.Addr, error) {
	said := a.all(ctx, gateways)
	switch {
	case said.External != "":
		return netip.ParseAddr(said.External)
	case said.Nowhere != "":
		return netip.Addr{}, errors.New(said.Nowhere)
	case said.UPnP || said.PCP:
		return netip.Addr{}, errors.New("the router says that it has no public address: another stands before it (double NAT, CGNAT), or its line is down")
	}
	return netip.Addr{}, errors.New("the router answers neither to UPnP nor to NAT-PMP nor to PCP")
}

// maxGateways bounds how many routers are asked.
const maxGateways = 4

func (a asking) all(ctx context.Context, gateways []netip.Addr) Answers {
	if len(gateways) == 0 {
		return Unasked(errors.New("no router is known"))
	}
	ctx, cancel := context.WithTimeout(ctx, a.whole)
	defer cancel()
	gateways = gateways[:min(len(gateways), maxGateways)]
	said := make([]answer, len(gateways))
	var group sync.WaitGroup
	for n, g := range gateways {
		group.Go(func() { said[n] = a.one(ctx, g) })
	}
	group.Wait()
	return together(said)
}

// An answer is what one router said.
type answer struct {
	gateway  netip.Addr
	self     netip.Addr
	there    bool // something showed that it is there at all
	upnp     igdAnswer
	pmp      pmpAnswer
	speaksV4 bool
	quiet    bool // it neither answers to SSDP nor refuses it
}

// one asks one router.
func (a asking) one(ctx context.Context, gateway netip.Addr) answer {
	said := answer{gateway: gateway, speaksV4: gateway.Is4()}
	unreached := func(err error) answer {
		err = fmt.Errorf("it cannot be reached: %w", err)
		said.upnp.err, said.pmp.err = err, err
		return said
	}
	self, err := facing(gateway)
	if err != nil {
		return unreached(err)
	}
	said.self = self
	var group sync.WaitGroup
	door, refuses := false, false
	if said.speaksV4 {
		knocked, err := a.knock(ctx, gateway)
		if err != nil {
			return unreached(err)
		}
		group.Go(func() { refuses = a.refused(knocked) })
	}
	group.Go(func() { door = a.opens(ctx, gateway) })
	group.Go(func() { said.pmp = a.askPMP(ctx, gateway, self) })
	if said.speaksV4 {
		group.Go(func() { said.upnp = a.askIGD(ctx, gateway, self) })
	}
	group.Wait()
	told := said.pmp.told || said.upnp.external.IsValid() || said.upnp.found && said.upnp.nowhere == nil && said.upnp.err == nil
	if a.outside && said.pmp.pcp && !told {
		if said.pmp.external, said.pmp.err = a.askMap(ctx, gateway, self); said.pmp.external.IsValid() {
			said.upnp.nowhere = nil
		}
	}
	said.there = door || refuses || said.pmp.there || said.upnp.found
	said.quiet = said.speaksV4 && !refuses && !said.upnp.found
	return said
}

// errSilent is what is known of a router from which nothing came at all.
var errSilent = errors.New("it says nothing at all: it may be away, or drop what it is asked")

// together makes one picture of what all said: what one of them does, is done, and what is
// not known of one of them, is not known.
func together(said []answer) Answers {
	var all Answers
	var pmp netip.Addr
	doubt := func(text *string, g netip.Addr, err error) {
		if err == nil {
			return
		}
		if *text != "" {
			*text += "; "
		}
		*text += "the router " + g.String() + ": " + plain(err.Error(), 300)
	}
	for _, s := range said {
		if s.self.IsValid() {
			all.Self = append(all.Self, s.self.WithZone("").String())
		}
		if s.speaksV4 {
			if s.upnp.err == nil && !s.there {
				s.upnp.err = errSilent
			}
			all.UPnP, all.UPnPQuiet = all.UPnP || s.upnp.found, all.UPnPQuiet || s.quiet
			for _, m := range s.upnp.mappings {
				if !slices.Contains(all.Mappings, m) {
					all.Mappings = append(all.Mappings, m)
				}
			}
			doubt(&all.UPnPDoubt, s.gateway, s.upnp.err)
			doubt(&all.Nowhere, s.gateway, cmp.Or(s.upnp.nowhere, s.upnp.err))
			if all.External == "" && s.upnp.external.IsValid() {
				all.External = s.upnp.external.String()
			}
		}
		if s.pmp.err == nil && !s.there {
			s.pmp.err = errSilent
		}
		all.PCP = all.PCP || s.pmp.speaks
		doubt(&all.PCPDoubt, s.gateway, s.pmp.err)
		if s.pmp.err != s.upnp.err && !errors.Is(s.pmp.err, errSilent) {
			doubt(&all.Nowhere, s.gateway, s.pmp.err)
		}
		if !pmp.IsValid() {
			pmp = s.pmp.external
		}
	}
	if all.External == "" && pmp.IsValid() {
		all.External = pmp.String()
	}
	if all.External != "" {
		all.Nowhere = ""
	}
	if !slices.ContainsFunc(said, func(s answer) bool { return s.speaksV4 }) {
		const only6 = "the router is known by an address of IPv6 alone, and its openings and its address are told over IPv4"
		all.UPnPDoubt, all.Nowhere = only6, only6
	}
	return all
}

// facing returns our own address on the way to a router. Nothing is sent.
func facing(gateway netip.Addr) (netip.Addr, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(gateway, 9)))
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// opens reports whether a router answers to a TCP connection, be it with a refusal. It
// says nothing over it.
func (a asking) opens(ctx context.Context, gateway netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	found := make(chan bool, len(a.doors))
	for _, port := range a.doors {
		go func() {
			c, err := dialer().DialContext(ctx, "tcp", netip.AddrPortFrom(gateway, port).String())
			if err == nil {
				c.Close()
			}
			found <- err == nil || errors.Is(err, syscall.ECONNREFUSED)
		}()
	}
	for range a.doors {
		if <-found {
			return true
		}
	}
	return false
}

// dialer makes connections that no router hands on.
func dialer() *net.Dialer { return &net.Dialer{Control: stayHere} }

// stayHere has the packets of a socket end at the first router.
func stayHere(network, _ string, c syscall.RawConn) error {
	var err error
	set := func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 1)
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 1)
	}
	if outer := c.Control(set); outer != nil {
		return outer
	}
	return err
}

// plain is a text of a router's as it may be shown: one line, without anything that a
// terminal obeys, and not long.
func plain(text string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}
