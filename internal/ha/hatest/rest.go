package hatest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// routeTable is every path of the home; the first that matches counts.
func (h *Home) routeTable() []route {
	both := func(pattern string, views map[string]func(*request), open bool) route {
		return route{pattern: pattern, views: views, open: open}
	}
	before := int64(0) // the limit of what is read before a login
	if h.release.since(2026, 11) {
		before = publicLimit
	}
	views := func(pairs ...any) map[string]func(*request) {
		m := map[string]func(*request){}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1].(func(*request))
		}
		return m
	}
	type v = func(*request)
	hook := v(h.webhook)
	table := []route{
		{pattern: "/auth/providers", views: get(h.providers), open: true},
		{pattern: "/auth/login_flow", views: views("GET", v(func(r *request) { r.empty(http.StatusMethodNotAllowed) }), "POST", v(h.startLogin)), open: true, limit: before},
		{pattern: "/auth/login_flow/{flow_id}", views: views("GET", v((*request).trouble), "POST", v(h.stepLogin), "DELETE", v(h.endLogin)), open: true, limit: before},
		{pattern: "/auth/token", views: post(h.token), open: true, limit: before, cors: true},
		{pattern: "/auth/revoke", views: post(h.revoke), open: true, limit: before, cors: true},
		{pattern: "/.well-known/oauth-authorization-server", views: get(h.oauthServer), open: true, cors: h.release.since(2026, 11)},

		{pattern: "/api/onboarding", views: get(fresh(h.onboardingSteps)), open: true},
		{pattern: "/api/onboarding/users", views: post(fresh(h.onboardingUser)), open: true, limit: before},
		{pattern: "/api/onboarding/core_config", views: post(fresh(h.onboardingStep("core_config", "Core config")))},
		{pattern: "/api/onboarding/analytics", views: post(fresh(h.onboardingStep("analytics", "Analytics config")))},
		{pattern: "/api/onboarding/integration", views: post(fresh(h.onboardingIntegration))},

		{pattern: "/api/websocket", views: get(h.websocket), open: true},
		both("/api/", get(func(r *request) { r.message(http.StatusOK, "API running.") }), false),
		both("/api/config", get(func(r *request) { r.json(http.StatusOK, h.config()) }), false),
		both("/api/components", get(func(r *request) { r.json(http.StatusOK, components) }), false),
		both("/api/core/state", get(func(r *request) {
			r.json(http.StatusOK, object{"state": "RUNNING", "recorder_state": object{"migration_in_progress": false, "migration_is_live": false}})
		}), false),
		both("/api/states", get(func(r *request) { r.json(http.StatusOK, statesJSON(h.rooms.all())) }), false),
		both("/api/states/{entity}", views("GET", v(h.getState), "POST", v(admin(h.setState)), "DELETE", v(admin(h.removeState))), false),
		both("/api/services", get(h.listServices), false),
		both("/api/services/{domain}/{service}", post(h.callREST), false),
		both("/api/events", get(h.listEvents), false),
		both("/api/events/{event}", post(admin(h.fireREST)), false),
		both("/api/template", post(admin(h.templateREST)), false),
		both("/api/stream", get(admin(h.eventStream)), false),
		both("/api/error_log", get(admin(func(r *request) { r.plain(http.StatusOK, "") })), false),
		both("/api/history/period", get(h.history), false),
		both("/api/history/period/{from}", get(h.history), false),
		both("/api/logbook", get(func(r *request) { r.json(http.StatusOK, []any{}) }), false),
		both("/api/logbook/{from}", get(func(r *request) { r.json(http.StatusOK, []any{}) }), false),
		both("/api/conversation/process", post(h.converseREST), false),
		both("/api/config/core/check_config", post(admin(func(r *request) {
			r.json(http.StatusOK, object{"result": "valid", "errors": nil, "warnings": nil})
		})), false),
		both("/api/config/config_entries/entry", get(func(r *request) { r.json(http.StatusOK, h.phones.entries()) }), false),
		both("/api/config/config_entries/entry/{entry}", views("DELETE", v(admin(h.removeEntry))), false),
		both("/api/mobile_app/registrations", post(h.register), false),
		{pattern: "/api/webhook/{id}", views: views("GET", hook, "HEAD", hook, "POST", hook, "PUT", hook), open: true, cors: true},

		{pattern: "/api/camera_proxy/{entity}", views: get(h.cameraView(h.still)), open: true},
		{pattern: "/api/camera_proxy_stream/{entity}", views: get(h.cameraView(h.moving)), open: true},
		{pattern: "/api/backup/upload", views: post(admin(h.uploadBackup))},
		{pattern: "/api/backup/download/{id}", views: get(admin(h.downloadBackup))},
		{pattern: "/api/image/upload", views: post(h.uploadImage)},
		{pattern: "/api/image/serve/{id}/{size}", views: get(h.serveImage), open: true},
		{pattern: "/api/tts_get_url", views: post(h.ttsURL)},
		{pattern: "/api/tts_proxy/{name}", views: views("GET", v(h.ttsProxy), "HEAD", v(h.ttsProxy)), open: true},
		{pattern: "/api/hassio_ingress/{token}/{path...}", views: anyMethod(h.ingress), open: true},
	}
	if h.release.since(2026, 8) {
		table = append(table, route{pattern: "/.well-known/oauth-protected-resource", views: get(h.oauthResource), open: true, cors: h.release.since(2026, 11)})
	}
	return append(table, h.pageRoutes()...)
}

