package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"gatehouse/internal/identity"
)

// Without TLS nothing of anybody's is shown, and nothing can be typed in.
func TestPlain(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.becomeOwner("Olga")
	n := 0
	everyRoute(h, func(target, method string, _ route) {
		for _, m := range []string{method, http.MethodGet, http.MethodHead, http.MethodPost} {
			plain := h.Plain(httptest.NewRequest(m, target, nil))
			may := (m == http.MethodGet || m == http.MethodHead) && (strings.HasPrefix(target, pathStatic) || strings.HasPrefix(target, pathTrust) || target == apiPrefix+"ready")
			if plain != may {
				t.Errorf("%s %s: %t", m, target, plain)
			}
			if plain {
				n++
			}
		}
	})
	if n == 0 {
		t.Error("not even its styles are shown")
	}
	for _, target := range []string{"/", "/lovelace/0", pathStatic + "../sign-in", "/_gatehouse/auth/", "/_gatehouse/auth/staticx", "/_gatehouse/auth/trustx"} {
		if r := httptest.NewRequest(http.MethodGet, target, nil); h.Plain(r) && !strings.HasPrefix(target, pathStatic) {
			t.Errorf("%s is shown", target)
		}
	}
}

// The page that leads to the same house with TLS says where that is and asks for nothing.
func TestOverTLS(t *testing.T) {
	h := newHouse(t)
	h.browser().becomeOwner("Olga")
	telling := regexp.MustCompile(`(?i)home.?assistant|hass|olga|<form|<input|<button`)
	for _, lang := range []string{"en", "de"} {
		for _, secure := range []string{"https://house.test:8443", ""} {
			b := h.browser()
			b.header = map[string]string{"Accept-Language": lang}
			v := b.visit()
			v.Origin, v.Secure = "http://house.test:8123", secure
			r := b.request(http.MethodGet, "/lovelace/0", "", "")
			w := httptest.NewRecorder()
			h.Write(w, r.WithContext(identity.WithVisit(r.Context(), v)), PageOverTLS, http.StatusUnauthorized)
			wants(t, w, http.StatusUnauthorized, `lang="`+lang+`"`)
			body := w.Body.String()
			if found := telling.FindString(body); found != "" {
				t.Errorf("%s: it says %q", lang, found)
			}
			if (secure != "") != strings.Contains(body, `href="https://house.test:8443`) {
				t.Errorf("%s: where to go is missing, or made up: %.2000s", lang, body)
			}
			if len(w.Result().Cookies()) != 0 || w.Header().Get("Strict-Transport-Security") != "" {
				t.Errorf("%s: %v", lang, w.Header())
			}
		}
	}
}
