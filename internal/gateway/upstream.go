package gateway

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// onionAddr is what Home Assistant is told about a visitor who came by Tor: an
// address that it takes for no local one (RFC 5737, TEST-NET-1).
const onionAddr = "192.0.2.1"

// upstream is the one way to Home Assistant.
type upstream struct {
	base      *url.URL // its host counts until moveTo says another
	transport *http.Transport
	link      *link                  // nil where Home Assistant is asked over TLS
	moved     atomic.Pointer[string] // host:port where it is now; nil where base says it
}

func newUpstream(base *url.URL) *upstream {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	u := &upstream{base: base}
	u.transport = &http.Transport{
		Proxy: nil, // never by way of a proxy from the environment
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if moved := u.moved.Load(); moved != nil {
				addr = *moved
			}
			return dialer.DialContext(ctx, network, addr)
		},
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        50 * time.Second, // Home Assistant closes idle ones after 75 s (aiohttp)
		DisableCompression:     true,             // what HA compressed is passed on as it is
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
		ForceAttemptHTTP2:      false,
	}
	if base.Scheme == "http" {
		u.link = newLink(hostPort(base))
	}
	return u
}

// hostPort is where an address of plain HTTP is dialled.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// moveTo has Home Assistant asked at another address from now on.
func (u *upstream) moveTo(to *url.URL) {
	addr := hostPort(to)
	u.moved.Store(&addr)
	u.transport.CloseIdleConnections()
	u.link.moveTo(addr)
}

func (u *upstream) close() {
	u.transport.CloseIdleConnections()
	if u.link != nil {
		u.link.close()
	}
}

// short reports whether a request may take the link: GET and HEAD, which have no body here.
func (u *upstream) short(r *http.Request) bool {
	return u.link != nil && r.ContentLength == 0 && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// socketURL is the address of a WebSocket at Home Assistant.
func (u *upstream) socketURL(path string) string {
	scheme := "ws"
	if u.base.Scheme == "https" {
		scheme = "wss"
	}
	return scheme + "://" + u.base.Host + path
}

// request is what Home Assistant is asked for a flight: the same method, target,
// Host and body, and only the headers that are the client's to say.
func (u *upstream) request(ctx context.Context, f *flight) *http.Request {
	r := f.r
	out := &http.Request{
		Method: r.Method,
		URL: &url.URL{Scheme: u.base.Scheme, Host: u.base.Host, Path: f.path, RawPath: f.raw,
			RawQuery: f.query, ForceQuery: f.query == "" && strings.HasSuffix(r.RequestURI, "?")},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host:          r.Host,
		Header:        u.headers(f),
		ContentLength: r.ContentLength,
		Body:          r.Body,
	}
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	return out.WithContext(ctx)
}

// appendHead appends the head of what Home Assistant is asked for a flight without a
// body. It is request in bytes: the target is the one that arrive has found to be
// readable in one way only.
func (u *upstream) appendHead(b []byte, f *flight) ([]byte, error) {
	start, lines := len(b), 3
	b = append(append(b, f.r.Method...), ' ')
	b = append(b, f.raw...)
	if f.query != "" || strings.HasSuffix(f.r.RequestURI, "?") {
		b = append(append(b, '?'), f.query...)
	}
	target := b[start+len(f.r.Method)+1:]
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return nil, errors.New("a target that is not canonical")
		}
	}
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), f.r.Host...), "\r\n"...)
	for name, value := range toldHeaders(f) {
		b = append(append(b, name...), ": "...)
		b = append(append(b, value...), "\r\n"...)
		lines++
	}
	b = append(b, "\r\n"...)
	// What wire has read holds no line end. If that ever changes, this holds.
	if head := b[start:]; bytes.Count(head, []byte{'\n'}) != lines || bytes.Count(head, []byte{'\r'}) != lines {
		return nil, errors.New("a line end within the head of a request")
	}
	return b, nil
}

// isHop reports whether a header is between two neighbors only (RFC 9110 section 7.6.1).
func isHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length":
		return true
	}
	return false
}

// isSaid reports whether a proxy speaks of its client by a header; from a client it is
// forged. Those that start with saidPrefixes are of the same kind.
func isSaid(name string) bool {
	switch name {
	case "Forwarded", "Via", "True-Client-Ip", "Client-Ip", "Cluster-Client-Ip", "Cdn-Loop":
		return true
	}
	return false
}

var saidPrefixes = []string{"X-Forwarded", "X-Real-", "X-Client-", "X-Remote-", "X-Ingress-", "X-Hass-", "X-Supervisor-", "X-Original-", "X-Rewrite-", "X-Http-Method", "Cf-", "X-Cluster-Client-", "X-Proxyuser-", "X-Envoy-", "X-Appengine-"}

