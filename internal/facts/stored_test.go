package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// What Home Assistant 2026.11.0 kept of its owner, a token for a program and a phone,
// and the access tokens that it handed out. The owner's sign-in was refreshed three
// times since.
const (
	storedAuth = `{
  "version": 1,
  "minor_version": 1,
  "key": "auth",
  "data": {
    "users": [
      {"id": "8583d52fb9b8492089bad1622e818f63", "group_ids": ["system-read-only"], "is_owner": false, "is_active": true, "name": "Home Assistant Content", "system_generated": true, "local_only": false},
      {"id": "08b196b4897146acb798252622513f5b", "group_ids": ["system-admin"], "is_owner": true, "is_active": true, "name": "Owner", "system_generated": false, "local_only": false}
    ],
    "groups": [{"id": "system-admin", "name": "Administrators"}],
    "credentials": [{"id": "9f3a9c2e582c49878af78c49830895a1", "user_id": "08b196b4897146acb798252622513f5b", "auth_provider_type": "homeassistant", "auth_provider_id": null, "data": {"username": "owner"}}],
    "refresh_tokens": [
      {"id": "ebec7136b60d40fb9cac7604dcea47ca", "user_id": "8583d52fb9b8492089bad1622e818f63", "client_id": null, "client_name": null, "client_icon": null, "token_type": "system", "created_at": "2026-11-26T00:24:41.485336+00:00", "access_token_expiration": 1800.0,
       "token": "544e0b1d", "jwt_key": "53b6aca1", "last_used_at": null, "last_used_ip": null, "expire_at": null, "credential_id": null, "version": "2026.11.0"},
      {"id": "057cdfd8fc644de985c943acd64824a2", "user_id": "08b196b4897146acb798252622513f5b", "client_id": "http://127.0.0.1:18911/", "client_name": null, "client_icon": null, "token_type": "normal", "created_at": "2026-11-26T00:24:42.132874+00:00", "access_token_expiration": 1800.0,
       "token": "d147d50b", "jwt_key": "23804d213bab0c3c1476d6c4b4912d0bbfe98357f0adb09ee856da69824e6d92c26901dfa75716fab888adbd3b5268ae7d32ed527bebee612dfc08a5050c9688", "last_used_at": "2026-11-26T00:36:43.655945+00:00", "last_used_ip": "127.0.0.1", "expire_at": 1803429403.655945, "credential_id": "9f3a9c2e582c49878af78c49830895a1", "version": "2026.11.0"},
      {"id": "f2c043b871254362936161a931d44848", "user_id": "08b196b4897146acb798252622513f5b", "client_id": null, "client_name": "Kitchen ä", "client_icon": null, "token_type": "long_lived_access_token", "created_at": "2026-11-26T00:36:42.240145+00:00", "access_token_expiration": 315360000.0,
       "token": "ee0b130b", "jwt_key": "07e7051d2577d52b5610a0fb296ee710428ce6241dad77d655709a2a7e5d5ed264fd8f6d5ed85c2fb90e56ac7bea78b0b3a9fceba0175c7ee03016edfd2d939e", "last_used_at": "2026-11-26T00:36:42.240200+00:00", "last_used_ip": null, "expire_at": null, "credential_id": null, "version": "2026.11.0"}
    ]
  }
}`
	firstAccess = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiIwNTdjZGZkOGZjNjQ0ZGU5ODVjOTQzYWNkNjQ4MjRhMiIsImlhdCI6MTc5NTY1MjY4MiwiZXhwIjoxNzk1NjU0NDgyfQ.8GWoS8l_D6fasnNgN0D7jB7olRGnlbbzRVGQLBqEhaQ"
	lastAccess  = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiIwNTdjZGZkOGZjNjQ0ZGU5ODVjOTQzYWNkNjQ4MjRhMiIsImlhdCI6MTc5NTY1MzQwMywiZXhwIjoxNzk1NjU1MjAzfQ.Y_qlJyNlK1eQy9lCSnNHoPLdfZmdRYzhlk88bTNNS2M"
	longAccess  = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJmMmMwNDNiODcxMjU0MzYyOTM2MTYxYTkzMWQ0NDg0OCIsImlhdCI6MTc5NTY1MzQwMiwiZXhwIjoyMTExMDEzNDAyfQ._ijCzJKarjAUIRSIwEkqmCby_O36RGZ-lN9D97b9arU"

	storedEntries = `{
  "version": 1,
  "minor_version": 5,
  "key": "core.config_entries",
  "data": {
    "entries": [
      {"created_at":"2026-11-26T00:24:42.768692+00:00","data":{"track_home":true},"disabled_by":null,"domain":"met","entry_id":"01M8AKV10GHFTFSJ096YQTJTJ8","title":"Home","version":2},
      {"created_at":"2026-11-26T00:36:42.244291+00:00","data":{"app_data":{},"app_id":"io.homeassistant.companion.android","app_name":"Home Assistant","app_version":"2026.11.1","device_id":"a1b2","device_name":"Anna's phone","manufacturer":"x","model":"y","os_name":"Android","os_version":"16","supports_encryption":false,"user_id":"08b196b4897146acb798252622513f5b","webhook_id":"569d1cd82275209136e6931c11d9d324b04eb2e455495b7ed19a0fcbe999ccdf"},"disabled_by":null,"domain":"mobile_app","entry_id":"01M8AMGZM4EYZ18YYT931C9TJX","source":"registration","title":"Anna's phone","version":1}
    ]
  }
}`
)

