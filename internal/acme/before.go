package acme

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/mholt/acmez/v3/acme"

	"gatehouse/internal/resolver"
)

// What can be known to fail is not asked of an issuer: each of these says good (nil), bad
// (an *Error), or, where it could not judge, nothing and leaves it to the issuer.

// CheckName looks at whether a public authority could issue for a name.
func CheckName(name, challenge string) error {
	host, wild := strings.CutPrefix(name, "*.")
	switch {
	case wild && challenge != ByDNS:
		return &Error{What: name + " is for many names, and those are proved in the zone alone", Hint: `certificates.challenge = "dns"`}
	case !isPublicName(host):
		return &Error{What: host + " is no name that exists on the Internet", Hint: `it looks like "ha.example.org"`}
	}
	return nil
}

// checkName is CheckName, where the issuers are not all the owner's own.
func (c Config) checkName(name string) error {
	err := CheckName(name, c.Challenge)
	if err != nil && !isPublicName(strings.TrimPrefix(name, "*.")) && c.private() && (c.Challenge == ByDNS || name[0] != '*') {
		return nil
	}
	return err
}

// private reports whether every issuer is the owner's own.
func (c Config) private() bool {
	return !slices.ContainsFunc(c.Issuers, func(i Issuer) bool { return !i.Private })
}

// isPublicName reports whether a name is well-formed and may exist in the public DNS: two
// labels or more, and no top that is reserved (RFC 2606, RFC 6761, RFC 6762, RFC 7686,
// RFC 8375, RFC 9476; internal by ICANN's board, 2024-07-29).
func isPublicName(name string) bool {
	if len(name) > 253 || name != strings.ToLower(name) {
		return false
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	top := labels[len(labels)-1]
	if len(labels) < 2 || strings.Trim(top, "0123456789") == "" {
		return false
	}
	return !slices.Contains([]string{"local", "localhost", "internal", "test", "invalid", "example", "onion", "alt", "lan", "home", "corp", "mail"}, top) &&
		name != "home.arpa" && !strings.HasSuffix(name, ".home.arpa")
}

// before looks at whether an order for a name can succeed.
func (m *Manager) before(ctx context.Context, name string) error {
	if !isPublicName(strings.TrimPrefix(name, "*.")) {
		return m.cfg.checkName(name) // the public DNS does not know it: nobody is asked
	}
	if m.cfg.Challenge != ByDNS {
		if err := m.checkAddresses(ctx, name); err != nil {
			return err
		}
	}
	return m.checkCAA(ctx, name)
}

// checkAddresses looks at whether a name leads to this house.
func (m *Manager) checkAddresses(ctx context.Context, name string) error {
	leads, err := m.cfg.Resolver.Addresses(ctx, name)
	if err != nil {
		m.cfg.Log.Debug("where the name leads cannot be judged", "name", name, "error", err)
		return nil
	}
	if len(leads) == 0 {
		return &Error{What: name + " leads nowhere: it has no address in the DNS", Hint: "enter this house's public address there (an A record, AAAA for IPv6)"}
	}
	if m.cfg.Addresses == nil {
		return nil
	}
	if wrong := strays(leads, m.cfg.Addresses(ctx)); wrong.IsValid() {
		return &Error{What: fmt.Sprintf("%s leads to %s, which is not this house", name, wrong),
			Hint: "correct its address in the DNS ([ddns] keeps it current), for an issuer asks at each of them, IPv6 first; where something outside leads to this house, prove the name by certificates.challenge = \"dns\""}
	}
	return nil
}

// strays returns an address that is none of ours; the zero one if there is none, or that
// cannot be known: a resolver at home may say addresses of home, and a public address is
// known only where this machine or its router has one.
func strays(leads, ours []netip.Addr) netip.Addr {
	for _, six := range []bool{true, false} {
		var own []netip.Addr
		for _, a := range ours {
			if a = a.Unmap(); isPublic(a) && a.Is6() == six {
				own = append(own, a)
			}
		}
		if len(own) == 0 {
			continue
		}
		for _, a := range leads {
			if a.Is6() == six && isPublic(a) && !slices.Contains(own, a) {
				return a
			}
		}
	}
	return netip.Addr{}
}

// isPublic reports whether the Internet routes an address.
func isPublic(a netip.Addr) bool {
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// checkCAA looks at whether any of the issuers may issue for a name, as far as they say
// what they are called there.
func (m *Manager) checkCAA(ctx context.Context, name string) error {
	host, wild := strings.CutPrefix(name, "*.")
	records, err := m.cfg.Resolver.CAA(ctx, host)
	if err != nil {
		m.cfg.Log.Debug("CAA cannot be judged", "name", name, "error", err)
		return nil
	}
	if len(records) == 0 {
		return nil
	}
	var called []string
	for _, issuer := range m.cfg.Issuers {
		names := m.identities(ctx, issuer)
		if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return mayIssue(records, n, wild, m.kind()) }) {
			return nil
		}
		called = append(called, names...)
	}
	return &Error{What: "the CAA records for " + host + " allow none of " + strings.Join(called, ", "),
		Hint: fmt.Sprintf(`add this one: %s CAA 0 issue "%s"`, host, called[0])}
}

// kind is what the challenge is called by issuers.
func (m *Manager) kind() string {
	return map[string]string{ByTLS: acme.ChallengeTypeTLSALPN01, ByHTTP: acme.ChallengeTypeHTTP01, ByDNS: acme.ChallengeTypeDNS01}[m.cfg.Challenge]
}

// identities are the names by which an issuer goes in CAA records (RFC 8555 section
// 7.1.1); none if it does not say, or does not answer.
func (m *Manager) identities(ctx context.Context, issuer Issuer) []string {
	client, ear := m.client(issuer)
	defer ear.close()
	client.HTTPClient.Timeout = answerTime
	directory, err := client.GetDirectory(ctx)
	if err != nil || directory.Meta == nil {
		return nil
	}
	return directory.Meta.CAAIdentities
}

// mayIssue reports whether CAA records allow an issuer (RFC 8659 section 4, RFC 8657).
func mayIssue(records []resolver.CAA, issuer string, wild bool, challenge string) bool {
	tag := "issue"
	if wild && slices.ContainsFunc(records, func(r resolver.CAA) bool { return r.Tag == "issuewild" }) {
		tag = "issuewild"
	}
	known := []string{"issue", "issuewild", "issuemail", "issuevmc", "iodef", "contactemail", "contactphone"}
	restricted, named := false, false
	for _, r := range records {
		if r.Critical && !slices.Contains(known, r.Tag) {
			return false
		}
		if r.Tag == tag {
			restricted = true
			named = named || names(r.Value, issuer, challenge)
		}
	}
	return named || !restricted
}

// names reports whether the value of a CAA record is for an issuer and a challenge.
func names(value, issuer, challenge string) bool {
	domain, parameters, _ := strings.Cut(value, ";")
	if !strings.EqualFold(strings.TrimSpace(domain), issuer) {
		return false
	}
	for p := range strings.SplitSeq(parameters, ";") {
		tag, methods, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(tag, "validationmethods") && !slices.Contains(strings.Split(methods, ","), challenge) {
			return false
		}
	}
	return true
}
