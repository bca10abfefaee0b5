package identity

import (
	"context"
	"net/netip"

	"gatehouse/internal/policy"
)

// CookieName is the name of the cookie by which a browser is recognised. It is set
// with Secure, HttpOnly, SameSite=Lax, Path=/ and CookieMaxAge: it outlives the
// session, which ends on the server.
const CookieName = "__Host-gatehouse"

// CookieMaxAge is the cookie's Max-Age in seconds: 400 days, the most that browsers keep.
const CookieMaxAge = 400 * 24 * 60 * 60

// Visit says where a request came from and what it carries. The gateway fills it
// in; nothing in it is believed that the gateway has not checked itself.
type Visit struct {
	Door      policy.Door
	AtHome    bool       // on-link at the door lan
	Addr      netip.Addr // the client's own address
	Host      string     // host name asked for, without port
	Origin    string     // https://host[:port], as the browser writes it
	UserAgent string
	Cookie    string     // value of CookieName; empty if none came
	Secure    string     // https://host[:port] of the same house, where this door has no TLS; otherwise empty
	Key       policy.Key // that the connection has shown, of a known device; zero without one
	// Unheard is set where the source is not listened to (package guard). It is answered as
	// any stranger is who has nothing right to show, and as much is done for it.
	Unheard bool
}

type visitKey struct{}

// WithVisit returns a context that carries a visit to the pages.
func WithVisit(ctx context.Context, v Visit) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

// VisitFrom returns the visit that WithVisit put in.
func VisitFrom(ctx context.Context) (Visit, bool) {
	v, ok := ctx.Value(visitKey{}).(Visit)
	return v, ok
}
