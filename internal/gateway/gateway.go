// Package gateway serves the doors. A request's whole path through the house is
// (*flight).fly in flight.go; it is the only function that calls the legs, and
// the order in which it calls them is the security argument:
//
//	arrive    which door, what address, what kind of thing is asked
//	identify  session cookie, the key that the door verified, Home Assistant's tokens learned earlier → policy.Who
//	guarded   do the owner's rules let its address in, and is it still listened to? a known device passes a ban
//	decide    policy.Decide
//	forward   one transport to Home Assistant, what the client forged removed
//	blame     counts the refusal, if honest clients do not get it (failure.go)
//	refuse    the one place that writes a refusal
//
// A request is parsed once, decided on as parsed, and forwarded as exactly that.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/guard"
	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// Door is what the gateway asks of a way in. The doors' packages satisfy it.
type Door interface {
	// Name is the door's word in the design.
	Name() policy.Door
	// AtHome reports whether a source is on-link here and neither a router nor a bridge.
	AtHome(netip.Addr) bool
	// HostAllowed reports whether a Host, lower-case and with its port if it has one, is this door's own.
	HostAllowed(host string) bool
}

// Page is a page that stands in for one of Home Assistant's.
type Page int

// The pages.
const (
	PageNotFound     Page = iota // there is no such page
	PageSignIn                   // who are you?
	PageOtherUser                // signed in to Home Assistant as somebody else's user
	PageHADown                   // Home Assistant does not answer; recovers by itself
	PageNotAllowed               // not for this person
	PageNotOnboarded             // Home Assistant's own set-up is not finished
	PageOverTLS                  // this door has no TLS; the same house is signed in to elsewhere
)

// Pages writes what a person sees and serves all below /_gatehouse/. Both find the
// visit in the request's context (identity.WithVisit).
type Pages interface {
	http.Handler
	Write(w http.ResponseWriter, r *http.Request, page Page, status int)
	// Plain reports whether what is asked for may be answered without TLS: there is
	// nothing of anybody's in it.
	Plain(r *http.Request) bool
}

// Guard says who is not listened to any more, and is told why somebody should not be.
type Guard interface {
	Listens(netip.Addr) bool
	Fail(guard.Failure)
	// Seen is told where a known device comes from, at most once a second for each.
	Seen(addr netip.Addr, device string)
}

// Users asks Home Assistant whose an access token is, and takes back a sign-in.
type Users interface {
	CurrentUser(ctx context.Context, accessToken string) (client.User, error)
	Revoke(ctx context.Context, refreshToken string) error
	Version(ctx context.Context) (string, error)
}

// Home is what is known of Home Assistant.
type Home int

// The states of a home.
const (
	HomeUnknown Home = iota // it has not answered yet
	HomeFresh               // its own onboarding is not finished: whoever reaches it owns it
	HomeReady
)

// Config is what a Gateway is made of. All but Filtered, Closed, Clients and PlainWorker must be set.
type Config struct {
	HA       *url.URL // http://host:port of Home Assistant
	Users    Users
	SignIns  SignIns
	Identity *identity.Identity
	Pages    Pages
	Guard    Guard
	Event    func(event.Event)
	Log      *slog.Logger
	// Home says what is known of Home Assistant: nothing of it is published before its
	// own onboarding is finished.
	Home func() Home
	// Running reports whether Home Assistant has finished starting, now.
	Running func(context.Context) bool
	// Account is what is known of a Home Assistant user, by id.
	Account func(haUserID string) Account
	// Filtered asks the owner's rules for addresses about a request and whether a known device
	// makes it, and says which denies it in a few words of a closed set. nil means that there
	// are none.
	Filtered func(addr netip.Addr, door policy.Door, route ha.Route, known bool) (why string, denied bool)
	// Closed reports whether the house is closed: at home, too, only what is known comes in.
	// nil means that it is not.
	Closed func() bool
	// Clients are further client ids that a known browser may sign in to Home Assistant for:
	// of services on the Internet that the owner has linked.
	Clients []string
	// PlainWorker leaves Home Assistant's service worker byte for byte as it is. A session that
	// ends then shows the frontend's cached pages until the person reloads (ha-frontend 4).
	PlainWorker bool
}

