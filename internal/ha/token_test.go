package ha

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const issuer = "0123456789abcdef0123456789abcdef"

// jwt makes a token with a signature of the right length.
func jwt(header, payload string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(header)) + "." + enc([]byte(payload)) + "." + enc([]byte(strings.Repeat("s", 32)))
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func TestParseAuthSig(t *testing.T) {
	good := `{"iss":"` + issuer + `","path":"/media/local/K\u00fcche.mp4","params":[["a","b"],["a","c"]],"iat":1767225600,"exp":1767312000}`
	got, err := ParseAuthSig(jwt(hs256, good))
	if err != nil || got.Issuer != issuer || got.Path != "/media/local/Küche.mp4" || got.IssuedAt != 1767225600 || got.Expires != 1767312000 ||
		!slices.Equal(got.Params, [][2]string{{"a", "b"}, {"a", "c"}}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ParseAuthSig(jwt(`{"typ":"JWT","alg":"HS256"}`, good)); err != nil {
		t.Error(err)
	}
	replaced := func(old, fresh string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not there", old)
		}
		return jwt(hs256, strings.Replace(good, old, fresh, 1))
	}
	whole := jwt(hs256, good)
	for name, token := range map[string]string{
		"empty": "", "one part": "a", "two parts": "a.b", "four parts": whole + ".x", "padding": whole + "=", "no signature": whole[:strings.LastIndex(whole, ".")+1],
		"short signature": whole[:len(whole)-4], "line break": whole + "\n", "not base64": "!" + whole, "standard alphabet": strings.Replace(whole, ".", "+.", 1),
		"none":           jwt(`{"alg":"none","typ":"JWT"}`, good),
		"RS256":          jwt(`{"alg":"RS256","typ":"JWT"}`, good),
		"algorithm case": jwt(`{"alg":"hs256","typ":"JWT"}`, good),
		"kid":            jwt(`{"alg":"HS256","typ":"JWT","kid":"x"}`, good),
		"alg twice":      jwt(`{"alg":"HS256","typ":"JWT","alg":"HS256"}`, good),
		"iss twice":      replaced(`"iat"`, `"iss":"`+issuer+`","iat"`),
		"iss short":      replaced(issuer, issuer[1:]),
		"iss upper":      replaced(issuer, strings.ToUpper(issuer)),
		"iss number":     replaced(`"`+issuer+`"`, "1"),
		"no path":        replaced(`"path":"/media/local/K\u00fcche.mp4",`, ""),
		"path relative":  replaced(`"/media`, `"media`),
		"param alone":    replaced(`["a","b"]`, `["a"]`),
		"param number":   replaced(`["a","b"]`, `["a",1]`),
		"unknown claim":  replaced(`"iat"`, `"sub":"x","iat"`),
		"claim case":     replaced(`"iat"`, `"IAT"`),
		"no exp":         replaced(`,"exp":1767312000`, ""),
		"exp before iat": replaced(`1767312000`, `1767225600`),
		"exp fraction":   replaced(`1767312000`, `1767312000.5`),
		"exp string":     replaced(`1767312000`, `"1767312000"`),
		"eight days":     replaced(`1767312000`, fmt.Sprint(1767225600+8*86400)),
		"for ever":       replaced(`1767312000`, `9223372036854775807`),
		"trailing":       jwt(hs256, good+"{}"),
		"not UTF-8":      replaced("local", "lo\xffcal"),
		"huge":           jwt(hs256, strings.Replace(good, "local", strings.Repeat("x", maxJWT), 1)),
	} {
		if got, err := ParseAuthSig(token); err == nil {
			t.Errorf("%s is taken: %+v", name, got)
		}
	}
}

