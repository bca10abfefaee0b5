package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/gateway"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/identity"
)

// How Home Assistant is watched.
const (
	watchDown   = time.Second      // between looks while it does not answer or is not set up
	watchUp     = 10 * time.Second // and while all is well
	lookTimeout = 3 * time.Second
	lookFresh   = 500 * time.Millisecond // a look is not older than this for whoever waits

	accountsEvery = 30 * time.Second // between two questions for its users
	startsFor     = 2 * time.Minute  // how long it may take to start, where nobody can say
)

// homeWatch knows whether Home Assistant answers, whether its own set-up is finished,
// without which nothing of it is published, and, with a token of its API, whether it has
// started and what became of its users.
type homeWatch struct {
	ha       *client.Client
	token    func(context.Context) (string, error) // "" if there is none
	identity *identity.Identity
	event    func(event.Event)
	log      *slog.Logger

	looking sync.Mutex // one look at a time

	mu       sync.Mutex
	at       time.Time // of the last look
	up       bool
	since    time.Time    // it has been up since; the zero time if it was from the first look on
	known    gateway.Home // what it was when it last answered
	accounts map[string]gateway.Account
	asked    time.Time // when its users were last asked for
	spurned  string    // a token that it did not accept
}

func newHomeWatch(ha *client.Client, token func(context.Context) (string, error), people *identity.Identity, tell func(event.Event), log *slog.Logger) *homeWatch {
	return &homeWatch{ha: ha, token: token, identity: people, event: tell, log: log}
}

