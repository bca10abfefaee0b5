package identity

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// The vectors of RFC 4226 appendix D and RFC 6238 appendix B (last six digits).
func TestHOTP(t *testing.T) {
	secret := []byte("12345678901234567890")
	for counter, want := range map[uint64]string{
		0: "755224", 1: "287082", 2: "359152", 3: "969429", 4: "338314", 5: "254676", 6: "287922", 7: "162583", 8: "399871", 9: "520489",
		1111111109 / 30: "081804", 1111111111 / 30: "050471", 1234567890 / 30: "005924", 2000000000 / 30: "279037", 20000000000 / 30: "353130",
	} {
		if got := hotp(secret, counter); got != want {
			t.Errorf("%d: %s, want %s", counter, got, want)
		}
	}
	if _, ok := matchTOTP(secret, "", time.Unix(59, 0), 0); ok {
		t.Error("no code matches")
	}
}

func TestCodesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{inviteLen, recoveryLen, approveLen}).Draw(t, "length")
		code := randomText(n)
		if got, ok := parseCode(strings.ToUpper(grouped(code)), n); !ok || got != code {
			t.Errorf("%q became %q, %t", code, got, ok)
		}
		if _, ok := parseCode(code, n-1); ok {
			t.Errorf("%q is taken for a shorter one", code)
		}
	})
	if strings.ContainsAny(alphabet, "01lo") || len(alphabet) != 32 {
		t.Error("the alphabet has look-alikes")
	}
}

func FuzzParseCode(f *testing.F) {
	for _, s := range []string{"", "2345-6789-abcd-efgh", "2345 6789 ABCD EFGH", "0000-0000-0000-0000", "2345-6789-abcd-efghi", "é234567", "\x00", strings.Repeat("-", 99)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := parseCode(typed, recoveryLen)
		if !ok {
			return
		}
		if len(code) != recoveryLen || strings.Trim(code, alphabet) != "" {
			t.Errorf("%q became %q", typed, code)
		}
		if again, ok := parseCode(grouped(code), recoveryLen); !ok || again != code {
			t.Errorf("%q became %q and then %q", typed, code, again)
		}
	})
}

func FuzzIsTOTP(f *testing.F) {
	for _, s := range []string{"", "123456", "123 456", " 1 2 3 4 5 6 ", "1234567", "12345a", "１２３４５６", "-12345"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := isTOTP(typed)
		if ok && (len(code) != totpDigits || strings.Trim(code, "0123456789") != "" || strings.ReplaceAll(typed, " ", "") != code) {
			t.Errorf("%q became %q", typed, code)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	f.Add("", "")
	f.Add(signIn, "AAAA")
	f.Fuzz(func(t *testing.T, kind, id string) {
		i := &Identity{cfg: Config{Now: time.Now}, sealer: newSealer()}
		if c, err := i.unseal(kind, id); err == nil {
			t.Errorf("opened %+v", c)
		}
		sealed, err := i.seal(kind, ceremony{Person: id})
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) > maxCeremony {
			return
		}
		if c, err := i.unseal(kind, sealed); err != nil && len(id) < 100 || err == nil && utf8.ValidString(id) && c.Person != id {
			t.Errorf("%q came back as %q, %v", id, c.Person, err)
		}
		if _, err := i.unseal(kind+"x", sealed); err == nil {
			t.Error("opened as another kind")
		}
	})
}

func TestDescribe(t *testing.T) {
	for ua, want := range map[string]string{
		"": "A browser",
		"Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36":                               "Chrome on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1":         "Safari on iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0":                           "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                           "Safari on Mac",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                          "Firefox on Linux",
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/140.0 Mobile Safari/537.36 Home Assistant/2026.11.1-1": "Home Assistant app on Android",
	} {
		if got := describe(ua); got != want {
			t.Errorf("%q is %q, want %q", ua, got, want)
		}
	}
}
