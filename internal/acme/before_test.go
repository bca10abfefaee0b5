package acme

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"gatehouse/internal/resolver"
)

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{
		"ha.example.org": true, "xn--bcher-kva.example": false, "a.b-c.de": true, "example.org": true,
		"house.local": false, "house": false, "house.test": false, "x.home.arpa": false, "a.onion": false, "192.168.1.2": false, "A.example.org": false,
		"-a.example.org": false, "a..org": false, "a_b.example.org": false, "": false, "*.example.org": false, strings.Repeat("a", 64) + ".org": false,
	} {
		if err := CheckName(name, ByTLS); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := CheckName("*.example.org", ByDNS); err != nil {
		t.Error(err)
	}
	if err := CheckName("*.*.example.org", ByDNS); err == nil {
		t.Error("two stars")
	}
}

// Only a public address that cannot be ours is wrong; what cannot be known is left to the issuer.
func TestStrays(t *testing.T) {
	addrs := func(words string) (all []netip.Addr) {
		for _, w := range strings.Fields(words) {
			all = append(all, netip.MustParseAddr(w))
		}
		return all
	}
	for _, c := range []struct{ leads, ours, want string }{
		{"203.0.113.5", "192.168.1.2 fe80::1", ""},
		{"203.0.113.5", "203.0.113.5 192.168.1.2", ""},
		{"203.0.113.6", "203.0.113.5 192.168.1.2", "203.0.113.6"},
		{"192.168.1.2", "203.0.113.5", ""},
		{"100.64.3.4", "203.0.113.5", ""},
		{"203.0.113.6 2a00::9", "192.168.1.2 2a00::5", "2a00::9"},
		{"203.0.113.6 2a00::5", "192.168.1.2 2a00::5 fd00::1", ""},
		{"203.0.113.6", "", ""},
	} {
		got := strays(addrs(c.leads), addrs(c.ours))
		if got.IsValid() != (c.want != "") || got.IsValid() && got.String() != c.want {
			t.Errorf("%s at %s: %v", c.leads, c.ours, got)
		}
	}
}

func TestMayIssue(t *testing.T) {
	issue := func(values ...string) (all []resolver.CAA) {
		for _, v := range values {
			tag, value, _ := strings.Cut(v, " ")
			all = append(all, resolver.CAA{Tag: strings.TrimSuffix(tag, "!"), Critical: strings.HasSuffix(tag, "!"), Value: value})
		}
		return all
	}
	for _, c := range []struct {
		records []resolver.CAA
		wild    bool
		want    bool
	}{
		{issue("issue ca.example.org"), false, true},
		{issue("issue CA.example.org ; x=y"), true, true},
		{issue("issue other.example"), false, false},
		{issue("issue ;"), false, false},
		{issue("issue ca.example.org", "issuewild ;"), true, false},
		{issue("issue other.example", "issuewild ca.example.org"), true, true},
		{issue("issuewild ca.example.org"), false, true},
		{issue("iodef mailto:a@example.org"), false, true},
		{issue("issue ca.example.org", "future! x"), false, false},
		{issue("issue ca.example.org; validationmethods=dns-01,http-01"), false, false},
		{issue("issue ca.example.org; validationmethods=tls-alpn-01"), false, true},
	} {
		if got := mayIssue(c.records, "ca.example.org", c.wild, "tls-alpn-01"); got != c.want {
			t.Errorf("%+v, wild %t: %t", c.records, c.wild, got)
		}
	}
}

// Before an order: no address, and CAA records that forbid, are told in words and no
// order is placed; a resolver that does not answer stops nothing.
func TestBeforeAnOrder(t *testing.T) {
	names, step := newNameServer(t), newDoorstep(t)
	ca := newPebble(t, names, step.port, nil).run(t)
	m := newManager(t, config(t, names, ca.issuer("Pebble")))
	step.of(m)
	try := func() State {
		t.Helper()
		if err := m.Again(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.round(t.Context(), home)
		return m.State()[0]
	}
	if s := try(); !strings.Contains(s.Why, "leads nowhere") {
		t.Errorf("no address: %+v", s)
	}
	names.add(t, home+". 60 IN A 127.0.0.1")
	names.add(t, `example.org. 60 IN CAA 0 issue "other.example"`)
	if s := try(); !strings.Contains(s.Why, "CAA") || !strings.Contains(s.Hint, `issue "ca.example.org"`) {
		t.Errorf("CAA: %+v", s)
	}
	// The router, or this machine, says where the house is.
	m.cfg.Addresses = func(context.Context) []netip.Addr { return []netip.Addr{netip.MustParseAddr("20.30.40.50")} }
	names.add(t, home+". 60 IN A 20.30.40.51")
	if s := try(); !strings.Contains(s.Why, "leads to 20.30.40.51, which is not this house") || !strings.Contains(s.Hint, "[ddns]") {
		t.Errorf("another's: %+v", s)
	}
	names.mu.Lock()
	names.records = names.records[:len(names.records)-1]
	names.mu.Unlock()
	if strings.Contains(ca.log.String(), "order-plz ") {
		t.Error("an order was placed")
	}
	names.mu.Lock()
	names.silent = true
	names.mu.Unlock()
	if err := m.before(t.Context(), home); err != nil {
		t.Errorf("nobody answers: %v", err)
	}
	names.mu.Lock()
	names.silent = false
	names.mu.Unlock()
	names.add(t, home+`. 60 IN CAA 0 issue "ca.example.org"`)
	if s := try(); m.Certificate(home) == nil {
		t.Errorf("allowed: %+v", s)
	}
}
