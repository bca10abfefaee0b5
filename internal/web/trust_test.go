package web

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"html"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
)

// guide is a real authority, of a home whose door lan is at house.local and 192.168.1.10.
type guide struct {
	*pki.Authority
	ledger *ledger.Ledger
	issuer Issuer
}

func newGuide(t *testing.T) *guide {
	t.Helper()
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	a, err := pki.Open(t.Context(), l, pki.Options{Names: []string{"house.local"}})
	if err != nil {
		t.Fatal(err)
	}
	return &guide{a, l, IssuerOwn}
}

const (
	byAddress = "https://192.168.1.10:8443"
	byName    = "https://house.local:8443"
	inPlain   = "http://192.168.1.10:8123"
)

func (g *guide) Trust(_ string, visitor netip.Addr) Trust {
	t := Trust{Issuer: g.issuer, Root: g.Offered(), Origins: []string{byAddress, byName}}
	if visitor.Is4() {
		t.Sure = []string{byAddress}
	}
	if _, ok := g.Next(); ok {
		before := g.Root()
		t.Before = &before
	}
	return t
}

func (g *guide) IsOwn(origin string) bool {
	return slices.Contains([]string{byAddress, byName, inPlain}, origin)
}

// atHome is a browser at home, at the door lan.
func (h *house) atHome() *browser {
	b := h.browser()
	b.home = &identity.Visit{Door: policy.LAN, AtHome: true, Addr: netip.MustParseAddr("192.168.1.20"), Host: "house.local", Origin: byName}
	return b
}

// inPlain is one at home at the door without TLS.
func (h *house) inPlain() *browser {
	b := h.atHome()
	b.home.Host, b.home.Origin, b.home.Secure = "192.168.1.10", inPlain, byAddress
	return b
}

// Whoever is at home at the door lan is shown the page, its files and the answer, without
// a sign-in; at every other door, and from outside, there is no such thing, signed in or not.
func TestTrustIsForHome(t *testing.T) {
	h := newHouse(t)
	owner := h.browser()
	owner.becomeOwner("Olga")
	targets := []string{pathTrust, pathTrusted}
	for _, o := range offers() {
		if o.name != "before.crt" {
			targets = append(targets, pathTrust+"/"+o.name)
		}
	}
	for _, target := range targets {
		wants(t, h.atHome().get(target), http.StatusOK)
		for _, door := range []policy.Door{policy.LAN, policy.HTTPS, policy.WireGuard, policy.SSH, policy.Onion} {
			for _, home := range []bool{false, true} {
				if door == policy.LAN && home {
					continue
				}
				for _, cookie := range []string{"", owner.cookie} {
					b := h.atHome()
					b.home.Door, b.home.AtHome, b.cookie = door, home, cookie
					w := b.get(target)
					wants(t, w, http.StatusNotFound)
					if got := w.Header().Get("Access-Control-Allow-Origin") + w.Header().Get("Content-Disposition"); got != "" || bytes.Contains(w.Body.Bytes(), []byte(h.guide.Root().Name())) {
						t.Errorf("%s at %s: %q", target, door, got)
					}
				}
			}
		}
	}
	h.cfg.Authority = nil
	wants(t, h.atHome().get(pathTrust), http.StatusNotFound)
}

// Each file is the root in its platform's form, is saved and not run or sniffed, and is
// kept by nobody.
func TestTrustFiles(t *testing.T) {
	h := newHouse(t)
	root := h.guide.Root()
	for name, want := range map[string]struct {
		kind string
		data []byte
	}{
		"gatehouse.crt": {"application/x-x509-ca-cert", root.DER()}, "gatehouse.cer": {"application/x-x509-ca-cert", root.DER()},
		"gatehouse.pem": {"application/x-pem-file", root.PEM()}, "gatehouse.mobileconfig": {"application/x-apple-aspen-config", pki.Profile(english().TrustLimits, root)},
	} {
		for _, b := range []*browser{h.atHome(), h.inPlain()} {
			w := b.get(pathTrust + "/" + name)
			wants(t, w, http.StatusOK)
			if !bytes.Equal(w.Body.Bytes(), want.data) {
				t.Errorf("%s holds something else", name)
			}
			for header, value := range map[string]string{"Content-Type": want.kind, "Content-Disposition": `attachment; filename="` + name + `"`,
				"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Security-Policy": contentPolicy} {
				if got := w.Header().Get(header); got != value {
					t.Errorf("%s: %s is %q", name, header, got)
				}
			}
			if bytes.Contains(w.Body.Bytes(), []byte("PRIVATE")) {
				t.Errorf("%s holds a key", name)
			}
		}
	}
	for _, name := range []string{"before.crt", "gatehouse.key", "gatehouse.crt/", "..", "%2e%2e", "GATEHOUSE.CRT", ""} {
		wants(t, h.atHome().get(pathTrust+"/"+name), http.StatusNotFound)
	}
}

