package wire

import (
	"strings"
	"unicode/utf8"
)

// charClass says what a byte may be part of. Only plain ASCII bytes have one.
type charClass uint8

const (
	classToken charClass = 1 << iota // tchar, RFC 9110 section 5.6.2
	classPath                        // pchar or slash, RFC 3986 section 3.3, without the percent sign
	classQuery                       // what browsers leave unescaped in a query, WHATWG URL
	classHost                        // reg-name without escapes, RFC 3986 section 3.2.2
)

// classes is a table of constants: nothing ever writes to it.
var classes = func() (t [256]charClass) {
	const alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	set := func(c charClass, chars string) {
		for _, b := range []byte(chars) {
			t[b] |= c
		}
	}
	set(classToken, alnum+"!#$%&'*+-.^_`|~")
	set(classPath, alnum+"-._~!$&'()*+,;=:@/")
	set(classQuery, alnum+"-._~!$&'()*+,;=:@/?%[]\\^`{|}")
	set(classHost, alnum+"-._~!$&'()*+,;=")
	return t
}()

func all(s string, c charClass) bool {
	for i := range len(s) {
		if classes[s[i]]&c == 0 {
			return false
		}
	}
	return true
}

// checkValue judges a header value that has no whitespace around it any more:
// visible ASCII, spaces and tabs inside, and beyond ASCII only valid UTF-8.
func checkValue(v string) Reason {
	beyond := false
	for i := range len(v) {
		switch b := v[i]; {
		case b >= 0x80:
			beyond = true
		case b >= 0x20 && b != 0x7f, b == '\t':
		case b == '\r':
			return ReasonLineEnd
		default:
			return ReasonHeaderValue
		}
	}
	if beyond && !utf8.ValidString(v) {
		return ReasonHeaderValue
	}
	return ""
}

// trimSpace cuts optional whitespace (RFC 9110 section 5.6.3) from both ends.
func trimSpace(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// isMethod reports whether a method is served. Home Assistant's own routes and
// its ingress know no other; CONNECT and TRACE are for proxies.
func isMethod(m string) bool {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}

// isSingle reports whether a header (canonical name) means one thing and so must
// come once: which of two counts differs between programs.
func isSingle(name string) bool {
	switch name {
	case "Authorization", "Content-Encoding", "Content-Length", "Content-Location", "Content-Range", "Content-Type",
		"Date", "Expect", "Host", "If-Modified-Since", "If-Range", "If-Unmodified-Since", "Max-Forwards", "Origin",
		"Proxy-Authorization", "Range", "Referer", "Sec-Websocket-Key", "Sec-Websocket-Version", "Transfer-Encoding",
		"Upgrade", "User-Agent":
		return true
	}
	return false
}

// isFraming reports whether a header (canonical name) says where a request ends or
// whose it is. Nothing but one space may stand around its value: what else is
// trimmed differs between programs.
func isFraming(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Expect", "Host", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// isLookAlike reports whether a header name with underscores would, to a program
// that takes an underscore for a hyphen (CGI, WSGI), be one that frames, names,
// forwards or authenticates a request.
func isLookAlike(name string) bool {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	switch name {
	case "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect",
		"forwarded", "host", "http2-settings", "keep-alive", "origin", "te", "trailer", "transfer-encoding", "upgrade",
		"via", "true-client-ip", "client-ip", "cluster-client-ip":
		return true
	}
	for _, prefix := range []string{"x-forwarded", "x-real-", "x-client-", "x-remote-", "x-original-", "x-rewrite-",
		"x-http-method", "x-hass-", "x-ingress-", "x-supervisor-", "x-cluster-client-", "cf-", "proxy-", "sec-websocket-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// parseLength reads a Content-Length: one plain number below 10^18.
func parseLength(v string) (int64, bool) {
	if len(v) == 0 || len(v) > 18 || v[0] == '0' && len(v) > 1 {
		return 0, false
	}
	var n int64
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(v[i]-'0')
	}
	return n, true
}
