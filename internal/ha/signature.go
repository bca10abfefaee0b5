package ha

import (
	"strings"

	"github.com/go-json-experiment/json"
)

// AuthSig is what the authSig of a signed path says (ha-protocol 1.4). Whether the
// signature is good only Home Assistant can tell.
type AuthSig struct {
	Issuer   string      // id of the refresh token that it was signed for
	Path     string      // decoded
	Params   [][2]string // the other query parameters, in order
	IssuedAt int64       // seconds since 1970
	Expires  int64       // seconds since 1970
}

// IsSigned reports whether Home Assistant serves a path to whoever has a good signature
// for it, and to nobody without a secret. Where the path itself holds a secret that is
// all it looks at (ha-protocol 1.2), a signature says nothing.
func IsSigned(route Route, path string) bool {
	switch route {
	case RouteMedia, RouteREST, RouteAdminREST, RouteBackup:
		return true
	case RouteCapability:
		for _, prefix := range []string{"/api/camera_proxy/", "/api/camera_proxy_stream/", "/api/image_proxy/", "/api/image_proxy_stream/"} {
			if strings.HasPrefix(path, prefix) {
				return true
			}
		}
	}
	return false
}

// maxSignedLife is how long a signed path may last, in seconds: seven days. Home
// Assistant signs for a day at most where nobody asks for more, but takes any number
// from a client, and a signature without an end is a token that nobody can see.
const maxSignedLife = 7 * 24 * 60 * 60

// SignatureIn finds the authSig of a raw query, however its name is escaped, and reads
// it; found tells whether there is one at all. Home Assistant counts the first of
// several; here more than one is an error.
func SignatureIn(query string) (sig AuthSig, found bool, err error) {
	jwt, found, err := signatureText(query)
	if !found || err != nil {
		return AuthSig{}, found, err
	}
	sig, err = ParseAuthSig(jwt)
	return sig, true, err
}

func signatureText(query string) (jwt string, found bool, err error) {
	for pair := range strings.SplitSeq(query, "&") {
		rawName, rawValue, _ := strings.Cut(pair, "=")
		if name, ok := unescapeForm(rawName); !ok || name != "authSig" {
			continue
		}
		value, ok := unescapeForm(rawValue)
		if found || !ok {
			return "", true, errJWT
		}
		jwt, found = value, true
	}
	return jwt, found, nil
}

// ParseAuthSig reads the authSig parameter of a signed path.
func ParseAuthSig(jwt string) (AuthSig, error) {
	payload, err := jwtPayload(jwt)
	if err != nil {
		return AuthSig{}, err
	}
	var c struct {
		Issuer   string     `json:"iss"`
		Path     string     `json:"path"`
		Params   [][]string `json:"params"`
		IssuedAt int64      `json:"iat"`
		Expires  int64      `json:"exp"`
	}
	if json.Unmarshal(payload, &c, json.RejectUnknownMembers(true)) != nil || !isHex32(c.Issuer) || c.Path == "" || c.Path[0] != '/' || c.IssuedAt <= 0 {
		return AuthSig{}, errJWT
	}
	if life := c.Expires - c.IssuedAt; c.Expires <= 0 || life <= 0 || life > maxSignedLife {
		return AuthSig{}, errJWT
	}
	sig := AuthSig{Issuer: c.Issuer, Path: c.Path, IssuedAt: c.IssuedAt, Expires: c.Expires}
	for _, p := range c.Params {
		if len(p) != 2 {
			return AuthSig{}, errJWT
		}
		sig.Params = append(sig.Params, [2]string{p[0], p[1]})
	}
	return sig, nil
}