// anyMethod are the methods of a route that passes everything on.
func anyMethod(view func(*request)) map[string]func(*request) {
	m := map[string]func(*request){}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		m[method] = view
	}
	return m
}

// themeColor is the colour that Home Assistant's manifest names.
const themeColor = "#2980b9"

var components = []string{"alarm_control_panel", "api", "auth", "automation", "backup", "camera", "config", "conversation", "cover", "demo", "frontend", "history", "homeassistant", "http", "image_upload", "input_boolean", "light", "lock", "logbook", "mobile_app", "onboarding", "person", "script", "sensor", "sun", "switch", "tts", "webhook", "websocket_api", "zone"}

// config is what GET /api/config and get_config tell.
func (h *Home) config() object {
	return object{
		"allowlist_external_dirs": []any{}, "allowlist_external_urls": []any{}, "components": components, "config_dir": "/config", "config_source": "storage",
		"country": "NL", "currency": "EUR", "debug": false, "elevation": 2, "external_url": nil, "internal_url": nil, "language": "en", "latitude": 52.37, "longitude": 4.9,
		"location_name": "Demo home", "radius": 100, "recovery_mode": false, "safe_mode": false, "state": "RUNNING", "time_zone": "Europe/Amsterdam",
		"unit_system": object{"length": "km", "accumulated_precipitation": "mm", "area": "m²", "mass": "g", "pressure": "Pa", "temperature": "°C", "volume": "L", "wind_speed": "m/s"},
		"version":     h.release.name, "whitelist_external_dirs": []any{},
	}
}

// panels are the pages that the sidebar of a user shows.
func (h *Home) panels(u *user) object {
	all := object{}
	for _, name := range panelNames {
		if adminPanels[name] && !h.accounts.isAdmin(u) {
			continue
		}
		all[name] = object{"component_name": name, "icon": nil, "title": name, "config": nil, "url_path": name, "require_admin": adminPanels[name], "config_panel_domain": nil}
	}
	return all
}

// oauthServer is RFC 8414's document; addresses are whole only where the Host is
// known as the home's own.
func (h *Home) oauthServer(r *request) {
	base, own := r.ownURL()
	o := object{
		"authorization_endpoint": base + "/auth/authorize", "token_endpoint": base + "/auth/token", "revocation_endpoint": base + "/auth/revoke",
		"response_types_supported": []any{"code"},
	}
	if own {
		o["issuer"] = base
	}
	if h.release.since(2026, 8) {
		o["client_id_metadata_document_supported"] = true
	}
	if h.release.since(2026, 11) {
		o["code_challenge_methods_supported"] = []any{"S256"}
	}
	r.json(http.StatusOK, o)
}

