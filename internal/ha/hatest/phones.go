package hatest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/nacl/secretbox"
)

// phone is one registration of a companion app. It changes under phones.mu.
type phone struct {
	webhook string
	entry   string // id of its config entry
	device  string // id in the device registry
	secret  string // 64 hex, "" without encryption
	user    *user
	data    object            // as registered
	sensors map[string]string // unique id → entity id
	push    *ask              // the channel for notifications
}

// phones are the companion apps that registered.
type phones struct {
	mu   sync.Mutex
	list []*phone
	gone map[string]bool // removed: true once the home has restarted since
}

// find returns the phone behind a webhook, or nil.
func (p *phones) find(webhook string) *phone {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ph := range p.list {
		if ph.webhook == webhook {
			return ph
		}
	}
	return nil
}

func (p *phones) all() []*phone {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

// forget removes registrations; their webhooks are never answered again.
func (p *phones) forget(which func(*phone) bool) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = slices.DeleteFunc(p.list, func(ph *phone) bool {
		if !which(ph) {
			return false
		}
		if p.gone == nil {
			p.gone = map[string]bool{}
		}
		p.gone[ph.webhook] = false
		n++
		return true
	})
	return n
}

func (p *phones) restarted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for webhook := range p.gone {
		p.gone[webhook] = true
	}
}

// isGone says whether a webhook belonged to a phone that was removed before the
// last restart.
func (p *phones) isGone(webhook string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone[webhook]
}

// entries are the config entries of the phones.
func (p *phones) entries() []object {
	list := []object{}
	for _, ph := range p.all() {
		list = append(list, object{
			"entry_id": ph.entry, "domain": "mobile_app", "title": text(ph.data, "device_name"), "source": "registration", "state": "loaded", "supports_options": false,
			"supports_remove_device": false, "supports_unload": true, "supports_reconfigure": false, "supported_subentry_types": object{}, "pref_disable_new_entities": false,
			"pref_disable_polling": false, "disabled_by": nil, "reason": nil, "error_reason_translation_key": nil, "error_reason_translation_placeholders": nil,
			"num_subentries": 0, "created_at": 0, "modified_at": 0,
		})
	}
	return list
}

// services are notify.mobile_app_…, one for each phone.
func (p *phones) services() map[string]service {
	all := map[string]service{"notify": {needs: []string{"message"}, acts: func(*Home, object, object, *user) error { return nil }}}
	for _, ph := range p.all() {
		all["mobile_app_"+slug(text(ph.data, "device_name"))] = service{needs: []string{"message"}, acts: func(_ *Home, data, _ object, _ *user) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if ph.push == nil {
				return fmt.Errorf("%w: Device is not connected to a push channel", errRefused)
			}
			ph.push.event(data)
			return nil
		}}
	}
	return all
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slug is a name as entity ids spell it.
func slug(name string) string {
	return strings.Trim(notSlug.ReplaceAllString(strings.ToLower(name), "_"), "_")
}

// registration is what POST /api/mobile_app/registrations takes.
var registration = schema{loose: true, fields: []field{
	may("app_data", isObject), need("app_id", isString), need("app_name", isString), need("app_version", isString), need("device_name", isString),
	need("manufacturer", isString), need("model", isString), may("device_id", isString), need("os_name", isString), may("os_version", isString), may("supports_encryption", isBool),
}}