func TestSignatureIn(t *testing.T) {
	token := jwt(hs256, `{"iss":"`+issuer+`","path":"/x","params":[],"iat":1,"exp":2}`)
	for query, want := range map[string]string{ // found, and whether it is good
		"": "false true", "a=b": "false true", "authsig=" + token: "false true", "xauthSig=" + token: "false true", "a=authSig=" + token: "false true", "a=1;authSig=" + token: "false true",
		"authSig=" + token: "true true", "a=b&authSig=" + token + "&width=5": "true true", "%61uth%53ig=" + token: "true true", "authSig=" + strings.ReplaceAll(token, ".", "%2E"): "true true",
		"authSig": "true false", "authSig=": "true false", "authSig=x": "true false", "authSig=%zz": "true false", "authSig=" + token + "&authSig=" + token: "true false",
		"authSig=" + token + "&auth%53ig=x": "true false", "authSig=" + token + "+": "true false",
	} {
		sig, found, err := SignatureIn(query)
		if got := fmt.Sprint(found, " ", err == nil); got != want || (sig.Issuer == issuer) != (want == "true true") {
			t.Errorf("%s: %s, %+v, %v", query, got, sig, err)
		}
	}
}

func FuzzParseAuthSig(f *testing.F) {
	f.Add(jwt(hs256, `{"iss":"`+issuer+`","path":"/x","params":[],"iat":1,"exp":2}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		got, err := ParseAuthSig(token)
		if err != nil {
			return
		}
		if !isHex32(got.Issuer) || got.Path[0] != '/' || got.Expires-got.IssuedAt > maxSignedLife || got.Expires <= got.IssuedAt || strings.Count(token, ".") != 2 {
			t.Fatalf("%q is taken as %+v", token, got)
		}
	})
}

// part writes one field of a multipart body.
func part(name, value string) string {
	return "--b0\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

const multipartB0 = "multipart/form-data; boundary=b0"

// tokenRequests are bodies that are taken, and what they say.
var tokenRequests = []struct {
	name, contentType, body string
	want                    TokenRequest
}{
	{"browser", multipartB0, part("client_id", "https://home.example/") + part("grant_type", "refresh_token") + part("refresh_token", "r") + "--b0--\r\n",
		TokenRequest{Grant: "refresh_token", ClientID: "https://home.example/", RefreshToken: "r"}},
	{"browser, PKCE", multipartB0, part("client_id", "https://home.example/") + part("code", "c") + part("grant_type", "authorization_code") + part("code_verifier", "v") + "--b0--",
		TokenRequest{Grant: "authorization_code", ClientID: "https://home.example/", Code: "c", CodeVerifier: "v"}},
	{"aiohttp", multipartB0, "--b0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nt\r\n--b0--\r\n", TokenRequest{Token: "t"}},
	{"quoted boundary", `Multipart/Form-Data; boundary="b0"`, part("action", "revoke") + "--b0--\r\n", TokenRequest{Action: "revoke"}},
	{"app", "application/x-www-form-urlencoded", "client_id=https%3A%2F%2Fhome-assistant.io%2Fandroid&grant_type=authorization_code&code=c",
		TokenRequest{Grant: "authorization_code", ClientID: "https://home-assistant.io/android", Code: "c"}},
	{"charset", "application/x-www-form-urlencoded; charset=UTF-8", "action=revoke&token=a+b%C3%BC", TokenRequest{Action: "revoke", Token: "a bü"}},
	{"raw URL", "application/x-www-form-urlencoded;charset=utf-8", "client_id=https://home-assistant.io/iOS&unknown=x&empty=&bare", TokenRequest{ClientID: "https://home-assistant.io/iOS"}},
	{"nothing", "application/x-www-form-urlencoded", "", TokenRequest{}},
	{"no parts", multipartB0, "--b0--\r\n", TokenRequest{}},
}

var badTokenRequests = []struct{ name, contentType, body string }{
	{"no type", "", "token=t"},
	{"JSON", "application/json", `{"token":"t"}`},
	{"text", "text/plain", "token=t"},
	{"octets", "application/octet-stream", "token=t"},
	{"comment in type", "application/x-www-form-urlencoded (x)", "token=t"},
	{"UTF-7", "application/x-www-form-urlencoded; charset=utf-7", "token=t"},
	{"UTF-16", "application/x-www-form-urlencoded; charset=utf-16", "token=t"},
	{"charset twice", "application/x-www-form-urlencoded; charset=utf-8; charset=utf-8", "token=t"},
	{"two types", "application/x-www-form-urlencoded, multipart/form-data", "token=t"},
	{"other parameter", "application/x-www-form-urlencoded; x=y", "token=t"},
	{"repeated", "application/x-www-form-urlencoded", "token=t&token=t"},
	{"repeated, escaped", "application/x-www-form-urlencoded", "token=t&%74oken=u"},
	{"repeated, unknown", "application/x-www-form-urlencoded", "x=t&x="},
	{"half an escape", "application/x-www-form-urlencoded", "token=%4"},
	{"bad escape", "application/x-www-form-urlencoded", "token=%zz"},
	{"not UTF-8", "application/x-www-form-urlencoded", "token=%ff"},
	{"control", "application/x-www-form-urlencoded", "token=%00"},
	{"raw byte", "application/x-www-form-urlencoded", "token=\xc3\xbc"},
	{"line break", "application/x-www-form-urlencoded", "token=t\r\n"},
	{"semicolon", "application/x-www-form-urlencoded", "a=b;token=t"},
	{"empty pair", "application/x-www-form-urlencoded", "&token=t"},
	{"empty pair at the end", "application/x-www-form-urlencoded", "token=t&"},
	{"compressed", "application/x-www-form-urlencoded", "\x78\x9c\x2b\xc9\xcf\x4e\xcd\xb3\x2d\x01\x00\x0c\x5b\x03\x2b"},
	{"no boundary", "multipart/form-data", part("token", "t") + "--b0--\r\n"},
	{"odd boundary", "multipart/form-data; boundary=b 0", part("token", "t") + "--b0--\r\n"},
	{"boundary twice", "multipart/form-data; boundary=b0; boundary=b1", part("token", "t") + "--b0--\r\n"},
	{"other boundary", "multipart/form-data; boundary=b1", part("token", "t") + "--b0--\r\n"},
	{"multipart of another kind", "multipart/mixed; boundary=b0", part("token", "t") + "--b0--\r\n"},
	{"no end", multipartB0, part("token", "t")},
	{"empty", multipartB0, ""},
	{"preamble", multipartB0, "x\r\n" + part("token", "t") + "--b0--\r\n"},
	{"epilogue", multipartB0, part("token", "t") + "--b0--\r\nx"},
	{"epilogue with parts", multipartB0, part("token", "t") + "--b0--\r\n" + part("code", "c") + "--b0--\r\n"},
	{"bare LF", multipartB0, strings.ReplaceAll(part("token", "t")+"--b0--\r\n", "\r\n", "\n")},
	{"padding behind the boundary", multipartB0, strings.Replace(part("token", "t")+"--b0--\r\n", "--b0\r\n", "--b0 \r\n", 1)},
	{"repeated part", multipartB0, part("token", "t") + part("token", "u") + "--b0--\r\n"},
	{"file", multipartB0, strings.Replace(part("token", "t")+"--b0--\r\n", `name="token"`, `name="token"; filename="x"`, 1)},
	{"file first", multipartB0, strings.Replace(part("token", "t")+"--b0--\r\n", `name="token"`, `filename="x"; name="token"`, 1)},
	{"name twice", multipartB0, strings.Replace(part("token", "t")+"--b0--\r\n", `name="token"`, `name="token"; name="code"`, 1)},
	{"name extended", multipartB0, strings.Replace(part("token", "t")+"--b0--\r\n", `name="token"`, `name*=utf-8''token`, 1)},
	{"name escaped", multipartB0, part(`to\"ken`, "t") + "--b0--\r\n"},
	{"no name", multipartB0, part("", "t") + "--b0--\r\n"},
	{"charset by part", multipartB0, part("_charset_", "utf-7") + part("token", "t") + "--b0--\r\n"},
	{"base64", multipartB0, "--b0\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\ndA==\r\n--b0--\r\n"},
	{"compressed part", multipartB0, "--b0\r\nContent-Encoding: deflate\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\ndA==\r\n--b0--\r\n"},
	{"part in UTF-16", multipartB0, "--b0\r\nContent-Type: text/plain; charset=utf-16\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nta\r\n--b0--\r\n"},
	{"part of another type", multipartB0, "--b0\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nta\r\n--b0--\r\n"},
	{"nested", multipartB0, "--b0\r\nContent-Type: multipart/mixed; boundary=c\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n--c--\r\n--b0--\r\n"},
	{"folded", multipartB0, "--b0\r\nContent-Disposition: form-data;\r\n name=\"token\"\r\n\r\nt\r\n--b0--\r\n"},
	{"line break in value", multipartB0, part("token", "a\r\nb") + "--b0--\r\n"},
	{"value not UTF-8", multipartB0, part("token", "\xff") + "--b0--\r\n"},
	{"boundary in value", multipartB0, part("token", "a\r\n--b0x") + "--b0--\r\n"},
}

func TestParseTokenRequest(t *testing.T) {
	for _, c := range tokenRequests {
		if got, err := ParseTokenRequest(c.contentType, []byte(c.body)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	for _, c := range badTokenRequests {
		if got, err := ParseTokenRequest(c.contentType, []byte(c.body)); err == nil || got != (TokenRequest{}) {
			t.Errorf("%s is taken: %+v", c.name, got)
		}
	}
}

// FuzzParseTokenRequest: what is taken, written anew by net/url, is read the same.
func FuzzParseTokenRequest(f *testing.F) {
	for _, c := range tokenRequests {
		f.Add(c.contentType, []byte(c.body))
	}
	for _, c := range badTokenRequests {
		f.Add(c.contentType, []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		got, err := ParseTokenRequest(contentType, body)
		if err != nil {
			return
		}
		form := url.Values{}
		for name, value := range map[string]string{"grant_type": got.Grant, "action": got.Action, "client_id": got.ClientID, "code": got.Code,
			"code_verifier": got.CodeVerifier, "refresh_token": got.RefreshToken, "token": got.Token} {
			form.Set(name, value)
		}
		again, err := ParseTokenRequest(urlencoded, []byte(form.Encode()))
		if err != nil || again != got {
			t.Fatalf("%+v is read again as %+v, %v", got, again, err)
		}
		if strings.HasPrefix(strings.ToLower(contentType), urlencoded) {
			std, err := url.ParseQuery(string(body))
			if err != nil || std.Get("token") != got.Token || std.Get("refresh_token") != got.RefreshToken || std.Get("code") != got.Code {
				t.Fatalf("net/url reads %q as %v, %v", body, std, err)
			}
		}
	})
}

func TestParseTokenAnswer(t *testing.T) {
	access := jwt(hs256, `{"iss":"`+issuer+`","iat":1767225600,"exp":1767227400}`)
	got, err := ParseTokenAnswer([]byte(`{"access_token":"` + access + `","token_type":"Bearer","refresh_token":"r","expires_in":1800,"ha_auth_provider":"homeassistant"}`))
	if want := (TokenAnswer{AccessToken: access, RefreshToken: "r", ExpiresIn: 30 * 60, Issuer: issuer}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = ParseTokenAnswer([]byte(`{"access_token":"opaque","token_type":"Bearer","expires_in":1800}`))
	if err != nil || got.Issuer != "" || got.RefreshToken != "" || got.AccessToken != "opaque" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, body := range []string{"", "null", "[]", "{}", `{"access_token":"a","token_type":"Bearer"}`, `{"access_token":"a","token_type":"Bearer","expires_in":0}`,
		`{"access_token":"a","token_type":"Bearer","expires_in":-5}`, `{"access_token":"a","token_type":"Bearer","expires_in":1e9}`, `{"access_token":"a","token_type":"mac","expires_in":1}`,
		`{"access_token":"a","token_type":"Bearer","expires_in":99999999999}`, `{"access_token":"a","access_token":"b","token_type":"Bearer","expires_in":1}`,
		`{"Access_Token":"a","token_type":"Bearer","expires_in":1}`, `{"access_token":1,"token_type":"Bearer","expires_in":1}`, `{"access_token":"secret","token_type":"Bearer","expires_in":1}x`} {
		if got, err := ParseTokenAnswer([]byte(body)); err == nil {
			t.Errorf("%s is taken: %+v", body, got)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes the token: %v", err)
		}
	}
}

func FuzzParseTokenAnswer(f *testing.F) {
	f.Add([]byte(`{"access_token":"a","token_type":"Bearer","expires_in":1800}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := ParseTokenAnswer(body); err == nil && (got.AccessToken == "" || got.ExpiresIn <= 0 || got.Issuer != "" && !isHex32(got.Issuer)) {
			t.Fatalf("%q is taken as %+v", body, got)
		}
	})
}
