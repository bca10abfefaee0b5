package hatest

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// A call that fails, by what Home Assistant makes of it.
var (
	errNoService    = errors.New("service not found")
	errUnauthorized = errors.New("Unauthorized") // Home Assistant's own word
	errInvalid      = errors.New("invalid data")
	errRefused      = errors.New("refused")
)

// service is something that entities can be asked to do.
type service struct {
	does  func(h *Home, s *state, data, context object) error // for each entity; nil for those that act on none
	acts  func(h *Home, data, context object, by *user) error
	admin bool
	needs []string // fields beside the target
}

// to makes a service that gives entities a state.
func to(value string) service {
	return service{does: func(h *Home, s *state, _, context object) error {
		h.become(s, value, context)
		return nil
	}}
}

// flip makes a service that changes between two states.
func flip(one, other string) service {
	return service{does: func(h *Home, s *state, _, context object) error {
		next := one
		if s.State == one {
			next = other
		}
		h.become(s, next, context)
		return nil
	}}
}

// become gives an entity a state and the attributes that go with it.
func (h *Home) become(s *state, value string, context object) {
	attributes := s.Attributes
	switch domain, _, _ := strings.Cut(s.EntityID, "."); domain {
	case "cover":
		attributes = with(attributes, "current_position", map[string]int64{"open": 100}[value])
	case "light":
		modes, _ := attributes["supported_color_modes"].([]any)
		if len(modes) > 0 && modes[0] == "brightness" {
			bright, mode := any(int64(180)), any("brightness")
			if value == "off" {
				bright, mode = nil, nil
			}
			attributes = with(with(attributes, "brightness", bright), "color_mode", mode)
		}
	}
	h.rooms.set(h, s.EntityID, value, attributes, context)
}

// onOff are the services of what is switched.
func onOff() map[string]service {
	return map[string]service{"turn_on": to("on"), "turn_off": to("off"), "toggle": flip("on", "off")}
}

// services is every service, by domain and name.
func (h *Home) services() map[string]map[string]service {
	nothing := func(*Home, object, object, *user) error { return nil }
	light := onOff()
	light["turn_on"] = service{does: func(h *Home, s *state, data, context object) error {
		h.become(s, "on", context)
		if bright := whole(data, "brightness", -1); bright >= 0 && s.Attributes["brightness"] != nil {
			h.rooms.set(h, s.EntityID, "on", with(s.Attributes, "brightness", bright), context)
		}
		return nil
	}}
	arm := func(value string) service {
		return service{does: func(h *Home, s *state, data, context object) error {
			if text(data, "code") != "1234" {
				return fmt.Errorf("%w: Invalid alarm code provided", errRefused)
			}
			h.become(s, value, context)
			return nil
		}}
	}
	position := service{needs: []string{"position"}, does: func(h *Home, s *state, data, context object) error {
		at := whole(data, "position", 0)
		value := "open"
		if at == 0 {
			value = "closed"
		}
		h.rooms.set(h, s.EntityID, value, with(s.Attributes, "current_position", at), context)
		return nil
	}}
	return map[string]map[string]service{
		"light": light, "switch": onOff(), "input_boolean": onOff(), "automation": onOff(),
		"lock":  {"lock": to("locked"), "unlock": to("unlocked"), "open": to("open")},
		"cover": {"open_cover": to("open"), "close_cover": to("closed"), "toggle": flip("open", "closed"), "stop_cover": {does: func(*Home, *state, object, object) error { return nil }}, "set_cover_position": position},
		"alarm_control_panel": {
			"alarm_disarm": arm("disarmed"), "alarm_arm_away": arm("armed_away"), "alarm_arm_home": arm("armed_home"),
		},
		"camera": {"turn_on": to("streaming"), "turn_off": to("idle")},
		"script": {"turn_on": to("off"), "good_night": {acts: goodNight}},
		"homeassistant": {
			"turn_on": homeService("turn_on"), "turn_off": homeService("turn_off"), "toggle": homeService("toggle"),
			"restart": {admin: true, acts: func(h *Home, _, _ object, _ *user) error { h.restart(); return nil }},
			"stop":    {admin: true, acts: func(h *Home, _, _ object, _ *user) error { h.Hangup(); return nil }},
		},
		"persistent_notification": {"create": {acts: nothing, needs: []string{"message"}}, "dismiss": {acts: nothing}},
		"notify":                  h.phones.services(),
		"backup":                  {"create": {admin: true, acts: nothing}},
	}
}