// oauthResource is RFC 9728's.
func (h *Home) oauthResource(r *request) {
	base, own := r.ownURL()
	if !own {
		r.message(http.StatusNotFound, "No URL available")
		return
	}
	r.json(http.StatusOK, object{"resource": base, "authorization_servers": []any{base}})
}

func (h *Home) getState(r *request) {
	s, ok := h.rooms.get(r.args["entity"])
	if !ok {
		r.message(http.StatusNotFound, "Entity not found.")
		return
	}
	r.json(http.StatusOK, s.json())
}

func (h *Home) setState(r *request) {
	v, ok, err := r.body()
	if !ok {
		return
	}
	data, whole := v.(object)
	if err != nil || !whole {
		r.message(http.StatusBadRequest, "Invalid JSON specified.")
		return
	}
	value, ok := data["state"]
	if !ok || value == nil {
		r.message(http.StatusBadRequest, "No state specified.")
		return
	}
	id := r.args["entity"]
	if domain, name, ok := strings.Cut(id, "."); !ok || slug(domain) != domain || slug(name) != name {
		r.message(http.StatusBadRequest, "Invalid entity ID specified.")
		return
	}
	attributes, _ := data["attributes"].(object)
	status := http.StatusOK
	if h.rooms.set(h, id, sensorState(value), orEmpty(attributes), h.context(r.who.user)) {
		status = http.StatusCreated
	}
	s, _ := h.rooms.get(id)
	r.w.Header().Set("Location", "/api/states/"+id)
	r.json(status, s.json())
}

func (h *Home) removeState(r *request) {
	if !h.rooms.remove(h, r.args["entity"], h.context(r.who.user)) {
		r.message(http.StatusNotFound, "Entity not found.")
		return
	}
	r.message(http.StatusOK, "Entity removed.")
}

func (h *Home) listServices(r *request) {
	names := h.serviceNames()
	list := []any{}
	for domain, all := range names {
		list = append(list, object{"domain": domain, "services": all})
	}
	slices.SortFunc(list, func(a, b any) int {
		return strings.Compare(a.(object)["domain"].(string), b.(object)["domain"].(string))
	})
	r.json(http.StatusOK, list)
}

func (h *Home) listEvents(r *request) {
	r.json(http.StatusOK, []any{object{"event": "*", "listener_count": h.bus.count()}})
}

func (h *Home) fireREST(r *request) {
	v, ok, err := r.body()
	if !ok {
		return
	}
	data, whole := v.(object)
	if err != nil {
		r.message(http.StatusBadRequest, "Event data should be valid JSON.")
		return
	}
	if v != nil && !whole {
		r.message(http.StatusBadRequest, "Event data should be a JSON object")
		return
	}
	h.bus.fire(event{kind: r.args["event"], data: orEmpty(data), origin: "REMOTE", at: h.now(), context: h.context(r.who.user)})
	r.message(http.StatusOK, "Event "+r.args["event"]+" fired.")
}

func (h *Home) templateREST(r *request) {
	v, ok, err := r.body()
	if !ok {
		return
	}
	data, _ := v.(object)
	if err != nil {
		r.message(http.StatusBadRequest, "Invalid JSON specified.")
		return
	}
	if !isString(data["template"]) {
		r.trouble()
		return
	}
	variables, _ := data["variables"].(object)
	out := h.render(text(data, "template"), variables)
	if out.failed != nil {
		r.message(http.StatusBadRequest, "Error rendering template: "+out.failed.Error())
		return
	}
	r.plain(http.StatusOK, out.text)
}

// streamPing is how often a stream of events says that it lives.
const streamPing = 50 * time.Second

