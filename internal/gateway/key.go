package gateway

import (
	"context"
	"net"
	"net/http"

	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// A door may know by a key which device a connection is: a client certificate, a WireGuard
// peer, an SSH key, an onion service of its own. Such a device needs no cookie.
//
// A connection that shows a key is refused as a whole if that is nobody's, or a revoked
// device's. A live session's cookie is the more exact word beside it: two people may share
// a computer, and its tunnel. What a page of another site has a browser send over the
// connection is not the device's doing, and is judged as a stranger's: nothing but a cookie
// tells a browser to leave its proof away. Following a link is the person's own doing.

// Keyed is a door that says which key a connection has shown it, if its connections do not
// say so themselves.
type Keyed interface {
	KeyOf(net.Conn) policy.Key
}

// Encrypting is a door that encrypts what is plain HTTP on it, whatever its connections
// speak.
type Encrypting interface {
	Encrypts() bool
}

// Named is a door at which the holder of each key asks by a host name of its own, and by no
// other's. Every connection of it shows a key.
type Named interface {
	HostOf(policy.Key) string
}

type keyOf struct{}

// ConnContext puts the key that a connection has shown a door into its context, for
// wire.Server.
func ConnContext(d Door) func(context.Context, net.Conn) context.Context {
	return func(ctx context.Context, c net.Conn) context.Context {
		key := shownBy(d, c)
		if key == (policy.Key{}) {
			return ctx
		}
		return context.WithValue(ctx, keyOf{}, key)
	}
}

// shownBy finds the key at the door, or at the connection or what it is made of.
func shownBy(d Door, c net.Conn) policy.Key {
	if k, ok := d.(Keyed); ok {
		return k.KeyOf(c)
	}
	for c != nil {
		if k, ok := c.(interface{ Key() policy.Key }); ok {
			return k.Key()
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = outer.NetConn()
	}
	return policy.Key{}
}

// readKey judges the key that the connection has shown.
func (f *flight) readKey() *refusal {
	key, ok := f.r.Context().Value(keyOf{}).(policy.Key)
	if n, named := f.door.(Named); named && (!ok || n.HostOf(key) != hostName(f.r.Host)) {
		return &refusal{why: "wrong host", bare: true}
	}
	if !ok {
		return nil
	}
	who, ok := f.gw.Identity.KeyHolder(key)
	if !ok || who.Revoked {
		return &refusal{why: "key is no known device's", bare: true}
	}
	f.key, f.keyDevice = key, who.Device
	if f.known.Standing == identity.StandingLive || f.who.Revoked {
		return nil
	}
	if f.fromOtherSite() && (f.shape != shapeNavigation || f.r.Method != http.MethodGet) {
		return nil
	}
	f.known = identity.Recognised{} // a session that has ended is not missed
	f.who, f.byKey = who, true
	if f.gw.Identity.SeenDevice(who.Device, f.door.Name(), f.addr) {
		f.gw.Guard.Seen(f.addr, who.Device)
	}
	return nil
}

// keyLives reports whether the connection's key, if it has shown one, still counts.
func (f *flight) keyLives() bool {
	if f.keyDevice == "" {
		return true
	}
	who, ok := f.gw.Identity.KeyHolder(f.key)
	return ok && !who.Revoked && who.Device == f.keyDevice
}

// inApp reports whether the one who asks is a companion app: enrolled as one, or on a device
// that is known by its key.
func (f *flight) inApp() bool {
	return f.who.Kind == identity.KindApp || identity.HasKey(f.who.Kind) && ha.CompanionApp(f.r.UserAgent()) != ha.AppNone
}

// inBrowser likewise.
func (f *flight) inBrowser() bool {
	return f.who.Kind == identity.KindBrowser || identity.HasKey(f.who.Kind) && ha.CompanionApp(f.r.UserAgent()) == ha.AppNone
}
