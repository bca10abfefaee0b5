package hatest_test

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
	"strings"
	"testing"
	"time"
)

// script is the whole conversation. It may be held with a Home Assistant that
// has been used before, and leaves it as it was.
func script(t *testing.T, other end) []recorded {
	t.Helper()
	u, err := url.Parse(other.url)
	if err != nil {
		t.Fatal(err)
	}
	k := &talk{t: t, end: other, host: u.Host, known: map[string]string{}}
	owner := k.signIn(other.username, other.password)
	admin := k.login(owner.access)
	defer admin.close()
	members := k.members(admin)
	defer k.remove(admin, members)

	for _, part := range []struct {
		name string
		play func()
	}{
		{"open", k.open},
		{"login", k.loginFlow},
		{"pkce", k.pkce},
		{"blocked", func() { k.blocked(members) }},
		{"mfa", func() { k.secondFactor(members) }},
		{"token", func() { k.tokens() }},
		{"bearer", func() { k.bearers(owner, members) }},
		{"signed", func() { k.signedPaths(admin, owner) }},
		{"forwarded", func() { k.forwarded(owner) }},
		{"path", func() { k.paths(owner) }},
		{"rest", func() { k.rest(owner, members) }},
		{"camera", func() { k.cameras(owner) }},
		{"handshake", func() { k.handshakes(owner) }},
		{"frame", func() { k.frames(owner) }},
		{"command", func() { k.commands(admin, members) }},
		{"subscribe", func() { k.subscriptions(owner) }},
		{"account", func() { k.accounts(admin, members) }},
		{"phone", func() { k.phones(admin, owner) }},
		{"settings", func() { k.settings(admin) }},
		{"end", func() { k.endings(members) }},
	} {
		k.part = part.name
		part.play()
	}
	return k.seen
}

// pass is what a login gave.
type pass struct{ access, refresh, client string }

// signIn logs in without noting anything.
func (k *talk) signIn(username, password string) pass {
	k.t.Helper()
	client := k.end.url + "/"
	id := k.begin(client)
	a := k.ask("", ask("POST", "/auth/login_flow/"+id).json(object{"client_id": client, "username": username, "password": password}).quietly())
	if a.text("type") != "create_entry" {
		k.t.Fatalf("log in as %s: %d %s", username, a.status, a.body)
	}
	return k.exchange(client, a.text("result"))
}

// begin starts a login flow and returns its id.
func (k *talk) begin(client string, more ...string) string {
	k.t.Helper()
	o := object{"client_id": client, "redirect_uri": client, "handler": []any{"homeassistant", nil}}
	for i := 0; i < len(more); i += 2 {
		o[more[i]] = more[i+1]
	}
	a := k.ask("", ask("POST", "/auth/login_flow").json(o).quietly())
	if a.text("flow_id") == "" {
		k.t.Fatalf("start a login: %d %s", a.status, a.body)
	}
	return a.text("flow_id")
}

func (k *talk) exchange(client, code string) pass {
	k.t.Helper()
	a := k.ask("", ask("POST", "/auth/token").form("grant_type", "authorization_code", "client_id", client, "code", code).quietly())
	if a.status != http.StatusOK {
		k.t.Fatalf("exchange a code: %d %s", a.status, a.body)
	}
	return pass{a.text("access_token"), a.text("refresh_token"), client}
}

// member is a user that the script made.
type member struct{ id, username, password string }

// members are those that the script needs: an ordinary one, one who may come
// from home only, and one with a second factor.
type members struct {
	anna, local, totp, gone member
}

// members makes them, with names that were never used here.
func (k *talk) members(admin *line) members {
	k.t.Helper()
	mark := fmt.Sprint(time.Now().UnixNano())
	create := func(name string, localOnly bool) member {
		result, failed := admin.command(object{"type": "config/auth/create", "name": name, "group_ids": []any{"system-users"}, "local_only": localOnly})
		if failed != nil {
			k.t.Fatal(failed)
		}
		m := member{id: result.(object)["user"].(object)["id"].(string), username: strings.ToLower(name) + mark, password: "a long password of " + name}
		if _, failed := admin.command(object{"type": "config/auth_provider/homeassistant/create", "user_id": m.id, "username": m.username, "password": m.password}); failed != nil {
			k.t.Fatal(failed)
		}
		k.known[m.username] = "<" + strings.ToLower(name) + ">"
		return m
	}
	return members{create("Anna", false), create("Lars", true), create("Mia", false), create("Gus", false)}
}

func (k *talk) remove(admin *line, all members) {
	for _, m := range []member{all.anna, all.local, all.totp} {
		admin.command(object{"type": "config/auth/delete", "user_id": m.id})
	}
}

// open is what a stranger may see.
func (k *talk) open() {
	k.ask("the page", ask("GET", "/"))
	k.ask("a panel", ask("GET", "/lovelace"))
	k.ask("below a panel", ask("GET", "/lovelace/0"))
	k.ask("no panel", ask("GET", "/nothing-here"))
	k.ask("the login page", ask("GET", "/auth/authorize"))
	k.ask("providers", ask("GET", "/auth/providers"))
	k.ask("providers from outside", ask("GET", "/auth/providers").with("X-Forwarded-For", "203.0.113.9"))
	k.ask("where to log in", ask("GET", "/.well-known/oauth-authorization-server").only("code_challenge_methods_supported", "client_id_metadata_document_supported", "response_types_supported"))
	k.ask("HEAD of the page", ask("HEAD", "/"))
	k.ask("POST to the page", ask("POST", "/"))
}

