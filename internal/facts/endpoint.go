package facts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Endpoint is what an address that the owner has named shows to a stranger.
type Endpoint struct {
	URL          string        `json:"url"`
	Versions     []string      `json:"versions"` // that it takes: "SSL 3.0", "TLS 1.0" to "TLS 1.3"
	Ciphers      []string      `json:"ciphers"`  // that it takes with TLS 1.2 and older
	Certificates []Certificate `json:"certificates"`
	// Untrusted is why a client that knows the usual authorities does not believe the
	// certificate; WrongName, why it is none for this name. Both empty where all is well.
	Untrusted string `json:"untrusted"`
	WrongName string `json:"wrong_name"`
	// WantsCertificate: it asks clients for a certificate; NeedsCertificate: it does not
	// speak to those without one.
	WantsCertificate bool `json:"wants_certificate"`
	NeedsCertificate bool `json:"needs_certificate"`
	// Compresses and Renegotiates are of TLS 1.2 and older: it takes compression; it
	// renegotiates without saying that it does so safely (RFC 5746).
	Compresses   bool             `json:"compresses"`
	Renegotiates bool             `json:"renegotiates"`
	Answers      []EndpointAnswer `json:"answers"` // to what a stranger asks
	Plain        *EndpointAnswer  `json:"plain"`   // of port 80; null where nothing answers
	// Missing is what could not be observed, and why.
	Missing []string `json:"missing"`
}

// EndpointAnswer is an answer to one request without any credentials.
type EndpointAnswer struct {
	Path     string            `json:"path"`
	Status   int               `json:"status"`
	Location string            `json:"location"`
	Headers  map[string]string `json:"headers"` // by name in lower case, those that a check looks at
	HA       bool              `json:"ha"`      // it is a page of Home Assistant
}

// Answer is the answer to a path.
func (e Endpoint) Answer(path string) (EndpointAnswer, bool) {
	for _, a := range e.Answers {
		if a.Path == path {
			return a, true
		}
	}
	return EndpointAnswer{}, false
}

// Bounds of an observation.
const (
	endpointPatience = 5 * time.Second // for one connection
	maxEndpointBody  = 64 << 10
	maxEndpointHello = 96 // connections for versions and ciphers
)

// ObserveEndpoint asks an address, which the owner has named, how it speaks and what it
// tells a stranger. It asks that host alone: it follows no redirect, sends no credentials,
// and gives up where the context ends.
func ObserveEndpoint(ctx context.Context, address string) (Endpoint, error) {
	return observeEndpoint(ctx, address, "80", nil)
}

// observeEndpoint takes the port without TLS and the authorities from tests, too.
func observeEndpoint(ctx context.Context, address, plainPort string, roots *x509.CertPool) (Endpoint, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return Endpoint{}, fmt.Errorf("%q is no address of the form https://house.example", address)
	}
	e := Endpoint{URL: u.Scheme + "://" + u.Host}
	o := &observing{host: u.Hostname(), port: u.Port(), roots: roots}
	if u.Scheme == "http" {
		if o.port == "" {
			o.port = "80"
		}
		plain, err := o.ask(ctx, "http", o.port, "/")
		if err != nil {
			return e, fmt.Errorf("observe %s: %w", e.URL, err)
		}
		e.Plain = &plain
		o.answers(ctx, &e, "http")
		return e, nil
	}
	if o.port == "" {
		o.port = "443"
	}
	if err := o.certificate(ctx, &e); err != nil {
		return e, fmt.Errorf("observe %s: %w", e.URL, err)
	}
	o.versions(ctx, &e)
	o.answers(ctx, &e, "https")
	if plain, err := o.ask(ctx, "http", plainPort, "/"); err == nil {
		e.Plain = &plain
	} else if !refused(err) {
		e.Missing = append(e.Missing, "what port "+plainPort+" says: "+err.Error())
	}
	return e, ctx.Err()
}

// refused reports whether nobody listens there.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

type observing struct {
	host, port string
	roots      *x509.CertPool
	hellos     int
}

func (o *observing) dial(ctx context.Context, port string) (net.Conn, error) {
	d := net.Dialer{Timeout: endpointPatience}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(o.host, port))
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(endpointPatience)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// config is a client that takes whatever is offered: what it is told is judged, and
// nothing secret is ever said to it.
func (o *observing) config(wants func()) *tls.Config {
	var suites []uint16
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		suites = append(suites, s.ID)
	}
	return &tls.Config{
		ServerName: o.host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, CipherSuites: suites,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if wants != nil {
				wants()
			}
			return &tls.Certificate{}, nil
		},
	}
}

