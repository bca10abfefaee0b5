package hatest

import (
	"crypto/rand"
	"encoding/base32"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// authCommands are what everybody may do with their own account.
func (h *Home) authCommands() map[string]command {
	return map[string]command{
		"auth/current_user":                                  {takes: takes(), does: currentUser},
		"auth/refresh_tokens":                                {takes: takes(), does: listTokens},
		"auth/sign_path":                                     {takes: takes(need("path", isString), may("expires", isInt)), does: signPath},
		"auth/long_lived_access_token":                       {takes: takes(need("client_name", isString), need("lifespan", isInt), may("client_icon", isString)), does: longLived},
		"auth/delete_refresh_token":                          {takes: takes(need("refresh_token_id", isString)), does: deleteToken},
		"auth/delete_all_refresh_tokens":                     {takes: takes(may("token_type", isString), may("delete_current_token", isBool)), does: deleteTokens},
		"auth/refresh_token_set_expiry":                      {takes: takes(need("refresh_token_id", isString), need("enable_expiry", isBool)), does: setExpiry},
		"auth/setup_mfa":                                     {takes: takes(may("mfa_module_id", isString), may("flow_id", isString), may("user_input", isObject)), does: setupMFA},
		"auth/depose_mfa":                                    {takes: takes(need("mfa_module_id", isString)), does: deposeMFA},
		"config/auth_provider/homeassistant/change_password": {takes: takes(need("current_password", isString), need("new_password", isString)), does: changePassword},
	}
}

func currentUser(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	u := a.user
	credentials := []any{}
	if u.username != "" {
		credentials = append(credentials, object{"auth_provider_type": "homeassistant", "auth_provider_id": nil})
	}
	a.result(object{
		"id": u.id, "name": u.name, "is_owner": u.owner, "is_admin": u.admin(), "credentials": credentials,
		"mfa_modules": []any{object{"id": "totp", "name": "Authenticator app", "enabled": u.totp != ""}},
	})
}

func listTokens(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	var own []*refreshToken
	for _, t := range m.tokens {
		if t.user == a.user {
			own = append(own, t)
		}
	}
	slices.SortFunc(own, func(x, y *refreshToken) int { return x.created.Compare(y.created) })
	list := []any{}
	for _, t := range own {
		row := object{
			"id": t.id, "client_id": orNil(t.clientID), "client_name": orNil(t.clientName), "client_icon": orNil(t.clientIcon), "type": t.kind, "created_at": stamp(t.created),
			"is_current": t.id == a.token, "last_used_at": nil, "last_used_ip": orNil(t.usedFrom), "expire_at": nil, "auth_provider_type": nil,
		}
		if !t.used.IsZero() {
			row["last_used_at"] = stamp(t.used)
		}
		if t.expires {
			row["expire_at"] = stamp(latest(t.created, t.used).Add(refreshLife))
		}
		if t.kind == kindNormal {
			row["auth_provider_type"] = "homeassistant"
		}
		list = append(list, row)
	}
	a.result(list)
}

func signPath(a *ask) {
	life := time.Duration(min(whole(a.object, "expires", 30), 1<<32)) * time.Second
	a.result(object{"path": a.h.accounts.signPath(a.text("path"), a.token, life)})
}

func longLived(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tokens {
		if t.user == a.user && t.kind == kindLongLived && t.clientName == a.text("client_name") {
			a.fail("unknown_error", "Unknown error")
			return
		}
	}
	t := m.newToken(a.user, kindLongLived, "")
	t.clientName, t.clientIcon = a.text("client_name"), a.text("client_icon")
	t.life = time.Duration(min(whole(a.object, "lifespan", 0), 100_000)) * 24 * time.Hour
	a.result(m.access(t, netip.Addr{}))
}

// own returns one of the caller's tokens, or answers with an error.
func (a *ask) own(id string) *refreshToken {
	t := a.h.accounts.tokens[id]
	if t == nil || t.user != a.user {
		a.fail("invalid_token_id", "Received invalid token")
		return nil
	}
	return t
}

func deleteToken(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	t := a.own(a.text("refresh_token_id"))
	if t == nil {
		m.mu.Unlock()
		return
	}
	ends := m.drop(t.id)
	m.mu.Unlock()
	callAll(ends)
	if t.id != a.token { // on itself the socket ends without a result
		a.result(object{})
	}
}

func deleteTokens(a *ask) {
	m := &a.h.accounts
	kind := a.text("token_type")
	itself := a.object["delete_current_token"] != false
	var ends []func()
	m.mu.Lock()
	for id, t := range m.tokens {
		if t.user == a.user && (kind == "" || kind == t.kind) && id != a.token {
			ends = append(ends, m.drop(id)...)
		}
	}
	last := m.tokens[a.token]
	if itself && last != nil && (kind == "" || kind == last.kind) {
		delete(m.tokens, a.token)
	} else {
		last = nil
	}
	m.mu.Unlock()
	callAll(ends)
	a.result(object{})
	if last != nil {
		time.AfterFunc(2*time.Second, a.end)
	}
}

func setExpiry(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := a.own(a.text("refresh_token_id")); t != nil {
		t.expires = a.object["enable_expiry"] == true
		a.result(nil)
	}
}

func setupMFA(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	id := a.text("flow_id")
	flow := func(o object) object {
		o["flow_id"], o["handler"] = id, "totp"
		return o
	}
	ask := func(errs object) {
		a.result(flow(object{
			"type": "form", "step_id": "init", "data_schema": []any{object{"type": "string", "name": "code", "required": true}}, "errors": errs,
			"description_placeholders": object{"code": a.user.totpUnused, "url": "otpauth://totp/Home%20Assistant:" + url.PathEscape(a.user.name) + "?secret=" + a.user.totpUnused + "&issuer=Home%20Assistant"},
			"last_step":                nil, "preview": nil,
		}))
	}
	if id == "" {
		if a.text("mfa_module_id") != "totp" {
			a.fail("no_module", "MFA module "+a.text("mfa_module_id")+" is not found")
			return
		}
		secret := make([]byte, 20)
		_, _ = rand.Read(secret) // never fails
		a.user.totpUnused = base32.StdEncoding.EncodeToString(secret)
		id = hexID(16)
		m.setups[id] = a.user
		ask(object{})
		return
	}
	if m.setups[id] != a.user {
		a.fail("flow_error", "Invalid flow")
		return
	}
	input, _ := a.object["user_input"].(object)
	if !totpFits(a.user.totpUnused, text(input, "code"), a.h.now()) {
		ask(object{"base": "invalid_code"})
		return
	}
	delete(m.setups, id)
	a.user.totp = a.user.totpUnused
	a.result(flow(object{"type": "create_entry", "version": 1, "title": "Authenticator app", "result": object{"ota_secret": a.user.totp}}))
}

func deposeMFA(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.text("mfa_module_id") != "totp" {
		a.fail("disable_failed", "Cannot disable MFA Module "+a.text("mfa_module_id"))
		return
	}
	a.user.totp = ""
	a.result("done")
}

func changePassword(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case a.user.username == "":
		a.fail("credentials_not_found", "Credentials not found")
	case a.user.password != a.text("current_password"):
		a.fail("invalid_current_password", "Invalid current password")
	default:
		a.user.password = a.text("new_password")
		a.result(nil)
	}
}