// loginFlow is ha-protocol 2.1.
func (k *talk) loginFlow() {
	client := k.end.url + "/"
	start := func() *request { return ask("POST", "/auth/login_flow") }
	body := func(changes ...any) object {
		o := object{"client_id": client, "redirect_uri": client, "handler": []any{"homeassistant", nil}}
		for i := 0; i < len(changes); i += 2 {
			if changes[i+1] == nil {
				delete(o, changes[i].(string))
			} else {
				o[changes[i].(string)] = changes[i+1]
			}
		}
		return o
	}
	k.ask("GET a login", ask("GET", "/auth/login_flow"))
	k.ask("start a login", start().json(body()))
	k.ask("start a login as text", start().send("text/plain;charset=UTF-8", text(body())))
	k.ask("start a login without a type", start().send("", text(body())))
	k.ask("start with a bad client", start().json(body("client_id", "nonsense")))
	k.ask("start with a client with a password", start().json(body("client_id", "http://user:pw@example.com/")))
	k.ask("start with a client at a public address", start().json(body("client_id", "http://203.0.113.5/")))
	k.ask("start with an unknown provider", start().json(body("handler", []any{"nobody", nil})))
	k.ask("start with a word for a provider", start().json(body("handler", "homeassistant")))
	k.ask("start with too much", start().json(body("more", "x")))
	k.ask("start with too little", start().json(body("redirect_uri", nil)))
	k.ask("start with a list", start().json([]any{}))
	k.ask("start with no JSON", start().send("application/json", "{"))
	k.ask("start with nothing", start())
	k.ask("start with a key twice", start().send("application/json", `{"client_id":"nonsense","client_id":"`+client+`","redirect_uri":"`+client+`","handler":["homeassistant",null]}`))
	k.ask("start with much", start().send("application/json", `{"client_id":"`+strings.Repeat("x", 70<<10)+`"}`))

	id := k.begin(client)
	step := func(o object) *request { return ask("POST", "/auth/login_flow/"+id).json(o) }
	k.ask("GET a flow", ask("GET", "/auth/login_flow/"+id))
	k.ask("a wrong password", step(object{"client_id": client, "username": k.end.username, "password": "wrong"}))
	k.ask("a wrong name", step(object{"client_id": client, "username": "nobody", "password": "wrong"}))
	k.ask("too little", step(object{"client_id": client, "username": k.end.username}))
	k.ask("too much", step(object{"client_id": client, "username": k.end.username, "password": "x", "code": "1"}))
	k.ask("a number for a name", step(object{"client_id": client, "username": 1, "password": "x"}))
	k.ask("no client", step(object{"username": k.end.username, "password": k.end.password}))
	k.ask("a bad client", step(object{"client_id": "nonsense", "username": k.end.username, "password": k.end.password}))
	k.ask("from elsewhere", step(object{"client_id": client, "username": k.end.username, "password": k.end.password}).with("X-Forwarded-For", "192.168.7.7"))
	a := k.ask("the right password, the name in capitals", step(object{"client_id": client, "username": " " + strings.ToUpper(k.end.username) + " ", "password": k.end.password}))
	k.ask("the flow is over", step(object{"client_id": client, "username": k.end.username, "password": k.end.password}))
	k.ask("an unknown flow", ask("POST", "/auth/login_flow/"+strings.Repeat("0", 32)).json(object{"client_id": client}))

	code := func(pairs ...string) *request {
		return ask("POST", "/auth/token").form(append([]string{"grant_type", "authorization_code"}, pairs...)...)
	}
	k.ask("a code without a client", code("code", a.text("result")))
	k.ask("a code of another client", code("client_id", "http://example.com/", "code", a.text("result")))
	k.ask("a client without a code", code("client_id", client))
	k.ask("a code", code("client_id", client, "code", a.text("result")))
	k.ask("the code again", code("client_id", client, "code", a.text("result")))

	id = k.begin(client)
	k.ask("end a flow", ask("DELETE", "/auth/login_flow/"+id))
	k.ask("end it again", ask("DELETE", "/auth/login_flow/"+id))

	id = k.begin(client, "redirect_uri", "http://evil.example/")
	k.ask("to another site", step(object{"client_id": client, "username": k.end.username, "password": k.end.password}))
	app := "https://home-assistant.io/iOS"
	id = k.begin(app, "redirect_uri", "homeassistant://auth-callback")
	a = k.ask("an app", step(object{"client_id": app, "username": k.end.username, "password": k.end.password}))
	p := k.exchange(app, a.text("result"))
	k.ask("the app logs out", ask("POST", "/auth/revoke").form("token", p.refresh))
}

// pkce is RFC 7636, since 2026.11.
func (k *talk) pkce() {
	client := k.end.url + "/"
	verifier := strings.Repeat("gatehouse", 6)
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	start := func(o object) *request {
		o["client_id"], o["redirect_uri"], o["handler"] = client, client, []any{"homeassistant", nil}
		return ask("POST", "/auth/login_flow").json(o)
	}
	k.ask("a plain challenge", start(object{"code_challenge": challenge, "code_challenge_method": "plain"}))
	k.ask("a challenge without a method", start(object{"code_challenge": challenge}))
	k.ask("a method without a challenge", start(object{"code_challenge_method": "S256"}))
	k.ask("another response type", start(object{"response_type": "token"}))
	a := k.ask("a challenge", start(object{"code_challenge": challenge, "code_challenge_method": "S256"}))
	if a.status != http.StatusOK {
		return // releases before 2026.11
	}
	login := func(id string) string {
		return k.ask("", ask("POST", "/auth/login_flow/"+id).json(object{"client_id": client, "username": k.end.username, "password": k.end.password}).quietly()).text("result")
	}
	exchange := func(pairs ...string) *request {
		return ask("POST", "/auth/token").form(append([]string{"grant_type", "authorization_code", "client_id", client}, pairs...)...)
	}
	k.ask("no verifier", exchange("code", login(a.text("flow_id"))))
	again := func() string { return k.begin(client, "code_challenge", challenge, "code_challenge_method", "S256") }
	k.ask("a wrong verifier", exchange("code", login(again()), "code_verifier", strings.Repeat("x", 50)))
	k.ask("the right verifier", exchange("code", login(again()), "code_verifier", verifier))
	k.ask("a verifier without a challenge", exchange("code", login(k.begin(client)), "code_verifier", verifier))
}

// blocked are those who may not come in.
func (k *talk) blocked(all members) {
	client := k.end.url + "/"
	id := func() string {
		return k.ask("", ask("POST", "/auth/login_flow").with("X-Forwarded-For", "203.0.113.9").json(object{"client_id": client, "redirect_uri": client, "handler": []any{"homeassistant", nil}}).quietly()).text("flow_id")
	}
	k.ask("local only, from outside", ask("POST", "/auth/login_flow/"+id()).with("X-Forwarded-For", "203.0.113.9").json(object{"client_id": client, "username": all.local.username, "password": all.local.password}))
	p := k.signIn(all.local.username, all.local.password)
	k.ask("local only, a token from outside", ask("GET", "/api/").bearer(p.access).with("X-Forwarded-For", "203.0.113.9"))
	k.ask("local only, a token from home", ask("GET", "/api/").bearer(p.access))
	k.ask("local only, a refresh from outside", ask("POST", "/auth/token").with("X-Forwarded-For", "203.0.113.9").form("grant_type", "refresh_token", "client_id", client, "refresh_token", p.refresh))
	l := k.dial(http.Header{"X-Forwarded-For": {"203.0.113.9"}})
	l.says("local only, a socket from outside", 2, text(object{"type": "auth", "access_token": p.access}))
}