// storedIn is a configuration folder with these two files; one that is empty is missing.
func storedIn(auth, entries string) fstest.MapFS {
	f := fstest.MapFS{}
	if auth != "" {
		f[".storage/auth"] = file(auth)
	}
	if entries != "" {
		f[".storage/core.config_entries"] = file(entries)
	}
	return f
}

func TestReadStored(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	s, err := ReadStored(storedIn(storedAuth, storedEntries))
	if err != nil {
		t.Fatal(err)
	}
	same(t, s.Apps, []StoredApp{{"569d1cd82275209136e6931c11d9d324b04eb2e455495b7ed19a0fcbe999ccdf", "08b196b4897146acb798252622513f5b", "io.homeassistant.companion.android", "a1b2", "Anna's phone"}})
	if len(s.SignIns) != 2 {
		t.Fatalf("%+v", s.SignIns)
	}
	for i, want := range []struct {
		in     StoredSignIn
		access []string // that Home Assistant did hand out
		number int
	}{
		{StoredSignIn{ID: "057cdfd8fc644de985c943acd64824a2", UserID: "08b196b4897146acb798252622513f5b", UserName: "Owner", ClientID: "http://127.0.0.1:18911/",
			Created: at("2026-11-26T00:24:42.132874Z"), LastUsed: at("2026-11-26T00:36:43.655945Z"), LastIP: "127.0.0.1", Token: "d147d50b"}, []string{firstAccess, lastAccess}, 4},
		{StoredSignIn{ID: "f2c043b871254362936161a931d44848", UserID: "08b196b4897146acb798252622513f5b", UserName: "Owner", ClientName: "Kitchen ä", LongLived: true,
			Created: at("2026-11-26T00:36:42.240145Z"), LastUsed: at("2026-11-26T00:36:42.2402Z"), Token: "ee0b130b"}, []string{longAccess}, 2},
	} {
		got := s.SignIns[i]
		for _, token := range want.access {
			if !slices.ContainsFunc(got.Access, func(a StoredAccess) bool { return a.Token == token }) {
				t.Errorf("sign-in %d has no %s", i, token)
			}
		}
		if len(got.Access) != want.number {
			t.Errorf("sign-in %d has %d access tokens, want %d", i, len(got.Access), want.number)
		}
		got.Access, got.Created, got.LastUsed = nil, got.Created.UTC(), got.LastUsed.UTC()
		same(t, got, want.in)
	}
	for _, a := range s.SignIns[0].Access {
		if a.Token == lastAccess && a.Expires.Unix() != 1795655203 {
			t.Errorf("it runs out at %v", a.Expires)
		}
	}
}

// Byte for byte what PyJWT made for Home Assistant.
func TestAccessToken(t *testing.T) {
	const owner = "23804d213bab0c3c1476d6c4b4912d0bbfe98357f0adb09ee856da69824e6d92c26901dfa75716fab888adbd3b5268ae7d32ed527bebee612dfc08a5050c9688"
	if got := accessToken("057cdfd8fc644de985c943acd64824a2", owner, 1795652682, 1800); got != firstAccess {
		t.Errorf("%s\nwant %s", got, firstAccess)
	}
	const program = "07e7051d2577d52b5610a0fb296ee710428ce6241dad77d655709a2a7e5d5ed264fd8f6d5ed85c2fb90e56ac7bea78b0b3a9fceba0175c7ee03016edfd2d939e"
	if got := accessToken("f2c043b871254362936161a931d44848", program, 1795653402, 315360000); got != longAccess {
		t.Errorf("%s\nwant %s", got, longAccess)
	}
}

