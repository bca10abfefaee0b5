package ha

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// TokenRequest is what a body of /auth/token or /auth/revoke says (ha-protocol 2.3).
type TokenRequest struct {
	Grant        string // authorization_code or refresh_token
	Action       string // revoke: an older form of /auth/revoke
	ClientID     string
	Code         string
	CodeVerifier string
	RefreshToken string
	Token        string // the refresh token to revoke
}

var (
	errNoForm  = errors.New("token request is no form")
	errBadForm = errors.New("token request is a malformed form")
)

// ParseTokenRequest reads the body of a token request as Home Assistant's server does:
// application/x-www-form-urlencoded or multipart/form-data, as the content type says.
// Under any other type Home Assistant reads no form at all, so there is nothing to say.
// What is read must be what browsers and apps write: a field that comes twice, a file,
// another character set and everything that could be read in a second way is an error.
func ParseTokenRequest(contentType string, body []byte) (TokenRequest, error) {
	kind, boundary, err := formType(contentType)
	if err != nil {
		return TokenRequest{}, err
	}
	var r TokenRequest
	if kind == urlencoded {
		err = eachURLEncoded(string(body), newFields(&r).set)
	} else {
		err = eachPart(string(body), boundary, newFields(&r).set)
	}
	if err != nil {
		return TokenRequest{}, err
	}
	return r, nil
}

// fields fills a TokenRequest, each name once.
type fields struct {
	r    *TokenRequest
	seen map[string]bool
}

func newFields(r *TokenRequest) *fields { return &fields{r, make(map[string]bool, 4)} }

func (f *fields) set(name, value string) error {
	if f.seen[name] {
		return errRepeated
	}
	f.seen[name] = true
	switch name {
	case "grant_type":
		f.r.Grant = value
	case "action":
		f.r.Action = value
	case "client_id":
		f.r.ClientID = value
	case "code":
		f.r.Code = value
	case "code_verifier":
		f.r.CodeVerifier = value
	case "refresh_token":
		f.r.RefreshToken = value
	case "token":
		f.r.Token = value
	}
	return nil
}

const (
	urlencoded = "application/x-www-form-urlencoded"
	multipart  = "multipart/form-data"
)

// formType reads a Content-Type that promises a form, with at most the parameters
// that clients send.
func formType(contentType string) (kind, boundary string, err error) {
	parts := strings.Split(contentType, ";")
	kind = strings.ToLower(strings.Trim(parts[0], " \t"))
	if kind != urlencoded && kind != multipart {
		return "", "", errNoForm
	}
	seen := map[string]bool{}
	for _, p := range parts[1:] {
		name, value, ok := strings.Cut(strings.Trim(p, " \t"), "=")
		name = strings.ToLower(name)
		if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		switch {
		case !ok || seen[name]:
			return "", "", errNoForm
		case name == "charset" && strings.EqualFold(value, "utf-8"):
		case name == "boundary" && kind == multipart && isBoundary(value):
			boundary = value
		default:
			return "", "", errNoForm
		}
		seen[name] = true
	}
	if kind == multipart && boundary == "" {
		return "", "", errNoForm
	}
	return kind, boundary, nil
}

// isBoundary reports whether s is a boundary as clients make them: part of what RFC
// 2046 section 5.1.1 allows.
func isBoundary(s string) bool {
	for i := range len(s) {
		if targetBytes[s[i]]&unreserved == 0 && s[i] != '\'' && s[i] != '+' {
			return false
		}
	}
	return s != "" && len(s) <= 70
}