// totp is the code of this half minute (RFC 6238).
func totp(secret string, at time.Time) string {
	key, _ := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(secret, "="))
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(at.Unix()/30))
	mac := hmac.New(sha1.New, key)
	mac.Write(counter[:])
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

// secondFactor sets TOTP up and logs in with it.
func (k *talk) secondFactor(all members) {
	client := k.end.url + "/"
	p := k.signIn(all.totp.username, all.totp.password)
	l := k.login(p.access)
	defer l.close()
	l.does("who am I, without a second factor", object{"type": "auth/current_user"})
	l.does("an unknown module", object{"type": "auth/setup_mfa", "mfa_module_id": "nothing"})
	result, _ := l.command(object{"type": "auth/setup_mfa", "mfa_module_id": "totp"})
	form := result.(object)
	secret := form["description_placeholders"].(object)["code"].(string)
	k.known[secret] = "<secret>"
	flow := form["flow_id"]
	wrong := "000000"
	if totp(secret, time.Now()) == wrong {
		wrong = "111111"
	}
	result, _ = l.command(object{"type": "auth/setup_mfa", "flow_id": flow, "user_input": object{"code": wrong}})
	k.note("a wrong code while setting up", result.(object)["errors"])
	result, failed := l.command(object{"type": "auth/setup_mfa", "flow_id": flow, "user_input": object{"code": totp(secret, time.Now())}})
	if failed != nil {
		k.t.Fatal(failed)
	}
	k.note("set up", result.(object)["type"])
	id := k.begin(client)
	step := func(o object) *request {
		o["client_id"] = client
		return ask("POST", "/auth/login_flow/"+id).json(o)
	}
	k.ask("the password, and a code is asked for", step(object{"username": all.totp.username, "password": all.totp.password}))
	k.ask("the password again in place of the code", step(object{"username": all.totp.username, "password": all.totp.password}))
	k.ask("a wrong code", step(object{"code": wrong}))
	k.ask("a right code", step(object{"code": totp(secret, time.Now())}))
	id = k.begin(client)
	k.ask("", step(object{"username": all.totp.username, "password": all.totp.password}).quietly())
	for i := range 5 {
		k.ask(fmt.Sprintf("wrong code %d", i+1), step(object{"code": wrong}))
	}
	k.ask("after too many", step(object{"code": totp(secret, time.Now())}))
	l.does("no second factor any more", object{"type": "auth/depose_mfa", "mfa_module_id": "totp"})
}

// tokens is ha-protocol 2.3.
func (k *talk) tokens() {
	client := k.end.url + "/"
	form := func(pairs ...string) *request { return ask("POST", "/auth/token").form(pairs...) }
	refresh := func(pairs ...string) *request {
		return form(append([]string{"grant_type", "refresh_token"}, pairs...)...)
	}
	p := k.signIn(k.end.username, k.end.password)
	k.ask("refresh", refresh("client_id", client, "refresh_token", p.refresh).with("Origin", "http://other.example"))
	k.ask("refresh without a client", refresh("refresh_token", p.refresh))
	k.ask("refresh as another client", refresh("client_id", "http://example.com/", "refresh_token", p.refresh))
	k.ask("refresh as no client", refresh("client_id", "nonsense", "refresh_token", p.refresh))
	k.ask("refresh with nothing", refresh("client_id", client))
	k.ask("refresh with an unknown token", refresh("client_id", client, "refresh_token", strings.Repeat("0", 128)))
	k.ask("refresh with an access token", refresh("client_id", client, "refresh_token", p.access))
	k.ask("another grant", form("grant_type", "password", "client_id", client))
	k.ask("no grant", form("client_id", client))
	k.ask("a token twice", refresh("client_id", client, "refresh_token", p.refresh, "refresh_token", "x"))
	k.ask("JSON for a form", ask("POST", "/auth/token").json(object{"grant_type": "refresh_token", "client_id": client, "refresh_token": p.refresh}))
	k.ask("the form in the query", ask("POST", "/auth/token?grant_type=refresh_token&client_id="+url.QueryEscape(client)+"&refresh_token="+p.refresh))
	multipart := "--b\r\nContent-Disposition: form-data; name=\"client_id\"\r\n\r\n" + client + "\r\n--b\r\nContent-Disposition: form-data; name=\"refresh_token\"\r\n\r\n" + p.refresh + "\r\n--b\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nrefresh_token\r\n--b--\r\n"
	k.ask("a multipart form", ask("POST", "/auth/token").send("multipart/form-data; boundary=b", multipart))
	k.ask("a large form", form("grant_type", "refresh_token", "client_id", client, "refresh_token", strings.Repeat("0", 70<<10)))
	k.ask("GET a token", ask("GET", "/auth/token"))
	k.ask("may a page ask for tokens", ask("OPTIONS", "/auth/token").with("Origin", "http://other.example").with("Access-Control-Request-Method", "POST"))
	k.ask("revoke nonsense", ask("POST", "/auth/revoke").form("token", "nonsense"))
	k.ask("revoke nothing", ask("POST", "/auth/revoke"))
	k.ask("revoke an access token", form("action", "revoke", "token", p.access))
	k.ask("which changed nothing", ask("GET", "/api/").bearer(p.access))
	k.ask("revoke in the old way", form("action", "revoke", "token", p.refresh))
	k.ask("which ended its access tokens", ask("GET", "/api/").bearer(p.access))
	k.ask("and cannot be refreshed", refresh("client_id", client, "refresh_token", p.refresh))
}