// eventStream is GET /api/stream: server-sent events.
func (h *Home) eventStream(r *request) {
	restrict, some := r.value("restrict")
	kinds := strings.Split(restrict, ",")
	r.bare()
	r.w.Header().Set("Content-Type", "text/event-stream")
	r.w.WriteHeader(http.StatusOK)
	stop, remove := h.stream()
	defer remove()
	news := make(chan []byte, 1024)
	late := make(chan struct{}, 1)
	defer h.bus.listen(func(e event) {
		if some && !slices.Contains(kinds, e.kind) {
			return
		}
		select {
		case news <- encodeJSON(e.json()):
		default:
			select {
			case late <- struct{}{}:
			default:
			}
		}
	})()
	flush := http.NewResponseController(r.w)
	say := func(data string) bool {
		_, err := fmt.Fprintf(r.w, "data: %s\n\n", data)
		return err == nil && flush.Flush() == nil
	}
	if !say("ping") {
		return
	}
	ping := time.NewTimer(streamPing)
	defer ping.Stop()
	for {
		line := ""
		select {
		case data := <-news:
			line = string(data)
		case <-ping.C:
			line = "ping"
		case <-late: // who reads too slowly is let go
			return
		case <-stop:
			return
		case <-r.Context().Done():
			return
		}
		if !say(line) {
			return
		}
		ping.Reset(streamPing)
	}
}

// history is what the entities are now: the home remembers nothing else.
func (h *Home) history(r *request) {
	ids, ok := r.value("filter_entity_id")
	if !ok || ids == "" {
		r.message(http.StatusBadRequest, "filter_entity_id is missing")
		return
	}
	list := []any{}
	for id := range strings.SplitSeq(ids, ",") {
		if s, ok := h.rooms.get(strings.TrimSpace(id)); ok {
			list = append(list, []any{s.json()})
		}
	}
	r.json(http.StatusOK, list)
}

func (h *Home) removeEntry(r *request) {
	if h.phones.forget(func(p *phone) bool { return p.entry == r.args["entry"] }) == 0 {
		r.message(http.StatusNotFound, "Invalid entry specified")
		return
	}
	r.json(http.StatusOK, object{"require_restart": false})
}

// converseREST is POST /api/conversation/process.
func (h *Home) converseREST(r *request) {
	data, ok := r.object(fields(need("text", isString), may("language", isString), may("conversation_id", isString), may("agent_id", isString)))
	if !ok {
		return
	}
	r.json(http.StatusOK, h.converse(text(data, "text"), r.who.user))
}

// converse understands "turn on X" and "turn off X" as Home Assistant's intents
// do: a lock is locked and unlocked by it, a cover opened and closed. Everything
// is exposed to it, as in a home whose owner chose so.
func (h *Home) converse(said string, by *user) object {
	said = strings.ToLower(strings.TrimSpace(said))
	speech, kind, data := "Sorry, I couldn't understand that", "error", object{"code": "no_intent_match"}
	for _, way := range []string{"on", "off"} {
		name, ok := strings.CutPrefix(said, "turn "+way+" ")
		if !ok {
			continue
		}
		name = strings.TrimPrefix(name, "the ")
		for _, s := range h.rooms.all() {
			if strings.EqualFold(fmt.Sprint(s.Attributes["friendly_name"]), name) {
				domain, _, _ := strings.Cut(s.EntityID, ".")
				service, ok := map[string]string{"lock on": "lock", "lock off": "unlock", "cover on": "open_cover", "cover off": "close_cover"}[domain+" "+way]
				if !ok {
					service = "turn_" + way
				}
				if _, _, err := h.call(domain, service, object{"entity_id": s.EntityID}, nil, by); err == nil {
					speech, kind = "Turned "+way+" "+name, "action_done"
					data = object{"targets": []any{}, "success": []any{object{"name": s.Attributes["friendly_name"], "type": "entity", "id": s.EntityID}}, "failed": []any{}}
				}
			}
		}
	}
	return object{
		"response":        object{"speech": object{"plain": object{"speech": speech, "extra_data": nil}}, "card": object{}, "language": "en", "response_type": kind, "data": data},
		"conversation_id": ulid(h.now()), "continue_conversation": false,
	}
}
