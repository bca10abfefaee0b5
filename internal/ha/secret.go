package ha

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/go-json-experiment/json"
)

// Hash is how a secret is kept: its SHA-256 in hexadecimal.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// IssuerOf is the issuer of an access token that Home Assistant has just accepted; empty
// if it is none of its own.
func IssuerOf(token string) string { return issuerOf(token) }

// ExpiryOf is when an access token that Home Assistant has just accepted runs out, in
// Unix seconds; zero if it does not say.
func ExpiryOf(token string) int64 {
	payload, err := jwtPayload(token)
	if err != nil {
		return 0
	}
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Expires <= 0 {
		return 0
	}
	return claims.Expires
}

// AppOf is which companion app a registration's app_id or a client id means.
func AppOf(id string) App {
	switch id {
	case ClientAndroid, "io.homeassistant.companion.android", "io.homeassistant.companion.android.minimal":
		return AppAndroid
	case ClientIOS, "io.robbie.HomeAssistant":
		return AppIOS
	}
	return AppNone
}