// bearers are good and bad.
func (k *talk) bearers(owner pass, all members) {
	get := func() *request { return ask("GET", "/api/") }
	k.ask("no bearer", get())
	k.ask("no bearer, another host", get().with("Host", "home.example"))
	k.ask("a bearer", get().bearer(owner.access))
	k.ask("nonsense for a bearer", get().bearer("nonsense"))
	k.ask("a damaged bearer", get().bearer(owner.access[:len(owner.access)-4]+"AAAA"))
	k.ask("a refresh token for a bearer", get().bearer(owner.refresh))
	k.ask("bearer in small letters", get().with("Authorization", "bearer "+owner.access))
	k.ask("two spaces", get().with("Authorization", "Bearer  "+owner.access))
	k.ask("the first of two bearers", get().bearer(owner.access).bearer("nonsense"))
	k.ask("the second of two bearers", get().bearer("nonsense").bearer(owner.access))
	k.ask("a token in the query", ask("GET", "/api/?access_token="+owner.access))
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + strings.Split(owner.access, ".")[1] + "."
	k.ask("a token without a signature", get().bearer(none))
	k.ask("a bad bearer where none is needed", ask("GET", "/auth/providers").bearer("nonsense"))
	p := k.signIn(all.anna.username, all.anna.password)
	k.ask("a member", get().bearer(p.access))
	k.ask("a member on an administrator's path", ask("POST", "/api/template").bearer(p.access).json(object{"template": "x"}))
	k.ask("a member on an administrator's stream", ask("GET", "/api/stream").bearer(p.access))
}

// signedPaths is ha-protocol 1.4.
func (k *talk) signedPaths(admin *line, owner pass) {
	sign := func(path string) string {
		result, failed := admin.command(object{"type": "auth/sign_path", "path": path, "expires": 60})
		if failed != nil {
			k.t.Fatal(failed)
		}
		return result.(object)["path"].(string)
	}
	k.note("a signed path", sign("/api/states/sun.sun"))
	k.note("a signed path with a query", sign("/api/states/sun.sun?a=1&b=2"))
	p := sign("/api/")
	k.ask("by signature", ask("GET", p))
	k.ask("by signature, with a bad bearer", ask("GET", p).bearer("nonsense"))
	k.ask("a signature for another path", ask("GET", "/api/config?"+strings.SplitN(p, "?", 2)[1]))
	k.ask("a damaged signature", ask("GET", p[:len(p)-3]+"AAA"))
	k.ask("a signature with more in the query", ask("GET", p+"&x=1"))
	k.ask("a signature with width and height", ask("GET", p+"&width=1&height=2"))
	k.ask("a signature on POST", ask("POST", sign("/api/template")).json(object{"template": "x"}))
	q := sign("/api/?a=1&b=2")
	k.ask("a signed query", ask("GET", q))
	k.ask("a signed query in another order", ask("GET", strings.Replace(q, "a=1&b=2", "b=2&a=1", 1)))
	k.ask("a signed query with a value changed", ask("GET", strings.Replace(q, "a=1", "a=3", 1)))
	k.ask("an access token for a signature", ask("GET", "/api/?authSig="+owner.access))
}

// forwarded is ha-protocol 4.2.
func (k *talk) forwarded(owner pass) {
	get := func(pairs ...string) *request {
		r := ask("GET", "/api/").bearer(owner.access)
		for i := 0; i < len(pairs); i += 2 {
			r.with(pairs[i], pairs[i+1])
		}
		return r
	}
	const xff = "X-Forwarded-For"
	for name, r := range map[string]*request{
		"one address":            get(xff, "203.0.113.9"),
		"a chain":                get(xff, "203.0.113.9, 127.0.0.1"),
		"several headers":        get(xff, "203.0.113.9", xff, "198.51.100.2"),
		"an IPv6 address":        get(xff, "2001:db8::1"),
		"a zone":                 get(xff, "fe80::1%eth0"),
		"a mapped address":       get(xff, "::ffff:1.2.3.4"),
		"an address with a port": get(xff, "203.0.113.9:80"),
		"in brackets":            get(xff, "[2001:db8::1]"),
		"nobody":                 get(xff, "unknown"),
		"an empty element":       get(xff, "203.0.113.9,"),
		"nothing":                get(xff, ""),
		"one proto":              get(xff, "203.0.113.9", "X-Forwarded-Proto", "https"),
		"an empty proto":         get(xff, "203.0.113.9", "X-Forwarded-Proto", ""),
		"two protos":             get(xff, "203.0.113.9", "X-Forwarded-Proto", "https, http"),
		"a host":                 get(xff, "203.0.113.9", "X-Forwarded-Host", "home.example"),
		"an empty host":          get(xff, "203.0.113.9", "X-Forwarded-Host", ""),
		"a proto alone":          get("X-Forwarded-Proto", "https, , x"),
		"a leading zero":         get(xff, "203.0.113.09"),
	} {
		k.ask(name, r)
	}
}

// paths are odd methods and targets.
func (k *talk) paths(owner pass) {
	get := func(target string) *request { return ask("GET", target).bearer(owner.access) }
	k.ask("an encoded letter", get("/%61pi/"))
	k.ask("two slashes", get("//api/"))
	k.ask("two slashes within", get("/api//config"))
	k.ask("a dot", get("/./api/"))
	k.ask("two dots", get("/api/../api/"))
	k.ask("two dots, encoded", get("/api/%2e%2e/api/"))
	k.ask("two dots, encoded twice", get("/api/%252e%252e/api/"))
	k.ask("an encoded slash", get("/api%2fconfig"))
	k.ask("a semicolon", get("/api/;x"))
	k.ask("a trailing slash", get("/api/config/"))
	k.ask("no trailing slash", get("/api"))
	k.ask("capitals", get("/API/"))
	k.ask("a script in the query", get("/api/?x=<script>"))
	k.ask("a path in the query", get("/api/?redirect=/foo"))
	k.ask("a union in the query", get("/api/?q=union+select+(1"))
	k.ask("a tab in the path", get("/api/%09"))
	k.ask("the absolute form", get(k.end.url+"/api/"))
	k.ask("HEAD", ask("HEAD", "/api/").bearer(owner.access))
	k.ask("DELETE", ask("DELETE", "/api/").bearer(owner.access))
	k.ask("PATCH without a bearer", ask("PATCH", "/api/states/sun.sun"))
	k.ask("OPTIONS", ask("OPTIONS", "/api/"))
	k.ask("OPTIONS from elsewhere", ask("OPTIONS", "/api/").with("Origin", "http://other.example").with("Access-Control-Request-Method", "GET"))
	k.ask("an unknown path below the API", get("/api/nothing"))
}

