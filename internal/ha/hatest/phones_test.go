package hatest_test

import (
	"bytes"
	"compress/zlib"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/secretbox"
)

func zlibbed(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

// seal closes a payload as the iOS app does.
func seal(secret, plain string) string {
	key, _ := hex.DecodeString(secret)
	var nonce [24]byte
	_, _ = rand.Read(nonce[:])
	return base64.StdEncoding.EncodeToString(secretbox.Seal(nonce[:], []byte(plain), &nonce, (*[32]byte)(key)))
}

// unseal opens an answer; "" when it cannot.
func unseal(secret, sealed string) string {
	key, _ := hex.DecodeString(secret)
	data, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(data) < 24 || len(key) != 32 {
		return ""
	}
	plain, _ := secretbox.Open(nil, data[24:], (*[24]byte)(data), (*[32]byte)(key))
	return string(plain)
}

// phones is ha-protocol 5.4.
func (k *talk) phones(admin *line, owner pass) {
	app := func(device string, encrypted bool) object {
		return object{
			"app_id": "gatehouse.conformance", "app_name": "Conformance", "app_version": "1", "device_id": device, "device_name": "Conform " + device,
			"manufacturer": "Gatehouse", "model": "Test", "os_name": "Test", "os_version": "1", "supports_encryption": encrypted, "app_data": object{}, "more": 1,
		}
	}
	register := func(o object) *request {
		return ask("POST", "/api/mobile_app/registrations").bearer(owner.access).json(o)
	}
	k.ask("register without a bearer", ask("POST", "/api/mobile_app/registrations").json(app("a", false)))
	k.ask("register with too little", register(object{"app_id": "x"}))
	a := k.ask("register", register(app("a", false)))
	hook := "/api/webhook/" + a.text("webhook_id")
	defer k.forget(admin, owner)
	deadline := time.Now().Add(20 * time.Second)
	post := func(v any) *request { return ask("POST", hook).json(v) }
	for k.ask("", post(object{"type": "get_zones"}).quietly()).status == http.StatusOK && time.Now().Before(deadline) {
		if a := k.ask("", post(object{"type": "get_zones"}).quietly()); len(a.body) > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	say := func(kind string, data any) *request { return post(object{"type": kind, "data": data}) }

	k.ask("an unknown webhook", ask("POST", "/api/webhook/"+strings.Repeat("0", 64)).json(object{"type": "get_zones"}))
	k.ask("GET an unknown webhook", ask("GET", "/api/webhook/unknown"))
	k.ask("HEAD an unknown webhook", ask("HEAD", "/api/webhook/unknown"))
	k.ask("DELETE an unknown webhook", ask("DELETE", "/api/webhook/unknown"))
	k.ask("a webhook from another site", ask("POST", "/api/webhook/unknown").with("Origin", "http://other.example"))
	k.ask("GET a webhook", ask("GET", hook))
	k.ask("HEAD a webhook", ask("HEAD", hook))
	k.ask("a webhook with a slash", ask("POST", hook+"/"))
	k.ask("a webhook in capitals", ask("POST", "/api/webhook/"+strings.ToUpper(hook[len("/api/webhook/"):])))
	k.ask("PUT to a webhook", ask("PUT", hook).json(object{"type": "render_template", "data": object{"a": object{"template": "x"}}}))
	k.ask("a webhook with another type", ask("POST", hook).send("text/plain", `{"type":"render_template","data":{"a":{"template":"x"}}}`))
	k.ask("a compressed webhook", ask("POST", hook).with("Content-Encoding", "deflate").send("application/json", zlibbed(`{"type":"render_template","data":{"a":{"template":"x"}}}`)))
	k.ask("a webhook with a key twice", ask("POST", hook).send("application/json", `{"type":"nothing","type":"render_template","data":{"a":{"template":"x"}}}`))
	k.ask("a webhook with no JSON", ask("POST", hook).send("application/json", "{"))
	k.ask("a webhook with nothing", ask("POST", hook))
	k.ask("a webhook with an array", post([]any{}))
	k.ask("a webhook with more", post(object{"type": "get_zones", "more": 1}))
	k.ask("a webhook without a type", post(object{"data": object{}}))
	k.ask("a webhook of an unknown type", say("nothing", object{}))
	k.ask("encrypted, where nothing is", post(object{"type": "get_zones", "encrypted": true, "encrypted_data": "AAAA"}))
	k.ask("encrypted: false", post(object{"type": "get_zones", "encrypted": false}))

	k.ask("call_service", say("call_service", object{"domain": "light", "service": "turn_on", "service_data": object{"entity_id": "light.kitchen_lights"}}))
	k.ask("call_service that is none", say("call_service", object{"domain": "light", "service": "explode"}))
	k.ask("call_service with too little", say("call_service", object{"domain": "light"}))
	k.ask("fire_event", say("fire_event", object{"event_type": "gatehouse_conformance", "event_data": object{"x": 1}}))
	k.ask("fire_event with too little", say("fire_event", object{}))
	k.ask("render_template", say("render_template", object{"one": object{"template": "{{ 1 + 1 }}"}, "two": object{"template": "{{ states('light.kitchen_lights') }}"}}))
	k.ask("render_template with variables", say("render_template", object{"one": object{"template": "{{ x }}", "variables": object{"x": "y"}}}))
	k.ask("render_template that is none", say("render_template", object{"one": 1}))
	k.ask("update_location", say("update_location", object{"gps": []any{52.0, 4.0}, "gps_accuracy": 10, "battery": 50}))
	k.ask("update_registration", say("update_registration", object{"app_version": "2", "device_name": "Conform a", "manufacturer": "Gatehouse", "model": "Test", "os_version": "2"}))
	k.ask("update_registration with too little", say("update_registration", object{"app_version": "2"}))
	k.ask("register_sensor", say("register_sensor", object{"name": "Battery", "type": "sensor", "unique_id": "battery", "state": 50, "device_class": "battery", "unit_of_measurement": "%"}))
	k.ask("register_sensor again", say("register_sensor", object{"name": "Battery", "type": "sensor", "unique_id": "battery", "state": 51}))
	k.ask("register_sensor with too little", say("register_sensor", object{"name": "Battery"}))
	k.ask("update_sensor_states", say("update_sensor_states", []any{object{"type": "sensor", "unique_id": "battery", "state": 60}, object{"type": "sensor", "unique_id": "unknown", "state": 1}}))
	k.ask("update_sensor_states with too little", say("update_sensor_states", []any{object{"type": "sensor"}}))
	k.ask("get_zones", post(object{"type": "get_zones"}).quietly())
	k.ask("get_config", post(object{"type": "get_config"}).only("version", "hass_device_id", "instance_id", "entities", "unit_system", "theme_color"))
	k.ask("scan_tag", say("scan_tag", object{"tag_id": "a tag"}))
	k.ask("stream_camera", say("stream_camera", object{"camera_entity_id": "camera.demo_camera"}))
	k.ask("stream_camera of nobody", say("stream_camera", object{"camera_entity_id": "camera.nothing"}))

	a = k.ask("enable_encryption", post(object{"type": "enable_encryption"}))
	secret := a.text("secret")
	k.sealed(hook, secret)

	// The same device again has a new webhook; the old one is dead.
	a = k.ask("register again", register(app("a", false)))
	k.ask("the old webhook", post(object{"type": "get_zones"}))
	hook = "/api/webhook/" + a.text("webhook_id")
	id := a.text("webhook_id")
	for len(k.ask("", post(object{"type": "get_zones"}).quietly()).body) == 0 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	k.pushed(owner, id)
	k.forget(admin, owner)
	k.ask("a removed phone", post(object{"type": "get_zones"}))
}

// sealed says the same under encryption.
func (k *talk) sealed(hook, secret string) {
	post := func(v any) *request { return ask("POST", hook).json(v) }
	say := func(kind, data string) object {
		return object{"type": kind, "encrypted": true, "encrypted_data": seal(secret, data)}
	}
	open := func(step string, r *request) {
		a := k.ask("", r.quietly())
		k.note(step, object{"status": a.status, "encrypted": a.object()["encrypted"], "plain": unseal(secret, a.text("encrypted_data"))})
	}
	k.ask("plain, where encryption is wanted", post(object{"type": "get_zones"}))
	open("encrypted", post(say("render_template", `{"a":{"template":"{{ 2 + 3 }}"}}`)))
	k.ask("encrypted, with nothing to say", post(say("scan_tag", `{"tag_id":"x"}`)))
	k.ask("encrypted with another key", post(object{"type": "get_zones", "encrypted": true, "encrypted_data": seal(strings.Repeat("00", 32), "{}")}))
	k.ask("encrypted, no JSON", post(say("render_template", "hello")))
	k.ask("encrypted without data", post(object{"type": "get_zones", "encrypted": true}))
	k.ask("the type encrypted", post(say("encrypted", "{}")))
	k.ask("enable_encryption again", post(say("enable_encryption", "{}")))
}

// pushed is the channel for notifications.
func (k *talk) pushed(owner pass, webhook string) {
	l := k.login(owner.access)
	defer l.close()
	l.does("a push channel of nobody", object{"type": "mobile_app/push_notification_channel", "webhook_id": "nothing"})
	l.does("a push channel", object{"type": "mobile_app/push_notification_channel", "webhook_id": webhook})
	list, _ := l.command(object{"type": "webhook/list"})
	for _, row := range list.([]any) {
		if r := row.(object); r["webhook_id"] == webhook {
			if methods, ok := r["allowed_methods"].([]any); ok {
				r["allowed_methods"] = len(methods) // their order varies
			}
			r["name"] = nil
			k.note("its row among the webhooks", r)
		}
	}
}

// forget removes the script's phones.
func (k *talk) forget(admin *line, owner pass) {
	result, failed := admin.command(object{"type": "config_entries/get", "domain": "mobile_app"})
	if failed != nil {
		k.t.Fatal(failed)
	}
	for _, row := range result.([]any) {
		if r := row.(object); strings.HasPrefix(r["title"].(string), "Conform ") {
			a := k.ask("", ask("DELETE", "/api/config/config_entries/entry/"+r["entry_id"].(string)).bearer(owner.access).quietly())
			if a.status != http.StatusOK {
				k.t.Errorf("remove a phone: %d %s", a.status, a.body)
			}
		}
	}
}
