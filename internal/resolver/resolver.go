// Package resolver asks the Domain Name System what certificates and the home's own
// records depend on: where a name leads, who may issue for it, in which zone it lies and
// whether a record that was written has arrived.
//
// It asks the resolvers that the system has (/etc/resolv.conf) and no others, but for
// HasTXT and AtZone: these ask the name servers of the owner's own zone. What nobody answers is an error and never an empty answer, so that whoever asks
// can tell "there is none" from "could not be judged".
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	patience  = 5 * time.Second // for one answer of one server
	maxLinks  = 8               // CNAMEs in a row
	maxUDP    = 1232            // bytes of an answer by UDP, as DNS Flag Day 2020 has it
	confFile  = "/etc/resolv.conf"
	dnsPort   = "53"
	maxServer = 4 // name servers of a zone that are asked
)

// ErrNoAnswer says that no server answered, or none could.
var ErrNoAnswer = errors.New("no name server answers")

// Resolver asks. Its zero value asks the system's resolvers. It is safe for use by
// several goroutines.
type Resolver struct {
	Servers []string // "address:port"; empty means those of the system, read anew each time
	Port    string   // of the name servers of zones; "" is 53
}

// servers returns whom to ask.
func (r Resolver) servers() ([]string, error) {
	if len(r.Servers) > 0 {
		return r.Servers, nil
	}
	conf, err := dns.ClientConfigFromFile(confFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	var all []string
	for _, s := range conf.Servers {
		all = append(all, net.JoinHostPort(s, conf.Port))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: %s names none", ErrNoAnswer, confFile)
	}
	return all, nil
}

// ask puts one question to the resolvers, one after another, until one knows. An answer
// that there is no such name is an answer.
func (r Resolver) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	servers, err := r.servers()
	if err != nil {
		return nil, err
	}
	return askAny(ctx, servers, name, kind, true)
}

func askAny(ctx context.Context, servers []string, name string, kind uint16, recurse bool) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	question.RecursionDesired = recurse
	question.SetEdns0(maxUDP, false)
	var errs []error
	for _, server := range servers {
		answer, err := exchange(ctx, question, server)
		if err == nil {
			return answer, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("ask for %s of %s: %w: %w", dns.TypeToString[kind], name, ErrNoAnswer, errors.Join(errs...))
}

// exchange asks one server, by TCP where the answer is too long for UDP.
func exchange(ctx context.Context, question *dns.Msg, server string) (*dns.Msg, error) {
	for _, network := range []string{"udp", "tcp"} {
		ctx, cancel := context.WithTimeout(ctx, patience)
		client := &dns.Client{Net: network, UDPSize: maxUDP, Timeout: patience}
		answer, _, err := client.ExchangeContext(ctx, question, server)
		cancel()
		switch {
		case err != nil:
			return nil, err
		case answer.Truncated && network == "udp":
			continue
		case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
			return nil, fmt.Errorf("%s answers %s", server, dns.RcodeToString[answer.Rcode])
		}
		return answer, nil
	}
	return nil, fmt.Errorf("%s answers too much", server)
}

// Addresses returns where a name leads, IPv4 and IPv6; empty if nowhere.
func (r Resolver) Addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer, err := r.ask(ctx, name, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, addresses(answer)...)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all), nil
}

// addresses are those in an answer.
func addresses(answer *dns.Msg) (all []netip.Addr) {
	for _, rr := range answer.Answer {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if addr, ok := netip.AddrFromSlice(ip); ok {
			all = append(all, addr.Unmap())
		}
	}
	return all
}

// Held is what the name servers of a zone have at a name.
type Held struct {
	Addrs []netip.Addr // its A and AAAA records, at any of them
	Agree bool         // all that answer have the same
	Alias string       // it has a CNAME record, which leads there; empty if it has none
}

// AtZone returns what the name servers of a zone have at a name. It is an error if none
// of them answers to every question.
func (r Resolver) AtZone(ctx context.Context, zone, name string) (Held, error) {
	servers, err := r.nameServers(ctx, zone)
	if err != nil {
		return Held{}, err
	}
	held, answered := Held{Agree: true}, 0
	for _, server := range servers {
		addrs, alias, err := atServer(ctx, server, name)
		if err != nil {
			continue
		}
		if answered++; answered > 1 && (!slices.Equal(addrs, held.Addrs) || alias != held.Alias) {
			held.Agree = false
		}
		held.Addrs = append(held.Addrs, addrs...)
		slices.SortFunc(held.Addrs, netip.Addr.Compare)
		held.Addrs = slices.Compact(held.Addrs)
		if alias != "" {
			held.Alias = alias
		}
	}
	if answered == 0 {
		return Held{}, fmt.Errorf("the name servers of %s: %w", zone, ErrNoAnswer)
	}
	return held, nil
}

