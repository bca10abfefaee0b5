package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/pquerna/otp/totp"

	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/report"
)

const (
	keeper    = "http://127.0.0.1:8123"     // the owner comes from here
	tablet    = "http://192.168.77.20:8123" // a trusted network of its own; who asks there comes from there
	stranger  = "http://203.0.113.7:8123"   // an address on the Internet
	aProxy    = "http://10.0.0.5:8123"      // a proxy that is believed, in the spoiled home
	elsewhere = "http://192.168.78.5:8123"  // a trusted network without named users
)

// TestLiveAudit has a real Home Assistant that was set up carelessly, by its own interface,
// and audits what it leaves on disk; then the same home with everything put right. What the
// checks say is held against what Home Assistant itself says and does.
// GATEHOUSE_LIVE_VERSION names the release (tests/live/run).
func TestLiveAudit(t *testing.T) {
	release := os.Getenv("GATEHOUSE_LIVE_VERSION")
	if release == "" {
		return
	}
	y := newHousehold(t, release)
	y.furnish("spoiled", "")
	y.start()
	y.moveIn()
	said := y.says()
	y.bans()
	y.stopGently()
	y.age()

	guessed := y.guesses()
	r := y.audit("--root", y.state, "--ha", y.state)
	y.judged(r, y.spoiled())
	y.agrees(r, said)
	y.sameOnThisMachine(r)

	// A second factor that is set up and not asked for is none.
	y.append("configuration.yaml", "  auth_mfa_modules: [{type: notify}]\n", "homeassistant:\n")
	y.start()
	if err := y.signsIn("anna", "123456"); err != nil {
		t.Errorf("Anna signs in without the code that nobody asks for: %v", err)
	}
	y.stopGently()
	r = y.audit("--root", y.state, "--ha", y.state)
	y.judged(r, map[string]string{"haauth.mfa-admin": "fail: /configuration.yaml:3 auth_mfa_modules | Owner: | Anna: | Bert:"})

	y.furnish("mended", y.owner)
	y.start()
	y.mend()
	said = y.says()
	y.stopGently()
	y.close()
	r = y.audit("--root", y.state, "--ha", y.state)
	y.judged(r, y.mended())
	y.agrees(r, said)

	guessed(r)
}

// household is a home that is audited: one machine, alone in its network.
type household struct {
	*village
	owner   string            // id
	token   string            // access token of the owner's
	users   map[string]string // ids by names
	webhook string            // of Anna's phone
	anna    string            // access token
	secrets []string          // what no report shows
}

func newHousehold(t *testing.T, release string) *household {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces want root: run tests/live/run as root")
	}
	v := &village{t: t, prefix: fmt.Sprintf("gha%d", os.Getpid()), dir: t.TempDir(), release: release}
	v.binary = filepath.Join(v.dir, "gatehouse")
	v.sh("go", "build", "-o", v.binary, ".")
	v.home = v.world("home")
	v.phone = v.home
	for _, base := range []string{tablet, stranger, aProxy, elsewhere} {
		u, err := url.Parse(base)
		v.must(err)
		v.ip("-n", v.home.name, "addr", "add", u.Hostname()+"/32", "dev", "lo")
	}
	lab := os.Getenv("HA_LAB")
	if lab == "" {
		lab = filepath.Join(os.Getenv("HOME"), ".cache/gatehouse-lab")
	}
	v.state = filepath.Join(lab, "run", v.prefix+"-audit")
	v.must(os.MkdirAll(v.state, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(v.state) })
	return &household{village: v, users: make(map[string]string)}
}

// since8 reports whether the release keeps its http settings itself.
func (y *household) since8() bool {
	r, err := ha.ParseRelease(y.release)
	y.must(err)
	return r.Year*12+r.Month >= 2026*12+8
}

// furnish puts the files of a state of the home there, and its http settings where the
// release looks for them.
func (y *household) furnish(state, owner string) {
	y.t.Helper()
	for _, name := range []string{"custom_components", "www", "packages", "blueprints"} {
		y.must(os.RemoveAll(filepath.Join(y.state, name)))
	}
	all, err := filesOf(os.DirFS(filepath.Join("testdata/audited", state)))
	y.must(err)
	settings := `"use_x_forwarded_for": true, "trusted_proxies": ["10.0.0.0/8"], "cors_allowed_origins": ["*"], "use_x_frame_options": false, "login_attempts_threshold": 2`
	host := ""
	if state == "mended" {
		settings = `"use_x_forwarded_for": true, "trusted_proxies": ["127.0.0.1/32"], "cors_allowed_origins": ["https://cast.home-assistant.io"], "use_x_frame_options": true, "login_attempts_threshold": 5`
		host = `, "server_host": ["127.0.0.1", "192.168.77.20"]`
	}
	if !y.since8() || state == "spoiled" {
		all["configuration.yaml"] = fmt.Appendf(all["configuration.yaml"], "http: {\"server_port\": 8123, %s%s}\n", settings, host)
	}
	if y.since8() {
		y.must(os.MkdirAll(filepath.Join(y.state, ".storage"), 0o755))
		y.must(os.WriteFile(filepath.Join(y.state, ".storage/http"), fmt.Appendf(nil, `{"version": 2, "minor_version": 1, "key": "http", "data": {"pending": null, "yaml_migration_done": true, "stable": {
  "server_port": 8123, %s, "ip_ban_enabled": true, "ssl_profile": "modern", "created_at": "2026-01-01T00:00:00+00:00", "error": null, "error_message": null%s}}}
`, settings, host), 0o600))
	}
	for name, text := range all {
		to := filepath.Join(y.state, name)
		y.must(os.MkdirAll(filepath.Dir(to), 0o755))
		y.must(os.WriteFile(to, bytes.ReplaceAll(text, []byte("OWNER"), []byte(owner)), 0o644))
	}
}