// gif is a picture of one point.
const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// rest is ha-protocol 1.3.
func (k *talk) rest(owner pass, all members) {
	send := func(method, target string) *request { return ask(method, target).bearer(owner.access) }
	const light = "/api/states/light.kitchen_lights"
	var doors []any
	call := func(name string, data any) *request { return send("POST", "/api/services/light/"+name).json(data) }
	k.ask("configuration", send("GET", "/api/config").only("state", "version", "language", "unit_system", "recovery_mode", "safe_mode"))
	k.ask("core state", send("GET", "/api/core/state"))
	k.ask("no such state", send("GET", "/api/states/light.nothing"))
	k.ask("", call("turn_off", object{"entity_id": "light.kitchen_lights"}).quietly())
	a := k.ask("", send("GET", light).quietly())
	k.note("off", a.text("state"))
	a = k.ask("", call("turn_on", object{"entity_id": "light.kitchen_lights"}).quietly())
	k.note("turned on", object{"status": a.status, "one state": strings.Contains(string(a.body), `"entity_id":"light.kitchen_lights"`)})
	k.ask("a state", send("GET", light).only("entity_id", "context", "last_changed", "last_reported", "last_updated"))
	k.ask("a service that is none", send("POST", "/api/services/light/explode").json(object{}))
	k.ask("a service with no JSON", send("POST", "/api/services/light/turn_on").send("application/json", "{"))
	k.ask("a service with a list", send("POST", "/api/services/light/turn_on").json([]any{}))
	k.ask("a service without a target", call("turn_on", object{}))
	k.ask("a service for nobody", call("turn_on", object{"entity_id": "light.nothing"}))
	k.ask("a service that answers nothing", send("POST", "/api/services/light/turn_on?return_response").json(object{"entity_id": "light.kitchen_lights"}))
	k.ask("GET a service", send("GET", "/api/services/light/turn_on"))
	for _, c := range [][2]string{{"cover", "close_cover"}, {"homeassistant", "turn_on"}, {"homeassistant", "toggle"}, {"homeassistant", "turn_off"}, {"cover", "close_cover"}} {
		k.ask("", send("POST", "/api/services/"+c[0]+"/"+c[1]).json(object{"entity_id": "cover.garage_door"}).quietly())
		a := k.ask("", send("GET", "/api/states/cover.garage_door").quietly())
		doors = append(doors, c[0]+"."+c[1]+": "+a.text("state"))
	}
	k.note("the garage door", doors)
	k.ask("what nobody understands", send("POST", "/api/conversation/process").json(object{"text": "colourless green ideas"}))
	k.ask("set a state", send("POST", "/api/states/sensor.gatehouse_conformance").json(object{"state": "1", "attributes": object{"a": 1}}))
	k.ask("set it again", send("POST", "/api/states/sensor.gatehouse_conformance").json(object{"state": 2}))
	k.ask("set it without a state", send("POST", "/api/states/sensor.gatehouse_conformance").json(object{}))
	k.ask("set what is no entity", send("POST", "/api/states/nonsense").json(object{"state": "1"}))
	k.ask("set with no JSON", send("POST", "/api/states/sensor.gatehouse_conformance").send("application/json", "nope"))
	k.ask("remove it", send("DELETE", "/api/states/sensor.gatehouse_conformance"))
	k.ask("remove it again", send("DELETE", "/api/states/sensor.gatehouse_conformance"))
	k.ask("an event", send("POST", "/api/events/gatehouse_conformance").json(object{"a": 1}))
	k.ask("an event with a list", send("POST", "/api/events/gatehouse_conformance").json([]any{1}))
	k.ask("an event with no JSON", send("POST", "/api/events/gatehouse_conformance").send("application/json", "{"))
	k.ask("a template", send("POST", "/api/template").json(object{"template": "{{ states('light.kitchen_lights') }} {{ 1 + 2 }}"}))
	k.ask("a template that is none", send("POST", "/api/template").json(object{"template": "{{ nothing_of_this_kind() }}"}))
	k.ask("a template with an unknown name", send("POST", "/api/template").json(object{"template": "a{{ nothing_of_this_kind }}b"}))
	k.ask("a template with too little", send("POST", "/api/template").json(object{}))
	k.ask("a template with no JSON", send("POST", "/api/template").send("application/json", "{"))
	k.ask("check the configuration", send("POST", "/api/config/core/check_config").only("result", "errors"))
	k.ask("history of nobody", send("GET", "/api/history/period"))
	k.ask("a compressed body", send("POST", "/api/template").with("Content-Encoding", "deflate").send("application/json", zlibbed(text(object{"template": "squeezed"}))))
	r := send("GET", "/api/stream?restrict=nothing")
	r.first = 12
	k.ask("the stream of events", r)
	k.ask("entries of phones by a member", ask("DELETE", "/api/config/config_entries/entry/nothing").bearer(k.signIn(all.anna.username, all.anna.password).access))
	k.ask("an entry that is none", send("DELETE", "/api/config/config_entries/entry/nothing"))
	k.ask("a picture that is none", send("GET", "/api/image/serve/"+strings.Repeat("0", 32)+"/512x512"))
	k.ask("a picture that is text", send("POST", "/api/image/upload").send("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"))
	k.ask("a picture", send("POST", "/api/image/upload").send("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.gif\"\r\nContent-Type: image/gif\r\n\r\n"+gif+"\r\n--b--\r\n"))
	k.ask("a picture without a part", send("POST", "/api/image/upload").send("multipart/form-data; boundary=b", "--b--\r\n"))
	k.ask("speech that is none", ask("GET", "/api/tts_proxy/nothing.mp3"))
	k.ask("a backup for nobody", send("POST", "/api/backup/upload").send("multipart/form-data; boundary=b", "--b--\r\n"))
	k.ask("a backup by a stranger", ask("POST", "/api/backup/upload?agent_id=backup.local"))
}