// goodNight is the script of that name: everything off, everything shut.
func goodNight(h *Home, _, context object, _ *user) error {
	for _, s := range h.rooms.all() {
		switch domain, _, _ := strings.Cut(s.EntityID, "."); domain {
		case "light":
			h.become(s, "off", context)
		case "lock":
			h.become(s, "locked", context)
		case "cover":
			h.become(s, "closed", context)
		}
	}
	return nil
}

// homeService is homeassistant.turn_on and its kind: each entity's own service
// of that name. A lock has none, a cover knows toggle alone: they stay as they are.
func homeService(name string) service {
	return service{does: func(h *Home, s *state, data, context object) error {
		domain, _, _ := strings.Cut(s.EntityID, ".")
		if srv := h.services()[domain][name]; srv.does != nil {
			return srv.does(h, s, data, context)
		}
		return nil
	}}
}

// call calls a service for a user and returns the states that it changed.
func (h *Home) call(domain, name string, data, target object, by *user) ([]*state, object, error) {
	domain, name = strings.ToLower(domain), strings.ToLower(name)
	context := h.context(by)
	srv, ok := h.services()[domain][name]
	if !ok {
		return nil, context, errNoService
	}
	if srv.admin && by != nil && !h.accounts.isAdmin(by) {
		return nil, context, errUnauthorized
	}
	for _, field := range srv.needs {
		if _, ok := data[field]; !ok {
			return nil, context, fmt.Errorf("%w: required key not provided @ data['%s']", errInvalid, field)
		}
	}
	full := maps.Clone(data)
	if full == nil {
		full = object{}
	}
	maps.Copy(full, target)
	h.bus.fire(event{kind: "call_service", data: object{"domain": domain, "service": name, "service_data": full}, at: h.now(), context: context})
	if srv.acts != nil {
		if err := srv.acts(h, full, context, by); err != nil {
			return nil, context, err
		}
	} else if err := h.each(srv, domain, full, context); err != nil {
		return nil, context, err
	}
	changed := []*state{}
	for _, s := range h.rooms.all() {
		if s.Context["id"] == context["id"] {
			changed = append(changed, s)
		}
	}
	return changed, context, nil
}

// each lets a service act on the entities that were named; to name none at all
// is an error.
func (h *Home) each(srv service, domain string, data, context object) error {
	if !slices.ContainsFunc([]string{"entity_id", "device_id", "area_id", "floor_id", "label_id"}, func(key string) bool { return data[key] != nil }) {
		return fmt.Errorf("%w: must contain at least one of entity_id, device_id, area_id, floor_id, label_id", errInvalid)
	}
	of := domain
	if domain == "homeassistant" {
		of = ""
	}
	for _, s := range h.rooms.target(of, data) {
		if err := srv.does(h, s, data, context); err != nil {
			return err
		}
	}
	return nil
}

// serviceNames is what get_services and GET /api/services tell.
func (h *Home) serviceNames() map[string]object {
	list := map[string]object{}
	for domain, all := range h.services() {
		o := object{}
		for name, srv := range all {
			fields := object{}
			for _, field := range srv.needs {
				fields[field] = object{"required": true}
			}
			about := object{"name": title(name), "description": title(name) + ".", "fields": fields}
			if srv.does != nil {
				about["target"] = object{"entity": []any{object{"domain": []any{domain}}}}
			}
			o[name] = about
		}
		list[domain] = o
	}
	return list
}

// title makes words of a name.
func title(name string) string {
	s := strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(s[:1]) + s[1:]
}

// callREST is POST /api/services/{domain}/{service}.
func (h *Home) callREST(r *request) {
	v, ok, err := r.body()
	if !ok {
		return
	}
	data, whole := v.(object)
	if err != nil {
		r.message(http.StatusBadRequest, "Data should be valid JSON.")
		return
	}
	if v != nil && !whole {
		r.refuse(http.StatusBadRequest)
		return
	}
	_, returns := r.value("return_response")
	changed, _, err := h.call(r.args["domain"], r.args["service"], data, nil, r.who.user)
	switch {
	case errors.Is(err, errNoService), errors.Is(err, errInvalid):
		r.refuse(http.StatusBadRequest)
	case errors.Is(err, errUnauthorized):
		r.refuse(http.StatusUnauthorized)
	case err != nil:
		r.refuse(http.StatusInternalServerError)
	case returns:
		r.message(http.StatusBadRequest, "Service does not support responses. Remove return_response from request.")
	default:
		list := []any{}
		for _, s := range changed {
			list = append(list, s.json())
		}
		r.json(http.StatusOK, list)
	}
}