// eachURLEncoded reads a body that a form was written into by the URL standard's
// serializer or one like it: visible ASCII, with escapes of UTF-8.
func eachURLEncoded(body string, set func(name, value string) error) error {
	for body != "" {
		var pair string
		var more bool
		pair, body, more = strings.Cut(body, "&")
		if pair == "" || more && body == "" {
			return errBadForm
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, ok := unescapeForm(rawName)
		value, ok2 := unescapeForm(rawValue)
		if !ok || !ok2 {
			return errBadForm
		}
		if err := set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// unescapeForm decodes a name or value of a URL-encoded form.
func unescapeForm(s string) (string, bool) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f || c == ';':
			return "", false
		case c == '+':
			out = append(out, ' ')
		case c == '%':
			if i+2 >= len(s) || hexDigit(s[i+1]) < 0 || hexDigit(s[i+2]) < 0 {
				return "", false
			}
			out = append(out, byte(hexDigit(s[i+1])<<4|hexDigit(s[i+2])))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out), isText(out)
}

// isText reports whether a value is UTF-8 without control characters.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}

// eachPart reads a body of multipart/form-data as browsers write it (RFC 7578, and
// the HTML standard): nothing before the first boundary, of each part a name and at
// most a plain type, nothing behind the last boundary.
func eachPart(body, boundary string, set func(name, value string) error) error {
	delimiter := "--" + boundary
	rest, ok := strings.CutPrefix(body, delimiter)
	if !ok {
		return errBadForm
	}
	for rest != "--" && rest != "--\r\n" {
		part, after, found := strings.Cut(rest, "\r\n"+delimiter)
		if part, ok = strings.CutPrefix(part, "\r\n"); !found || !ok {
			return errBadForm
		}
		header, value, ok := strings.Cut(part, "\r\n\r\n")
		if !ok || !isText([]byte(value)) {
			return errBadForm
		}
		name, ok := partName(header)
		if !ok {
			return errBadForm
		}
		if err := set(name, value); err != nil {
			return err
		}
		rest = after
	}
	return nil
}

// partName reads the header of a part that is no file.
func partName(header string) (name string, ok bool) {
	for line := range strings.SplitSeq(header, "\r\n") {
		field, value, _ := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		switch strings.ToLower(field) {
		case "content-disposition":
			value, isData := strings.CutPrefix(value, `form-data; name="`)
			value, ends := strings.CutSuffix(value, `"`)
			if name != "" || !isData || !ends || !isWord(value) || value == "_charset_" {
				return "", false
			}
			name = value
		case "content-type":
			if t := strings.ToLower(value); t != "text/plain" && t != "text/plain; charset=utf-8" {
				return "", false
			}
		default:
			return "", false
		}
	}
	return name, name != ""
}

// TokenAnswer is what Home Assistant answers to a token request that it grants.
type TokenAnswer struct {
	AccessToken  string
	RefreshToken string // empty in the answer to a refresh
	ExpiresIn    int64  // seconds from now
	// Issuer is the id of the refresh token, as the access token names it: the iss of
	// signed paths. Empty if the access token is no JWT.
	Issuer string
}

// maxExpiresIn bounds what Home Assistant may say about a token's life, in seconds.
const maxExpiresIn = 365 * 24 * 60 * 60

// ParseTokenAnswer reads a 200 of /auth/token.
func ParseTokenAnswer(body []byte) (TokenAnswer, error) {
	var a struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		ExpiresIn    int64  `json:"expires_in"`
		TokenType    string `json:"token_type"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return TokenAnswer{}, errors.New("token answer is malformed") // err may quote the tokens
	}
	switch {
	case a.AccessToken == "":
		return TokenAnswer{}, errors.New("token answer has no access token")
	case a.TokenType != "Bearer":
		return TokenAnswer{}, errors.New("token answer is not of type Bearer")
	case a.ExpiresIn <= 0 || a.ExpiresIn > maxExpiresIn:
		return TokenAnswer{}, fmt.Errorf("token answer says a life of %d s", a.ExpiresIn)
	}
	return TokenAnswer{
		AccessToken:  a.AccessToken,
		RefreshToken: a.RefreshToken,
		ExpiresIn:    a.ExpiresIn,
		Issuer:       issuerOf(a.AccessToken),
	}, nil
}

// issuerOf reads the issuer of a token that Home Assistant itself has just handed out.
func issuerOf(token string) string {
	payload, err := jwtPayload(token)
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &claims) != nil || !isHex32(claims.Issuer) {
		return ""
	}
	return claims.Issuer
}

// maxJWT bounds the tokens that are looked into, in bytes. A signed path of 2 kB makes 3 kB.
const maxJWT = 16 << 10

var errJWT = errors.New("token is no JWT of Home Assistant's")

// jwtPayload returns the claims of a token as Home Assistant makes them: three parts
// in base64url without padding, signed with HS256. The signature is not checked; only
// Home Assistant has the keys.
func jwtPayload(token string) ([]byte, error) {
	if len(token) > maxJWT {
		return nil, errJWT
	}
	header, rest, ok := strings.Cut(token, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 {
		return nil, errJWT
	}
	strict := base64.RawURLEncoding.Strict()
	h, err1 := strict.DecodeString(header)
	p, err2 := strict.DecodeString(payload)
	s, err3 := strict.DecodeString(signature)
	if err1 != nil || err2 != nil || err3 != nil || len(s) != 32 || strings.ContainsAny(token, "\r\n") {
		return nil, errJWT
	}
	var head struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
	}
	if json.Unmarshal(h, &head, json.RejectUnknownMembers(true)) != nil || head.Algorithm != "HS256" || head.Type != "JWT" {
		return nil, errJWT
	}
	return p, nil
}

// isHex32 reports whether s is an id as Home Assistant makes them: 32 hexadecimal digits.
func isHex32(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return len(s) == 32
}