// cameras is the table of ha-protocol 1.2 and 2.5.
func (k *talk) cameras(owner pass) {
	const still, moving = "/api/camera_proxy/camera.demo_camera", "/api/camera_proxy_stream/camera.demo_camera"
	a := k.ask("", ask("GET", "/api/states/camera.demo_camera").bearer(owner.access).quietly())
	attributes, _ := a.object()["attributes"].(object)
	token, _ := attributes["access_token"].(string)
	k.note("the camera's picture", attributes["entity_picture"])
	kind := func(step string, r *request) {
		a := k.ask("", r.quietly())
		k.note(step, object{"status": a.status, "image": strings.HasPrefix(a.head.Get("Content-Type"), "image/")})
	}
	kind("a picture by token", ask("GET", still+"?token="+token))
	kind("a picture by bearer", ask("GET", still).bearer(owner.access))
	k.ask("a picture for nobody", ask("GET", still))
	k.ask("a picture with a wrong token", ask("GET", still+"?token=wrong"))
	k.ask("a picture with a bad signature", ask("GET", still+"?authSig=wrong"))
	k.ask("a picture with a bad bearer", ask("GET", still).bearer("nonsense"))
	kind("a picture with a bad bearer and a token", ask("GET", still+"?token="+token).bearer("nonsense"))
	k.ask("no such camera", ask("GET", "/api/camera_proxy/camera.nothing"))
	k.ask("no such camera, by bearer", ask("GET", "/api/camera_proxy/camera.nothing").bearer(owner.access))
	k.ask("a stream with a wrong token", ask("GET", moving+"?token=wrong"))
	r := ask("GET", moving+"?token="+token)
	r.first = len("--frameboundary\r\nContent-Type: image/")
	k.ask("a stream", r)
	k.ask("a stream that is too fast", ask("GET", moving+"?interval=0.1&token="+token))
}

// handshakes is ha-protocol 3.1.
func (k *talk) handshakes(owner pass) {
	good := text(object{"type": "auth", "access_token": owner.access})
	for _, c := range []struct {
		step, frame string
		count       int
	}{
		{"a good token", good, 2},
		{"a wrong token", `{"type":"auth","access_token":"nonsense"}`, 3},
		{"an empty token", `{"type":"auth","access_token":""}`, 3},
		{"an id", strings.Replace(good, "{", `{"id":1,`, 1), 3},
		{"no token", `{"type":"auth"}`, 3},
		{"another type", `{"type":"ping","id":1}`, 3},
		{"an array", "[" + good + "]", 3},
		{"the type twice, the last is right", strings.Replace(good, "{", `{"type":"x",`, 1), 2},
		{"no JSON", "hello", 2},
		{"spaces around", "  " + good + "\n", 2},
		{"a byte order mark", "\ufeff" + good, 2},
		{"more behind it", good + "{}", 2},
	} {
		l := k.dial(nil)
		l.says(c.step, c.count, c.frame)
		l.close()
	}
	l := k.dial(nil)
	l.binary([]byte(good))
	l.says("binary", 2)
	l = k.dial(http.Header{"Origin": {"http://other.example"}})
	l.says("from another site", 2, good)
	l.close()
	k.ask("no upgrade", ask("GET", "/api/websocket"))
	k.ask("another upgrade", ask("GET", "/api/websocket").with("Upgrade", "h2c"))
	upgrade := func(version string, more ...string) *request {
		r := ask("GET", "/api/websocket").with("Connection", "Upgrade").with("Upgrade", "websocket").with("Sec-WebSocket-Version", version)
		for i := 0; i < len(more); i += 2 {
			r.with(more[i], more[i+1])
		}
		return r
	}
	const key, sample = "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==" // of RFC 6455 1.3
	k.ask("an upgrade", upgrade("13", key, sample))
	k.ask("an upgrade with a subprotocol", upgrade("13", key, sample, "Sec-WebSocket-Protocol", "chat"))
	k.ask("an upgrade with compression", upgrade("13", key, sample, "Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"))
	k.ask("an upgrade of an old version", upgrade("12", key, sample))
	k.ask("an upgrade without a key", upgrade("13"))
	k.ask("an upgrade with a bad key", upgrade("13", key, "AAAA"))
	k.ask("an upgrade without the word", ask("GET", "/api/websocket").with("Connection", "close").with("Upgrade", "websocket").with("Sec-WebSocket-Version", "13").with(key, sample))
	k.ask("POST to the socket", ask("POST", "/api/websocket"))
}

// frames is ha-protocol 3.2.
func (k *talk) frames(owner pass) {
	l := k.login(owner.access)
	l.says("ping", 1, `{"id":1,"type":"ping"}`)
	l.says("the same id", 1, `{"id":1,"type":"ping"}`)
	l.says("an unknown command", 1, `{"id":2,"type":"nothing/of/this/kind"}`)
	l.says("its id is not spent", 1, `{"id":2,"type":"ping"}`)
	l.says("an array", 2, `[{"id":3,"type":"ping"},{"id":4,"type":"ping"}]`)
	l.says("an array in an array, and a good one after it", 2, `[[{"id":5,"type":"ping"}],{"id":6,"type":"ping"}]`)
	l.says("an empty array is passed over", 1, `[]`, `{"id":7,"type":"ping"}`)
	l.says("an id as text", 1, `{"id":"8","type":"ping"}`)
	l.says("an id with a point", 1, `{"id":8.0,"type":"ping"}`)
	l.says("an id that is true", 1, `{"id":true,"type":"ping"}`)
	l.says("no id", 1, `{"type":"ping"}`)
	l.says("id 0", 1, `{"id":0,"type":"ping"}`)
	l.says("a negative id", 1, `{"id":-1,"type":"ping"}`)
	l.says("no type", 1, `{"id":8}`)
	l.says("a number for a type", 1, `{"id":8,"type":8}`)
	l.says("a word", 1, `"ping"`)
	l.says("ids twice, the last counts", 1, `{"id":1,"id":9,"type":"ping"}`)
	l.says("types twice, the last counts", 1, `{"id":10,"type":"nothing","type":"ping"}`)
	l.says("a key in escapes", 1, `{"\u0069d":11,"type":"ping"}`)
	l.says("too much", 1, `{"id":12,"type":"ping","more":1}`)
	l.says("which spent its id", 1, `{"id":12,"type":"ping"}`)
	l.says("a missing field", 1, `{"id":13,"type":"call_service"}`)
	l.says("coalescing, features that nobody knows", 1, `{"id":14,"type":"supported_features","features":{"coalesce_messages":1,"x":2}}`)
	l.binary([]byte{7, 1, 2, 3})
	l.says("binary for nobody is passed over", 1, `{"id":15,"type":"ping"}`)
	l.says("a great id", 1, `{"id":18446744073709551615,"type":"ping"}`)
	l.close()
	for _, c := range [][2]string{
		{"no JSON", "hello"}, {"NaN", `{"id":1,"type":"ping","x":NaN}`}, {"a lone surrogate", `{"id":1,"type":"\ud800"}`}, {"a comment", `{"id":1,"type":"ping"/**/}`},
		{"deep nesting", strings.Repeat("[", 2000) + strings.Repeat("]", 2000)}, {"an id of 65 bits", `{"id":18446744073709551616,"type":"ping"}`},
	} {
		l := k.login(owner.access)
		l.says("a frame with "+c[0], 1, c[1])
		l.close()
	}
	l = k.login(owner.access)
	l.binary(nil)
	l.says("an empty binary frame", 1)
	l = k.login(owner.access)
	l.send(`{"id":1,"type":"` + strings.Repeat("x", 5<<20) + `"}`)
	_, answered := l.hear().(object) // the close frame, 1009, may be lost behind the reset of the connection
	k.note("a frame of 5 MiB is answered", answered)
}

