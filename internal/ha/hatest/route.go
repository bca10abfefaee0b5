package hatest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// route is one path of the home and what answers there.
type route struct {
	pattern string // segments; {x} is one that is not empty, {x...} the rest, which may be empty
	views   map[string]func(*request)
	open    bool  // answers without authentication
	limit   int64 // of the body; 0 means bodyLimit
	cors    bool  // every origin may read the answers
	alone   bool  // not even OPTIONS is answered beside the views
}

// get and post are the commonest sets of views.
func get(view func(*request)) map[string]func(*request) {
	return map[string]func(*request){http.MethodGet: view}
}

func post(view func(*request)) map[string]func(*request) {
	return map[string]func(*request){http.MethodPost: view}
}

// route finds the view of a request and calls it.
func (h *Home) route(r *request) {
	segments, ok := split(r.URL)
	if !ok {
		r.refuse(http.StatusNotFound)
		return
	}
	for _, rt := range h.routes {
		args, ok := match(rt.pattern, segments)
		if !ok {
			continue
		}
		view, ok := rt.views[r.Method]
		switch {
		case ok:
			r.args = args
			h.allow(r, rt)
			h.view(r, rt, view)
		case r.Method == http.MethodOptions && !rt.alone:
			r.preflight(rt)
		default:
			allowed := slices.Collect(maps.Keys(rt.views))
			if !rt.alone {
				allowed = append(allowed, http.MethodOptions)
			}
			slices.Sort(allowed)
			r.w.Header().Set("Allow", strings.Join(allowed, ","))
			r.refuse(http.StatusMethodNotAllowed)
		}
		return
	}
	r.refuse(http.StatusNotFound)
}

func (h *Home) view(r *request, rt route, view func(*request)) {
	if !rt.open && r.who == nil {
		if base, ok := r.ownURL(); ok && h.release.since(2026, 8) {
			r.w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+base+`/.well-known/oauth-protected-resource"`)
		}
		r.refuse(http.StatusUnauthorized)
		return
	}
	if rt.limit != 0 {
		r.limit = rt.limit
	}
	view(r)
}

// admin lets only administrators through; others get 401, as from Home Assistant.
func admin(view func(*request)) func(*request) {
	return func(r *request) {
		if !r.h.accounts.isAdmin(r.who.user) {
			r.refuse(http.StatusUnauthorized)
			return
		}
		view(r)
	}
}

// ownURL is the URL of this home if the Host is one that it knows as its own:
// the address that it listens on.
func (r *request) ownURL() (string, bool) {
	u, err := url.Parse("http://" + r.host)
	if err != nil || u.Hostname() != "127.0.0.1" {
		return "", false
	}
	return "http://" + r.host, true
}

// split cuts the path into decoded segments. An encoded slash stays inside its
// segment, as in aiohttp.
func split(u *url.URL) ([]string, bool) {
	raw := u.EscapedPath()
	if !strings.HasPrefix(raw, "/") {
		return nil, false
	}
	segments := strings.Split(raw[1:], "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, false
		}
		segments[i] = plain
	}
	return segments, true
}

func match(pattern string, segments []string) (map[string]string, bool) {
	var args map[string]string
	keep := func(name, value string) {
		if args == nil {
			args = map[string]string{}
		}
		args[name] = value
	}
	parts := strings.Split(pattern[1:], "/")
	for i, part := range parts {
		if i >= len(segments) {
			return nil, false
		}
		switch {
		case strings.HasSuffix(part, "...}"):
			keep(part[1:len(part)-4], strings.Join(segments[i:], "/"))
			return args, true
		case strings.HasPrefix(part, "{"):
			if segments[i] == "" {
				return nil, false
			}
			keep(part[1:len(part)-1], segments[i])
		case part != segments[i]:
			return nil, false
		}
	}
	return args, len(parts) == len(segments)
}

// The one origin that Home Assistant lets read its answers unless told others.
const castOrigin = "https://cast.home-assistant.io"

// allow adds the cross-origin headers of an answer.
func (h *Home) allow(r *request, rt route) {
	origin := r.Header.Get("Origin")
	if origin == "" || !rt.cors && origin != castOrigin {
		return
	}
	head := r.w.Header()
	head.Set("Access-Control-Allow-Origin", origin)
	head.Set("Access-Control-Expose-Headers", "")
}

// preflight answers a browser that asks whether it may send a request.
func (r *request) preflight(rt route) {
	origin, method := r.Header.Get("Origin"), strings.ToUpper(r.Header.Get("Access-Control-Request-Method"))
	switch {
	case origin == "":
		r.plain(http.StatusForbidden, "CORS preflight request failed: origin header is not specified in the request")
	case method == "":
		r.plain(http.StatusForbidden, "CORS preflight request failed: 'Access-Control-Request-Method' header is not specified")
	case !rt.cors && origin != castOrigin:
		r.plain(http.StatusForbidden, "CORS preflight request failed: origin '"+origin+"' is not allowed")
	case rt.views[method] == nil:
		r.plain(http.StatusForbidden, "CORS preflight request failed: request method '"+method+"' is not allowed for '"+origin+"' origin")
	default:
		head := r.w.Header()
		head.Set("Access-Control-Allow-Origin", origin)
		head.Set("Access-Control-Allow-Methods", method)
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			head.Set("Access-Control-Allow-Headers", strings.ToUpper(asked))
		}
		r.empty(http.StatusOK)
	}
}