// register is POST /api/mobile_app/registrations.
func (h *Home) register(r *request) {
	data, ok := r.object(registration)
	if !ok {
		return
	}
	kept := object{"app_data": object{}, "supports_encryption": false}
	for _, f := range registration.fields {
		if v, ok := data[f.name]; ok {
			kept[f.name] = v
		}
	}
	ph := &phone{webhook: hexID(32), entry: strings.ToUpper(hexID(13)), device: hexID(16), user: r.who.user, data: kept, sensors: map[string]string{}}
	if kept["supports_encryption"] == true {
		ph.secret = hexID(32)
	}
	same := func(other *phone) bool {
		return other.data["app_id"] == kept["app_id"] && other.data["device_id"] == kept["device_id"] && kept["device_id"] != nil
	}
	h.phones.forget(same)
	if _, ok := kept["os_version"]; ok { // without, Home Assistant fails to set the phone up, and says nothing
		h.phones.mu.Lock()
		h.phones.list = append(h.phones.list, ph)
		h.phones.mu.Unlock()
		name := text(kept, "device_name")
		h.rooms.set(h, "device_tracker."+slug(name), "unknown", object{"source_type": "gps", "friendly_name": name}, h.context(nil))
	}
	r.json(http.StatusCreated, object{"cloudhook_url": nil, "remote_ui_url": nil, "secret": orNil(ph.secret), "webhook_id": ph.webhook})
}

// A webhook that is no phone's: a button at the door, for the house alone.
const doorbell = "demo-doorbell"

// webhook is /api/webhook/{id}, whatever the method.
func (h *Home) webhook(r *request) {
	id := r.args["id"]
	ph := h.phones.find(id)
	methods := []string{http.MethodPost, http.MethodPut}
	if ph == nil && id != doorbell && !h.phones.isGone(id) {
		r.empty(http.StatusOK)
		return
	}
	if ph != nil || id != doorbell {
		methods = []string{http.MethodPost, http.MethodPut}
	}
	if !slices.Contains(methods, r.Method) {
		if r.Method == http.MethodHead {
			r.empty(http.StatusOK)
			return
		}
		r.empty(http.StatusMethodNotAllowed)
		return
	}
	switch {
	case ph != nil:
		h.phoneWebhook(r, ph)
	case id == doorbell:
		if isLocal(r.remote) {
			h.bus.fire(event{kind: "doorbell_pressed", data: object{}, at: h.now(), context: h.context(nil)})
		}
		r.empty(http.StatusOK)
	default:
		r.empty(http.StatusGone)
	}
}

// phoneWebhook opens the envelope of a message of an app and has it handled.
func (h *Home) phoneWebhook(r *request, ph *phone) {
	data, ok := r.read()
	if !ok {
		return
	}
	v, err := decodeJSON(data)
	if err != nil {
		r.plainJSON(http.StatusBadRequest, object{})
		return
	}
	envelope, ok := v.(object)
	if !ok {
		r.nothing()
		return
	}
	h.phones.mu.Lock()
	secret := ph.secret
	h.phones.mu.Unlock()
	_, sealed := envelope["encrypted"]
	if !sealed && secret != "" {
		r.plainJSON(http.StatusBadRequest, object{"success": false, "error": object{"code": "encryption_required", "message": "Encryption required"}})
		return
	}
	payload, ok, crashed := open(envelope, secret, sealed)
	switch {
	case crashed:
		r.empty(http.StatusOK)
	case !ok:
		r.nothing()
	default:
		h.message(r, ph, text(envelope, "type"), payload)
	}
}

// nothing is the answer {}.
func (r *request) nothing() { r.plainJSON(http.StatusOK, object{}) }

// plainJSON is what the handlers of apps say themselves, never sealed.
func (r *request) plainJSON(status int, v any) {
	r.bytes(status, "application/json; charset=utf-8", encodeJSON(v))
}

// open checks an envelope and returns what is inside. Where Home Assistant's own
// handler would fail, crashed is true.
func open(envelope object, secret string, sealed bool) (payload any, ok, crashed bool) {
	isPayload := func(v any) bool { _, list := v.([]any); return list || isObject(v) }
	if !sealed {
		if _, err := fields(need("type", isString), may("data", isPayload)).check(envelope); err != nil {
			return nil, false, false
		}
		if v, ok := envelope["data"]; ok {
			return v, true, false
		}
		return object{}, true, false
	}
	isTrue := func(v any) bool { return v == true }
	if _, err := fields(need("type", isString), need("encrypted", isTrue), may("encrypted_data", isString)).check(envelope); err != nil {
		return nil, false, false
	}
	if secret == "" || envelope["encrypted_data"] == nil {
		return nil, false, true
	}
	plain, err := unseal(secret, text(envelope, "encrypted_data"))
	if err != nil {
		return nil, false, false
	}
	v, err := decodeJSON(plain)
	return v, err == nil && v != nil, false
}

