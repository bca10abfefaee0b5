package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
)

// What setupResult.TrustedProxy says.
const (
	proxyWas     = "was"     // Home Assistant trusted the address already
	proxySet     = "set"     // now it does
	proxyMissing = "missing" // it does not yet
)

// How long Home Assistant is waited for. It takes back settings that nobody
// confirmed five minutes after its start (ha-protocol 4.1).
const (
	restartTime  = 4 * time.Minute
	restartEvery = time.Second
	startTries   = 120 // a home with much in it starts for a minute or two
)

// proxyPlan says how Home Assistant comes to trust the address of the gateway.
type proxyPlan struct {
	addr    netip.Addr
	trusted bool           // there is nothing to do
	options client.Options // the settings to make, over the API; nil where that cannot be
	onTrial bool           // they run already, and are to be confirmed
}

// hasHTTPConfig reports whether a release keeps the settings of its web server in
// its own storage, where the API changes them.
func hasHTTPConfig(version string) bool {
	r, err := ha.ParseRelease(version)
	return err == nil && r.AtLeast(2026, 8)
}

// planProxy finds out whether Home Assistant believes what we say of a visitor's
// address, and if not, what to change.
func (s *setup) planProxy(ctx context.Context) (err error) {
	p := &s.proxy
	if p.addr, err = s.ownAddr(ctx); err != nil {
		return cannotReach(err)
	}
	s.done.Proxy = p.addr.String()
	if p.trusted, err = s.ha.TrustsProxy(ctx); err != nil {
		return cannotReach(err)
	}
	s.done.TrustedProxy = proxyMissing
	if p.trusted {
		s.done.TrustedProxy = proxyWas
	}
	if !hasHTTPConfig(s.version) || s.noToken {
		return nil
	}
	now, err := s.ha.HTTPConfig(ctx)
	if err != nil {
		return fmt.Errorf("read the settings of Home Assistant's web server: %w", err)
	}
	switch {
	case now.Active == "pending" && p.trusted:
		// What makes it trust us is on trial, and would be gone in a few minutes.
		p.trusted, p.onTrial, p.options = false, true, now.Pending
		s.done.TrustedProxy = proxyMissing
		return nil
	case p.trusted:
		return nil
	case now.Active == "pending":
		return &problem{status: statusNo, err: errors.New("the web server of Home Assistant runs on trial settings"),
			hint: "confirm them in Home Assistant (Settings, System, Network), or wait until it takes them back; then run this again"}
	case now.Active != "stable":
		return &problem{status: statusNo, err: errors.New("the settings of Home Assistant's web server are broken, and it runs in recovery mode"),
			hint: "repair them in Home Assistant; then run this again"}
	}
	if p.options, err = now.Stable.WithProxy(p.addr); err != nil {
		return fmt.Errorf("read the settings of Home Assistant's web server: %w", err)
	}
	return nil
}

// ownAddr is our address as Home Assistant sees it.
func (s *setup) ownAddr(ctx context.Context) (netip.Addr, error) {
	if s.signIn != nil {
		// A container's network may show another one than our side of the connection.
		if addr, err := s.ha.SeenAs(ctx); err == nil && addr.IsValid() {
			return addr, nil
		}
	}
	return s.ha.LocalAddr(ctx)
}

// trustProxy has Home Assistant trust us, and makes sure that it does.
func (s *setup) trustProxy(ctx context.Context) error {
	switch {
	case s.proxy.trusted:
		return nil
	case s.proxy.options != nil:
		return s.trustByAPI(ctx)
	}
	return s.trustByHand(ctx)
}

// trustByAPI makes the settings, waits for the restart, and confirms them once what
// they are for works.
func (s *setup) trustByAPI(ctx context.Context) error {
	if !s.proxy.onTrial {
		restart, err := s.configure(ctx, s.proxy.options)
		if err != nil {
			return &problem{status: statusPartly, err: fmt.Errorf("change the settings of Home Assistant's web server: %w", err),
				hint: "all else is done; run this again when it can be changed"}
		}
		if restart {
			s.app.note("Home Assistant restarts with the new settings…")
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, restartTime, fmt.Errorf("no sign of Home Assistant after %s", restartTime))
	defer cancel()
	for {
		settled, err := s.confirm(ctx)
		if settled || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return takenBack(context.Cause(ctx))
		case <-time.After(restartEvery):
		}
	}
}

// configure makes settings pending, or with nil takes back those that are.
func (s *setup) configure(ctx context.Context, o client.Options) (restart bool, err error) {
	return configure(ctx, s.ha, o, func() { s.app.note("Home Assistant is still starting; that is waited for…") })
}