// commands are the shapes of ha-protocol 3.3.
func (k *talk) commands(admin *line, all members) {
	admin.does("get_config", object{"type": "get_config"}, "state", "version", "language", "recovery_mode")
	admin.does("call_service", object{"type": "call_service", "domain": "light", "service": "turn_on", "target": object{"entity_id": "light.kitchen_lights"}})
	admin.does("call_service: an unknown service", object{"type": "call_service", "domain": "light", "service": "explode"})
	admin.does("call_service: no target", object{"type": "call_service", "domain": "light", "service": "turn_on"})
	admin.does("call_service: nobody", object{"type": "call_service", "domain": "light", "service": "turn_on", "target": object{"entity_id": "light.nothing"}})
	admin.does("call_service: a response that is none", object{"type": "call_service", "domain": "light", "service": "turn_on", "target": object{"entity_id": "light.kitchen_lights"}, "return_response": true})
	admin.does("fire_event", object{"type": "fire_event", "event_type": "gatehouse_conformance", "event_data": object{}})
	admin.does("unsubscribe nothing", object{"type": "unsubscribe_events", "subscription": 9999})
	admin.does("entity registry: nobody", object{"type": "config/entity_registry/get", "entity_id": "light.nothing"})
	for _, c := range []struct {
		name, template string
		report         bool
		count          int
	}{
		{"plain", "hello", false, 2},
		{"a number", "{{ 1 + 1 }}", false, 2},
		{"plain, reported", "hello", true, 2},
		{"an unknown name", "{{ nothing_of_this_kind }}", false, 2},
		{"an unknown name, reported", "{{ nothing_of_this_kind }}", true, 4},
		{"an unknown function", "{{ nothing_of_this_kind() }}", false, 1},
		{"an unknown function, reported", "{{ nothing_of_this_kind() }}", true, 3},
		{"no template", "{{ {{", false, 1},
		{"no template, reported", "{{ {{", true, 2},
	} {
		l := k.login(k.signIn(k.end.username, k.end.password).access)
		l.says("template: "+c.name, c.count, text(object{"id": 1, "type": "render_template", "template": c.template, "report_errors": c.report}))
		l.close()
	}
	admin.does("floors", object{"type": "config/floor_registry/list"})
	admin.does("labels", object{"type": "config/label_registry/list"})

	p := k.signIn(all.anna.username, all.anna.password)
	l := k.login(p.access)
	defer l.close()
	l.does("a member: who am I", object{"type": "auth/current_user"})
	l.does("a member: users", object{"type": "config/auth/list"})
	l.does("a member: an event", object{"type": "fire_event", "event_type": "x"})
	l.does("a member: every event", object{"type": "subscribe_events"})
	l.does("a member: a secret event", object{"type": "subscribe_events", "event_type": "call_service"})
	l.does("a member: states", object{"type": "subscribe_events", "event_type": "state_changed"})
	l.does("a member: restart", object{"type": "call_service", "domain": "homeassistant", "service": "restart"})
	_, refused := l.command(object{"type": "webhook/list"})
	k.note("a member: webhooks", refused)
	l.does("a member: settings", object{"type": "http/config"}, "code")
	l.does("a member: the password, wrong", object{"type": "config/auth_provider/homeassistant/change_password", "current_password": "wrong", "new_password": "x"})
	l.does("a member: the password", object{"type": "config/auth_provider/homeassistant/change_password", "current_password": all.anna.password, "new_password": all.anna.password})
}

// subscriptions are events, states and templates as they come.
func (k *talk) subscriptions(owner pass) {
	l := k.login(owner.access)
	defer l.close()
	const light = "light.kitchen_lights"
	off := func(state string) object {
		return object{"domain": "light", "service": "turn_" + state, "type": "call_service", "target": object{"entity_id": light}}
	}
	l.command(off("off"))
	l.id++
	l.send(text(object{"id": l.id, "type": "subscribe_entities", "entity_ids": []any{light}}))
	k.note("subscribe_entities", l.hear())
	first, _ := l.hear().(object)
	event, _ := first["event"].(object)
	added, _ := event["a"].(object)
	state, _ := added[light].(object)
	k.note("the first event", object{"entities": len(added), "state": state["s"], "context": state["c"], "lc": state["lc"], "lu": state["lu"]})
	subscription := l.id
	l.id++
	o := off("on")
	o["id"] = l.id
	l.send(text(o))
	var change object
	for range 2 { // the result and the event, in either order
		if m, ok := l.hear().(object); ok && m["type"] == "event" {
			change, _ = m["event"].(object)["c"].(object)[light].(object)
		}
	}
	plus, _ := change["+"].(object)
	k.note("a change", object{"state": plus["s"], "context": plus["c"], "lc": plus["lc"] != nil, "lu": plus["lu"] != nil})
	l.does("unsubscribe", object{"type": "unsubscribe_events", "subscription": subscription})
	l.does("unsubscribe again", object{"type": "unsubscribe_events", "subscription": subscription})

	l.id++
	l.says("an event of one's own", 2, text(object{"id": l.id, "type": "subscribe_events", "event_type": "gatehouse_conformance"}), text(object{"id": l.id + 1, "type": "ping"}))
	l.id++
	l.send(text(object{"id": l.id + 1, "type": "fire_event", "event_type": "gatehouse_conformance", "event_data": object{"x": 1}}))
	l.id++
	for range 2 {
		if m, ok := l.hear().(object); ok && m["type"] == "event" {
			k.note("the event", m)
		}
	}
	l.id++
	l.send(text(object{"id": l.id, "type": "render_template", "template": "{{ is_state('" + light + "', 'on') }}"}))
	k.note("a template", l.hear())
	if m, ok := l.hear().(object); ok {
		k.note("its result", m["event"].(object)["result"])
	}
}