// authWith is an auth file with one user and the members of one refresh token.
func authWith(token string) string {
	return `{"version":1,"key":"auth","data":{"users":[{"id":"u","name":"Anna"},{"id":"s","name":"System","system_generated":true},{"id":"n","name":null}],"refresh_tokens":[{` + token + `}]}}`
}

func TestStoredSignIns(t *testing.T) {
	const good = `"id":"i","token":"t","jwt_key":"k",`
	for _, c := range []struct{ name, token, want string }{
		{"normal", good + `"user_id":"u","client_id":"https://x/","token_type":"normal","created_at":"2026-01-02T03:04:05.600000+00:00","access_token_expiration":1800.0,"last_used_at":null`, "Anna https://x/ long=false created=03:04:05 used=- access=2"},
		{"no fraction, another zone", good + `"user_id":"u","client_id":"x","token_type":"normal","created_at":"2026-01-02T03:04:05+01:00","access_token_expiration":1800,"last_used_at":"2026-01-02T03:04:05+00:00"`, "Anna x long=false created=02:04:05 used=03:04:05 access=4"},
		{"used a second after it was made", good + `"user_id":"u","client_id":"x","token_type":"normal","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":1800,"last_used_at":"2026-01-02T03:04:06+00:00"`, "Anna x long=false created=03:04:05 used=03:04:06 access=3"},
		{"of a user without a name", good + `"user_id":"n","client_id":"x","token_type":"normal","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":1800`, " x long=false created=03:04:05 used=- access=2"},
		{"before there were types", good + `"user_id":"u","client_id":"x","created_at":"2018-01-02T03:04:05+00:00","access_token_expiration":1800`, "Anna x long=false created=03:04:05 used=- access=2"},
		{"system's, before there were types", good + `"user_id":"u","client_id":null,"created_at":"2018-01-02T03:04:05+00:00","access_token_expiration":1800`, ""},
		{"a system user's", good + `"user_id":"s","client_id":"x","token_type":"normal","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":1800`, ""},
		{"a system token", good + `"user_id":"u","client_id":"x","token_type":"system","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":1800`, ""},
		{"nobody's", good + `"user_id":"z","client_id":"x","token_type":"normal","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":1800`, ""},
		{"without a token", `"id":"i","user_id":"u","client_id":"x","token_type":"normal","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":1800`, ""},
		{"odd times", good + `"user_id":"u","client_id":"x","token_type":"normal","created_at":"yesterday","access_token_expiration":1800,"last_used_at":""`, "Anna x long=false created=- used=- access=0"},
		{"without a key", `"id":"i","token":"t","user_id":"u","client_id":"x","token_type":"normal","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":1800`, "Anna x long=false created=03:04:05 used=- access=0"},
		{"an id that Python writes in another way", `"id":"ü","token":"t","jwt_key":"k","user_id":"u","client_id":"x","token_type":"normal","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":1800`, "Anna x long=false created=03:04:05 used=- access=0"},
		{"without end", good + `"user_id":"u","client_name":"x","token_type":"long_lived_access_token","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":1e300`, "Anna  long=true created=03:04:05 used=- access=2"},
		{"over before it began", good + `"user_id":"u","client_name":"x","token_type":"long_lived_access_token","created_at":"2026-01-02T03:04:05+00:00","access_token_expiration":-5`, "Anna  long=true created=03:04:05 used=- access=0"},
	} {
		s, err := ReadStored(storedIn(authWith(c.token), ""))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := ""
		for _, in := range s.SignIns {
			clock := func(at time.Time) string {
				if at.IsZero() {
					return "-"
				}
				return at.UTC().Format(time.TimeOnly)
			}
			got += fmt.Sprintf("%s %s long=%v created=%s used=%s access=%d", in.UserName, in.ClientID, in.LongLived, clock(in.Created), clock(in.LastUsed), len(in.Access))
			for _, a := range in.Access {
				if y := a.Expires.UTC().Year(); y < 2018 || y > 9999 {
					t.Errorf("%s: runs out in the year %d", c.name, y)
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestStoredApps(t *testing.T) {
	entries := func(list ...string) string {
		return `{"version":1,"key":"core.config_entries","data":{"entries":[` + strings.Join(list, ",") + `]}}`
	}
	for _, c := range []struct{ name, entries, want string }{
		{"no file", "", ""},
		{"none", entries(), ""},
		{"two", entries(`{"domain":"mobile_app","data":{"webhook_id":"a","user_id":"u","device_id":"1","new":[1]}}`, `{"domain":"mobile_app","disabled_by":null,"data":{"webhook_id":"b"}}`), "a b"},
		{"switched off", entries(`{"domain":"mobile_app","disabled_by":"user","data":{"webhook_id":"a"}}`), ""},
		{"another's odd data", entries(`{"domain":"x","data":[1,{"webhook_id":3}]}`, `{"domain":"y","data":null}`, `{"domain":"z","data":{"webhook_id":7}}`, `{"domain":"mobile_app","data":{"webhook_id":"b"}}`), "b"},
		{"an app's odd data", entries(`{"domain":"mobile_app","data":{"webhook_id":3}}`, `{"domain":"mobile_app"}`, `{"domain":"mobile_app","data":{}}`, `{"domain":"mobile_app","data":{"webhook_id":"b"}}`), "b"},
	} {
		s, err := ReadStored(storedIn(storedAuth, c.entries))
		var ids []string
		for _, a := range s.Apps {
			ids = append(ids, a.WebhookID)
		}
		if got := strings.Join(ids, " "); got != c.want || err != nil || len(s.SignIns) != 2 {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

// A file that is not as it should be is an error that repeats nothing of it, and what
// was read of the other is not handed out as if it were all.
func TestStoredBroken(t *testing.T) {
	const secret = "d147d50b"
	for name, machine := range map[string]fs.FS{
		"cut off":               storedIn(storedAuth[:len(storedAuth)-5], storedEntries),
		"another file":          storedIn(storedEntries, storedEntries),
		"a number for a token":  storedIn(strings.Replace(storedAuth, `"token": "d147d50b"`, `"token": 5`, 1), storedEntries),
		"a name twice":          storedIn(strings.Replace(storedAuth, `"jwt_key"`, `"token": "d147d50b", "jwt_key"`, 1), storedEntries),
		"entries cut off":       storedIn(storedAuth, storedEntries[:100]),
		"entries of other form": storedIn(storedAuth, `{"key":"core.config_entries","data":{"entries":{}}}`),
		"entries: another file": storedIn(storedAuth, `{}`),
		"empty":                 storedIn(" ", storedEntries),
		"too large":             storedIn(strings.Repeat(" ", maxStored+1), ""),
		"closed":                closedFS{storedIn(storedAuth, storedEntries), []string{".storage/core.config_entries"}},
	} {
		s, err := ReadStored(machine)
		if err == nil || strings.Contains(err.Error(), secret) || len(s.Apps) != 0 || len(s.SignIns) != 0 {
			t.Errorf("%s: %d sign-ins, %d apps, %v", name, len(s.SignIns), len(s.Apps), err)
		}
		if name == "closed" && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadStored(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzReadStored(f *testing.F) {
	f.Add([]byte(storedAuth), []byte(storedEntries))
	f.Add([]byte(authWith(`"id":"i","token":"t","jwt_key":"k","user_id":"u","client_id":"x","token_type":"normal","created_at":"2026-01-02T03:04:05Z","access_token_expiration":1e19`)), []byte(`{"key":"core.config_entries","data":{"entries":[{"domain":"mobile_app","data":1}]}}`))
	f.Fuzz(func(t *testing.T, auth, entries []byte) {
		s, err := ReadStored(fstest.MapFS{".storage/auth": file(string(auth)), ".storage/core.config_entries": file(string(entries))})
		if err != nil && (len(s.SignIns) > 0 || len(s.Apps) > 0) {
			t.Fatal("an error, and something was handed out")
		}
		for _, in := range s.SignIns {
			if in.Token == "" || len(in.Access) > 4 {
				t.Fatalf("%+v", in)
			}
			for _, a := range in.Access {
				if strings.Count(a.Token, ".") != 2 || a.Expires.UTC().Year() > 9999 {
					t.Fatalf("%+v", a)
				}
			}
		}
		for _, a := range s.Apps {
			if a.WebhookID == "" {
				t.Fatalf("%+v", a)
			}
		}
	})
}
