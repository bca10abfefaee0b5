package hatest

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A compact JWS with HS256 (RFC 7515), the form of access tokens and signed paths.

// jwsHead is {"alg":"HS256","typ":"JWT"}.
const jwsHead = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"

func sign(key []byte, claims object) string {
	body := jwsHead + "." + base64.RawURLEncoding.EncodeToString(encodeJSON(claims))
	return body + "." + base64.RawURLEncoding.EncodeToString(digest(key, body))
}

func digest(key []byte, body string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(body))
	return mac.Sum(nil)
}

// claimsOf reads the claims without believing them.
func claimsOf(token string) (object, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, false
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, false
	}
	v, err := decodeJSON(data)
	claims, ok := v.(object)
	return claims, ok && err == nil
}

func verify(key []byte, token string) bool {
	at := strings.LastIndexByte(token, '.')
	if at < 0 {
		return false
	}
	head, _, _ := strings.Cut(token, ".")
	data, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return false
	}
	v, err := decodeJSON(data)
	o, ok := v.(object)
	if err != nil || !ok || o["alg"] != "HS256" {
		return false
	}
	sum, err := base64.RawURLEncoding.DecodeString(token[at+1:])
	return err == nil && hmac.Equal(sum, digest(key, token[:at]))
}

// unsigned are the parameters that a signature leaves free.
var unsigned = []string{"width", "height"}

// params are the query as a signature knows it: pairs in order.
func params(query []pair) []any {
	list := []any{}
	for _, p := range query {
		if p.name != "authSig" && !slices.Contains(unsigned, p.name) {
			list = append(list, []any{p.name, p.value})
		}
	}
	return list
}

// signPath signs a path with its query for the login of a caller.
func (a *accounts) signPath(path, token string, life time.Duration) string {
	plain, query, has := strings.Cut(path, "?")
	pairs := parsePairs(query)
	now := a.h.now()
	sig := sign(a.signKey, object{
		"iss": token, "path": unescapePath(plain), "params": params(pairs),
		"iat": now.Unix(), "exp": now.Add(life).Unix(),
	})
	if has && query != "" {
		return plain + "?" + query + "&authSig=" + sig
	}
	return plain + "?authSig=" + sig
}

// signed returns whom the signature of a path stands for, or nil.
func (a *accounts) signed(r *request) *caller {
	sig, ok := r.value("authSig")
	if !ok {
		return nil
	}
	claims, ok := claimsOf(sig)
	if !ok || !verify(a.signKey, sig) || !a.timely(claims) || claims["path"] != r.URL.Path {
		return nil
	}
	if string(encodeJSON(claims["params"])) != string(encodeJSON(params(r.query))) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tokens[text(claims, "iss")]
	if t == nil {
		return nil
	}
	if a.h.release.since(2026, 8) && notAllowed(t.user, r.remote) != "" {
		return nil
	}
	return &caller{user: t.user, token: t.id}
}

// totp is the code of a shared secret at a time (RFC 6238: SHA-1, 30 s, 6 digits).
func totp(secret string, at time.Time) (string, bool) {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(strings.ToUpper(secret), "="))
	if err != nil {
		return "", false
	}
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(at.Unix()/30))
	mac := hmac.New(sha1.New, key)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	at32 := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", at32%1_000_000), true
}

// totpFits accepts the code of this half minute and of its neighbours.
func totpFits(secret, given string, now time.Time) bool {
	for _, shift := range []time.Duration{0, -30 * time.Second, 30 * time.Second} {
		if want, ok := totp(secret, now.Add(shift)); ok && want == given {
			return true
		}
	}
	return false
}

// noStore marks an answer that holds tokens.
func noStore(head http.Header) {
	head.Set("Cache-Control", "no-store")
	head.Set("Pragma", "no-cache")
}

// unescapePath decodes a path; what is badly escaped stays as it is.
func unescapePath(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