// accounts are users and tokens by command.
func (k *talk) accounts(admin *line, all members) {
	admin.does("create in a group that is none", object{"type": "config/auth/create", "name": "x", "group_ids": []any{"nothing"}})
	result, _ := admin.command(object{"type": "config/auth/create", "name": "Kim", "group_ids": []any{"system-users"}})
	kim := result.(object)["user"].(object)["id"]
	k.note("a user", result)
	login := func(user any, username string) object {
		return object{"type": "config/auth_provider/homeassistant/create", "user_id": user, "username": username, "password": "x"}
	}
	admin.does("a name that is taken", login(kim, all.anna.username))
	admin.does("a name in capitals", login(kim, "KIM"))
	// Older releases give the user a second login.
	if month(k.end.version) >= 202611 {
		admin.does("a second name", login(all.anna.id, all.anna.username+"2"))
	}
	admin.does("delete a user without a login", object{"type": "config/auth/delete", "user_id": kim})
	admin.does("a login for nobody", object{"type": "config/auth_provider/homeassistant/create", "user_id": "nobody", "username": "x", "password": "x"})
	admin.does("update", object{"type": "config/auth/update", "user_id": all.anna.id, "name": "Anna B"})
	admin.does("update nobody", object{"type": "config/auth/update", "user_id": "nobody", "name": "x"})
	admin.does("delete nobody", object{"type": "config/auth/delete", "user_id": "nobody"})
	me, _ := admin.command(object{"type": "auth/current_user"})
	k.note("the owner", me)
	admin.does("delete oneself", object{"type": "config/auth/delete", "user_id": me.(object)["id"]})
	admin.does("deactivate the owner", object{"type": "config/auth/update", "user_id": me.(object)["id"], "is_active": false})
	name := "conformance " + all.anna.username
	var failed object
	result, failed = admin.command(object{"type": "auth/long_lived_access_token", "client_name": name, "lifespan": 3650})
	if failed != nil {
		k.t.Fatal(failed)
	}
	k.note("a long-lived token", result)
	k.ask("which opens", ask("GET", "/api/").bearer(result.(string)))
	admin.does("the same name again", object{"type": "auth/long_lived_access_token", "client_name": name, "lifespan": 1})
	rows, _ := admin.command(object{"type": "auth/refresh_tokens"})
	for _, row := range rows.([]any) {
		r := row.(object)
		switch {
		case r["client_name"] == name:
			r["client_name"] = "<name>"
			k.note("its row", r)
			admin.does("delete it", object{"type": "auth/delete_refresh_token", "refresh_token_id": r["id"]})
		case r["is_current"] == true:
			r["last_used_ip"] = nil
			k.note("the row of this login", r)
		}
	}
	k.ask("it opens no more", ask("GET", "/api/").bearer(result.(string)))
	admin.does("delete it again", object{"type": "auth/delete_refresh_token", "refresh_token_id": strings.Repeat("0", 32)})
}

// settings are http/config, since 2026.8.
func (k *talk) settings(admin *line) {
	result, failed := admin.command(object{"type": "http/config"})
	if failed != nil {
		k.note("http/config", failed)
		return
	}
	config := result.(object)
	stable := config["stable"].(object)
	k.note("http/config", object{"members": shape(config), "active": config["active_config_type"], "proxies": stable["trusted_proxies"]})
	admin.does("promote nothing", object{"type": "http/config/promote"})
	admin.does("configure nothing", object{"type": "http/config/configure", "config": nil})
	same := object{}
	for name, v := range stable {
		if name != "created_at" && name != "error" && name != "error_message" {
			same[name] = v
		}
	}
	admin.does("configure what is so already", object{"type": "http/config/configure", "config": same})
	admin.does("configure with metadata", object{"type": "http/config/configure", "config": stable})
	same["trusted_proxies"] = []any{"10.0.0.1/8"}
	admin.does("configure a network with host bits", object{"type": "http/config/configure", "config": same})
	same["trusted_proxies"] = []any{}
	admin.does("configure no proxies", object{"type": "http/config/configure", "config": same})
}

// endings are how sessions end.
func (k *talk) endings(all members) {
	p := k.signIn(all.gone.username, all.gone.password)
	other := k.login(k.signIn(all.gone.username, all.gone.password).access)
	l := k.login(p.access)
	result, _ := l.command(object{"type": "auth/refresh_tokens"})
	for _, row := range result.([]any) {
		if row.(object)["is_current"] == true {
			l.send(text(object{"id": l.id + 1, "type": "auth/delete_refresh_token", "refresh_token_id": row.(object)["id"]}))
			k.note("a token deletes itself", l.hear())
		}
	}
	l = k.login(k.signIn(all.gone.username, all.gone.password).access)
	l.does("delete all others", object{"type": "auth/delete_all_refresh_tokens", "delete_current_token": false})
	k.note("the others' sockets", other.hear())
	l.says("this one stays", 1, text(object{"id": l.id + 1, "type": "ping"}))
	l.id++
	admin := k.login(k.signIn(k.end.username, k.end.password).access)
	defer admin.close()
	admin.does("deactivate", object{"type": "config/auth/update", "user_id": all.gone.id, "is_active": false}, "nothing")
	k.note("a deactivated user's socket", l.hear())
	client := k.end.url + "/"
	id := k.begin(client)
	k.ask("a deactivated user", ask("POST", "/auth/login_flow/"+id).json(object{"client_id": client, "username": all.gone.username, "password": all.gone.password}))
	admin.does("delete a user", object{"type": "config/auth/delete", "user_id": all.gone.id})
	id = k.begin(client)
	k.ask("a deleted user", ask("POST", "/auth/login_flow/"+id).json(object{"client_id": client, "username": all.gone.username, "password": all.gone.password}))
}