// ours reports whether a request header is not the client's to send.
func ours(name string) bool {
	if isHop(name) || isSaid(name) || strings.IndexByte(name, '_') >= 0 {
		return true
	}
	if name[0] != 'X' && name[0] != 'C' {
		return false
	}
	for _, p := range saidPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// toldHeaders are the headers that Home Assistant is sent: the client's own, without
// what it forged, and exactly one address and the scheme. A name may come several times.
func toldHeaders(f *flight) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		dropped := connectionTokens(f.r.Header["Connection"])
		for name, values := range f.r.Header {
			switch {
			case ours(name), dropped[name]:
				continue
			case name == "Cookie":
				if rest := withoutOurs(values); rest != "" && !yield(name, rest) {
					return
				}
				continue
			}
			for _, value := range values {
				if !yield(name, value) {
					return
				}
			}
		}
		_ = yield("X-Forwarded-For", f.told().String()) && yield("X-Forwarded-Proto", f.scheme())
	}
}

// headers are toldHeaders for net/http.
func (u *upstream) headers(f *flight) http.Header {
	out := make(http.Header, len(f.r.Header)+3)
	for name, value := range toldHeaders(f) {
		out[name] = append(out[name], value)
	}
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = []string{""} // or the transport would add its own
	}
	return out
}

// told is the address that Home Assistant is given (design: "Which address HA is told").
func (f *flight) told() netip.Addr {
	if f.door.Name() == policy.Onion {
		return netip.MustParseAddr(onionAddr)
	}
	return f.addr
}

// isLocal is Home Assistant's idea of an address at home (ha-protocol 4.5).
func isLocal(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
}

// connectionTokens are the headers that Connection names as being for us only.
func connectionTokens(lines []string) map[string]bool {
	var out map[string]bool
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			token = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(token))
			if token == "" || token == "Keep-Alive" || token == "Close" || token == "Upgrade" {
				continue
			}
			if out == nil {
				out = make(map[string]bool)
			}
			out[token] = true
		}
	}
	return out
}

// withoutOurs is a Cookie header's value without the cookies that are ours.
func withoutOurs(lines []string) string {
	if len(lines) == 1 && !strings.Contains(lines[0], ";") {
		if name, _, _ := strings.Cut(strings.TrimSpace(lines[0]), "="); name == identity.CookieName {
			return ""
		}
		return lines[0]
	}
	var keep []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			if name, _, _ := strings.Cut(part, "="); part != "" && name != identity.CookieName {
				keep = append(keep, part)
			}
		}
	}
	return strings.Join(keep, "; ")
}

// answerHeaders copies Home Assistant's headers to the client, without those that
// are for us only, its banner, and any try to set our cookie.
func answerHeaders(dst, src http.Header) {
	dropped := connectionTokens(src["Connection"])
	for name, values := range src {
		if isOurs(name) || dropped[name] {
			continue
		}
		if name == "Set-Cookie" {
			if values = foreignCookies(values); len(values) == 0 {
				continue
			}
		}
		dst[name] = values
	}
}

// answerFields is answerHeaders for what came on a link.
func answerFields(dst http.Header, src []field) {
	var dropped map[string]bool
	for _, h := range src {
		if h.name == "Connection" && !strings.EqualFold(h.value, "keep-alive") && !strings.EqualFold(h.value, "close") {
			for name := range connectionTokens([]string{h.value}) {
				if dropped == nil {
					dropped = make(map[string]bool)
				}
				dropped[name] = true
			}
		}
	}
	values := make([]string, 0, len(src))
	for _, h := range src {
		if isOurs(h.name) || dropped[h.name] || h.name == "Set-Cookie" && isOurCookie(h.value) {
			continue
		}
		if already, ok := dst[h.name]; ok {
			dst[h.name] = append(already, h.value)
			continue
		}
		values = append(values, h.value)
		dst[h.name] = values[len(values)-1 : len(values) : len(values)]
	}
}

// isOurs reports whether a header of an answer is for us only, ours to say, or Home
// Assistant's banner.
func isOurs(name string) bool {
	switch name {
	case "Server", "X-Powered-By", "Alt-Svc", "Strict-Transport-Security":
		return true
	}
	return isHop(name) && name != "Content-Length"
}

// isOurCookie reports whether a cookie would be ours, or has no name: some browsers send
// the value of such a one as if it were a name and a value.
func isOurCookie(value string) bool {
	name, _, named := strings.Cut(strings.SplitN(value, ";", 2)[0], "=")
	name = strings.TrimSpace(name)
	return name == identity.CookieName || name == "" || !named
}

func foreignCookies(values []string) []string {
	var keep []string
	for _, v := range values {
		if !isOurCookie(v) {
			keep = append(keep, v)
		}
	}
	return keep
}