// userCommands are what administrators do with accounts.
func (h *Home) userCommands() map[string]command {
	const provider = "config/auth_provider/homeassistant/"
	groups := may("group_ids", isStrings)
	return map[string]command{
		"config/auth/list":   {admin: true, takes: takes(), does: listUsers},
		"config/auth/create": {admin: true, takes: takes(need("name", isString), groups, may("local_only", isBool)), does: createUser},
		"config/auth/update": {admin: true, takes: takes(need("user_id", isString), may("name", orNull(isString)), may("is_active", isBool), groups, may("local_only", isBool)), does: updateUser},
		"config/auth/delete": {admin: true, takes: takes(need("user_id", isString)), does: deleteUser},

		provider + "create":                {admin: true, takes: takes(need("user_id", isString), need("username", isString), need("password", isString)), does: createLogin},
		provider + "delete":                {admin: true, takes: takes(need("username", isString)), does: deleteLogin},
		provider + "admin_change_password": {admin: true, takes: takes(need("user_id", isString), need("password", isString)), does: adminChangePassword},
		provider + "admin_change_username": {admin: true, takes: takes(need("user_id", isString), need("username", isString)), does: adminChangeUsername},
	}
}

func (u *user) json() object {
	credentials := []any{}
	if u.username != "" {
		credentials = append(credentials, object{"type": "homeassistant"})
	}
	return object{
		"id": u.id, "username": orNil(u.username), "name": u.name, "is_owner": u.owner, "is_active": u.active, "local_only": u.localOnly,
		"system_generated": false, "group_ids": u.groups, "credentials": credentials,
	}
}

func listUsers(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []any{}
	for _, u := range m.users {
		list = append(list, u.json())
	}
	a.result(list)
}

