package hatest

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Limits of a body (ha-protocol 4.4).
const (
	bodyLimit   = 16 << 20 // of a view that says nothing else
	publicLimit = 64 << 10 // of what is read before a login, since 2026.11
)

// pair is a query or form parameter; their order matters to signed paths.
type pair struct{ name, value string }

// request is one request on its way through the home, and how it is answered.
type request struct {
	*http.Request
	h      *Home
	w      http.ResponseWriter
	remote netip.Addr // whom X-Forwarded-For names, if the peer is trusted
	scheme string
	host   string
	query  []pair
	who    *caller           // nil while not authenticated
	args   map[string]string // what the variables of the route matched
	limit  int64
}

// caller is who sent an authenticated request.
type caller struct {
	user  *user
	token string // id of the refresh token
}

// read returns the body, decompressed, or answers 413 or 400 and returns false.
func (r *request) read() ([]byte, bool) {
	body := io.Reader(r.Body)
	switch strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))) {
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			r.refuse(http.StatusBadRequest)
			return nil, false
		}
		body = z
	case "deflate":
		body = inflate(body)
	}
	data, err := io.ReadAll(io.LimitReader(body, r.limit+1))
	switch {
	case int64(len(data)) > r.limit:
		r.plain(http.StatusRequestEntityTooLarge, "Maximum request body size "+strconv.FormatInt(r.limit, 10)+" exceeded.")
		return nil, false
	case err != nil:
		r.refuse(http.StatusBadRequest)
		return nil, false
	}
	return data, true
}

// inflate reads zlib, or bare deflate from those who send that.
func inflate(body io.Reader) io.Reader {
	head := make([]byte, 2)
	n, _ := io.ReadFull(body, head)
	whole := io.MultiReader(bytes.NewReader(head[:n]), body)
	if n == 2 && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		z, err := zlib.NewReader(whole)
		if err != nil {
			return failing{err}
		}
		return z
	}
	return flate.NewReader(whole)
}

// failing is a reader of nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// object reads a JSON body that has to fit the fields, or answers 400 as Home
// Assistant's validator of request data does and returns false.
func (r *request) object(s schema) (object, bool) {
	data, ok := r.read()
	if !ok {
		return nil, false
	}
	v, err := decodeJSON(data)
	if err != nil {
		r.message(http.StatusBadRequest, "Invalid JSON.")
		return nil, false
	}
	o, err := s.check(v)
	if err != nil {
		r.message(http.StatusBadRequest, "Message format incorrect: "+err.Error())
		return nil, false
	}
	return o, true
}

// body reads a JSON body that may be missing: then it is nil.
func (r *request) body() (v any, ok bool, err error) {
	data, ok := r.read()
	if !ok || len(data) == 0 {
		return nil, ok, nil
	}
	v, err = decodeJSON(data)
	return v, true, err
}

// json answers with v.
func (r *request) json(status int, v any) { r.bytes(status, "application/json", encodeJSON(v)) }

// message answers with Home Assistant's form of a short text.
func (r *request) message(status int, text string) { r.json(status, object{"message": text}) }

// bytes answers with a body, compressed where Home Assistant would.
func (r *request) bytes(status int, contentType string, body []byte) {
	head := r.w.Header()
	head.Set("Content-Type", contentType)
	if coding := r.coding(len(body)); coding != "" {
		var b bytes.Buffer
		var z io.WriteCloser = zlib.NewWriter(&b)
		if coding == "gzip" {
			z = gzip.NewWriter(&b)
		}
		_, err := z.Write(body)
		if err := errors.Join(err, z.Close()); err == nil {
			head.Set("Content-Encoding", coding)
			body = b.Bytes()
		}
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	r.w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = r.w.Write(body)
	}
}

// coding is how a body of this length is sent; aiohttp prefers deflate.
func (r *request) coding(length int) string {
	if length <= 1024 {
		return ""
	}
	accepted := strings.ToLower(r.Header.Get("Accept-Encoding"))
	for _, coding := range []string{"deflate", "gzip"} {
		if strings.Contains(accepted, coding) {
			return coding
		}
	}
	return ""
}

// refuse answers with nothing but the status, in aiohttp's words.
func (r *request) refuse(status int) {
	r.plain(status, strconv.Itoa(status)+": "+http.StatusText(status))
}

// trouble is aiohttp's answer where Home Assistant's own code failed.
func (r *request) trouble() {
	r.bare()
	r.plain(http.StatusInternalServerError, "500 Internal Server Error\n\nServer got itself in trouble")
}

func (r *request) plain(status int, text string) {
	r.bytes(status, "text/plain; charset=utf-8", []byte(text))
}

// empty answers without a body and without a type.
func (r *request) empty(status int) {
	r.w.Header()["Content-Type"] = nil
	r.w.Header().Set("Content-Length", "0")
	r.w.WriteHeader(status)
}

// bare takes Home Assistant's headers off: streams, upgrades and what the
// filter refuses go out with aiohttp's own name instead.
func (r *request) bare() {
	head := r.w.Header()
	for _, name := range []string{"Referrer-Policy", "X-Content-Type-Options", "X-Frame-Options"} {
		head.Del(name)
	}
	head.Set("Server", r.h.release.server())
}

// value is the first query parameter of that name.
func (r *request) value(name string) (string, bool) {
	for _, p := range r.query {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// parsePairs reads a query or a form body in order. What is badly escaped stays
// as it is, as in Python.
func parsePairs(s string) []pair {
	var pairs []pair
	for part := range strings.SplitSeq(s, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, pair{unescape(name), unescape(value)})
	}
	return pairs
}

func unescape(s string) string {
	u, err := url.QueryUnescape(s)
	if err != nil {
		return strings.ReplaceAll(s, "+", " ")
	}
	return u
}

// peer is the address that a request came from; loopback where there is none.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err == nil {
		if a, err := netip.ParseAddr(host); err == nil {
			return a
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// isLocal is Home Assistant's idea of an address at home.
func isLocal(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}