// certificate looks at who the host says that it is.
func (o *observing) certificate(ctx context.Context, e *Endpoint) error {
	raw, err := o.dial(ctx, o.port)
	if err != nil {
		return err
	}
	defer raw.Close()
	config := o.config(func() { e.WantsCertificate = true })
	var chain []*x509.Certificate
	config.VerifyConnection = func(s tls.ConnectionState) error {
		chain = s.PeerCertificates
		return nil
	}
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil && len(chain) == 0 {
		return err
	} else if err != nil {
		e.NeedsCertificate = e.WantsCertificate
	}
	if len(chain) == 0 {
		return errors.New("it shows no certificate")
	}
	others := x509.NewCertPool()
	for _, c := range chain[:min(len(chain), maxCertificates)] {
		e.Certificates = append(e.Certificates, certificateOf(c))
		others.AddCert(c)
	}
	if err := chain[0].VerifyHostname(o.host); err != nil {
		e.WrongName = err.Error()
	}
	// Time is judged by the checks: here the chain alone is meant.
	when := time.Now()
	if when.After(chain[0].NotAfter) {
		when = chain[0].NotAfter
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: o.roots, Intermediates: others, CurrentTime: when}); err != nil {
		e.Untrusted = err.Error()
	}
	return nil
}

// answers asks what a stranger may ask.
func (o *observing) answers(ctx context.Context, e *Endpoint, scheme string) {
	for _, path := range []string{"/", "/api/", "/manifest.json"} {
		a, err := o.ask(ctx, scheme, o.port, path)
		switch {
		case err == nil:
			e.Answers = append(e.Answers, a)
		case e.WantsCertificate && len(e.Answers) == 0 && ctx.Err() == nil:
			e.NeedsCertificate = true // with TLS 1.3 it says so after the handshake
			return
		default:
			e.Missing = append(e.Missing, "what it says at "+path+": "+err.Error())
		}
	}
}

// ask sends one request without credentials.
func (o *observing) ask(ctx context.Context, scheme, port, path string) (EndpointAnswer, error) {
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return o.dial(ctx, port) },
		TLSClientConfig:   o.config(nil),
		DisableKeepAlives: true, MaxResponseHeaderBytes: maxEndpointBody,
	}
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if scheme == "https" && port != "443" || scheme == "http" && port != "80" {
		host = net.JoinHostPort(o.host, port)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+path, nil)
	if err != nil {
		return EndpointAnswer{}, err
	}
	w, err := transport.RoundTrip(r)
	if err != nil {
		return EndpointAnswer{}, err
	}
	defer w.Body.Close()
	body, err := io.ReadAll(io.LimitReader(w.Body, maxEndpointBody))
	if err != nil {
		return EndpointAnswer{}, err
	}
	a := EndpointAnswer{Path: path, Status: w.StatusCode, Location: w.Header.Get("Location"), Headers: map[string]string{}}
	for _, name := range []string{"Strict-Transport-Security", "X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options", "Content-Security-Policy", "Server", "X-Powered-By"} {
		if v := w.Header.Get(name); v != "" {
			a.Headers[strings.ToLower(name)] = v[:min(len(v), 500)]
		}
	}
	text := string(body)
	a.HA = strings.Contains(text, "Home Assistant") || strings.Contains(text, "API running.") || strings.Contains(text, "/frontend_latest/")
	return a, nil
}

// versions finds what versions and ciphers are taken.
func (o *observing) versions(ctx context.Context, e *Endpoint) {
	weak := map[uint16]string{}
	for _, v := range []struct {
		name    string
		version uint16
	}{{"SSL 3.0", 0x0300}, {"TLS 1.0", tls.VersionTLS10}, {"TLS 1.1", tls.VersionTLS11}, {"TLS 1.2", tls.VersionTLS12}} {
		offered := oldCiphers()
		for n := 0; len(offered) > 0; n++ {
			if o.hellos++; o.hellos > maxEndpointHello || ctx.Err() != nil {
				e.Missing = append(e.Missing, "every cipher of "+v.name)
				break
			}
			said, err := o.hello(ctx, v.version, offered)
			if err != nil && !errors.Is(err, errNoHello) {
				e.Missing = append(e.Missing, "whether it takes "+v.name+": "+err.Error())
			}
			if err != nil || said.version != v.version {
				break
			}
			if n == 0 {
				e.Versions = append(e.Versions, v.name)
				e.Compresses = e.Compresses || said.compresses
				e.Renegotiates = e.Renegotiates || !said.safeRenegotiation
			}
			k := slices.IndexFunc(offered, func(c oldCipher) bool { return c.id == said.cipher })
			if k < 0 {
				break // one that was not offered
			}
			weak[said.cipher] = offered[k].name
			offered = slices.Delete(offered, k, k+1)
		}
	}
	for _, c := range oldCiphers() {
		if name := weak[c.id]; name != "" {
			e.Ciphers = append(e.Ciphers, name)
		}
	}
	raw, err := o.dial(ctx, o.port)
	if err != nil {
		e.Missing = append(e.Missing, "whether it takes TLS 1.3: "+err.Error())
		return
	}
	defer raw.Close()
	config := o.config(nil)
	config.MinVersion, config.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	taken := false
	config.VerifyConnection = func(tls.ConnectionState) error {
		taken = true
		return nil
	}
	if err := tls.Client(raw, config).HandshakeContext(ctx); err == nil || taken {
		e.Versions = append(e.Versions, "TLS 1.3")
	}
}