// groupsOf reads group ids; ok is false when one does not exist.
func groupsOf(v any) (groups []string, ok bool) {
	groups = []string{}
	for _, g := range words(v) {
		if !slices.Contains([]string{groupAdmin, groupUsers, groupRead}, g) {
			return nil, false
		}
		groups = append(groups, g)
	}
	return groups, true
}

func createUser(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	groups, ok := groupsOf(a.object["group_ids"])
	if !ok {
		a.fail("unknown_error", "Unknown error")
		return
	}
	u := &user{id: hexID(16), name: a.text("name"), active: true, groups: groups, localOnly: a.object["local_only"] == true}
	m.users = append(m.users, u)
	a.result(object{"user": u.json()})
}

func updateUser(a *ask) {
	m := &a.h.accounts
	var ends []func()
	defer func() { callAll(ends) }()
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.find(a.text("user_id"))
	if u == nil {
		a.fail("not_found", "User not found")
		return
	}
	if u.owner && a.object["is_active"] == false {
		a.fail("cannot_deactivate_owner", "Unable to deactivate owner.")
		return
	}
	if given, ok := a.object["group_ids"]; ok {
		groups, ok := groupsOf(given)
		if !ok {
			a.fail("unknown_error", "Unknown error")
			return
		}
		u.groups = groups
	}
	if name, ok := a.object["name"].(string); ok {
		u.name = name
	}
	if only, ok := a.object["local_only"].(bool); ok {
		u.localOnly = only
	}
	if active, ok := a.object["is_active"].(bool); ok {
		if u.active = active; !active && a.h.release.since(2026, 2) {
			ends = m.dropAll(u)
		}
	}
	a.result(object{"user": u.json()})
}

func deleteUser(a *ask) {
	m := &a.h.accounts
	var ends []func()
	defer func() { callAll(ends) }()
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.text("user_id") == a.user.id {
		a.fail("no_delete_self", "Unable to delete your own account")
		return
	}
	u := m.find(a.text("user_id"))
	if u == nil {
		a.fail("not_found", "User not found")
		return
	}
	ends = m.dropAll(u)
	m.users = slices.DeleteFunc(m.users, func(o *user) bool { return o == u })
	u.active = false
	a.h.phones.forget(func(p *phone) bool { return p.user == u })
	a.result(nil)
}

// badName refuses a user name that is taken, or not in the form in which names
// are compared. The caller holds mu.
func (a *ask) badName(username string) bool {
	say := func(key, message, holder string) bool {
		a.say(object{"id": a.id, "type": "result", "success": false, "error": object{
			"code": "home_assistant_error", "message": message,
			"translation_key": key, "translation_domain": "auth", "translation_placeholders": object{holder: username},
		}})
		return true
	}
	switch {
	case normal(username) != username:
		return say("username_not_normalized", `Username "`+username+`" is not normalized. Please make sure the username is lowercase and does not contain any whitespace`, "new_username")
	case a.h.accounts.byName(username) != nil:
		return say("username_already_exists", `Username "`+username+`" already exists`, "username")
	}
	return false
}

func createLogin(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.find(a.text("user_id"))
	username := a.text("username")
	switch {
	case u == nil:
		a.fail("not_found", "User not found")
	case u.username != "": // before 2026.11 Home Assistant would add a second login
		a.fail("credentials_exist", "User already has credentials for this provider")
	case a.badName(username):
	default:
		u.username, u.password = normal(a.text("username")), a.text("password")
		a.result(nil)
	}
}

func deleteLogin(a *ask) {
	m := &a.h.accounts
	var ends []func()
	defer func() { callAll(ends) }()
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.byName(a.text("username"))
	if u == nil {
		a.fail("auth_not_found", "Given username was not found.")
		return
	}
	u.username, u.password = "", ""
	for id, t := range m.tokens {
		if t.user == u && t.kind == kindNormal {
			ends = append(ends, m.drop(id)...)
		}
	}
	a.result(nil)
}

func adminChangePassword(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.find(a.text("user_id"))
	switch {
	case !a.user.owner:
		a.fail("unauthorized", "Unauthorized")
	case u == nil:
		a.fail("user_not_found", "User not found")
	case u.username == "":
		a.fail("credentials_not_found", "Credentials not found")
	default:
		u.password = a.text("password")
		a.result(nil)
	}
}

func adminChangeUsername(a *ask) {
	m := &a.h.accounts
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.find(a.text("user_id"))
	switch {
	case !a.user.owner:
		a.fail("unauthorized", "Unauthorized")
	case u == nil:
		a.fail("user_not_found", "User not found")
	case u.username == "":
		a.fail("credentials_not_found", "Credentials not found")
	case a.badName(a.text("username")):
	default:
		u.username = normal(a.text("username"))
		a.result(nil)
	}
}
