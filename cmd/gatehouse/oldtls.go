package main

import (
	"net"
	"sync/atomic"

	"gatehouse/internal/wire"
)

// oldTLS counts who came to a door with TLS 1.2 or older, where it speaks 1.3 alone: scanners
// on the Internet, and at home, perhaps, the old tablet that the owner wonders about.
type oldTLS struct{ came atomic.Uint64 }

// counting tells next of each refusal.
func (o *oldTLS) counting(next func(net.Addr, string)) func(net.Addr, string) {
	return func(remote net.Addr, reason string) {
		if wire.Reason(reason) == wire.ReasonOldTLS {
			o.came.Add(1)
		}
		next(remote, reason)
	}
}

// health says how many there were, and what lets them in.
func (o *oldTLS) health() []string {
	n := int(o.came.Load())
	if n == 0 {
		return nil
	}
	return []string{count(n, "handshake was", "handshakes were") + ` of TLS 1.2 or older since the start; if a device of yours is among them, tls = "intermediate" below [certificates] lets it in`}
}