// start starts Home Assistant and waits until it runs; the first time somebody becomes
// its owner.
func (y *household) start() {
	y.t.Helper()
	y.runHome()
	if y.token == "" {
		var owner struct {
			Access string `json:"access_token"`
		}
		out, err := exec.CommandContext(y.t.Context(), "ip", "netns", "exec", y.home.name, "bash", "../../lab/ha", "onboard", keeper).Output()
		y.must(err)
		y.must(json.Unmarshal(out, &owner))
		y.token = owner.Access
	}
	y.await(keeper + "/manifest.json")
	deadline := time.Now().Add(3 * time.Minute)
	for !bytes.Contains(y.api("GET", "/api/config", ""), []byte(`"RUNNING"`)) {
		if time.Now().After(deadline) {
			y.t.Fatal("Home Assistant does not start")
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// stopGently lets Home Assistant write what it knows, and waits for its end.
func (y *household) stopGently() {
	y.t.Helper()
	close(y.homeEnds)
	y.must(syscall.Kill(-y.village.ha.Process.Pid, syscall.SIGTERM))
	deadline := time.Now().Add(time.Minute)
	for syscall.Kill(-y.village.ha.Process.Pid, 0) == nil {
		if time.Now().After(deadline) {
			y.t.Fatal("Home Assistant does not stop")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// api asks Home Assistant as its owner.
func (y *household) api(method, path, body string) []byte {
	y.t.Helper()
	_, text, err := y.ask(y.home, method, keeper+path, map[string]string{"Authorization": "Bearer " + y.token, "Content-Type": "application/json"}, body)
	y.must(err)
	return text
}

// command sends a command over a WebSocket with somebody's token.
func (y *household) command(token, name string, fields map[string]any, result any) {
	y.t.Helper()
	ctx := y.t.Context()
	c, _, err := websocket.Dial(ctx, keeper+"/api/websocket", &websocket.DialOptions{HTTPClient: y.home.client()})
	y.must(err)
	defer c.CloseNow()
	c.SetReadLimit(16 << 20)
	say := func(m map[string]any) {
		text, err := json.Marshal(m)
		y.must(err)
		y.must(c.Write(ctx, websocket.MessageText, text))
	}
	say(map[string]any{"type": "auth", "access_token": token})
	all := map[string]any{"id": 1, "type": name}
	for k, v := range fields {
		all[k] = v
	}
	for {
		_, text, err := c.Read(ctx)
		y.must(err)
		var m struct {
			Type    string `json:"type"`
			Success bool   `json:"success"`
			Result  any    `json:"result"`
		}
		y.must(json.Unmarshal(text, &m))
		switch m.Type {
		case "auth_ok":
			say(all)
		case "auth_invalid":
			y.t.Fatalf("%s: the token is not taken", name)
		case "result":
			if !m.Success {
				y.t.Fatalf("%s: %s", name, text)
			}
			if result != nil {
				text, err = json.Marshal(m.Result)
				y.must(err)
				y.must(json.Unmarshal(text, result))
			}
			return
		}
	}
}

// moveIn lets people and things move in, and be careless.
func (y *household) moveIn() {
	y.t.Helper()
	ctx := y.t.Context()
	admin := y.client().WithToken(y.token)
	me, err := admin.Me(ctx)
	y.must(err)
	y.owner = me.ID
	for _, p := range []struct{ name, username, password, group string }{
		{"Anna", "anna", "123456", client.GroupAdmin},
		{"Bert", "bert", "BERT", client.GroupAdmin},
		{"Guest", "guest", "tidal lantern seventeen", client.GroupUsers},
		{"Dora", "dora", "dora1", client.GroupUsers},
		{"Wall tablet", "", "", client.GroupUsers},
	} {
		id, err := admin.CreateUser(ctx, p.name, []string{p.group}, false)
		y.must(err)
		y.users[p.name] = id
		if p.username != "" {
			y.must(admin.SetPassword(ctx, id, p.username, p.password))
			y.secrets = append(y.secrets, p.password)
		}
	}
	anna := y.signIn(keeper, ha.ClientAndroid, "anna", "123456")
	y.anna = anna.access
	y.secondFactor(y.anna)
	y.signIn(keeper, ha.ClientIOS, "bert", "BERT")
	y.signIn(stranger, ha.ClientIOS, "guest", "tidal lantern seventeen")
	y.signIn(stranger, ha.ClientIOS, "dora", "dora1")
	y.command(y.token, "config/auth/update", map[string]any{"user_id": y.users["Dora"], "is_active": false}, nil)
	for _, name := range []string{"Node-RED", "Forgotten", "Grafana"} {
		token, err := admin.LongLivedToken(ctx, name, 3650)
		y.must(err)
		y.secrets = append(y.secrets, token)
	}
	status, text, err := y.ask(y.home, "POST", keeper+"/api/mobile_app/registrations", map[string]string{"Authorization": "Bearer " + y.anna, "Content-Type": "application/json"},
		`{"app_id":"io.homeassistant.companion.android","app_name":"Home Assistant","app_version":"2024.1.2-full","device_id":"1","device_name":"Anna's phone","manufacturer":"X","model":"Y","os_name":"Z","os_version":"1","supports_encryption":false,"app_data":{}}`)
	y.must(err)
	if status != http.StatusCreated {
		y.t.Fatalf("register: %d %s", status, text)
	}
	y.webhook, err = ha.ParseRegistered(text)
	y.must(err)
	y.secrets = append(y.secrets, y.webhook, "kR4vT9xZ2bN7mQ5wS8dF1gH3", "8sJ2kL5pQ9")

	// The tablet signs in by where it is, and Home Assistant lets it choose whoever it likes.
	if got := y.offered(elsewhere); len(got) != 5 {
		y.t.Errorf("where nobody is named %q may be chosen, want all five that are turned on", got)
	}
	if got := y.offered(tablet); len(got) != 0 {
		y.t.Errorf("where somebody else is named %q may be chosen", got)
	}
	if got := y.offered(aProxy); got != nil {
		y.t.Errorf("at a proxy's address %q may be chosen", got)
	}
	y.choose(elsewhere, y.users["Wall tablet"])

	// A garage door by another name; a lock that anybody may talk to.
	y.command(y.token, "config/entity_registry/update", map[string]any{"entity_id": "cover.garage_door", "new_entity_id": "cover.front"}, nil)
	y.expose(true, "conversation", "lock.front_door", "cover.front")
	y.expose(true, "cloud.alexa", "lock.kitchen_door")
	y.refusesGoogle()
	y.dashboard("http://192.168.77.1/")
	y.backup("")
}

// client speaks to Home Assistant without anybody's token.
func (y *household) client() *client.Client {
	u, err := url.Parse(keeper)
	y.must(err)
	c, err := client.New(client.Config{URL: u, Dial: y.home.dial})
	y.must(err)
	return c
}

// signsIn signs in with a password and no second factor.
func (y *household) signsIn(username, password string) error {
	_, err := y.client().Login(y.t.Context(), username, password, nil)
	return err
}

// secondFactor gives somebody one, by the steps that a browser takes.
func (y *household) secondFactor(token string) {
	y.t.Helper()
	var form struct {
		ID     string `json:"flow_id"`
		Type   string `json:"type"`
		Holder struct {
			Code string `json:"code"`
		} `json:"description_placeholders"`
	}
	y.command(token, "auth/setup_mfa", map[string]any{"mfa_module_id": "totp"}, &form)
	y.secrets = append(y.secrets, form.Holder.Code)
	code, err := totp.GenerateCode(form.Holder.Code, time.Now())
	y.must(err)
	y.command(token, "auth/setup_mfa", map[string]any{"flow_id": form.ID, "user_input": map[string]string{"code": code}}, &form)
	if form.Type != "create_entry" {
		y.t.Fatalf("the second factor was not set up: %q", form.Type)
	}
}

// flow begins to sign in by the address that base is reached from.
func (y *household) flow(base string) (id string, offered []string) {
	y.t.Helper()
	_, text, err := y.ask(y.home, "POST", base+"/auth/login_flow", nil, fmt.Sprintf(`{"client_id":%q,"redirect_uri":%q,"handler":["trusted_networks",null]}`, base+"/", base+"/"))
	y.must(err)
	var flow struct {
		ID     string `json:"flow_id"`
		Type   string `json:"type"`
		Schema []struct {
			Options [][]string `json:"options"`
		} `json:"data_schema"`
	}
	y.must(json.Unmarshal(text, &flow))
	if flow.Type != "form" {
		return "", nil
	}
	offered = []string{}
	for _, field := range flow.Schema {
		for _, o := range field.Options {
			offered = append(offered, o[1])
		}
	}
	return flow.ID, offered
}

// offered are the names that may be chosen there; nil if there is no such way in.
func (y *household) offered(base string) []string {
	y.t.Helper()
	_, names := y.flow(base)
	return names
}

func (y *household) choose(base, user string) {
	y.t.Helper()
	id, _ := y.flow(base)
	_, text, err := y.ask(y.home, "POST", base+"/auth/login_flow/"+id, nil, fmt.Sprintf(`{"client_id":%q,"user":%q}`, base+"/", user))
	y.must(err)
	var done struct {
		Code string `json:"result"`
	}
	y.must(json.Unmarshal(text, &done))
	a := &livedApp{client: base + "/"}
	a.token(y.village, base, url.Values{"grant_type": {"authorization_code"}, "client_id": {base + "/"}, "code": {done.Code}})
}

func (y *household) expose(on bool, assistant string, entities ...string) {
	y.t.Helper()
	y.command(y.token, "homeassistant/expose_entity", map[string]any{"assistants": []string{assistant}, "entity_ids": entities, "should_expose": on}, nil)
}

// refusesGoogle shows that Home Assistant opens nothing for Google while there is no PIN.
func (y *household) refusesGoogle() {
	y.t.Helper()
	text := y.api("POST", "/api/google_assistant", `{"requestId":"1","inputs":[{"intent":"action.devices.EXECUTE","payload":{"commands":[
{"devices":[{"id":"lock.front_door"}],"execution":[{"command":"action.devices.commands.LockUnlock","params":{"lock":false}}]},
{"devices":[{"id":"cover.front"}],"execution":[{"command":"action.devices.commands.OpenClose","params":{"openPercent":100}}]}]}}]}`)
	if strings.Count(string(text), "challengeFailedNotSetup") != 2 {
		y.t.Errorf("Google opens without a PIN: %s", text)
	}
}

// dashboard shows a page inside the first page.
func (y *household) dashboard(address string) {
	y.t.Helper()
	y.command(y.token, "lovelace/config/save", map[string]any{"config": map[string]any{"views": []any{map[string]any{"cards": []any{map[string]any{"type": "iframe", "url": address}}}}}}, nil)
}

type backupInfo struct {
	State   string `json:"state"`
	Backups []struct {
		ID     string `json:"backup_id"`
		Agents map[string]struct {
			Protected bool `json:"protected"`
		} `json:"agents"`
	} `json:"backups"`
}

// backup makes one, and waits for it.
func (y *household) backup(password string) {
	y.t.Helper()
	fields := map[string]any{"agent_ids": []string{"backup.local"}, "name": "by hand"}
	if password != "" {
		fields["password"] = password
		y.secrets = append(y.secrets, password)
	}
	y.command(y.token, "backup/generate", fields, nil)
	deadline := time.Now().Add(time.Minute)
	for {
		var info backupInfo
		if y.command(y.token, "backup/info", nil, &info); info.State == "idle" && len(info.Backups) == 1 {
			return
		}
		if time.Now().After(deadline) {
			y.t.Fatal("no backup is made")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// bans has somebody guess passwords at a proxy that does not say for whom.
func (y *household) bans() {
	y.t.Helper()
	for range 4 {
		var flow struct {
			ID string `json:"flow_id"`
		}
		status, text, err := y.ask(y.home, "POST", aProxy+"/auth/login_flow", nil, fmt.Sprintf(`{"client_id":%q,"redirect_uri":%q,"handler":["homeassistant",null]}`, aProxy+"/", aProxy+"/"))
		y.must(err)
		if status == http.StatusForbidden {
			return
		}
		y.must(json.Unmarshal(text, &flow))
		_, _, err = y.ask(y.home, "POST", aProxy+"/auth/login_flow/"+flow.ID, nil, fmt.Sprintf(`{"client_id":%q,"username":"anna","password":"wrong"}`, aProxy+"/"))
		y.must(err)
	}
	y.t.Error("Home Assistant bans nobody")
}

// age makes tokens old, which only time or an editor can.
func (y *household) age() {
	y.t.Helper()
	name := filepath.Join(y.state, ".storage/auth")
	text, err := os.ReadFile(name)
	y.must(err)
	var f map[string]any
	y.must(json.Unmarshal(text, &f))
	const layout = "2006-01-02T15:04:05.000000-07:00"
	long := time.Now().AddDate(0, 0, -400).UTC().Format(layout)
	aged := 0
	for _, item := range f["data"].(map[string]any)["refresh_tokens"].([]any) {
		token := item.(map[string]any)
		switch {
		case token["client_name"] == "Forgotten", token["user_id"] == y.users["Bert"] && token["token_type"] == "normal":
			token["created_at"], token["last_used_at"] = long, long
			aged++
		case token["client_name"] == "Grafana":
			token["created_at"], token["last_used_at"] = long, time.Now().UTC().Format(layout)
			aged++
		}
		y.secrets = append(y.secrets, token["token"].(string), token["jwt_key"].(string))
	}
	if aged != 3 {
		y.t.Errorf("%d tokens are made old", aged)
	}
	text, err = json.Marshal(f, jsontext.WithIndent("  "))
	y.must(err)
	y.must(os.WriteFile(name, text, 0o600))
}

// append writes a line behind another one.
func (y *household) append(name, line, behind string) {
	y.t.Helper()
	name = filepath.Join(y.state, name)
	text, err := os.ReadFile(name)
	y.must(err)
	y.must(os.WriteFile(name, bytes.Replace(text, []byte(behind), []byte(behind+line), 1), 0o644))
}

// mend has the owner put right what is put right in Home Assistant.
func (y *household) mend() {
	y.t.Helper()
	update := func(user string, fields map[string]any) {
		y.t.Helper()
		fields["user_id"] = user
		y.command(y.token, "config/auth/update", fields, nil)
	}
	y.secondFactor(y.token)
	update(y.users["Bert"], map[string]any{"is_active": false}) // ends what is signed in
	update(y.users["Bert"], map[string]any{"is_active": true, "group_ids": []string{client.GroupUsers}})
	update(y.users["Wall tablet"], map[string]any{"local_only": true})
	update(y.users["Guest"], map[string]any{"is_active": false})
	update(y.users["Guest"], map[string]any{"is_active": true, "local_only": true})
	var tokens []struct {
		ID         string `json:"id"`
		ClientName string `json:"client_name"`
	}
	y.command(y.token, "auth/refresh_tokens", nil, &tokens)
	for _, k := range tokens {
		if k.ClientName == "Forgotten" {
			y.command(y.token, "auth/delete_refresh_token", map[string]any{"refresh_token_id": k.ID}, nil)
		}
	}
	y.expose(false, "conversation", "lock.front_door", "cover.front")
	y.dashboard("https://192.168.77.1/")
	var info backupInfo
	y.command(y.token, "backup/info", nil, &info)
	for _, b := range info.Backups {
		y.command(y.token, "backup/delete", map[string]any{"backup_id": b.ID}, nil)
	}
	y.backup("nine quiet harbours at noon")
	if status, text, err := y.ask(y.home, "POST", keeper+"/api/webhook/"+y.webhook, map[string]string{"Content-Type": "application/json"},
		`{"type":"update_registration","data":{"app_data":{},"app_version":"2026.11.2-full","device_name":"Anna's phone","manufacturer":"X","model":"Y","os_version":"2"}}`); err != nil || status != http.StatusOK {
		y.t.Errorf("the app's new release: %d %s %v", status, text, err)
	}
	if got := y.offered(tablet); !slices.Equal(got, []string{"Owner"}) {
		y.t.Errorf("%q may be chosen at the tablet, want the owner alone", got)
	}
	if err := y.signsIn("anna", "123456"); !errors.Is(err, client.ErrCodeNeeded) {
		y.t.Errorf("Anna signs in without a code: %v", err)
	}
}

// close keeps everybody else on the machine out, and forgets who was banned.
func (y *household) close() {
	y.t.Helper()
	all, err := filepath.Glob(filepath.Join(y.state, "backups/*.tar"))
	y.must(err)
	logs, err := filepath.Glob(filepath.Join(y.state, "home-assistant*"))
	y.must(err)
	for _, name := range append(append(all, logs...), filepath.Join(y.state, "secrets.yaml")) {
		y.must(os.Chmod(name, 0o600))
	}
	y.must(os.Chmod(filepath.Join(y.state, ".storage"), 0o700))
	y.must(os.Chmod(y.state, 0o750))
	y.must(os.RemoveAll(filepath.Join(y.state, "ip_bans.yaml")))
}

// truth is what Home Assistant says of itself, and how it behaves.
type truth struct {
	accounts []client.Account
	webhooks []client.Webhook
	exposed  []string // doors and locks that can be spoken to
	plain    int      // backups that are not encrypted
	tokens   int      // long-lived ones of the owner's
	custom   []string // integrations of strangers that it would load
	core     struct {
		Version  string   `json:"version"`
		Name     string   `json:"location_name"`
		External string   `json:"external_url"`
		Allowed  []string `json:"allowlist_external_dirs"`
	}
	framed, anyOrigin, believed, everywhere bool
}

func (y *household) says() (s truth) {
	y.t.Helper()
	ctx := y.t.Context()
	admin := y.client().WithToken(y.token)
	var err error
	s.accounts, err = admin.Accounts(ctx)
	y.must(err)
	s.webhooks, err = admin.Webhooks(ctx)
	y.must(err)
	y.must(json.Unmarshal(y.api("GET", "/api/config", ""), &s.core))

	var exposed struct {
		Entities map[string]map[string]bool `json:"exposed_entities"`
	}
	y.command(y.token, "homeassistant/expose_entity/list", nil, &exposed)
	var states []struct {
		ID         string `json:"entity_id"`
		Attributes struct {
			Class string `json:"device_class"`
		} `json:"attributes"`
	}
	y.must(json.Unmarshal(y.api("GET", "/api/states", ""), &states))
	for _, e := range states {
		domain, _, _ := strings.Cut(e.ID, ".")
		door := domain == "cover" && slices.Contains([]string{"door", "garage", "gate"}, e.Attributes.Class)
		if (domain == "lock" || domain == "alarm_control_panel" || door) && exposed.Entities[e.ID]["conversation"] {
			s.exposed = append(s.exposed, e.ID)
		}
	}
	var info backupInfo
	y.command(y.token, "backup/info", nil, &info)
	for _, b := range info.Backups {
		if !b.Agents["backup.local"].Protected {
			s.plain++
		}
	}
	var tokens []struct {
		Type string `json:"type"`
	}
	y.command(y.token, "auth/refresh_tokens", nil, &tokens)
	for _, k := range tokens {
		if k.Type == "long_lived_access_token" {
			s.tokens++
		}
	}
	var parts struct {
		Custom struct {
			Integration map[string]any `json:"integration"`
		} `json:"custom"`
	}
	y.command(y.token, "integration/descriptions", nil, &parts)
	s.custom = slices.Sorted(maps.Keys(parts.Custom.Integration))

	answer := y.head(keeper+"/api/config", map[string]string{"Origin": "https://evil.example.net", "Authorization": "Bearer " + y.token})
	s.framed = answer.Header.Get("X-Frame-Options") == ""
	s.anyOrigin = answer.Header.Get("Access-Control-Allow-Origin") != ""
	if c, err := y.home.dial(ctx, "tcp", strings.TrimPrefix(aProxy, "http://")); err == nil {
		c.Close()
		s.everywhere = true
		s.believed = y.head(aProxy+"/manifest.json", map[string]string{"X-Forwarded-For": "198.51.100.9"}).StatusCode == http.StatusOK
	}
	return s
}

// head asks for a page and returns the answer without what is in it.
func (y *household) head(address string, header map[string]string) *http.Response {
	y.t.Helper()
	r, err := http.NewRequestWithContext(y.t.Context(), "GET", address, nil)
	y.must(err)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := y.home.client().Do(r)
	y.must(err)
	answer.Body.Close()
	return answer
}

// spoiled is what the checks say of the careless home: the result, and what the evidence
// holds; behind a "!" what it does not.
func (y *household) spoiled() map[string]string {
	all := map[string]string{
		"hahttp.trusted-proxies": "fail: 10.0.0.0/8", "hahttp.bind": "fail: all addresses", "hahttp.xff": "pass", "hahttp.ban": "fail: login_attempts_threshold: 2",
		"hahttp.tls": "notapplicable", "hahttp.cors": "fail: *", "hahttp.urls": "fail: /configuration.yaml:10", "hahttp.source": "pass", "hahttp.frame": "fail: false",
		"hahttp.ip-bans-file": "fail: 10.0.0.5",
		"haauth.onboarded":    "pass", "haauth.providers": "pass", "haauth.trusted-networks": "fail: 192.168.78.5: not in trusted_users | ! 10.0.0.5 | ! 192.168.77.20",
		"haauth.command-line": "notapplicable", "haauth.store-perms": "fail: /.storage:0", "haauth.mfa-admin": "fail: Owner: | Bert: | ! Anna",
		"haauth.llat":                    `fail: "Forgotten" of Owner: last used | "Grafana" of Owner: in use, made | ! Node-RED`,
		"haauth.refresh-public-ip":       "fail: Guest from 203.0.113.7 | ! Dora",
		"haauth.exposed-entities":        "fail: lock.front_door for conversation | cover.front for conversation | ! cloud. | ! google",
		"haauth.blueprint-webhook-admin": "fail: /packages/kitchen.yaml:15 | /blueprints/automation/house/gate.yaml:15",
		"haauth.admin-count":             "fail: Owner | Anna | Bert", "haauth.local-only": "fail: Guest | Wall tablet | ! Anna",
		"haauth.password-hash": "pass", "haauth.stale-tokens": "fail: Bert on | ! Owner", "haauth.inactive-users": "pass",
		"hasec.storage-in-git": "notapplicable", "hasec.www": "fail: /www/old.yaml:0 | ! card.css", "hasec.config-writable": "pass",
		"hasec.literals":          "fail: /packages/kitchen.yaml:5 authorization | ! automations.yaml | ! secrets.yaml",
		"hasec.secrets-perms":     "fail: /secrets.yaml:0 mode 0644",
		"hasec.backups":           "fail: not encrypted",
		"hasec.allowlist":         "fail: /configuration.yaml:13 allowlist_external_dirs: /etc",
		"hasec.shell-command":     "fail: /packages/kitchen.yaml:9",
		"hasec.custom-components": "fail: junk: does not say which version | ! tidy",
		"hasec.db-log-perms":      "fail: home-assistant_v2.db | homeassistant.components.http: debug",
		"hasec.rest-verify":       "fail: /packages/kitchen.yaml:7", "hasec.recorder": "fail: purge_keep_days: 400",
		"hasec.unused-secrets":   "fail: forgotten: nothing uses it | some_password: came with | ! hub_name",
		"haexp.localhost-origin": "notapplicable", "haexp.tunnels": "notapplicable", "haexp.cloud-remote": "notapplicable",
		"haexp.webhook-local": "fail: /automations.yaml:6 local_only: false, with a name that can be guessed | /automations.yaml:8 | gate.yaml:10 local_only: false | gate.yaml:11 allowed_methods: GET | ! automations.yaml:28 | ! configuration.yaml",
		"haexp.panel-iframe":  "fail: /.storage/lovelace", "haexp.api": "fail: *", "haexp.discovery-name": "fail: Elm Street 12",
		"haver.core": "pass", "haver.core-2023": "pass", "haver.core-2025": "pass", "haver.not-too-old": "", "haver.apps": "fail: Anna's phone with android 2024.1.2",
		"haver.supervisor": "notapplicable", "haver.python": "notapplicable",
	}
	if y.since8() {
		all["hahttp.source"] = "fail: http: is not read any more"
	} else {
		all["haver.core"] = "fail: CVE-2026-64824"
	}
	return all
}

// mended is what they say of the same home in order.
func (y *household) mended() map[string]string {
	all := y.spoiled()
	for id, want := range all {
		if strings.HasPrefix(want, "fail") {
			all[id] = "pass"
		}
	}
	all["haauth.llat"] = "pass: \"Grafana\" of Owner: in use, made"
	if !y.since8() {
		all["haver.core"] = "fail: CVE-2026-64824"
		all["hasec.www"] = "notapplicable" // newer releases make an empty folder
	}
	return all
}

// judged compares a report with what is wanted of it: of every check of Home Assistant's
// where much is wanted.
func (y *household) judged(r *report.Report, want map[string]string) {
	y.t.Helper()
	for _, f := range r.Checks {
		w, known := want[f.ID]
		topic, _, _ := strings.Cut(f.ID, ".")
		if !known && len(want) > 1 && slices.Contains([]string{"hahttp", "haauth", "hasec", "haexp", "haver"}, topic) {
			y.t.Errorf("%s is not among what is wanted: %s", f.ID, f.Result)
		}
		if w == "" { // the clock's matter
			continue
		}
		result, parts, _ := strings.Cut(w, ": ")
		var lines []string
		for _, e := range f.Evidence {
			lines = append(lines, fmt.Sprintf("%s:%d %s", e.File, e.Line, e.Value))
		}
		text := strings.Join(lines, "\n")
		if string(f.Result) != result {
			y.t.Errorf("%s: %s, want %s: %v %s\n%s", f.ID, f.Result, result, f.Effective, f.Why, text)
			continue
		}
		for part := range strings.SplitSeq(parts, " | ") {
			part, not := strings.CutPrefix(part, "! ")
			if strings.Contains(text, part) == not {
				y.t.Errorf("%s: the evidence holds %q: %t\n%s", f.ID, part, !not, text)
			}
		}
	}
}

// agrees holds a report against what Home Assistant says.
func (y *household) agrees(r *report.Report, s truth) {
	y.t.Helper()
	by := make(map[string]finding.Finding)
	for _, f := range r.Checks {
		by[f.ID] = f
	}
	same := func(id string, want any) {
		y.t.Helper()
		if got := fmt.Sprint(by[id].Effective); got != fmt.Sprint(want) {
			y.t.Errorf("%s says %v, Home Assistant %v", id, got, want)
		}
	}
	fails := func(id string, want bool) {
		y.t.Helper()
		if got := by[id].Result == finding.Fail; got != want {
			y.t.Errorf("%s fails: %t, and Home Assistant behaves so: %t", id, got, want)
		}
	}
	var admins []string
	for _, a := range s.accounts {
		if a.Admin() && a.Active && !a.System {
			admins = append(admins, a.Name)
		}
	}
	same("haauth.admin-count", admins)
	automations, open := 0, false
	for _, w := range s.webhooks {
		if w.Domain == "automation" {
			automations++
			open = open || !w.LocalOnly || slices.Contains(w.Methods, "GET")
		}
	}
	same("haexp.webhook-local", automations)
	fails("haexp.webhook-local", open)
	slices.Sort(s.exposed)
	same("haauth.exposed-entities", s.exposed)
	same("haauth.llat", s.tokens)
	same("haver.core", s.core.Version)
	same("haexp.discovery-name", s.core.Name)
	same("hahttp.urls", []string{s.core.External})
	fails("hasec.allowlist", slices.Contains(s.core.Allowed, "/etc"))
	fails("hasec.backups", s.plain > 0)
	fails("hahttp.frame", s.framed)
	fails("hahttp.cors", s.anyOrigin)
	fails("hahttp.bind", s.everywhere)
	fails("hahttp.trusted-proxies", s.believed)
	for _, e := range by["hasec.custom-components"].Evidence {
		for _, name := range s.custom {
			if strings.Contains(e.File, "/"+name+"/") {
				y.t.Errorf("%s is said to be without a version, and Home Assistant knows it", name)
			}
		}
	}
}

// sameOnThisMachine audits the machine with the directory: what depends on the directory
// alone is the same.
func (y *household) sameOnThisMachine(r *report.Report) {
	y.t.Helper()
	here := y.audit("--ha", y.state)
	for n, f := range r.Checks {
		topic, _, _ := strings.Cut(f.ID, ".")
		if f.ID != here.Checks[n].ID {
			y.t.Fatalf("%s is not where %s is", here.Checks[n].ID, f.ID)
		}
		// The folders above it, and what else runs here, count there.
		elsewhere := slices.Contains([]string{"haauth.store-perms", "hasec.secrets-perms", "hasec.db-log-perms", "hasec.backups", "hasec.config-writable", "hahttp.bind", "hahttp.xff"}, f.ID)
		if slices.Contains([]string{"hahttp", "haauth", "hasec", "haexp"}, topic) && !elsewhere && f.Result != finding.NotApplicable && here.Checks[n].Result != f.Result {
			y.t.Errorf("%s: %s on this machine, %s alone: %s", f.ID, here.Checks[n].Result, f.Result, here.Checks[n].Why)
		}
	}
}

// guesses begins to guess passwords in a copy of the directory; what it returns waits for
// the end of that, and looks at what was said.
func (y *household) guesses() func(*report.Report) {
	y.t.Helper()
	dir := filepath.Join(y.dir, "copy")
	y.sh("cp", "-a", y.state, dir)
	const limit = 90 * time.Second
	c := exec.CommandContext(y.t.Context(), y.binary, "audit", "--no-walk", "--format", "json", "--root", dir, "--ha", dir, fmt.Sprintf("--passwords=%s", limit))
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	began := time.Now()
	y.must(c.Start())
	var took time.Duration
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Wait() // its status is 1: something fails
		took = time.Since(began)
	}()
	y.t.Cleanup(func() { <-done })
	return func(r *report.Report) {
		y.t.Helper()
		<-done
		guessed, err := report.Read(out.Bytes())
		if err != nil {
			y.t.Fatalf("--passwords: %v\n%s", err, errs.String())
		}
		y.t.Logf("guessed for %s, with %s of processor time", took.Round(time.Second), (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Round(time.Second))
		if slack := 20 * time.Second; took > limit+slack || c.ProcessState.UserTime()+c.ProcessState.SystemTime() > limit+slack {
			y.t.Errorf("--passwords=%s takes %s", limit, took)
		}
		y.judged(guessed, map[string]string{"password.ha-account": "fail: anna: the password is among the commonest | bert: the password is made of the account's own name | Wall tablet: no password, signs in by trusted_networks | ! dora | ! owner: the password | ! guest: the password"})
		var text bytes.Buffer
		y.must(r.Write(&text, report.JSON, report.Style{}))
		for _, form := range report.Formats() {
			y.must(guessed.Write(&text, form, report.Style{}))
		}
		for _, secret := range y.secrets {
			if strings.Contains(text.String(), secret) || strings.Contains(errs.String(), secret) {
				y.t.Errorf("a report shows a secret of %d characters that begins with %.2q", len(secret), secret)
			}
		}
	}
}

// audit runs the verb and reads its report.
func (y *household) audit(args ...string) *report.Report {
	y.t.Helper()
	c := exec.CommandContext(y.t.Context(), y.binary, append([]string{"audit", "--no-walk", "--format", "json"}, args...)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	r, readErr := report.Read(out.Bytes())
	if readErr != nil {
		y.t.Fatalf("gatehouse audit %v: %v %v\n%s", args, err, readErr, errs.String())
	}
	return r
}

// filesOf are all files of a folder with what is in them.
func filesOf(fsys fs.FS) (map[string][]byte, error) {
	all := make(map[string][]byte)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[name], err = fs.ReadFile(fsys, name)
		}
		return err
	})
	return all, err
}