// confirm looks whether Home Assistant is back with the new settings, and confirms
// them if they work. While it is away there is no error.
func (s *setup) confirm(ctx context.Context) (settled bool, err error) {
	now, err := s.ha.HTTPConfig(ctx)
	if err != nil {
		return false, nil
	}
	switch {
	case now.Active == "pending":
	case now.Pending.Failure() != "":
		return false, &problem{status: statusUndone, err: fmt.Errorf("the new settings of the web server could not be used (%s), and Home Assistant runs on the old ones", now.Pending.Failure()),
			hint: "Home Assistant's log says more"}
	case now.Pending == nil && now.Stable.Trusts(s.proxy.addr):
		s.proxy.trusted, s.done.TrustedProxy = true, proxySet // somebody was faster
		return true, nil
	default:
		return false, nil // it has not restarted yet
	}
	trusts, err := s.ha.TrustsProxy(ctx)
	if err != nil {
		return false, nil
	}
	if !trusts {
		refused := fmt.Errorf("what %s says of a visitor's address is still refused by Home Assistant", s.proxy.addr)
		if _, err := s.configure(ctx, nil); err != nil {
			return false, takenBack(fmt.Errorf("%w\n%w", refused, err))
		}
		return false, &problem{status: statusUndone, err: fmt.Errorf("%w\nthe new settings of its web server are taken back, and it restarts with the old ones", refused),
			hint: "something between here and Home Assistant may change what is sent; Home Assistant's log says more"}
	}
	err = s.ha.Promote(ctx)
	if errors.Is(err, client.ErrUnreachable) {
		return false, nil // whether it was heard is seen the next time
	}
	if err != nil {
		return false, takenBack(fmt.Errorf("confirm the new settings of Home Assistant's web server: %w", err))
	}
	s.proxy.trusted, s.done.TrustedProxy = true, proxySet
	s.app.note("Home Assistant trusts %s, and keeps that", s.proxy.addr)
	return true, nil
}

// takenBack says that a change did not hold.
func takenBack(why error) error {
	return &problem{status: statusUndone, err: fmt.Errorf("%w\nthe new settings of Home Assistant's web server are not confirmed", why),
		hint: "Home Assistant goes back to the old ones by itself, five minutes after its start; if it does not run, start it. Then run this again"}
}

// byHand says what somebody has to change in Home Assistant.
func (s *setup) byHand() string {
	var b strings.Builder
	if hasHTTPConfig(s.version) {
		fmt.Fprintf(&b, "In Home Assistant, under Settings, System, Network, in the settings of the web server:\n")
		fmt.Fprintf(&b, "turn on the use of X-Forwarded-For, add %s to the trusted proxies, save, and confirm after the restart.", forwardable(s.proxy.addr))
		return b.String()
	}
	where := "configuration.yaml"
	if s.home.Dir != "" {
		where = s.home.Dir + "/" + where
	}
	fmt.Fprintf(&b, "Put these lines into %s (where it has \"http:\" already, the last two below it),\nand restart Home Assistant:\n\n", where)
	for line := range strings.Lines(ha.YAMLProxyLines(s.proxy.addr)) {
		b.WriteString("    " + line)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// trustByHand shows what to change and looks again as often as somebody says so. If
// nobody does, the report says what is missing.
func (s *setup) trustByHand(ctx context.Context) error {
	if !s.ask.terminal() {
		return nil
	}
	fmt.Fprintf(s.app.err, "\nHome Assistant has to trust this machine's address, so that it sees who comes:\n\n%s\n\n", s.byHand())
	for {
		again, err := s.ask.yes(ctx, "Is it done, and has Home Assistant been restarted? Then it is looked at again.", "--yes")
		if err != nil || !again {
			return err
		}
		trusts, err := s.awaitProxy(ctx)
		switch {
		case err != nil:
			s.app.note("it does not answer: %v", err)
		case trusts:
			s.proxy.trusted, s.done.TrustedProxy = true, proxySet
			s.app.note("Home Assistant trusts %s", s.proxy.addr)
			return nil
		default:
			s.app.note("Home Assistant does not trust %s yet.", s.proxy.addr)
		}
	}
}

// awaitProxy asks until Home Assistant answers, for a minute.
func (s *setup) awaitProxy(ctx context.Context) (trusts bool, err error) {
	for range 60 {
		if trusts, err = s.ha.TrustsProxy(ctx); err == nil {
			return trusts, nil
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(restartEvery):
		}
	}
	return false, err
}