// Gateway stands in front of one Home Assistant.
type Gateway struct {
	Config
	upstream *upstream
	live     *live
	ended    *endedPages
	counts   counts
	hooks    *buckets
	logins   *buckets // wrong logins of known devices at Home Assistant
	repeats  *repeats
	silence  seldom // that Home Assistant does not answer
	held     held
	spent    spent
	version  atomic.Value // string: what Home Assistant last said its version is
}

// New makes a Gateway. It starts nothing.
func New(c Config) (*Gateway, error) {
	switch {
	case c.HA == nil || c.HA.Scheme != "http" && c.HA.Scheme != "https" || c.HA.Host == "":
		return nil, errors.New("gateway: Home Assistant's address must be http://host:port")
	case c.Users == nil, c.Identity == nil, c.Pages == nil, c.Guard == nil, c.Event == nil, c.Log == nil, c.Home == nil,
		c.SignIns == nil, c.Running == nil, c.Account == nil:
		return nil, errors.New("gateway: incomplete configuration")
	}
	g := &Gateway{Config: c, live: newLive(), ended: newEndedPages(time.Now), hooks: newBuckets(time.Now),
		logins: newBuckets(time.Now), repeats: newRepeats(time.Now)}
	g.upstream = newUpstream(c.HA)
	g.version.Store("")
	return g, nil
}

// Run ends live connections as soon as the device or session behind them ends,
// until ctx is done; then it ends all of them and returns.
func (g *Gateway) Run(ctx context.Context) error {
	stop := g.Identity.Watch(g.live.end)
	defer stop()
	<-ctx.Done()
	g.live.endAll()
	g.upstream.close()
	return nil
}

// Handler answers what comes in through a door.
func (g *Gateway) Handler(d Door) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := flight{gw: g, door: d, w: w, r: r}
		f.fly()
	})
}

// PlainHandler answers what comes in through a door without TLS, at home alone: no page
// of ours is shown there, because its cookie and what is typed into it would be for all to
// read. secure is the address at which a host's visitors find the same house with TLS.
func (g *Gateway) PlainHandler(d Door, secure func(host string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := flight{gw: g, door: d, w: w, r: r, secure: secure}
		f.fly()
	})
}

// MoveHA has Home Assistant asked at another address from now on. It speaks plain HTTP
// there as it did before.
func (g *Gateway) MoveHA(to *url.URL) error {
	if to.Scheme != "http" || g.HA.Scheme != "http" {
		return errors.New("gateway: Home Assistant can be moved where it speaks plain HTTP alone")
	}
	g.upstream.moveTo(to)
	return nil
}

// Reaches makes sure that a visitor reaches Home Assistant through us: that it answers,
// and believes what we say of a visitor's address.
func (g *Gateway) Reaches(ctx context.Context, d Door) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/manifest.json", nil)
	if err != nil {
		return err
	}
	r.RequestURI = "/manifest.json"
	f := flight{gw: g, door: d, r: r, addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}), path: r.RequestURI, raw: r.RequestURI}
	answer, no := f.ask(ctx)
	if no != nil {
		return errors.New("it does not answer")
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return nil
}

// EndStrangers ends what was let in because everybody was: sockets and streams of nobody's,
// and of known devices, which were not judged by what they are.
func (g *Gateway) EndStrangers() {
	g.live.endIf(func(x lasting) bool { return x.open || x.device == "" })
}

// Counts says how often each refusal and each kind of answer was given since the start.
func (g *Gateway) Counts() map[string]uint64 { return g.counts.snapshot() }

// Live is the number of connections that a revocation would have to end now.
func (g *Gateway) Live() int { return g.live.size() }

// clientAddr reads the address that the connection came from, without zone and
// never as an IPv4 address in IPv6 clothes.
func clientAddr(remote string) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, false
	}
	return ap.Addr().Unmap().WithZone(""), true
}

// hostName is a Host header without its port and without brackets.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
