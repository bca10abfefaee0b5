package ddns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"gatehouse/internal/router"
)

// Router is the address that the local router has on the Internet's side: of IPv4 alone, as
// with IPv6 each machine has its own.
func Router() Source { return thisMachine().router(router.Outside) }

func (m machine) router(outside func(context.Context, []netip.Addr) (netip.Addr, error)) Source {
	return Source{Name: "the router", Address: func(ctx context.Context, kind Kind) (netip.Addr, error) {
		if kind != IPv4 {
			return netip.Addr{}, nil
		}
		ways, err := m.ways()
		if err != nil {
			return netip.Addr{}, err
		}
		var routers []netip.Addr
		for _, w := range ways {
			if w.router.Is4() {
				routers = append(routers, w.router)
				break // the one that is preferred
			}
		}
		if len(routers) == 0 {
			return netip.Addr{}, &None{Why: "no router is known by IPv4"}
		}
		a, err := outside(ctx, routers)
		if err != nil {
			return netip.Addr{}, err
		}
		return a, before(a)
	}}
}

// before is an error if something of others' stands before the router, by its address on
// that side.
func before(a netip.Addr) error {
	const way = "ask the provider for an address of your own, or come in by IPv6, Tor or a tunnel"
	switch {
	case netip.MustParsePrefix("192.0.0.0/29").Contains(a): // RFC 6333, section 10
		return &None{Final: true, Why: fmt.Sprintf("the router itself has no public address: its own outside is %s, because the provider carries IPv4 over IPv6 (DS-Lite), and nobody can come in by it", a), Hint: way}
	case shared().Contains(a):
		return &None{Final: true, Why: fmt.Sprintf("the router itself has no public address: its own outside is %s, which the provider shares among many houses (CGNAT), and nobody can come in by it", a), Hint: way}
	case !IsPublic(a):
		return &None{Why: fmt.Sprintf("the router itself has no public address: its own outside is %s, so another router stands before it (double NAT)", a),
			Hint: "have that one lead everything to this one (bridge mode, exposed host); where both lead the port on, name an echo service in ddns.addresses"}
	}
	return nil
}

// Bounds of an echo service's answer.
const (
	echoTime = 10 * time.Second
	echoSize = 64
)

// Echo is the address that a service outside sees us come from, as its https address
// answers to a plain request: with that address and nothing else.
func Echo(at string) Source { return echo(at, &http.Transport{}) }

func echo(at string, transport *http.Transport) Source {
	return Source{Name: at, Address: func(ctx context.Context, kind Kind) (netip.Addr, error) {
		a, err := askEcho(ctx, at, kind, transport.Clone())
		if err != nil {
			return netip.Addr{}, fmt.Errorf("%s does not say where this house is: %s", at, clean(err.Error()))
		}
		return a, nil
	}}
}

func askEcho(ctx context.Context, at string, kind Kind, t *http.Transport) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, echoTime)
	defer cancel()
	network := map[Kind]string{IPv4: "tcp4", IPv6: "tcp6"}[kind]
	dial := t.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	t.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, network, address) }
	t.Proxy, t.DisableKeepAlives, t.DisableCompression, t.MaxResponseHeaderBytes = nil, true, true, 16<<10
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return netip.Addr{}, err
	}
	if r.URL.Scheme != "https" {
		return netip.Addr{}, errors.New("it is no https:// address")
	}
	r.Header["User-Agent"] = nil // it learns no more than it must
	r.Header.Set("Accept", "text/plain")
	answer, err := t.RoundTrip(r) // which follows nothing
	if err != nil {
		return netip.Addr{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return netip.Addr{}, fmt.Errorf("it answers with %d", answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, echoSize+1))
	if err != nil {
		return netip.Addr{}, err
	}
	return parseEcho(text)
}

// parseEcho reads an answer that is one address, with the end of a line or without.
func parseEcho(text []byte) (netip.Addr, error) {
	if len(text) > echoSize {
		return netip.Addr{}, errors.New("it answers with more than an address")
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"))
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Addr{}, errors.New("it answers with what is no address")
	}
	return a, nil
}
