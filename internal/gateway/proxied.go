package gateway

import (
	"net/netip"
	"strings"
)

// forwarder is a door that may have reverse proxies in front of it.
type forwarder interface {
	// Forwards reports whether whoever connects from an address is trusted to say by
	// X-Forwarded-For whom a request comes from.
	Forwards(netip.Addr) bool
}

// source finds out what address a request comes from. Decisions:
//
//   - X-Forwarded-For counts from a proxy that the owner trusts, and from nobody else.
//     Forwarded, X-Real-IP and their kin never do, nor does what a proxy says of the scheme
//     or the host.
//   - It is read from the right, where each proxy adds whom it heard: over proxies that are
//     trusted, to the first that is not. What stands left of that is the client's own and
//     is not looked at.
//   - What cannot be read is refused: the proxy's own address would stand for everybody.
//   - Where a proxy says nothing, it is the proxy that asks. The guard is told that many
//     may stand behind its address, and no address of a trusted proxy is at home.
//   - Nobody is at home by what a header says: a proxy that hands on what its client wrote,
//     as nginx does unless it is told otherwise, would let in everybody. Who wants people at
//     home to come through a proxy has it speak the PROXY protocol, which no client can write.
func (f *flight) source() *refusal {
	from, ok := clientAddr(f.r.RemoteAddr)
	if !ok {
		return &refusal{why: "no client address"}
	}
	f.addr = from
	proxies, ok := f.door.(forwarder)
	said := f.r.Header["X-Forwarded-For"]
	if !ok || len(said) == 0 || !proxies.Forwards(from) {
		return nil
	}
	addr, ok := netip.Addr{}, false
	if len(said) == 1 {
		addr, ok = forwardedFor(said[0], proxies.Forwards)
	}
	if !ok {
		return &refusal{why: "X-Forwarded-For cannot be judged", bare: true}
	}
	if addr.IsLoopback() && !from.IsLoopback() {
		return nil // the proxy's own machine asks, and not this one
	}
	f.addr, f.forwarded = addr, true
	return nil
}

// forwardedFor reads an X-Forwarded-For from the right to the first address that is not
// trusted; where all of them are, it is the leftmost. ok is false if what was read is not
// a list of addresses.
func forwardedFor(list string, trusted func(netip.Addr) bool) (addr netip.Addr, ok bool) {
	for more := true; more; {
		last := list
		if i := strings.LastIndexByte(list, ','); i >= 0 {
			list, last = list[:i], list[i+1:]
		} else {
			more = false
		}
		a, err := netip.ParseAddr(strings.Trim(last, " \t"))
		if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			return netip.Addr{}, false
		}
		if addr = a.Unmap(); !trusted(addr) {
			break
		}
	}
	return addr, true
}

// nearby reports whether the request comes from home, as far as the door can tell.
func (f *flight) nearby() bool { return !f.forwarded && f.door.AtHome(f.addr) }
