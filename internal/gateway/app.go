package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"gatehouse/internal/guard"
	"gatehouse/internal/ha"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// Companion apps. Their own requests carry no cookie; they are known by the tokens and
// the webhook that Home Assistant gave them while we looked on (design: "How a
// companion app is recognised without a cookie"). What they are refused with is what
// they survive (ha-protocol 2.3, 3.1, 5.4).

const (
	// registrationMax bounds a registration; apps write about 1 kB.
	registrationMax = 256 << 10
	// hookBurst and hookRate bound how often a device may call its webhook: a phone on a
	// busy day calls every few seconds, and all it missed at once when it comes back.
	hookBurst = 200
	hookRate  = 20 // a second
	// heldMax and heldPerAddr bound the sockets whose first message is awaited before
	// anything is known of the client.
	heldMax     = 128
	heldPerAddr = 16
)

// Account is what Home Assistant says of a user. The zero Account is not known.
type Account struct {
	Known     bool
	Active    bool
	LocalOnly bool // may come from private addresses alone
}

// SignIns ends a sign-in to Home Assistant in its user's own name, which is the only
// name in which that can be done.
type SignIns interface {
	EndSignIn(ctx context.Context, accessToken, refreshTokenID string) error
}

// adopt makes the device of a token the one that asks.
func (f *flight) adopt(device string) {
	who, ok := f.gw.Identity.Who(device)
	if !ok {
		return
	}
	f.who, f.byToken, f.byKey = who, !who.Revoked, false
	if f.gw.Identity.SeenDevice(device, f.door.Name(), f.addr) && f.byToken {
		f.gw.Guard.Seen(f.addr, device)
	}
}

// isKnown reports whether the one who asks is a device that is let in.
func (f *flight) isKnown() bool {
	return !f.who.Revoked && (f.known.Standing == identity.StandingLive || f.byToken || f.byKey)
}

// readWebhook judges the webhook's id in the path. One that no app of ours has says
// nothing about who asks: automations have webhooks, too.
func (f *flight) readWebhook() {
	if f.route != ha.RouteWebhook {
		return
	}
	id := ha.WebhookID(f.path)
	t, ok := f.gw.Identity.Webhook(id)
	if !ok && f.tried.kind == "" && !f.gw.Identity.Remembers(id) {
		f.tried = attempt{guard.Webhook, id}
	}
	if ok && t.Calls != nil && f.isKnown() {
		return // a known device may call an automation's as it may call one that was never given
	}
	if ok && f.mayCall(t) {
		f.hook = &t
		f.judgeOwn(t, true)
	}
}

// mayShowToken reports whether a socket of nobody's is worth waiting for: an app's own
// requests carry no cookie, and its token comes in the first message. A page whose
// session ended is none of these.
func (f *flight) mayShowToken() bool {
	return f.upgrade && f.route == ha.RouteWebSocket && !f.isKnown() && !f.who.Revoked &&
		(ha.CompanionApp(f.r.UserAgent()) != ha.AppNone || f.gw.Identity.ExpectsSocket(f.addr) || f.inside() && f.gw.Identity.ExpectsGiven()) &&
		(f.known.Standing == identity.StandingNone || len(f.r.Header["Origin"]) == 0)
}

// forwardRegistration passes an app's registration on and learns the webhook that it
// is given.
func (f *flight) forwardRegistration() *refusal {
	if len(f.r.Header["Content-Encoding"]) > 0 {
		return &refusal{why: "registration is encoded", status: http.StatusBadRequest, body: `{"message":"Invalid JSON."}`}
	}
	body, err := io.ReadAll(io.LimitReader(f.r.Body, registrationMax+1))
	switch {
	case err != nil:
		return &refusal{why: "body cut short", bare: true}
	case len(body) > registrationMax:
		return &refusal{why: "registration too large", status: http.StatusRequestEntityTooLarge, body: `{"message":"Too large"}`}
	}
	said, err := ha.ParseRegistration(body)
	if err != nil {
		return &refusal{why: "registration is malformed", status: http.StatusBadRequest, body: `{"message":"Invalid JSON."}`}
	}
	if f.who.Device != "" && !f.stillLive() {
		return &refusal{why: string(policy.ReasonRevoked)}
	}
	f.r.Body, f.r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	f.r.Header.Set("Accept-Encoding", "identity")
	answer, no := f.ask(f.r.Context())
	if no != nil {
		return no
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, loginMax))
	if err != nil {
		return f.unanswered(err)
	}
	if answer.StatusCode == http.StatusCreated && f.who.Device != "" {
		webhook, err := ha.ParseRegistered(text)
		if err == nil {
			err = f.gw.Identity.LearnWebhook(context.WithoutCancel(f.r.Context()), f.who.Device, said, webhook)
		}
		if err != nil {
			return f.must(err)
		}
	}
	h := f.w.Header()
	answerHeaders(h, answer.Header)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	f.w.WriteHeader(answer.StatusCode)
	_, _ = f.w.Write(text)
	return nil
}

