package hatest

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// ServeHTTP answers one request as Home Assistant would (ha-protocol 1.1): the
// filter, the forwarded headers, who it is, then the view.
func (h *Home) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if h.tap != nil {
		h.tap(req)
	}
	h.expireTrial()
	r := &request{Request: req, h: h, w: w, remote: peer(req), scheme: "http", host: req.Host, query: parsePairs(req.URL.RawQuery), limit: bodyLimit}
	if req.TLS != nil {
		r.scheme = "https"
	}
	head := w.Header()
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "SAMEORIGIN")
	head.Set("Server", "")
	if filtered(req.URL) || r.forwarded() != nil {
		r.bare()
		r.refuse(http.StatusBadRequest)
		return
	}
	r.who = h.authenticate(r)
	h.route(r)
}

// Home Assistant's filter, as far as Go's regular expressions say the same.
var (
	filters      = regexp.MustCompile(`(?i)proc/self/environ|(?m:^[^\n]*?(?:<|%3C)[^\n]*?script[^\n]*?(?:>|%3E))|\.\.//?|[a-zA-Z0-9_]=/(?:[a-z0-9_.]//?)+|(?m:^[^\n]*?union[^\n]*?select[^\n]*?\()|(?m:^[^\n]*?union[^\n]*?all[^\n]*?select)|(?m:^[^\n]*?concat[^\n]*?\()`)
	errForwarded = errors.New("forwarded headers are not believed")
)

// filtered says whether the security filter refuses a target.
func filtered(u *url.URL) bool {
	target := u.Path
	if u.RawQuery != "" {
		target += "?" + unescape(u.RawQuery)
	}
	if strings.ContainsAny(target, "\t\r\n") {
		return true
	}
	for range 16 {
		plain, err := url.PathUnescape(target)
		if err != nil || plain == target {
			break
		}
		target = plain
	}
	return filters.MatchString(target)
}

// forwarded applies X-Forwarded-For, -Proto and -Host (ha-protocol 4.2); an
// error means 400.
func (r *request) forwarded() error {
	chain := elements(r.Header["X-Forwarded-For"])
	if len(r.Header["X-Forwarded-For"]) == 0 {
		return nil
	}
	trusted := r.h.settings.trusted()
	trusts := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if !trusts(r.remote) {
		return errForwarded
	}
	addrs := make([]netip.Addr, len(chain))
	for i, s := range chain {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return errForwarded
		}
		addrs[i] = a
	}
	at := len(addrs) - 1
	for at > 0 && trusts(addrs[at]) {
		at--
	}
	r.remote = addrs[at]
	if protos := elements(r.Header["X-Forwarded-Proto"]); len(r.Header["X-Forwarded-Proto"]) > 0 {
		if slices.Contains(protos, "") || len(protos) != 1 && len(protos) != len(addrs) {
			return errForwarded
		}
		r.scheme = protos[0]
		if len(protos) > 1 {
			r.scheme = protos[at]
		}
	}
	if hosts := elements(r.Header["X-Forwarded-Host"]); len(r.Header["X-Forwarded-Host"]) > 0 {
		if r.host = hosts[len(hosts)-1]; r.host == "" {
			return errForwarded
		}
	}
	return nil
}

// elements are the members of a list that may be spread over several headers.
func elements(headers []string) []string {
	var all []string
	for _, header := range headers {
		for element := range strings.SplitSeq(header, ",") {
			all = append(all, strings.TrimSpace(element))
		}
	}
	return all
}

// authenticate finds who sent a request: a bearer token, or a signature in the
// query of a GET or HEAD, also when a bearer was sent and is bad.
func (h *Home) authenticate(r *request) *caller {
	if kind, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && kind == "Bearer" {
		if who := h.accounts.bearer(token, r.remote); who != nil {
			return who
		}
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return h.accounts.signed(r)
	}
	return nil
}
