// Package https is the door for everywhere. It answers to the home's exact host name
// and to nothing else: whoever asks for another name in the handshake, or for none,
// gets not one byte. Nobody is at home here, wherever the source is.
//
// While there is no certificate, nobody gets a byte: the port is taken, so that the
// door opens by itself, and whoever owns it calls it closed. An issuer of certificates
// that asks for a name's proof (RFC 8737) gets that and no more, and only while the home
// waits for it.
package https

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// Config says where the door is and what it answers to.
type Config struct {
	Listen     string      // "address:port" or ":port"
	Names      []string    // exact host names, lower-case; at least one
	PublicPort int         // the port that people type, where the router forwards another; 0: Listen's
	TLS        *tls.Config // of this door alone, with what shows its certificate
	// Proxies are reverse proxies in front of the door that say whom they come for.
	Proxies wire.Proxies
	// Allow says who may come in at all, Favoured where a known device was lately and Tight
	// who gets little: see wire.TLSOptions. May be nil.
	Allow, Favoured, Tight func(netip.Addr) bool
	// Ready reports whether there is a certificate for a name. nil: always.
	Ready func(name string) bool
	// Proof returns the certificate that proves a name to an issuer; nil while no issuer
	// is waited for. May be nil itself.
	Proof func(name string) *tls.Certificate
	// Refused is told why a connection did not come through; it must be quick and safe
	// for concurrent use. May be nil.
	Refused func(remote net.Addr, reason string)
}

// Door is the open door: a listener whose connections have a TLS handshake behind them.
type Door struct {
	*wire.TLSListener
	wire.Proxies
	ready func(name string) bool
	proof func(name string) *tls.Certificate
	names []string
	ports []string // as they stand in a Host; "" for 443
	port  int
}

// Listen opens the door. Nobody is let in before Accept is called.
func Listen(c Config) (*Door, error) {
	if len(c.Names) == 0 {
		return nil, errors.New("door https: no host name")
	}
	if c.TLS == nil {
		return nil, errors.New("door https: no TLS configuration")
	}
	inner, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("open door https: %w", err)
	}
	d := &Door{names: slices.Clone(c.Names), Proxies: c.Proxies, ready: c.Ready, proof: c.Proof}
	d.port = inner.Addr().(*net.TCPAddr).Port
	d.ports = []string{inHost(d.port)}
	if c.PublicPort != 0 && c.PublicPort != d.port {
		d.ports = append(d.ports, inHost(c.PublicPort))
		d.port = c.PublicPort
	}
	d.TLSListener = wire.ListenTLS(c.Proxies.Listen(inner, c.Refused), d.withProof(c.TLS), wire.TLSOptions{
		Proxies: c.Proxies, Allow: c.Allow, Favoured: c.Favoured, Tight: c.Tight, Admit: d.admit, Refused: c.Refused})
	return d, nil
}

// admit is asked before TLS answers.
func (d *Door) admit(hello *wire.ClientHello, _ net.Conn) bool {
	if !slices.Contains(d.names, hello.ServerName) {
		return false
	}
	if asksProof(hello.Protocols) {
		return d.proof != nil && d.proof(hello.ServerName) != nil
	}
	return d.ready == nil || d.ready(hello.ServerName)
}

// proofProtocol is what an issuer offers, alone (RFC 8737 section 3).
const proofProtocol = "acme-tls/1"

func asksProof(protocols []string) bool { return len(protocols) == 1 && protocols[0] == proofProtocol }

// withProof has an issuer see the proof that it asks for, in a handshake that gives no
// ticket, and everybody else the door's own certificate.
func (d *Door) withProof(own *tls.Config) *tls.Config {
	if d.proof == nil {
		return own
	}
	config := own.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !asksProof(hello.SupportedProtos) {
			return nil, nil
		}
		proof := d.proof(strings.ToLower(hello.ServerName))
		if proof == nil {
			return nil, errors.New("door https: no issuer is waited for")
		}
		return &tls.Config{Certificates: []tls.Certificate{*proof}, NextProtos: []string{proofProtocol}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}, nil
	}
	return config
}

// Accept waits for the next visitor. An issuer is none: it has what it came for.
func (d *Door) Accept() (net.Conn, error) {
	for {
		c, err := d.TLSListener.Accept()
		if err != nil {
			return nil, err
		}
		if visitor, ok := c.(*wire.Conn); ok && visitor.Protocol == proofProtocol {
			_ = c.Close()
			continue
		}
		return c, nil
	}
}

// Name is the door's word in the design.
func (d *Door) Name() policy.Door { return policy.HTTPS }

// AtHome is false: here a known device is asked for wherever the source is.
func (d *Door) AtHome(netip.Addr) bool { return false }

// HostAllowed reports whether a Host, lower-case and with its port if it has one, is
// one of the door's names with a port on which the door is reached.
func (d *Door) HostAllowed(host string) bool {
	for _, n := range d.names {
		for _, p := range d.ports {
			if host == n+p || p == "" && host == n+":443" {
				return true
			}
		}
	}
	return false
}

// Port is the port that people type.
func (d *Door) Port() int { return d.port }

// Origins returns the origins, https://host[:port], that the door answers to, the
// one that people type first.
func (d *Door) Origins() []string {
	var origins []string
	for _, n := range d.names {
		for i := range d.ports {
			origins = append(origins, "https://"+n+d.ports[len(d.ports)-1-i])
		}
	}
	return origins
}

// inHost is how a port stands in a Host header and an origin.
func inHost(port int) string {
	if port == 443 {
		return ""
	}
	return ":" + strconv.Itoa(port)
}