var errSealed = errors.New("cannot be opened")

// unseal opens a NaCl secretbox: base64 of nonce and box.
func unseal(secret, sealed string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(sealed)
	key, badKey := hex.DecodeString(secret)
	if err != nil || badKey != nil || len(key) != 32 || len(data) < 24 {
		return nil, errSealed
	}
	plain, ok := secretbox.Open(nil, data[24:], (*[24]byte)(data), (*[32]byte)(key))
	if !ok {
		return nil, errSealed
	}
	return plain, nil
}

// seal is the reverse of unseal.
func seal(secret string, plain []byte) string {
	key, err := hex.DecodeString(secret)
	if err != nil || len(key) != 32 {
		return ""
	}
	var nonce [24]byte
	_, _ = rand.Read(nonce[:]) // never fails
	return base64.StdEncoding.EncodeToString(secretbox.Seal(nonce[:], plain, &nonce, (*[32]byte)(key)))
}

// say answers an app, sealed where it asked for that.
func (ph *phone) say(r *request, status int, v any) {
	r.h.phones.mu.Lock()
	secret := ph.secret
	r.h.phones.mu.Unlock()
	if secret != "" {
		v = object{"encrypted": true, "encrypted_data": seal(secret, encodeJSON(v))}
	}
	r.json(status, v)
}

// message handles one message of an app (ha-protocol 5.4).
func (h *Home) message(r *request, ph *phone, kind string, payload any) {
	data, whole := payload.(object)
	fits := func(f ...field) bool {
		_, err := fields(f...).check(payload)
		return err == nil
	}
	switch kind {
	case "call_service":
		if !fits(need("domain", isString), need("service", isString), may("service_data", isObject)) {
			break
		}
		given, _ := data["service_data"].(object)
		if _, _, err := h.call(text(data, "domain"), text(data, "service"), given, nil, ph.user); err != nil {
			r.empty(http.StatusOK)
			return
		}
	case "fire_event":
		if fits(need("event_type", isString), may("event_data", isObject)) {
			given, _ := data["event_data"].(object)
			h.bus.fire(event{kind: text(data, "event_type"), data: orEmpty(given), origin: "REMOTE", at: h.now(), context: h.context(ph.user)})
		}
	case "render_template":
		if !whole {
			break
		}
		answer := object{}
		for name, item := range data {
			o, ok := item.(object)
			if !ok || !isString(o["template"]) {
				r.nothing()
				return
			}
			variables, _ := o["variables"].(object)
			out := h.render(text(o, "template"), variables)
			answer[name] = native(out.text)
			if out.failed != nil {
				answer[name] = object{"error": out.failed.Error()}
			}
		}
		ph.say(r, http.StatusOK, answer)
		return
	case "update_location":
		if whole {
			h.locate(ph, data)
		}
	case "update_registration":
		if fits(may("app_data", isObject), need("app_version", isString), need("device_name", isString), need("manufacturer", isString), need("model", isString), may("os_version", isString)) {
			ph.say(r, http.StatusOK, h.phones.update(ph, data))
			return
		}
	case "enable_encryption":
		h.enableEncryption(r, ph)
		return
	case "register_sensor":
		if h.registerSensor(ph, payload) {
			ph.say(r, http.StatusCreated, object{"success": true})
			return
		}
	case "update_sensor_states":
		if answer, ok := h.updateSensors(ph, payload); ok {
			ph.say(r, http.StatusOK, answer)
			return
		}
	case "get_zones":
		zone, _ := h.rooms.get("zone.home")
		ph.say(r, http.StatusOK, []any{zone.json()})
		return
	case "get_config":
		ph.say(r, http.StatusOK, h.phoneConfig(ph))
		return
	case "scan_tag":
		if fits(need("tag_id", isString)) {
			h.bus.fire(event{kind: "tag_scanned", data: object{"tag_id": data["tag_id"], "device_id": ph.device, "name": nil}, at: h.now(), context: h.context(ph.user)})
		}
	case "stream_camera":
		if fits(need("camera_entity_id", isString)) {
			h.streamCamera(r, ph, text(data, "camera_entity_id"))
			return
		}
	case "conversation_process":
		if fits(need("text", isString), may("language", isString), may("conversation_id", isString)) {
			ph.say(r, http.StatusOK, h.converse(text(data, "text"), ph.user))
			return
		}
	}
	r.nothing()
}

