package web

import (
	"html"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"gatehouse/internal/policy"
)

// write has a page written on a URL of Home Assistant's.
func (b *browser) write(target string, page Page, status int) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.h.Write(w, b.request(http.MethodGet, target, "", ""), page, status)
	return w
}

func everyPage() map[Page]string {
	return map[Page]string{
		PageNotFound:     "Page not found",
		PageSignIn:       "Sign in",
		PageOtherUser:    "This browser belongs to Olga",
		PageHADown:       "is not answering",
		PageNotAllowed:   "Not for this account",
		PageNotOnboarded: "is not set up yet",
		PageOverTLS:      "This home is closed",
	}
}

func TestWrite(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.becomeOwner("Olga")
	for page, text := range everyPage() {
		for _, status := range []int{200, 401, 403, 404, 503} {
			w := b.write("/lovelace/0?x=1", page, status)
			wants(t, w, status, text, "<!doctype html>", `lang="en"`)
			if strings.Count(w.Body.String(), "<h1") != 1 {
				t.Errorf("page %d has not one heading", page)
			}
			if n := strings.Count(w.Body.String(), "<main"); n != 1 {
				t.Errorf("page %d has %d main parts", page, n)
			}
		}
	}
	w := b.write("/x", PageHADown, 503)
	wants(t, w, 503, `<noscript><meta http-equiv="refresh" content="10">`)
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestSignInStandsInForWhatWasAsked(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	for target, want := range map[string]string{
		"/":                          "/",
		"/lovelace/0?edit=1":         "/lovelace/0?edit=1",
		nexts[3]:                     nexts[3],
		"/%22%3E%3Cscript%3E?a=<b>'": "/",
		"//evil.example/":            "/",
	} {
		r := b.request(http.MethodGet, "/", "", "")
		r.RequestURI = target
		w := httptest.NewRecorder()
		h.Write(w, r, PageSignIn, http.StatusUnauthorized)
		wants(t, w, http.StatusUnauthorized, `data-next="`+html.EscapeString(want)+`"`)
	}
}

// A page before sign-in says nothing of the house and of who lives in it.
func TestStrangersLearnNothing(t *testing.T) {
	h := newHouse(t)
	h.browser().becomeOwner("Olga")
	h.invite("Anna", policy.RoleMember)
	telling := regexp.MustCompile(`(?i)home.?assistant|aiohttp|hass|olga|anna|\b20\d\d\.\d+|\bv?\d+\.\d+\.\d+\b`)
	for _, lang := range []string{"en", "de"} {
		b := h.browser()
		b.header = map[string]string{"Accept-Language": lang}
		everyRoute(h, func(target, method string, rt route) {
			for _, m := range []string{method, http.MethodPut} {
				w := b.do(b.request(m, target, "application/json", "{}"))
				if found := telling.FindString(w.Body.String()); found != "" && !strings.HasPrefix(target, pathStatic) {
					t.Errorf("%s %s tells %q", m, target, found)
				}
				for name, values := range w.Header() {
					if telling.MatchString(strings.Join(values, " ")) || name == "Server" || name == "Www-Authenticate" {
						t.Errorf("%s %s: %s: %s", m, target, name, values)
					}
				}
			}
		})
		for _, page := range []Page{PageSignIn, PageNotFound, PageNotAllowed} {
			if found := telling.FindString(b.write("/x", page, 401).Body.String()); found != "" {
				t.Errorf("page %d tells %q", page, found)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	h := newHouse(t)
	known, stranger := h.browser(), h.browser()
	known.becomeOwner("Olga")
	want := map[string]string{
		"Cache-Control":                "no-store",
		"Referrer-Policy":              "strict-origin",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Cross-Origin-Resource-Policy": "same-origin",
		"X-Robots-Tag":                 "noindex",
		"Permissions-Policy":           permissions,
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
			"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'",
	}
	check := func(what string, w *httptest.ResponseRecorder) {
		t.Helper()
		for name, value := range want {
			if got := w.Header()[name]; len(got) != 1 || got[0] != value {
				t.Errorf("%s: %s is %q", what, name, got)
			}
		}
		if w.Header().Get("Content-Type") == "" {
			t.Errorf("%s has no type", what)
		}
	}
	for _, b := range []*browser{known, stranger} {
		everyRoute(h, func(target, method string, rt route) {
			for _, m := range []string{method, http.MethodHead, http.MethodPut} {
				w := b.do(b.request(m, target, "application/json", "{}"))
				check(m+" "+target, w)
				if m == http.MethodHead && w.Body.Len() > 0 {
					t.Errorf("HEAD %s has a body", target)
				}
			}
		})
		for page := range everyPage() {
			check("a page that stands in", b.write("/x", page, 403))
		}
	}
}

// The policy forbids what stands in the markup itself; a page that has some would
// look right here and be broken in a browser.
func TestNothingInline(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|<script(?: [^>]*)?>[^<{]|https?://|@import|url\(`)
	trusted := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout\(['"]|https?://`)
	err := fs.WalkDir(templateFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		file, err := templateFiles.ReadFile(path)
		if found := inline.FindString(string(file)); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := staticFiles.ReadDir("static")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		file, err := staticFiles.ReadFile("static/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if found := trusted.FindString(strings.ReplaceAll(string(file), `xmlns="http://www.w3.org/2000/svg"`, "")); found != "" {
			t.Errorf("%s has %q", f.Name(), found)
		}
	}
}

// Every file that a page or a script names is there, and every file is named.
func TestStatic(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.becomeOwner("Olga")
	pages := b.get(pathOwn).Body.String() + b.write("/x", PageHADown, 503).Body.String() + b.write("/x", PageOverTLS, 401).Body.String() +
		h.browser().get(pathSignIn).Body.String() + h.atHome().get(pathTrust).Body.String() + h.browser().get(pathInvite+h.invite("Anna", policy.RoleMember)).Body.String()
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`/_gatehouse/auth/static/([a-z.]+)`).FindAllStringSubmatch(pages, -1) {
		named[m[1]] = true
	}
	files, err := staticFiles.ReadDir("static")
	h.must(err)
	for _, f := range files {
		w := b.get(pathStatic + f.Name())
		wants(t, w, http.StatusOK)
		for _, m := range regexp.MustCompile(`from '\./([a-z.]+)'`).FindAllStringSubmatch(w.Body.String(), -1) {
			named[m[1]] = true
		}
		want := map[string]string{"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
		if got := w.Header().Get("Content-Type"); got != want[f.Name()[strings.LastIndex(f.Name(), ".")+1:]] {
			t.Errorf("%s is %q", f.Name(), got)
		}
	}
	for _, f := range files {
		if !named[f.Name()] {
			t.Errorf("%s is not used", f.Name())
		}
		delete(named, f.Name())
	}
	if len(named) > 0 {
		t.Errorf("missing: %v", named)
	}
}

func TestNew(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("pages without an identity")
	}
}
