package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/agent"
	"gatehouse/internal/guard"
	"gatehouse/internal/nft"
)

// How the kernel is kept in step with the guard.
const (
	offloadEvery  = 2 * time.Second        // the guard's bans are looked at, where nothing woke us
	offloadGap    = 200 * time.Millisecond // at least, between two looks
	offloadRelist = time.Minute            // the kernel is asked what it drops: a firewall that is loaded anew may have emptied it
	offloadFirst  = time.Second            // after a failure; it doubles up to offloadRelist
	offloadSlack  = 5 * time.Second        // times that differ by less are the same
	offloadAnswer = 30 * time.Second       // how long the agent may take
	offloadLast   = 3 * time.Second        // how long we take to have all listened to again, at the end
	offloadBytes  = 32 << 20               // of an answer; the longest list is a third of that
)

// judge is the guard, as offload asks it.
type judge interface {
	Bans() []guard.Ban
	Allowed() []guard.Allowance
	KnownFrom(p netip.Prefix) bool
}

// offload has the kernel drop new connections of who is banned, by the root agent: so that a
// flood from them costs nothing here. The guard alone knows who is banned; the kernel is made
// to follow, and where it cannot, the gateway refuses them by itself as always.
//
// A known device passes a ban of its address, but the kernel knows no devices, and behind a
// drop none is seen any more. So what counts for the kernel is narrower: a public address that
// was banned before, or by the owner, from which no known device came lately and which the
// owner did not allow in part, neither in the guard nor by a rule.
type offload struct {
	guard  judge
	allows func(netip.Prefix) bool // whether a rule of the owner's is about part of it
	ask    func(ctx context.Context, path string, question any) (agent.Answer, error)
	log    *slog.Logger
	now    func() time.Time
	woken  chan struct{}

	// Of run alone: what the kernel drops, and until when; nil where that is not known. refused
	// are those that the agent does not drop.
	placed  map[netip.Prefix]time.Time
	refused map[netip.Prefix]bool
	listed  time.Time

	mu    sync.Mutex
	count int
	err   error
}

// newOffload returns what keeps the kernel in step, by the agent at a socket.
func newOffload(g judge, allows func(netip.Prefix) bool, socket string, log *slog.Logger) *offload {
	return &offload{guard: g, allows: allows, ask: askAgent(socket), log: log, now: time.Now, woken: make(chan struct{}, 1), err: errors.New("the agent was not asked yet")}
}

// wake says that something has changed. It never waits.
func (o *offload) wake() {
	if o == nil {
		return
	}
	select {
	case o.woken <- struct{}{}:
	default:
	}
}

// state returns how many networks the kernel drops, or why it drops none that it should.
func (o *offload) state() (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count, o.err
}

// run keeps the kernel in step until ctx ends; then the kernel is to drop nobody of ours. It
// is no error if the agent cannot be asked: that is tried again, and said once.
func (o *offload) run(ctx context.Context) error {
	if o == nil {
		return nil
	}
	defer o.lift(ctx)
	wait := offloadFirst
	for {
		err := o.sync(ctx)
		if ctx.Err() != nil {
			return nil
		}
		o.tell(err)
		least, most := offloadGap, offloadEvery
		if err == nil {
			wait = offloadFirst
		} else {
			o.placed = nil
			least, most = offloadFirst, wait
			wait = min(2*wait, offloadRelist)
		}
		if pause(ctx, least) != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.woken:
		case <-time.After(most - least):
		}
	}
}

// tell keeps how it stands, and says what is new about that.
func (o *offload) tell(err error) {
	o.mu.Lock()
	before := o.err
	o.count, o.err = len(o.placed), err
	o.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		o.log.Warn("the kernel does not drop who is banned; the gateway refuses them by itself", "error", err)
	case err == nil && before != nil:
		o.log.Info("the kernel drops who is banned again and again", "networks", len(o.placed))
	}
}

// sync has the kernel drop what it should, and nothing else.
func (o *offload) sync(ctx context.Context) error {
	now := o.now()
	if o.placed == nil || now.Sub(o.listed) >= offloadRelist || now.Before(o.listed) {
		if err := o.list(ctx, now); err != nil {
			return err
		}
	}
	wanted := o.wanted(now)
	var lifts []netip.Prefix
	for p, until := range o.placed {
		switch _, ok := wanted[p]; {
		case ok:
		case !now.Before(until):
			delete(o.placed, p) // the kernel has ended it
		default:
			lifts = append(lifts, p)
		}
	}
	for p := range o.refused {
		if _, ok := wanted[p]; !ok {
			delete(o.refused, p)
		}
	}
	if err := o.unban(ctx, lifts); err != nil {
		return err
	}
	return o.ban(ctx, o.missing(wanted, now), now)
}