// forwardWebhook passes an app's call on. A webhook acts with its user's rights, but
// Home Assistant asks nobody whether that user may still do anything (ha-protocol 5.4);
// and what it answers while it starts would make the app register anew.
func (f *flight) forwardWebhook() *refusal {
	account := f.gw.Account(f.hook.HAUserID)
	switch {
	case account.Known && !account.Active:
		return &refusal{why: "webhook of a user who is not active", status: http.StatusForbidden}
	case account.Known && account.LocalOnly && !isLocal(f.told()):
		return &refusal{why: "webhook of a local user from outside", status: http.StatusForbidden}
	case !f.gw.hooks.allow(f.hook.Device, f.hook.Calls):
		f.w.Header().Set("Retry-After", "1")
		return &refusal{why: "webhook called too often", status: http.StatusServiceUnavailable}
	}
	ctx, cancel := context.WithCancel(f.r.Context())
	defer cancel()
	remove, ok := f.enlist(cancel)
	if !ok {
		return &refusal{why: string(policy.ReasonRevoked)}
	}
	defer remove()
	answer, no := f.ask(ctx)
	if no != nil {
		return no
	}
	defer answer.Body.Close()
	gone := answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusOK && answer.ContentLength == 0
	if gone && !f.gw.Running(ctx) {
		f.w.Header().Set("Retry-After", "5")
		return &refusal{why: "Home Assistant is still starting", status: http.StatusServiceUnavailable}
	}
	f.gw.counts.add(CountForwarded)
	f.pass(answer)
	return nil
}

// buckets bound how often each device does something.
type buckets struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newBuckets(now func() time.Time) *buckets {
	return &buckets{now: now, all: make(map[string]*bucket)}
}

// allow takes one from a device's bucket, which fills as an app's does, or as often as
// the owner has said of an automation's. There are as many buckets as known devices.
func (b *buckets) allow(device string, calls *identity.Calls) bool {
	burst, rate := float64(hookBurst), float64(hookRate)
	if calls != nil && calls.PerMinute > 0 {
		burst, rate = float64(calls.PerMinute), float64(calls.PerMinute)/60
	}
	return b.take(device, burst, rate, 1)
}

// take takes n from a device's bucket, which holds burst at most and gets rate a second.
// With n 0 it only looks whether there is one left.
func (b *buckets) take(device string, burst, rate, n float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	k, ok := b.all[device]
	if !ok {
		k = &bucket{left: burst, at: now}
		b.all[device] = k
	}
	k.left = min(burst, k.left+now.Sub(k.at).Seconds()*rate)
	k.at = now
	if k.left < 1 {
		return false
	}
	k.left -= n
	return true
}

// held counts what is waited for from clients of which nothing is known, by source: the
// first message of a socket, the body of a token request.
type held struct {
	mu  sync.Mutex
	all map[netip.Addr]int
	n   int
}

// enter takes a place, if there is one for the source; leave, to be called once, gives it back.
func (h *held) enter(addr netip.Addr) (leave func(), ok bool) {
	source := guard.Source(addr)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n >= heldMax || h.all[source] >= heldPerAddr {
		return nil, false
	}
	if h.all == nil {
		h.all = make(map[netip.Addr]int)
	}
	h.all[source]++
	h.n++
	return sync.OnceFunc(func() { h.leave(source) }), true
}

func (h *held) leave(source netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n--
	if h.all[source]--; h.all[source] <= 0 {
		delete(h.all, source)
	}
}

// spent remembers the tokens that Home Assistant was told to revoke, so that their
// holder cannot make us tell it again and again.
type spent struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]struct{}
}

// spentMax bounds what is remembered; then all is forgotten, and told again.
const spentMax = 4096

func (s *spent) has(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.all[sha256.Sum256([]byte(token))]
	return ok
}

func (s *spent) add(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil || len(s.all) >= spentMax {
		s.all = make(map[[sha256.Size]byte]struct{})
	}
	s.all[sha256.Sum256([]byte(token))] = struct{}{}
}
