package zone

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/libdns/acmedns"
	"github.com/libdns/libdns"
)

// HoldsAddresses reports whether a provider can hold the addresses of a name. acme-dns
// holds texts alone.
func HoldsAddresses(provider string) bool { return Secrets(provider) != nil && provider != ACMEDNS }

// errTextsAlone is what becomes of an address where there is no place for one.
var errTextsAlone = errors.New("acme-dns holds texts for certificates, and no addresses")

// textsAlone is a provider that holds no addresses.
type textsAlone struct{ *acmedns.Provider }

func (textsAlone) SetRecords(context.Context, string, []libdns.Record) ([]libdns.Record, error) {
	return nil, errTextsAlone
}

// Lead has a name lead to addresses and to no others: it writes the A and AAAA records of
// that very name, and nothing else. now are those that it is known to lead to; what
// stands there already is not written again. life is for how long others may remember
// them (TTL), or longer where the provider wants that.
//
// A new address is there before the old one is gone, where the provider lets that be. A
// change that is broken off is finished by the same call again.
func (z *Zone) Lead(ctx context.Context, name string, want, now []netip.Addr, life time.Duration) error {
	if !HoldsAddresses(z.settings.Provider) {
		return errTextsAlone
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	zone, err := z.of(ctx, name)
	if err != nil {
		return err
	}
	l := leading{z.editor, zone, libdns.RelativeName(name+".", zone), max(life, z.ttl)}
	if z.settings.Provider == DuckDNS {
		err = l.duckDNS(ctx, want, now)
	} else {
		for _, is := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
			if err = l.kind(ctx, z.settings.Provider, only(want, is), only(now, is)); err != nil {
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("write the addresses of %s by %s: %w", name, z.settings.Provider, z.blackOut(err))
	}
	return nil
}

// only returns the addresses that are of a kind.
func only(all []netip.Addr, is func(netip.Addr) bool) (of []netip.Addr) {
	for _, a := range all {
		if is(a) {
			of = append(of, a)
		}
	}
	return of
}

// without returns the addresses that others do not hold.
func without(all, others []netip.Addr) []netip.Addr {
	return only(all, func(a netip.Addr) bool { return !slices.Contains(others, a) })
}

// leading writes the addresses of one name.
type leading struct {
	editor     editor
	zone, name string
	life       time.Duration
}

func (l leading) records(all []netip.Addr) (records []libdns.Record) {
	for _, a := range all {
		records = append(records, libdns.Address{Name: l.name, TTL: l.life, IP: a})
	}
	return records
}

func (l leading) add(ctx context.Context, all []netip.Addr) error {
	if len(all) == 0 {
		return nil
	}
	_, err := l.editor.AppendRecords(ctx, l.zone, l.records(all))
	return err
}

func (l leading) set(ctx context.Context, all []netip.Addr) error {
	_, err := l.editor.SetRecords(ctx, l.zone, l.records(all))
	return err
}

func (l leading) drop(ctx context.Context, all []netip.Addr) error {
	if len(all) == 0 {
		return nil
	}
	_, err := l.editor.DeleteRecords(ctx, l.zone, l.records(all))
	return err
}

// kind writes the addresses of one kind. What libdns calls setting is another thing in
// each module.
func (l leading) kind(ctx context.Context, provider string, want, now []netip.Addr) error {
	fresh, stale := without(want, now), without(now, want)
	switch {
	case len(fresh) == 0 && provider != Gandi:
		return l.drop(ctx, stale)
	case provider == Gandi: // it adds to what is there
		if err := l.add(ctx, fresh); err != nil {
			return err
		}
		for _, a := range stale {
			if err := l.drop(ctx, []netip.Addr{a}); err != nil && !strings.Contains(err.Error(), "LiveDNS returned a 404") {
				return err // what it does not have is no error of ours
			}
		}
		return nil
	case provider == Hetzner: // it takes all away and then writes anew; so do we where an old TTL is in the way
		if err := l.add(ctx, fresh); err != nil {
			return l.set(ctx, want)
		}
		return l.drop(ctx, stale)
	case provider == Cloudflare: // it changes one record, and fails where there are more
		if len(stale) > 0 {
			if err := l.drop(ctx, without(now, stale[:1])); err != nil {
				return err
			}
		}
		return l.set(ctx, want)
	case provider == OVH: // it serves a zone anew where something was added, and not where that was broken off before
		added, err := l.editor.SetRecords(ctx, l.zone, l.records(want))
		if err != nil || len(added) > 0 {
			return err
		}
		if err := l.drop(ctx, want); err != nil {
			return err
		}
		return l.add(ctx, want)
	}
	return l.set(ctx, want)
}

// duckDNS writes the addresses of both kinds, one of each: what is said of one leaves the
// other as it is, and taking away takes both.
func (l leading) duckDNS(ctx context.Context, want, now []netip.Addr) error {
	four, six := only(want, netip.Addr.Is4), only(want, netip.Addr.Is6)
	gone := len(four) == 0 && slices.ContainsFunc(now, netip.Addr.Is4) || len(six) == 0 && slices.ContainsFunc(now, netip.Addr.Is6)
	if gone {
		if err := l.drop(ctx, now[:1]); err != nil {
			return err
		}
		now = nil
	}
	for _, a := range append(four[:min(1, len(four))], six[:min(1, len(six))]...) {
		if gone || !slices.Contains(now, a) {
			if err := l.set(ctx, []netip.Addr{a}); err != nil {
				return err
			}
		}
	}
	return nil
}