// list asks what the kernel drops. What the agent refused is asked once more.
func (o *offload) list(ctx context.Context, now time.Time) error {
	a, err := o.ask(ctx, "bans", struct{}{})
	if err != nil {
		return err
	}
	o.placed, o.refused, o.listed = map[netip.Prefix]time.Time{}, map[netip.Prefix]bool{}, now
	for _, b := range a.Bans {
		o.placed[b.Prefix] = now.Add(time.Duration(b.Seconds) * time.Second)
	}
	return nil
}

// wanted is what the kernel should drop now, and until when.
func (o *offload) wanted(now time.Time) map[netip.Prefix]time.Time {
	allowed := o.guard.Allowed()
	wanted := map[netip.Prefix]time.Time{}
	for _, b := range o.guard.Bans() {
		until := b.Until
		if until.IsZero() {
			until = now.Add(nft.Longest) // the owner's, without an end: renewed in time
		}
		again := b.By == guard.ByOwner || b.Level > 0
		part := slices.ContainsFunc(allowed, func(a guard.Allowance) bool { return a.Prefix.Overlaps(b.Prefix) })
		if again && !part && nft.Takes(b.Prefix) && until.Sub(now) > offloadSlack && !o.guard.KnownFrom(b.Prefix) && !o.allows(b.Prefix) {
			wanted[b.Prefix] = until
		}
	}
	return wanted
}

// missing are the bans that the kernel does not have, or not for as long as it should, the
// longest first: if there is no place for all, those are worth most.
func (o *offload) missing(wanted map[netip.Prefix]time.Time, now time.Time) (missing []agent.Ban) {
	for p, until := range wanted {
		placed, ok := o.placed[p]
		needed := now.Add(min(until.Sub(now), nft.Longest/2)) // a longer one is renewed halfway
		if o.refused[p] || ok && placed.After(needed.Add(-offloadSlack)) && placed.Before(until.Add(offloadSlack)) {
			continue
		}
		left := min(until.Sub(now), nft.Longest)
		missing = append(missing, agent.Ban{Prefix: p, Seconds: int64(left / time.Second)})
	}
	slices.SortFunc(missing, func(a, b agent.Ban) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), a.Prefix.Compare(b.Prefix))
	})
	return missing
}

func (o *offload) ban(ctx context.Context, bans []agent.Ban, now time.Time) error {
	for some := range slices.Chunk(bans, agent.MaxBans) {
		a, err := o.ask(ctx, "ban", agent.BanWish{Bans: some})
		if err != nil {
			return err
		}
		for _, b := range some {
			o.placed[b.Prefix] = now.Add(time.Duration(b.Seconds) * time.Second)
		}
		for _, r := range a.Refused {
			o.log.Debug("the agent leaves a ban to the gateway", "prefix", r.Prefix, "because", r.Why)
			delete(o.placed, r.Prefix)
			o.refused[r.Prefix] = true
		}
	}
	return nil
}

func (o *offload) unban(ctx context.Context, prefixes []netip.Prefix) error {
	for some := range slices.Chunk(prefixes, agent.MaxBans) {
		if _, err := o.ask(ctx, "unban", agent.UnbanWish{Prefixes: some}); err != nil {
			return err
		}
		for _, p := range some {
			delete(o.placed, p)
		}
	}
	return nil
}

// lift has everybody listened to again when the gateway ends: the next one may be told not to
// use the kernel. What is left, if the agent is not there, ends by itself.
func (o *offload) lift(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), offloadLast)
	defer cancel()
	if o.placed == nil && o.list(ctx, o.now()) != nil {
		return // that the agent cannot be asked was said
	}
	all := make([]netip.Prefix, 0, len(o.placed))
	for p := range o.placed {
		all = append(all, p)
	}
	if err := o.unban(ctx, all); err != nil {
		o.log.Warn("the kernel still drops some who are banned, each until its ban ends", "error", err)
	}
}

// askAgent returns what asks the agent at a socket.
func askAgent(socket string) func(context.Context, string, any) (agent.Answer, error) {
	return func(ctx context.Context, path string, question any) (agent.Answer, error) {
		ctx, cancel := context.WithTimeout(ctx, offloadAnswer)
		defer cancel()
		response, err := postTo(ctx, socket, agent.Path+path, question)
		if err != nil {
			return agent.Answer{}, fmt.Errorf("ask the agent at %s: %w", socket, bareOf(err))
		}
		defer response.Body.Close()
		var a agent.Answer
		if err := json.UnmarshalRead(io.LimitReader(response.Body, offloadBytes), &a); err != nil {
			return agent.Answer{}, fmt.Errorf("read the agent's answer: %w", err)
		}
		if response.StatusCode != http.StatusOK {
			return agent.Answer{}, fmt.Errorf("the agent does not: %s", cmp.Or(a.Error, response.Status))
		}
		return a, nil
	}
}

// bareOf is what went wrong with the network, without the address that nobody typed.
func bareOf(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