// The page shows the fingerprint of the very certificate that it hands out, in lines, and
// a way to itself for another device; nothing in it comes from what the visitor says.
func TestTrustPage(t *testing.T) {
	h := newHouse(t)
	block, _ := pem.Decode(h.atHome().get(pathTrust + "/gatehouse.pem").Body.Bytes())
	sum := sha256.Sum256(block.Bytes)
	for lang, words := range map[string]*messages{"en": english(), "de": german()} {
		b := h.inPlain()
		b.home.UserAgent = `<script>alert(1)</script> Android`
		b.header = map[string]string{"Accept-Language": lang}
		w := b.get(pathTrust)
		wants(t, w, http.StatusOK, `lang="`+lang+`"`, words.TrustTitle, words.ComparePlain, "sudo gatehouse ca fingerprint", `src="data:image/png;base64,`, words.CheckYes)
		var shown strings.Builder
		for _, m := range regexp.MustCompile(`<code>((?:[0-9A-F]{2}:){7}[0-9A-F]{2})</code>`).FindAllStringSubmatch(w.Body.String(), -1) {
			shown.WriteString(strings.ReplaceAll(m[1], ":", ""))
		}
		if want := strings.ToUpper(hex.EncodeToString(sum[:])); shown.String() != want {
			t.Errorf("%s: the fingerprint is %s, want %s", lang, shown.String(), want)
		}
		picture, err := pictureOf(inPlain + pathTrust)
		h.must(err)
		if !strings.Contains(html.UnescapeString(w.Body.String()), `src="`+picture+`"`) {
			t.Errorf("%s: the picture leads elsewhere", lang)
		}
		if bytes.Contains(w.Body.Bytes(), []byte("alert(1)")) {
			t.Errorf("%s: what the visitor says stands in the page", lang)
		}
	}
	wants(t, h.atHome().get(pathTrust), http.StatusOK, english().CompareWarned)
}

// The visitor's platform comes first; every platform is there.
func TestTrustPlatforms(t *testing.T) {
	h := newHouse(t)
	for agent, want := range map[string]string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1":   "iPhone and iPad",
		"Home Assistant/2026.11 (io.robbie.HomeAssistant; build:2026.1; iOS 18.1.0)":                                                                "iPhone and iPad",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/132.0 Mobile/15E148 Safari/605.1.15": "iPhone and iPad",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36":                     "Android",
		"Mozilla/5.0 (Android 15; Mobile; rv:142.0) Gecko/142.0 Firefox/142.0":                                                                      "Android",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15":                     "Mac",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0":             "Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0":                                                          "Firefox",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36":                                     "Linux",
		"curl/8.14.1": "iPhone and iPad",
		"":            "iPhone and iPad",
	} {
		b := h.atHome()
		b.home.UserAgent = agent
		body := b.get(pathTrust).Body.String()
		m := regexp.MustCompile(`id="first-title">([^<]*)<`).FindStringSubmatch(body)
		if m == nil || m[1] != want {
			t.Errorf("%s: %v comes first", agent, m)
		}
		for _, o := range platforms(english()) {
			if !strings.Contains(body, ">"+o.Name+"</") || !strings.Contains(body, `href="/_gatehouse/auth/trust/`+o.File+`"`) {
				t.Errorf("%s: %s is missing", agent, o.Name)
			}
		}
	}
}

// Every file that a platform is led to is there.
func TestTrustPlatformsHaveTheirFile(t *testing.T) {
	h := newHouse(t)
	for _, o := range platforms(english()) {
		wants(t, h.atHome().get(pathTrust+"/"+o.File), http.StatusOK)
		if len(o.Steps) == 0 || o.Get == "" {
			t.Errorf("%s has no steps", o.Name)
		}
	}
}

// Where the name in use has a certificate that everybody knows, the page says so; one of
// somebody else's is not passed off as ours.
func TestTrustNotNeeded(t *testing.T) {
	h := newHouse(t)
	says := func(text string) string { return sayName(text, "house.local") }
	en := english()
	for issuer, want := range map[Issuer]string{IssuerPublic: says(en.TrustPublic), IssuerOther: says(en.TrustForeign), IssuerOwn: ""} {
		h.guide.issuer = issuer
		body := h.atHome().get(pathTrust).Body.String()
		for _, text := range []string{says(en.TrustPublic), says(en.TrustForeign)} {
			if strings.Contains(body, text) != (text == want) {
				t.Errorf("issuer %d: %q", issuer, text)
			}
		}
	}
}

