package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"net/url"
	"slices"

	"gatehouse/internal/policy"
	"gatehouse/internal/web"
)

// trustPath is where the page lies that has devices trust the local authority.
const trustPath = "/_gatehouse/auth/trust"

// guide is the local authority as its page asks for it.
type guide struct{ s *server }

// trustPage is what the page asks; nil where there is no door at home.
func (s *server) trustPage() web.Authority {
	if s.lanDoor() == nil {
		return nil
	}
	return guide{s}
}

// lanDoor is the door for home, if it is open.
func (s *server) lanDoor() *openDoor {
	for k := range s.doors {
		if d := &s.doors[k]; d.name == policy.LAN && d.listener != nil {
			return d
		}
	}
	return nil
}

// Trust says what a visitor is to trust.
func (t guide) Trust(host string, visitor netip.Addr) web.Trust {
	s, door := t.s, t.s.lanDoor()
	answer := web.Trust{Issuer: s.issuer(door, host), Root: s.authority.Offered()}
	if _, ok := s.authority.Next(); ok {
		now := s.authority.Root()
		answer.Before = &now
	}
	port := portOf(door.listener.Addr().String())
	for _, addr := range s.links.Facing(visitor) {
		if addr.Is4() { // a content security policy cannot name the others
			answer.Sure = append(answer.Sure, origin(addr.String(), port))
		}
	}
	answer.Origins = slices.Clone(answer.Sure)
	for _, name := range localNames(s.cfg) {
		if s.issuer(door, name) == web.IssuerOwn {
			answer.Origins = append(answer.Origins, origin(name, port))
		}
	}
	return answer
}

// issuer says who vouches for a host name or address at a door.
func (s *server) issuer(d *openDoor, host string) web.Issuer {
	hello := &tls.ClientHelloInfo{ServerName: host}
	if _, err := netip.ParseAddr(host); err == nil {
		hello.ServerName = "" // browsers name no address
	}
	shown, err := d.shows(hello)
	if err != nil || len(shown.Certificate) == 0 {
		return web.IssuerOther
	}
	chain := make([]*x509.Certificate, len(shown.Certificate))
	for k, der := range shown.Certificate {
		if chain[k], err = x509.ParseCertificate(der); err != nil {
			return web.IssuerOther
		}
	}
	if s.authority.Root().Made(chain[0]) {
		return web.IssuerOwn
	}
	if !isLogged(chain[0]) || s.cfg.Certificates.IssuerRoot != "" {
		return web.IssuerOther // this machine may trust somebody whom no telephone does
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: between}); err != nil {
		return web.IssuerOther
	}
	return web.IssuerPublic
}

// IsOwn reports whether an origin is the house's at home, as a browser writes it.
func (t guide) IsOwn(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin {
		return false
	}
	switch u.Scheme {
	case "https":
		return t.s.lanDoor().door.HostAllowed(u.Host)
	case "http":
		return t.s.plain.answersTo(u.Host)
	}
	return false
}

// answersTo reports whether a Host is the door's, if it is open.
func (d *plainDoor) answersTo(host string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.listener != nil && d.listener.HostAllowed(host)
}

// trustAddress is where people at home find the page, by an address that every telephone
// finds where there is one; empty where there is no door at home.
func (h *house) trustAddress() string {
	d := h.cfg.Doors.LAN
	if d == nil {
		return ""
	}
	if h.server != nil {
		if row, ok := h.server.plain.row(); ok && row.Open && len(row.Origins) > 0 {
			return row.Origins[0] + trustPath
		}
	}
	host, port := "", portOf(d.Listen)
	at, err := netip.ParseAddrPort(d.Listen)
	switch own := addrAtHome(h.links.Addrs()); {
	case err == nil && !at.Addr().IsUnspecified() && !at.Addr().IsLoopback():
		host = at.Addr().String()
	case (err != nil || at.Addr().IsUnspecified()) && own.IsValid():
		host = own.String()
	default:
		if names := localNames(h.cfg); len(names) > 0 {
			host = names[0]
		}
	}
	if host == "" {
		return ""
	}
	return origin(host, port) + trustPath
}
