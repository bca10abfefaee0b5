package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// everyRoute calls f with each route there is, and an address of it.
func everyRoute(h *house, f func(target, method string, rt route)) {
	for path, methods := range h.routes {
		target := map[string]string{pathInvite: path + "abcd", pathHandout: path + "abcd", pathStatic: path + "gatehouse.css", pathTrust + "/": path + "gatehouse.crt"}[path]
		if target == "" {
			target = path
		}
		for method, rt := range methods {
			f(target, method, rt)
		}
	}
}

func TestMethods(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	everyRoute(h, func(target, method string, rt route) {
		methods, _ := h.find(strings.Split(target, "?")[0])
		for _, other := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"} {
			if _, ok := methods[other]; ok {
				continue
			}
			w := b.do(b.request(other, target, "", ""))
			if wants(t, w, http.StatusMethodNotAllowed); w.Header().Get("Allow") != allowed(methods) || w.Header().Get("Allow") == "" {
				t.Errorf("%s %s: Allow is %q", other, target, w.Header().Get("Allow"))
			}
		}
	})
	for _, path := range []string{"nothing", "static/nothing.css", "static/..", "static/gatehouse.css/", "sign-in/", "invite", ""} {
		wants(t, b.get("/_gatehouse/auth/../"+path), http.StatusNotFound, "Page not found")
		if path != "" {
			wants(t, b.get(authPrefix+path), http.StatusNotFound, "Page not found")
		}
		wants(t, b.get(apiPrefix+path), http.StatusNotFound, `{"error":"not-found"}`)
	}
}

// Whatever changes something is refused unless a page of ours sent it, in its one
// content type and below its length, and by whoever it is for.
func TestWhatIsPosted(t *testing.T) {
	h := newHouse(t)
	everyRoute(h, func(target, method string, rt route) {
		if method != http.MethodPost {
			if rt.takes != nothing {
				t.Errorf("%s %s takes something", method, target)
			}
			return
		}
		t.Run(strings.TrimPrefix(target, "/_gatehouse"), func(t *testing.T) {
			kind, wrong, empty := "application/json", "application/x-www-form-urlencoded", "{}"
			if rt.takes == form {
				kind, wrong, empty = wrong, kind, ""
			}
			send := func(body string, header ...string) *httptest.ResponseRecorder {
				b := h.browser()
				r := b.request(method, target, kind, body)
				for k := 0; k < len(header); k += 2 {
					r.Header.Del(header[k])
					if header[k+1] != "" {
						r.Header.Set(header[k], header[k+1])
					}
				}
				return b.do(r)
			}
			for _, header := range [][]string{
				{"Origin", ""}, {"Origin", "null"}, {"Origin", "https://home.example"}, {"Origin", "https://evil.example:8443"},
				{"Origin", "http://home.example:8443"}, {"Origin", "HTTPS://HOME.EXAMPLE:8443"},
				{"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "none"},
				{"Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"},
				{"Origin", "", "Sec-Fetch-Site", "cross-site"},
			} {
				if w := send(empty, header...); w.Code != http.StatusForbidden {
					t.Errorf("%v: %d", header, w.Code)
				}
			}
			for _, header := range [][]string{
				{"Content-Type", ""}, {"Content-Type", wrong}, {"Content-Type", "text/plain"}, {"Content-Type", kind + "x"},
				{"Content-Type", "multipart/form-data; boundary=x"},
			} {
				if w := send(empty, header...); w.Code != http.StatusUnsupportedMediaType {
					t.Errorf("%v: %d", header, w.Code)
				}
			}
			for _, header := range [][]string{
				{"Origin", "", "Sec-Fetch-Site", "same-origin"}, {"Origin", "null", "Sec-Fetch-Site", "same-origin"},
				{"Content-Type", kind + "; charset=utf-8"},
			} {
				if w := send(empty, header...); w.Code == http.StatusForbidden && !strings.Contains(target, "/abcd") || w.Code == http.StatusUnsupportedMediaType {
					t.Errorf("%v: %d", header, w.Code)
				}
			}
			if rt.signedIn {
				wants(t, send(empty), http.StatusUnauthorized, `{"error":"signed-out"}`)
				return
			}
			long := strings.Repeat(" ", int(rt.limit)+1)
			if rt.takes == form {
				long = "name=" + strings.Repeat("x", int(rt.limit))
			}
			if w := send(long); w.Code != http.StatusRequestEntityTooLarge {
				t.Errorf("too long: %d", w.Code)
			}
			if rt.takes != object {
				return
			}
			for _, body := range []string{"", "null x", "[]", `"x"`, `{"unknown":1}`, `{} {}`, "{\"a\":\"\xff\"}", `{"Name":"x"}`, `{"name":"x","name":"y"}`, "{"} {
				if w := send(body); w.Code != http.StatusBadRequest || w.Body.String() != `{"error":"body"}` {
					t.Errorf("%q: %d %s", body, w.Code, w.Body)
				}
			}
		})
	})
}

func TestTwoOrigins(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	r := b.request(http.MethodPost, pathSignOut, "application/x-www-form-urlencoded", "")
	r.Header["Origin"] = []string{testOrigin, "https://evil.example"}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	wants(t, b.do(r), http.StatusForbidden)
}

// What is for people who are signed in leads others to the sign-in page.
func TestSignedOut(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	wants(t, b.get(apiPrefix+"approvals/waiting"), http.StatusUnauthorized, `{"error":"signed-out"}`)
	b.becomeOwner("Olga")
	wants(t, b.get(apiPrefix+"approvals/waiting"), http.StatusOK, `{"waiting":[]}`)
	h.must(h.id.RevokeDevice(t.Context(), b.standing().Who.Device))
	wants(t, b.get(apiPrefix+"approvals/waiting"), http.StatusUnauthorized)
	wants(t, b.get(pathOwn), http.StatusOK, "Sign in")
}

func TestNoVisit(t *testing.T) {
	h := newHouse(t)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, pathOwn, nil))
	wants(t, w, http.StatusInternalServerError)
}