// update keeps what an app says of itself; without the secrets it is the answer.
func (p *phones) update(ph *phone, data object) object {
	p.mu.Lock()
	defer p.mu.Unlock()
	ph.data = maps.Clone(ph.data)
	maps.Copy(ph.data, data)
	answer := object{}
	for _, name := range []string{"app_data", "app_id", "app_name", "app_version", "device_name", "manufacturer", "model", "os_version", "supports_encryption"} {
		answer[name] = ph.data[name]
	}
	return answer
}

func (h *Home) enableEncryption(r *request, ph *phone) {
	h.phones.mu.Lock()
	had := ph.secret != ""
	if !had {
		ph.secret = hexID(32)
		ph.data = with(ph.data, "supports_encryption", true)
	}
	secret := ph.secret
	h.phones.mu.Unlock()
	if had {
		r.plainJSON(http.StatusBadRequest, object{"success": false, "error": object{"code": "encryption_already_enabled", "message": "Encryption already enabled"}})
		return
	}
	r.plainJSON(http.StatusOK, object{"secret": secret})
}

func (h *Home) locate(ph *phone, data object) {
	id := "device_tracker." + slug(text(ph.data, "device_name"))
	attributes := object{"source_type": "gps", "friendly_name": ph.data["device_name"]}
	if at, ok := data["gps"].([]any); ok && len(at) == 2 {
		attributes["latitude"], attributes["longitude"] = at[0], at[1]
	}
	if accuracy, ok := data["gps_accuracy"]; ok {
		attributes["gps_accuracy"] = accuracy
	}
	place := text(data, "location_name")
	if place == "" {
		place = "not_home"
	}
	h.rooms.set(h, id, place, attributes, h.context(ph.user))
}

// sensorState is a sensor's value as a state.
func sensorState(v any) string {
	switch v := v.(type) {
	case nil:
		return "unknown"
	case bool:
		if v {
			return "on"
		}
		return "off"
	case string:
		return v
	}
	return string(encodeJSON(v))
}

func (h *Home) registerSensor(ph *phone, payload any) bool {
	data, err := schema{loose: true, fields: []field{need("name", isString), need("type", oneOf("sensor", "binary_sensor")), need("unique_id", isString)}}.check(payload)
	if err != nil {
		return false
	}
	name := text(ph.data, "device_name") + " " + text(data, "name")
	id := text(data, "type") + "." + slug(name)
	h.phones.mu.Lock()
	ph.sensors[text(data, "type")+" "+text(data, "unique_id")] = id
	h.phones.mu.Unlock()
	given, _ := data["attributes"].(object)
	attributes := maps.Clone(orEmpty(given))
	attributes["friendly_name"] = name
	for _, key := range []string{"device_class", "unit_of_measurement", "state_class", "icon"} {
		if v := data[key]; v != nil {
			attributes[key] = v
		}
	}
	h.rooms.set(h, id, sensorState(data["state"]), attributes, h.context(nil))
	return true
}