// run looks again and again until ctx ends.
func (w *homeWatch) run(ctx context.Context) error {
	revoked := make(chan struct{}, 1)
	stop := w.identity.Watch(func(e identity.Ended) {
		if e.Session == "" {
			select {
			case revoked <- struct{}{}:
			default: // it is about to be seen to
			}
		}
	})
	defer stop()
	for {
		w.look(ctx)
		every := watchUp
		if up, known := w.last(); !up || known != gateway.HomeReady {
			every = watchDown
		} else if api, spurn := w.api(ctx); api != nil {
			if err := w.askAccounts(ctx, api); errors.Is(err, client.ErrInvalidAuth) {
				spurn()
			} else {
				w.takeOut(ctx, api)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-revoked:
		case <-time.After(every):
		}
	}
}

// api is the client with our token; nil if there is none. spurn is for a token that Home
// Assistant does not accept: it is shown no more. Each time would count there as a wrong
// login of this gateway, and in the end it would shut the gateway out.
func (w *homeWatch) api(ctx context.Context) (api *client.Client, spurn func()) {
	token, err := w.token(ctx)
	if err != nil {
		w.log.Error("the token for Home Assistant's API cannot be read", "error", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if token == "" || token == w.spurned {
		return nil, nil
	}
	return w.ha.WithToken(token), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.spurned = token
		w.log.Error("the token for Home Assistant's API is not accepted any more, and not shown again", "hint", `"gatehouse setup" gets another one`)
	}
}

// running reports whether Home Assistant has finished starting, now. Without a token
// it is taken for starting for a while after it came up.
func (w *homeWatch) running(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if api, spurn := w.api(ctx); api != nil {
		running, err := api.Running(ctx)
		switch {
		case err == nil:
			return running
		case errors.Is(err, client.ErrInvalidAuth):
			spurn()
		}
		w.log.Warn("cannot tell whether Home Assistant has started", "error", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up && time.Since(w.since) > startsFor
}

// account is what Home Assistant said of a user when it was last asked.
func (w *homeWatch) account(haUserID string) gateway.Account {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accounts[haUserID]
}

// askAccounts asks Home Assistant for its users, now and then. What it said before
// holds while it does not answer.
func (w *homeWatch) askAccounts(ctx context.Context, api *client.Client) error {
	w.mu.Lock()
	due := time.Since(w.asked) >= accountsEvery
	w.mu.Unlock()
	if !due {
		return nil
	}
	users, err := api.Accounts(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.log.Warn("Home Assistant does not tell its users", "error", err)
		}
		return err
	}
	all := make(map[string]gateway.Account, len(users))
	for _, u := range users {
		all[u.ID] = gateway.Account{Known: true, Active: u.Active, LocalOnly: u.LocalOnly}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.accounts {
		if _, ok := all[id]; !ok {
			all[id] = gateway.Account{Known: true} // deleted since
		}
	}
	w.accounts, w.asked = all, time.Now()
	return nil
}

// takeOut takes what revoked devices still have out of Home Assistant: registrations,
// which would go on acting for their users, and the users that were made for programs.
func (w *homeWatch) takeOut(ctx context.Context, api *client.Client) {
	for _, left := range w.identity.ProgramLeftovers() {
		if err := api.DeleteUser(ctx, left.HAUserID); err != nil {
			if ctx.Err() == nil {
				w.log.Warn("a revoked program's user is still in Home Assistant", "device", left.Device, "error", err)
			}
			break
		}
		if err := w.identity.TookProgramOut(ctx, left); err != nil {
			w.log.Error("could not write down that a program was taken out of Home Assistant", "device", left.Device, "error", err)
			break
		}
		w.event(event.Event{Kind: event.AppTakenOut, Device: left.Device})
	}
	for _, left := range w.identity.Leftovers() {
		if _, err := api.RemoveApp(ctx, left.HADeviceID); err != nil {
			if ctx.Err() == nil {
				w.log.Warn("a revoked device is still registered in Home Assistant", "device", left.Device, "error", err)
			}
			return
		}
		if err := w.identity.TookOut(ctx, left); err != nil {
			w.log.Error("could not write down that a device was taken out of Home Assistant", "device", left.Device, "error", err)
			return
		}
		w.event(event.Event{Kind: event.AppTakenOut, Device: left.Device})
	}
}

// state is what is known of Home Assistant.
func (w *homeWatch) state() gateway.Home {
	_, known := w.last()
	return known
}

func (w *homeWatch) last() (up bool, known gateway.Home) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up, w.known
}

// answers reports whether Home Assistant answers now.
func (w *homeWatch) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	w.look(ctx)
	up, known := w.last()
	return up && known == gateway.HomeReady
}

// look asks Home Assistant, unless somebody just did.
func (w *homeWatch) look(ctx context.Context) {
	w.looking.Lock()
	defer w.looking.Unlock()
	w.mu.Lock()
	recent := time.Since(w.at) < lookFresh
	w.mu.Unlock()
	if recent {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	onboarded, err := w.ha.Onboarded(ctx)
	if ctx.Err() != nil && err != nil && context.Cause(ctx) == context.Canceled {
		return // we are ending; that says nothing about Home Assistant
	}
	w.note(onboarded, err)
}

// note takes down what a look came to and tells what changed.
func (w *homeWatch) note(onboarded bool, err error) {
	w.mu.Lock()
	before, first := w.known, w.at.IsZero()
	wasUp := w.up
	w.at, w.up = time.Now(), err == nil
	if w.up && !wasUp && !first {
		w.since = w.at
	}
	switch {
	case err != nil: // what it was when it last answered still holds
	case onboarded:
		w.known = gateway.HomeReady
	default:
		w.known = gateway.HomeFresh
	}
	now := w.known
	w.mu.Unlock()
	switch {
	case err != nil && (wasUp || first):
		w.event(event.Event{Kind: event.HADown})
		w.log.Warn("Home Assistant does not answer", "error", err)
	case err == nil && !wasUp && !first:
		w.event(event.Event{Kind: event.HAUp})
	}
	switch {
	case now == before:
	case now == gateway.HomeFresh:
		w.log.Warn("Home Assistant's own set-up is not finished: nothing is published until it is")
	case now == gateway.HomeReady && before == gateway.HomeFresh:
		w.event(event.Event{Kind: event.PublishingStarted})
	}
}

// row is Home Assistant in a document.
func (w *homeWatch) row(ctx context.Context, url string) homeRow {
	w.look(ctx)
	up, known := w.last()
	r := homeRow{URL: url, State: "down"}
	if !up {
		return r
	}
	r.State = "up"
	if known == gateway.HomeFresh {
		r.State = "setting-up"
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if v, err := w.ha.Version(ctx); err == nil {
		r.Version = v
	}
	return r
}