var nexts = []string{"/", "/lovelace/0", "/a?b=//c", "/auth/authorize?response_type=code&redirect_uri=https%3A%2F%2Fhome.example%2F&code_challenge=x",
	"", "//", "//evil.example", "/\\evil.example", "/a//b", "/./a", "/../a", "/a/..", "/a/.", "/a/../b?c", "https://evil.example/", "javascript:alert(1)",
	"/a#b", "/a b", "/a\tb", "/a\nb", "/\u00e4", "evil", "/.", "/..?x", "/?..", "/a/?b", "/" + strings.Repeat("a", maxNext)}

func TestNext(t *testing.T) {
	good := []string{"/", "/lovelace/0", "/a?b=//c", nexts[3], "/?..", "/a/?b"}
	for _, n := range nexts {
		if got := isLocal(n); got != slices.Contains(good, n) {
			t.Errorf("%.60q: %v", n, got)
		}
	}
}

// Where one is sent is on this host, by the reading of every browser that knows the
// URL standard or the RFC.
func FuzzNext(f *testing.F) {
	for _, n := range nexts {
		f.Add(n)
	}
	base, err := url.Parse(testOrigin + "/a/b")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if !isLocal(target) {
			return
		}
		u, err := base.Parse(target)
		if err != nil {
			return // a percent sign that stands for nothing; the gateway refuses it
		}
		if u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || u.Fragment != "" {
			t.Errorf("%q leads to %s", target, u)
		}
		if strings.ContainsAny(target, "\\\r\n\t #") || strings.HasPrefix(u.EscapedPath(), "//") {
			t.Errorf("%q is taken", target)
		}
	})
}

// A sign-in that no page sent is refused unread, and counts: no browser leaves out where a
// request comes from. What another site's page sent counts against nobody, and neither does
// what a known device sends.
func TestUnreadCounts(t *testing.T) {
	h := newHouse(t)
	known := h.browser()
	known.becomeOwner("Olga")
	send := func(b *browser, header ...string) int {
		before := h.failures()
		r := b.request(http.MethodPost, apiPrefix+"sign-in/code", "application/json", `{"name":"Olga","code":"000000"}`)
		r.Header.Del("Origin")
		for k := 0; k < len(header); k += 2 {
			r.Header.Set(header[k], header[k+1])
		}
		wants(t, b.do(r), http.StatusForbidden, `{"error":"foreign"}`)
		return h.failures() - before
	}
	if n := send(h.browser()); n != 1 {
		t.Errorf("a program: %d failures", n)
	}
	if n := send(h.browser(), "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"); n != 0 {
		t.Errorf("another site's page: %d failures", n)
	}
	if n := send(h.browser(), "Origin", "https://evil.example"); n != 0 {
		t.Errorf("another site's page in an old browser: %d failures", n)
	}
	if n := send(known); n != 0 {
		t.Errorf("a program with a known device's cookie: %d failures", n)
	}
}

// Too many sign-ins at once are told so, whatever they bring: a right code as well.
func TestTooManySignIns(t *testing.T) {
	h := newHouse(t)
	e := h.browser().becomeOwner("Olga")
	bodies := map[string]int{}
	for range 40 {
		b := h.browser()
		bodies[b.ask("sign-in/code", fields{"name": "Olga", "code": "000000"}, nil).Body.String()]++
	}
	if len(bodies) != 2 || bodies[`{"error":"busy"}`] == 0 || bodies[`{"error":"refused"}`] == 0 {
		t.Errorf("answers: %v", bodies)
	}
	wants(t, h.browser().ask("sign-in/code", fields{"name": "Olga", "code": h.code(e.App.Secret)}, nil), http.StatusTooManyRequests, `{"error":"busy"}`)
	h.pass(time.Minute)
	wants(t, h.browser().ask("sign-in/code", fields{"name": "Olga", "code": h.code(e.App.Secret)}, nil), http.StatusOK)
}
