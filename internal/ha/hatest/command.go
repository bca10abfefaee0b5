package hatest

import (
	"errors"
	"slices"
	"strings"
)

// open events are those that everybody may subscribe to.
var openEvents = []string{
	"area_registry_updated", "category_registry_updated", "component_loaded", "core_config_updated", "device_registry_updated",
	"entity_registry_updated", "floor_registry_updated", "label_registry_updated", "labs_updated", "lovelace_updated",
	"panels_updated", "recorder_5min_statistics_generated", "recorder_hourly_statistics_generated",
	"repairs_issue_registry_updated", "service_registered", "service_removed", "shopping_list_updated", "state_changed", "themes_updated",
}

// stateCommands are about states, events and services.
func (h *Home) stateCommands() map[string]command {
	return map[string]command{
		"ping":               {takes: takes(), does: func(a *ask) { a.say(object{"id": a.id, "type": "pong"}) }},
		"supported_features": {takes: takes(need("features", isObject)), does: features},
		"get_states": {takes: takes(), does: func(a *ask) {
			a.result(statesJSON(a.h.rooms.all()))
		}},
		"get_config":   {takes: takes(), does: func(a *ask) { a.result(a.h.config()) }},
		"get_services": {takes: takes(), does: func(a *ask) { a.result(a.h.serviceNames()) }},
		"get_panels":   {takes: takes(), does: func(a *ask) { a.result(a.h.panels(a.user)) }},
		"call_service": {does: callService, takes: takes(
			need("domain", isString), need("service", isString), may("service_data", orNull(isObject)),
			may("target", orNull(isObject)), may("return_response", isBool),
		)},
		"subscribe_events":   {takes: takes(may("event_type", isString)), does: subscribeEvents},
		"unsubscribe_events": {takes: takes(need("subscription", isInt)), does: unsubscribe},
		"subscribe_entities": {takes: takes(may("entity_ids", isStrings), may("include", isObject), may("exclude", isObject)), does: subscribeEntities},
		"fire_event": {admin: true, takes: takes(need("event_type", isString), may("event_data", isObject)), does: func(a *ask) {
			data, _ := a.object["event_data"].(object)
			context := a.h.context(a.user)
			a.h.bus.fire(event{kind: a.text("event_type"), data: orEmpty(data), at: a.h.now(), context: context})
			a.result(object{"context": context})
		}},
		"render_template": {does: renderTemplate, takes: takes(
			need("template", isString), may("entity_ids", isAny), may("variables", isObject), may("timeout", isNumber),
			may("strict", isBool), may("report_errors", isBool),
		)},
	}
}

func orEmpty(o object) object {
	if o == nil {
		return object{}
	}
	return o
}

func statesJSON(all []*state) []any {
	list := make([]any, len(all))
	for i, s := range all {
		list[i] = s.json()
	}
	return list
}

func features(a *ask) {
	all, _ := a.object["features"].(object)
	if _, ok := all["coalesce_messages"]; ok {
		a.mu.Lock()
		a.coalesce = true
		a.mu.Unlock()
	}
	a.result(nil)
}

func callService(a *ask) {
	data, _ := a.object["service_data"].(object)
	target, _ := a.object["target"].(object)
	domain, name := a.text("domain"), a.text("service")
	_, context, err := a.h.call(domain, name, data, target, a.user)
	switch {
	case errors.Is(err, errNoService):
		full := strings.ToLower(domain + "." + name)
		a.say(object{"id": a.id, "type": "result", "success": false, "error": object{
			"code": "not_found", "message": "Service " + full + " not found.", "translation_key": "service_not_found", "translation_domain": "homeassistant",
			"translation_placeholders": object{"domain": domain, "service": name},
		}})
	case errors.Is(err, errUnauthorized):
		a.fail("home_assistant_error", err.Error())
	case errors.Is(err, errInvalid):
		a.fail("invalid_format", strings.TrimPrefix(err.Error(), errInvalid.Error()+": "))
	case errors.Is(err, errRefused):
		a.fail("service_validation_error", "Validation error: "+strings.TrimPrefix(err.Error(), errRefused.Error()+": "))
	case err != nil:
		a.fail("unknown_error", err.Error())
	case a.object["return_response"] == true:
		a.say(object{"id": a.id, "type": "result", "success": false, "error": object{
			"code": "service_validation_error", "message": "Validation error: An action which does not return responses can't be called with return_response=True",
			"translation_key": "service_does_not_support_response", "translation_domain": "homeassistant", "translation_placeholders": object{"return_response": "return_response=True"},
		}})
	default:
		a.result(object{"context": context})
	}
}

func subscribeEvents(a *ask) {
	kind, some := a.object["event_type"].(string)
	if !slices.Contains(openEvents, kind) && !a.h.accounts.isAdmin(a.user) {
		a.fail("unauthorized", "Unauthorized")
		return
	}
	a.keep(a.h.bus.listen(func(e event) {
		if !some || kind == "*" || e.kind == kind {
			a.event(e.json())
		}
	}))
	a.result(nil)
}

func unsubscribe(a *ask) {
	id := uint64(whole(a.object, "subscription", 0))
	stop := a.subs[id]
	if stop == nil {
		a.fail("not_found", "Subscription not found.")
		return
	}
	delete(a.subs, id)
	stop()
	a.result(nil)
}