func (h *Home) updateSensors(ph *phone, payload any) (object, bool) {
	list, ok := payload.([]any)
	if !ok {
		list = []any{payload}
	}
	known := schema{loose: true, fields: []field{need("type", oneOf("sensor", "binary_sensor")), need("unique_id", isString)}}
	for _, v := range list {
		if _, err := known.check(v); err != nil {
			return nil, false
		}
	}
	answer := object{}
	for _, v := range list {
		data := v.(object)
		kind, unique := text(data, "type"), text(data, "unique_id")
		h.phones.mu.Lock()
		id := ph.sensors[kind+" "+unique]
		h.phones.mu.Unlock()
		if id == "" {
			answer[unique] = object{"success": false, "error": object{"code": "not_registered", "message": kind + " " + unique + " is not registered"}}
			continue
		}
		if _, ok := data["state"]; !ok {
			answer[unique] = object{"success": false, "error": object{"code": "invalid_format", "message": "required key not provided @ data['state']"}}
			continue
		}
		before, _ := h.rooms.get(id)
		attributes := maps.Clone(orEmpty(before.Attributes))
		if given, ok := data["attributes"].(object); ok {
			maps.Copy(attributes, given)
		}
		h.rooms.set(h, id, sensorState(data["state"]), attributes, h.context(nil))
		answer[unique] = object{"success": true}
	}
	return answer, true
}

func (h *Home) phoneConfig(ph *phone) object {
	config := h.config()
	answer := object{"hass_device_id": ph.device, "theme_color": themeColor}
	for _, name := range []string{"latitude", "longitude", "elevation", "unit_system", "location_name", "time_zone", "components", "version"} {
		answer[name] = config[name]
	}
	if h.release.since(2026, 11) {
		answer["instance_id"] = h.accounts.instanceID
	}
	h.phones.mu.Lock()
	defer h.phones.mu.Unlock()
	entities := object{text(ph.data, "device_id"): object{"disabled": false}}
	for name := range ph.sensors {
		_, unique, _ := strings.Cut(name, " ")
		entities[unique] = object{"disabled": false}
	}
	answer["entities"] = entities
	return answer
}

func (h *Home) streamCamera(r *request, ph *phone, id string) {
	if _, ok := h.rooms.get(id); !ok {
		ph.say(r, http.StatusBadRequest, object{"success": false})
		return
	}
	ph.say(r, http.StatusOK, object{"mjpeg_path": "/api/camera_proxy_stream/" + id, "hls_path": nil})
}

// phoneCommands are the push channel and what is known of webhooks.
func (h *Home) phoneCommands() map[string]command {
	return map[string]command{
		"mobile_app/push_notification_channel": {takes: takes(need("webhook_id", isString), may("support_confirm", isBool)), does: pushChannel},
		"mobile_app/push_notification_confirm": {takes: takes(need("webhook_id", isString), need("confirm_id", isString)), does: func(a *ask) {
			if a.phone() != nil {
				a.fail("not_found", "Push notification channel not found")
			}
		}},
		"webhook/list": {admin: h.release.since(2026, 8), takes: takes(), does: listWebhooks},
	}
}

// phone is the caller's own phone that a command names; without one it answers.
func (a *ask) phone() *phone {
	ph := a.h.phones.find(a.text("webhook_id"))
	switch {
	case ph == nil:
		a.fail("not_found", "Webhook ID not found")
	case ph.user != a.user:
		a.fail("unauthorized", "User not linked to this webhook ID")
	default:
		return ph
	}
	return nil
}

func pushChannel(a *ask) {
	ph := a.phone()
	if ph == nil {
		return
	}
	p := &a.h.phones
	p.mu.Lock()
	ph.push = a
	p.mu.Unlock()
	a.keep(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if ph.push == a {
			ph.push = nil
		}
	})
	a.result(nil)
}

func listWebhooks(a *ask) {
	list := []any{object{"webhook_id": doorbell, "domain": "automation", "name": "Doorbell", "local_only": true, "allowed_methods": []any{"POST", "PUT"}}}
	for _, ph := range a.h.phones.all() {
		list = append(list, object{"webhook_id": ph.webhook, "domain": "mobile_app", "name": "Mobile App: " + text(ph.data, "device_name"), "local_only": false, "allowed_methods": []any{"POST", "PUT"}})
	}
	a.result(list)
}