// atServer asks one server, and counts what it has for the name itself.
func atServer(ctx context.Context, server, name string) (addrs []netip.Addr, alias string, err error) {
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer, err := askAny(ctx, []string{server}, name, kind, false)
		if err != nil {
			return nil, "", err
		}
		answer.Answer = slices.DeleteFunc(answer.Answer, func(rr dns.RR) bool { return !strings.EqualFold(rr.Header().Name, dns.Fqdn(name)) })
		for _, rr := range answer.Answer {
			if c, ok := rr.(*dns.CNAME); ok {
				alias = strings.ToLower(strings.TrimSuffix(c.Target, "."))
			}
		}
		addrs = append(addrs, addresses(answer)...)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), alias, nil
}

// A CAA says who may issue for a name (RFC 8659).
type CAA struct {
	Critical   bool
	Tag, Value string
}

// CAA returns the records that count for a name: its own, or those of the nearest name
// above it that has any (RFC 8659 section 3). None means that anybody may issue.
func (r Resolver) CAA(ctx context.Context, name string) ([]CAA, error) {
	for at := strings.TrimSuffix(name, "."); at != ""; at = parent(at) {
		answer, err := r.ask(ctx, at, dns.TypeCAA)
		if err != nil {
			return nil, err
		}
		var found []CAA
		for _, rr := range answer.Answer {
			if c, ok := rr.(*dns.CAA); ok {
				found = append(found, CAA{Critical: c.Flag&0x80 != 0, Tag: strings.ToLower(c.Tag), Value: c.Value})
			}
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, nil
}

func parent(name string) string {
	_, above, _ := strings.Cut(name, ".")
	return above
}

// Zone returns the zone that a name lies in: the nearest name at or above it with a SOA
// record. It has no final dot.
func (r Resolver) Zone(ctx context.Context, name string) (string, error) {
	for at := strings.TrimSuffix(name, "."); at != ""; at = parent(at) {
		answer, err := r.ask(ctx, at, dns.TypeSOA)
		if err != nil {
			return "", err
		}
		for _, rr := range answer.Answer {
			if soa, ok := rr.(*dns.SOA); ok && strings.EqualFold(soa.Hdr.Name, dns.Fqdn(at)) {
				return at, nil
			}
		}
	}
	return "", fmt.Errorf("no zone holds %s", name)
}

// Target follows a name's CNAME records to the name that they lead to.
func (r Resolver) Target(ctx context.Context, name string) (string, error) {
	at := dns.Fqdn(name)
	for range maxLinks {
		answer, err := r.ask(ctx, at, dns.TypeCNAME)
		if err != nil {
			return "", err
		}
		next := ""
		for _, rr := range answer.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, at) {
				next = c.Target
			}
		}
		if next == "" {
			return strings.ToLower(strings.TrimSuffix(at, ".")), nil
		}
		at = next
	}
	return "", fmt.Errorf("%s leads on and on: more than %d CNAME records in a row", name, maxLinks)
}

// HasTXT reports whether every name server of a zone that answers has a text at a name.
// It is an error if none answers.
func (r Resolver) HasTXT(ctx context.Context, zone, name, text string) (bool, error) {
	servers, err := r.nameServers(ctx, zone)
	if err != nil {
		return false, err
	}
	answered := false
	for _, server := range servers {
		answer, err := askAny(ctx, []string{server}, name, dns.TypeTXT, false)
		if err != nil {
			continue
		}
		if answered = true; !hasText(answer, text) {
			return false, nil
		}
	}
	if !answered {
		return false, fmt.Errorf("the name servers of %s: %w", zone, ErrNoAnswer)
	}
	return true, nil
}

func hasText(answer *dns.Msg, text string) bool {
	return slices.ContainsFunc(answer.Answer, func(rr dns.RR) bool {
		t, ok := rr.(*dns.TXT)
		return ok && strings.Join(t.Txt, "") == text
	})
}

// nameServers returns the addresses of a zone's name servers.
func (r Resolver) nameServers(ctx context.Context, zone string) ([]string, error) {
	answer, err := r.ask(ctx, zone, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	port := r.Port
	if port == "" {
		port = dnsPort
	}
	var all []string
	for _, rr := range answer.Answer {
		ns, ok := rr.(*dns.NS)
		if !ok || len(all) >= maxServer {
			continue
		}
		addrs, err := r.Addresses(ctx, ns.Ns)
		if err != nil || len(addrs) == 0 {
			continue
		}
		all = append(all, net.JoinHostPort(addrs[0].String(), port))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the name servers of %s: %w", zone, ErrNoAnswer)
	}
	return all, nil
}
