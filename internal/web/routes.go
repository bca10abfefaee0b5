package web

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Where everything lies. All else below /_gatehouse/ is served by a worker's cache.
const (
	authPrefix = "/_gatehouse/auth/"
	apiPrefix  = "/_gatehouse/api/"

	pathOwn     = authPrefix
	pathSignIn  = authPrefix + "sign-in"
	pathSignOut = authPrefix + "sign-out"
	pathResume  = authPrefix + "resume"
	pathInvite  = authPrefix + "invite/" // and the invitation's code
	pathStatic  = authPrefix + "static/" // and a file's name

	pathHandout = authPrefix + "certificate/" // and its code
	pathRenew   = authPrefix + "certificate"
)

// taking is what a request of a route brings along.
type taking int

const (
	nothing taking = iota // changes nothing, so that anybody's link may lead here
	form                  // a form of ours, with or without a script
	object                // a JSON object from a script of ours
)

// Bounds of what a request brings, in bytes.
const (
	shortBody   = 8 << 10
	passkeyBody = 96 << 10 // an authenticator's answer; identity takes 64 KiB of it
)

// route is what is done at a path with a method.
type route struct {
	takes    taking
	limit    int64 // of the body, in bytes
	signedIn bool  // for people with a live session alone
	serve    func(*Pages, *call) error
}

// routes returns every route there is. A path that ends in a slash and has an
// argument is found by prefix (find); every other path is found as it is.
func routes() map[string]map[string]route {
	get := func(serve func(*Pages, *call) error) map[string]route {
		return map[string]route{http.MethodGet: {serve: serve}}
	}
	post := func(limit int64, serve func(*Pages, *call) error) map[string]route {
		return map[string]route{http.MethodPost: {takes: object, limit: limit, serve: serve}}
	}
	mine := func(limit int64, serve func(*Pages, *call) error) map[string]route {
		return map[string]route{http.MethodPost: {takes: object, limit: limit, signedIn: true, serve: serve}}
	}
	submit := func(serve func(*Pages, *call) error) route { return route{takes: form, limit: shortBody, serve: serve} }
	return map[string]map[string]route{
		pathOwn: get((*Pages).own),
		pathSignIn: {
			http.MethodGet:  {serve: (*Pages).signInPage},
			http.MethodPost: submit((*Pages).signInForm),
		},
		pathSignOut: {http.MethodPost: submit((*Pages).signOut)},
		pathResume:  {http.MethodPost: submit((*Pages).resume)},
		pathInvite: {
			http.MethodGet:  {serve: (*Pages).invitePage},
			http.MethodPost: submit((*Pages).inviteBrowser),
		},
		pathStatic: get((*Pages).static),
		pathHandout: {
			http.MethodGet:  {serve: (*Pages).handoutPage},
			http.MethodPost: submit((*Pages).takeHandout),
		},
		pathRenew: {
			http.MethodGet:  {serve: (*Pages).renewPage},
			http.MethodPost: submit((*Pages).renewCertificate),
		},
		pathTrust:       get((*Pages).trustPage),
		pathTrust + "/": get((*Pages).trustFile),
		pathTrusted:     get((*Pages).trusted),

		apiPrefix + "session":               get((*Pages).session),
		apiPrefix + "ready":                 get((*Pages).ready),
		apiPrefix + "sign-in/passkey/begin": post(shortBody, (*Pages).beginSignIn),
		apiPrefix + "sign-in/passkey":       post(passkeyBody, (*Pages).signInPasskey),
		apiPrefix + "sign-in/code":          post(shortBody, (*Pages).signInCode),

		apiPrefix + "approvals":        post(shortBody, (*Pages).ask),
		apiPrefix + "approvals/poll":   post(shortBody, (*Pages).poll),
		apiPrefix + "approvals/answer": mine(shortBody, (*Pages).answer),
		apiPrefix + "approvals/waiting": {
			http.MethodGet: {signedIn: true, serve: (*Pages).waiting},
		},

		apiPrefix + "invite/passkey/begin": post(shortBody, (*Pages).beginPasskey),
		apiPrefix + "invite/passkey":       post(passkeyBody, (*Pages).enrolPasskey),
		apiPrefix + "invite/totp/begin":    post(shortBody, (*Pages).beginTOTP),
		apiPrefix + "invite/totp":          post(shortBody, (*Pages).enrolTOTP),

		apiPrefix + "account/confirm":        mine(shortBody, (*Pages).confirm),
		apiPrefix + "account/passkey/begin":  mine(shortBody, (*Pages).beginAddPasskey),
		apiPrefix + "account/passkey":        mine(passkeyBody, (*Pages).addPasskey),
		apiPrefix + "account/passkey/remove": mine(shortBody, (*Pages).removePasskey),
		apiPrefix + "account/totp/begin":     mine(shortBody, (*Pages).beginResetTOTP),
		apiPrefix + "account/totp":           mine(shortBody, (*Pages).resetTOTP),
		apiPrefix + "account/recovery":       mine(shortBody, (*Pages).renewRecovery),
	}
}

// find returns what can be done at a path, nil if nothing, and the argument in it.
func (p *Pages) find(path string) (methods map[string]route, arg string) {
	for _, prefix := range []string{pathInvite, pathStatic, pathHandout, pathTrust + "/"} {
		if arg, ok := strings.CutPrefix(path, prefix); ok {
			if arg == "" || strings.Contains(arg, "/") {
				return nil, ""
			}
			return p.routes[prefix], arg
		}
	}
	return p.routes[path], ""
}

// allowed names a path's methods for the Allow header (RFC 9110 section 10.2.1).
func allowed(methods map[string]route) string {
	names := slices.Sorted(maps.Keys(methods))
	if _, ok := methods[http.MethodGet]; ok {
		names = append(names, http.MethodHead)
	}
	return strings.Join(names, ", ")
}
