package facts

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Stored is what Home Assistant's own files say of who may come in. It holds secrets.
type Stored struct {
	SignIns []StoredSignIn
	Apps    []StoredApp
}

// StoredSignIn is a refresh token of .storage/auth.
type StoredSignIn struct {
	ID         string // the issuer of its access tokens
	UserID     string
	UserName   string
	ClientID   string // empty for a long-lived one
	ClientName string // of a long-lived one
	LongLived  bool
	Created    time.Time
	LastUsed   time.Time // zero if never
	LastIP     string
	Token      string // secret
	Access     []StoredAccess
}

// StoredAccess is an access token that Home Assistant has, or may have, given out: it
// keeps the key, and the second in which it made the last one is known to one or two.
type StoredAccess struct {
	Token   string // secret
	Expires time.Time
}

// StoredApp is a companion app's registration of .storage/core.config_entries.
type StoredApp struct {
	WebhookID  string // secret
	UserID     string
	AppID      string
	DeviceID   string // the app's own
	DeviceName string
}

// maxStored bounds .storage/auth and .storage/core.config_entries, in bytes.
const maxStored = 32 << 20

const (
	maxLife = 1e14         // of an access token, in seconds; Python's longest is below
	maxTime = 253402300799 // the end of the year 9999, in Unix seconds
)

// ReadStored reads who may come in from the configuration folder of Home Assistant. Home
// Assistant writes these files up to some minutes after a change.
func ReadStored(fsys fs.FS) (Stored, error) {
	var s Stored
	text, err := readBounded(fsys, ".storage/auth", maxStored)
	if err != nil {
		return s, err
	}
	if err := s.readAuth(text); err != nil {
		return Stored{}, err
	}
	text, err = readBounded(fsys, ".storage/core.config_entries", maxStored)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return Stored{}, err
	}
	if err := s.readEntries(text); err != nil {
		return Stored{}, err
	}
	return s, nil
}

func (s *Stored) readAuth(text []byte) error {
	var f struct {
		Key  string `json:"key"`
		Data struct {
			Users []struct {
				ID     string `json:"id"`
				Name   string `json:"name"`
				System bool   `json:"system_generated"`
			} `json:"users"`
			Tokens []struct {
				ID         string  `json:"id"`
				UserID     string  `json:"user_id"`
				ClientID   *string `json:"client_id"`
				ClientName *string `json:"client_name"`
				Type       string  `json:"token_type"`
				Created    string  `json:"created_at"`
				Life       float64 `json:"access_token_expiration"` // seconds
				Token      string  `json:"token"`
				Key        string  `json:"jwt_key"`
				LastUsed   *string `json:"last_used_at"`
				LastIP     *string `json:"last_used_ip"`
			} `json:"refresh_tokens"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &f); err != nil || f.Key != "auth" {
		return errors.New("read .storage/auth: it is not as Home Assistant writes it") // err may quote a secret
	}
	names := make(map[string]string)
	for _, u := range f.Data.Users {
		if !u.System {
			names[u.ID] = u.Name
		}
	}
	for _, t := range f.Data.Tokens {
		name, person := names[t.UserID]
		if t.Type == "" && t.ClientID != nil {
			t.Type = "normal" // written before there were types (auth/auth_store.py)
		}
		if !person || t.Type != "normal" && t.Type != "long_lived_access_token" || t.Token == "" {
			continue
		}
		in := StoredSignIn{ID: t.ID, UserID: t.UserID, UserName: name, ClientID: deref(t.ClientID), ClientName: deref(t.ClientName),
			LongLived: t.Type == "long_lived_access_token", Created: isoTime(t.Created), LastUsed: isoTime(deref(t.LastUsed)), LastIP: deref(t.LastIP), Token: t.Token}
		life := int64(min(max(t.Life, 0), maxLife))
		made := make(map[int64]bool)
		for _, at := range []time.Time{in.LastUsed, in.Created} {
			if at.IsZero() || life == 0 || !plainID(t.ID) || t.Key == "" {
				continue
			}
			for _, second := range []int64{at.Unix(), at.Unix() + 1} {
				if !made[second] {
					made[second] = true
					in.Access = append(in.Access, StoredAccess{accessToken(t.ID, t.Key, second, life), time.Unix(min(second+life, maxTime), 0)})
				}
			}
		}
		s.SignIns = append(s.SignIns, in)
	}
	return nil
}

// plainID reports whether Python and Go write an id the same in JSON. Home Assistant's
// are 32 hexadecimal digits.
func plainID(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
}

// accessToken is the token that Home Assistant makes in a second (auth/__init__.py,
// async_create_access_token; PyJWT's spelling of the three parts).
func accessToken(issuer, key string, at, life int64) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64(fmt.Appendf(nil, `{"iss":%q,"iat":%d,"exp":%d}`, issuer, at, at+life))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

func (s *Stored) readEntries(text []byte) error {
	var f struct {
		Key  string `json:"key"`
		Data struct {
			Entries []struct {
				Domain   string         `json:"domain"`
				Disabled *string        `json:"disabled_by"`
				Data     jsontext.Value `json:"data"` // another integration's may have any form
			} `json:"entries"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &f); err != nil || f.Key != "core.config_entries" {
		return errors.New("read .storage/core.config_entries: it is not as Home Assistant writes it")
	}
	for _, e := range f.Data.Entries {
		if e.Domain != "mobile_app" || e.Disabled != nil {
			continue
		}
		var d struct {
			WebhookID  string `json:"webhook_id"`
			UserID     string `json:"user_id"`
			AppID      string `json:"app_id"`
			DeviceID   string `json:"device_id"`
			DeviceName string `json:"device_name"`
		}
		if json.Unmarshal(e.Data, &d) == nil && d.WebhookID != "" {
			s.Apps = append(s.Apps, StoredApp{d.WebhookID, d.UserID, d.AppID, d.DeviceID, d.DeviceName})
		}
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// isoTime reads a time as Python's isoformat writes it; zero if it is none.
func isoTime(s string) time.Time {
	t, err := time.Parse("2006-01-02T15:04:05.999999Z07:00", s)
	if err != nil {
		return time.Time{}
	}
	return t
}

func readBounded(fsys fs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case int64(len(text)) > most:
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", name, most)
	}
	return text, nil
}