func subscribeEntities(a *ask) {
	ids := words(a.object["entity_ids"])
	_, some := a.object["entity_ids"]
	wanted := func(id string) bool {
		return (!some || len(ids) == 0 || slices.Contains(ids, id)) && passes(a.object["include"], id, true) && !passes(a.object["exclude"], id, false)
	}
	a.keep(a.h.rooms.watch(&a.h.bus, func(all []*state) {
		added := object{}
		for _, s := range all {
			if wanted(s.EntityID) {
				added[s.EntityID] = s.compressed()
			}
		}
		a.result(nil)
		a.event(object{"a": added})
	}, func(e event) {
		switch {
		case e.kind != "state_changed":
		case e.after == nil:
			if wanted(e.before.EntityID) {
				a.event(object{"r": []any{e.before.EntityID}})
			}
		case !wanted(e.after.EntityID):
		case e.before == nil:
			a.event(object{"a": object{e.after.EntityID: e.after.compressed()}})
		default:
			a.event(object{"c": object{e.after.EntityID: diff(e.before, e.after)}})
		}
	}))
}

// passes says whether a filter of subscribe_entities names an entity; without a
// filter it is otherwise.
func passes(filter any, id string, otherwise bool) bool {
	o, ok := filter.(object)
	if !ok || len(o) == 0 {
		return otherwise
	}
	domain, _, _ := strings.Cut(id, ".")
	return slices.Contains(words(o["entities"]), id) || slices.Contains(words(o["domains"]), domain)
}

func renderTemplate(a *ask) {
	variables, _ := a.object["variables"].(object)
	r := a.h.render(a.text("template"), variables)
	tell := func(message, level string) {
		if a.object["report_errors"] == true {
			a.event(object{"error": message, "level": level})
		}
	}
	switch {
	case r.failed != nil:
		if r.failed.kind == "UndefinedError" {
			tell(r.failed.why, "ERROR")
		}
		tell(r.failed.Error(), "ERROR")
	case r.unknown != "":
		tell(undefined(r.unknown).why, "WARNING")
	}
	a.result(nil)
	if r.failed != nil {
		return
	}
	if r.unknown != "" { // it is rendered a second time for the event
		tell(undefined(r.unknown).why, "WARNING")
	}
	a.event(object{"result": native(r.text), "listeners": object{"all": false, "entities": []any{}, "domains": []any{}, "time": false}})
	a.keep(func() {})
}

// registryCommands tell what there is in the home.
func (h *Home) registryCommands() map[string]command {
	list := func(f func() []any) command {
		return command{takes: takes(), does: func(a *ask) { a.result(f()) }}
	}
	return map[string]command{
		"config/area_registry/list":   list(h.areaList),
		"config/device_registry/list": list(h.deviceList),
		"config/entity_registry/list": list(h.entityList),
		"config/floor_registry/list":  list(func() []any { return []any{} }),
		"config/label_registry/list":  list(func() []any { return []any{} }),
		"config/entity_registry/get": {takes: takes(need("entity_id", isString)), does: func(a *ask) {
			for _, e := range a.h.entityList() {
				if e.(object)["entity_id"] == a.text("entity_id") {
					a.result(e)
					return
				}
			}
			a.fail("not_found", "Entity not found")
		}},
		"config_entries/get": {takes: takes(may("type_filter", isAny), may("domain", isString)), does: func(a *ask) {
			list := []any{}
			for _, e := range a.h.phones.entries() {
				if want := a.text("domain"); want == "" || want == e["domain"] {
					list = append(list, e)
				}
			}
			a.result(list)
		}},
	}
}

func (h *Home) areaList() []any {
	list := []any{}
	for _, id := range areas {
		list = append(list, object{
			"aliases": []any{}, "area_id": id, "floor_id": nil, "humidity_entity_id": nil, "icon": nil, "labels": []any{}, "name": title(id),
			"picture": nil, "temperature_entity_id": nil, "created_at": 0, "modified_at": 0,
		})
	}
	return list
}

func (h *Home) deviceList() []any {
	list := []any{}
	add := func(d device, domain, identifier string) {
		list = append(list, object{
			"area_id": orNil(d.area), "configuration_url": nil, "config_entries": []any{}, "config_entries_subentries": object{}, "connections": []any{}, "created_at": 0, "disabled_by": nil,
			"entry_type": nil, "hw_version": nil, "id": d.id, "identifiers": []any{[]any{domain, identifier}}, "labels": []any{}, "manufacturer": orNil(d.maker), "model": orNil(d.model),
			"model_id": nil, "modified_at": 0, "name_by_user": nil, "name": d.name, "primary_config_entry": nil, "serial_number": nil, "sw_version": nil, "via_device_id": nil,
		})
	}
	for _, d := range devices {
		add(d, "demo", d.id[28:])
	}
	for _, p := range h.phones.all() {
		add(device{id: p.device, name: text(p.data, "device_name"), maker: text(p.data, "manufacturer"), model: text(p.data, "model")}, "mobile_app", text(p.data, "device_id"))
	}
	return list
}

func (h *Home) entityList() []any {
	h.rooms.mu.Lock()
	defer h.rooms.mu.Unlock()
	list := []any{}
	for _, s := range h.rooms.sorted() {
		e, ok := h.rooms.registry[s.EntityID]
		if !ok {
			continue
		}
		list = append(list, object{
			"area_id": orNil(e.area), "categories": object{}, "config_entry_id": nil, "config_subentry_id": nil, "created_at": 0, "device_id": orNil(e.device), "disabled_by": nil, "entity_category": nil,
			"entity_id": e.entityID, "has_entity_name": false, "hidden_by": nil, "icon": nil, "id": e.uniqueID, "labels": []any{}, "modified_at": 0, "name": nil, "options": object{},
			"original_name": e.name, "platform": e.platform, "translation_key": nil, "unique_id": e.uniqueID,
		})
	}
	return list
}

// orNil is JSON's null for an empty string.
func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}