// While another root is prepared, the page offers that one and the one that still counts,
// and does not claim to know which of them a device trusts.
func TestTrustWhileRotating(t *testing.T) {
	h := newHouse(t)
	old := h.guide.Root()
	h.must(h.guide.Prepare(t.Context(), h.guide.ledger, []string{"house.local"}))
	b := h.atHome()
	w := b.get(pathTrust)
	wants(t, w, http.StatusOK, english().TrustChanging, "/_gatehouse/auth/trust/before.crt", h.guide.Offered().Lines()[0])
	if strings.Contains(w.Body.String(), `id="check"`) || w.Header().Get("Content-Security-Policy") != contentPolicy {
		t.Error("it is asked whether the device trusts the old root")
	}
	if got := b.get(pathTrust + "/before.crt").Body.Bytes(); !bytes.Equal(got, old.DER()) {
		t.Error("the root of until now is another")
	}
	if got := b.get(pathTrust + "/gatehouse.crt").Body.Bytes(); !bytes.Equal(got, h.guide.Offered().DER()) {
		t.Error("the new root is another")
	}
	if got := b.get(pathTrust + "/gatehouse.mobileconfig").Body.String(); strings.Count(got, "com.apple.security.root") != 2 {
		t.Error("the profile does not hold both")
	}
}

// The page may ask the door's other origins and no others; the answer is empty, is read by
// the house's own pages alone, and carries no leave to do anything else.
func TestTrustCheck(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct {
		b          *browser
		connect    string
		alone, try string
		same       string
	}{
		"by name":  {h.atHome(), byAddress, byAddress + " ", byName, ""},
		"in plain": {h.inPlain(), byAddress + " " + byName, byName + " ", byAddress, byAddress},
	} {
		w := c.b.get(pathTrust)
		wants(t, w, http.StatusOK, `data-alone="`+c.alone+`"`, `data-same="`+c.same+`"`, `href="`+c.try+`/"`)
		want := strings.Replace(contentPolicy, "connect-src 'self'", "connect-src 'self' "+c.connect, 1)
		if got := w.Header().Get("Content-Security-Policy"); got != want || !strings.Contains(got, "require-trusted-types-for") {
			t.Errorf("%s: %s", name, got)
		}
	}
	for origin, may := range map[string]bool{inPlain: true, byName: true, byAddress: true, "": false, "null": false, "https://evil.example": false,
		"https://house.local:8443.evil.example": false, "https://house.local": false, "HTTPS://house.local:8443": false} {
		b := h.atHome()
		b.cookie = "anything"
		b.header = map[string]string{"Origin": origin}
		w := b.get(pathTrusted)
		wants(t, w, http.StatusOK)
		want := ""
		if may {
			want = origin
		}
		if got := w.Header().Values("Access-Control-Allow-Origin"); strings.Join(got, ",") != want {
			t.Errorf("%q may read it: %v", origin, got)
		}
		if w.Body.Len() != 0 || w.Header().Get("Vary") != "Origin" || w.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" || len(w.Result().Cookies()) != 0 {
			t.Errorf("%q: %q %v", origin, w.Body, w.Header())
		}
		for header := range w.Header() {
			if strings.HasPrefix(header, "Access-Control-") && header != "Access-Control-Allow-Origin" {
				t.Errorf("%q: %s", origin, header)
			}
		}
	}
	two := h.atHome()
	r := two.request(http.MethodGet, pathTrusted, "", "")
	r.Header["Origin"] = []string{byName, inPlain}
	if w := two.do(r); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("two origins may read it")
	}
	// It proves TLS, so without TLS there is no answer; nothing else of ours is for other origins.
	if h.Plain(httptest.NewRequest(http.MethodGet, pathTrusted, nil)) {
		t.Error("it is answered without TLS")
	}
	everyRoute(h, func(target, method string, _ route) {
		b := h.atHome()
		b.header = map[string]string{"Origin": byName}
		if w := b.do(b.request(method, target, "application/json", "{}")); target != pathTrusted && w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s is for other origins", target)
		}
	})
}

// Who is led to the address with TLS, and will be warned there, is shown where to begin.
func TestTrustIsLinked(t *testing.T) {
	h := newHouse(t)
	h.browser().becomeOwner("Olga")
	link := `href="/_gatehouse/auth/trust"`
	for issuer, want := range map[Issuer]bool{IssuerOwn: true, IssuerPublic: false, IssuerOther: false} {
		h.guide.issuer = issuer
		b := h.inPlain()
		r := b.request(http.MethodGet, "/lovelace/0", "", "")
		w := httptest.NewRecorder()
		h.Write(w, r.WithContext(identity.WithVisit(r.Context(), b.visit())), PageOverTLS, http.StatusUnauthorized)
		if strings.Contains(w.Body.String(), link) != want {
			t.Errorf("issuer %d: %s", issuer, w.Body)
		}
	}
}

// What is handed out is a certificate of this home's authority, as every parser reads it.
func TestTrustFileParses(t *testing.T) {
	h := newHouse(t)
	c, err := x509.ParseCertificate(h.atHome().get(pathTrust + "/gatehouse.cer").Body.Bytes())
	if err != nil || !c.IsCA || !c.PermittedDNSDomainsCritical {
		t.Errorf("%v: %+v", err, c)
	}
}
