package hatest

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// state is what an entity is at this moment. It is never changed, only replaced.
type state struct {
	EntityID   string
	State      string
	Attributes object
	Changed    time.Time
	Updated    time.Time
	Context    object
}

// json is the state as REST and get_states say it.
func (s *state) json() object {
	return object{
		"entity_id": s.EntityID, "state": s.State, "attributes": s.Attributes,
		"last_changed": stamp(s.Changed), "last_reported": stamp(s.Updated), "last_updated": stamp(s.Updated), "context": s.Context,
	}
}

// compressed is the state as subscribe_entities says it.
func (s *state) compressed() object {
	o := object{"s": s.State, "a": s.Attributes, "c": shortContext(s.Context), "lc": epoch(s.Changed)}
	if !s.Updated.Equal(s.Changed) {
		o["lu"] = epoch(s.Updated)
	}
	return o
}

// shortContext is the id alone where nobody in particular was the cause.
func shortContext(c object) any {
	if c["user_id"] == nil && c["parent_id"] == nil {
		return c["id"]
	}
	return c
}

// diff is what subscribe_entities says of a change.
func diff(before, after *state) object {
	plus := object{}
	if before.State != after.State {
		plus["s"] = after.State
		plus["lc"] = epoch(after.Changed)
	} else if !before.Updated.Equal(after.Updated) {
		plus["lu"] = epoch(after.Updated)
	}
	context := object{}
	for _, name := range []string{"id", "parent_id", "user_id"} {
		if before.Context[name] != after.Context[name] {
			context[name] = after.Context[name]
		}
	}
	switch {
	case len(context) == 1 && context["id"] != nil:
		plus["c"] = context["id"]
	case len(context) > 0:
		plus["c"] = context
	}
	attributes := object{}
	for name, value := range after.Attributes {
		if old, ok := before.Attributes[name]; !ok || !reflect.DeepEqual(old, value) {
			attributes[name] = value
		}
	}
	if len(attributes) > 0 {
		plus["a"] = attributes
	}
	change := object{"+": plus}
	var gone []any
	for name := range before.Attributes {
		if _, ok := after.Attributes[name]; !ok {
			gone = append(gone, name)
		}
	}
	if len(gone) > 0 {
		change["-"] = object{"a": gone}
	}
	return change
}

// rooms are the entities of the home and what is known of them.
type rooms struct {
	mu       sync.Mutex
	states   map[string]*state
	registry map[string]entry
	removed  map[string]bool // phones' entities that were taken out
}

// entry is an entity in the registry.
type entry struct {
	entityID string
	uniqueID string
	platform string
	device   string // "" without
	area     string
	name     string
}

// device is a thing with entities.
type device struct{ id, name, maker, model, area string }

// The areas and devices of the demonstration home.
var (
	areas   = []string{"kitchen", "bedroom", "entrance", "garage"}
	devices = []device{
		{"7e57000000000000000000000000d001", "Kitchen light", "Demo", "Lamp", "kitchen"},
		{"7e57000000000000000000000000d002", "Bedroom light", "Demo", "Lamp", "bedroom"},
		{"7e57000000000000000000000000d003", "Front door", "Demo", "Lock", "entrance"},
		{"7e57000000000000000000000000d004", "Garage door", "Demo", "Door", "garage"},
		{"7e57000000000000000000000000d005", "Front camera", "Demo", "Camera", "entrance"},
	}
)

// furniture is what the home begins with.
type furniture struct {
	id, state, name string
	device          int // in devices, from 1; 0 without
	attributes      object
}

// Features of entities, as Home Assistant numbers them.
const (
	coverFeatures = 15 // open, close, set position, stop
	lockFeatures  = 1  // open
)

var furnishing = []furniture{
	{"light.kitchen_lights", "on", "Kitchen light", 1, object{"supported_color_modes": []any{"brightness"}, "color_mode": "brightness", "brightness": int64(180), "supported_features": int64(0)}},
	{"light.bed_light", "off", "Bedroom light", 2, object{"supported_color_modes": []any{"brightness"}, "color_mode": nil, "brightness": nil, "supported_features": int64(0)}},
	{"light.ceiling_lights", "on", "Ceiling lights", 0, object{"supported_color_modes": []any{"onoff"}, "color_mode": "onoff", "supported_features": int64(0)}},
	{"lock.front_door", "locked", "Front door", 3, object{"supported_features": int64(lockFeatures)}},
	{"cover.garage_door", "closed", "Garage door", 4, object{"device_class": "garage", "current_position": int64(0), "supported_features": int64(coverFeatures)}},
	{"input_boolean.lab", "off", "Lab switch", 0, object{"editable": false}},
	{"switch.ac", "off", "Air conditioner", 0, object{"device_class": "outlet"}},
	{"sensor.outside_temperature", "15.6", "Outside temperature", 0, object{"device_class": "temperature", "state_class": "measurement", "unit_of_measurement": "°C"}},
	{"binary_sensor.movement_backyard", "off", "Movement backyard", 0, object{"device_class": "motion"}},
	{"alarm_control_panel.security", "disarmed", "Security", 0, object{"code_format": "number", "changed_by": nil, "code_arm_required": true, "supported_features": int64(63)}},
	{"script.good_night", "off", "Good night", 0, object{"last_triggered": nil, "mode": "single", "current": int64(0)}},
	{"automation.porch_at_dusk", "on", "Porch at dusk", 0, object{"id": "porch_at_dusk", "last_triggered": nil, "mode": "single", "current": int64(0)}},
	{"person.demo", "home", "Demo", 0, object{"editable": true, "id": "demo", "device_trackers": []any{}}},
	{"zone.home", "0", "Home", 0, object{"latitude": 52.37, "longitude": 4.9, "radius": int64(100), "passive": false, "persons": []any{}, "editable": true, "icon": "mdi:home"}},
	{"sun.sun", "above_horizon", "Sun", 0, object{"elevation": 30.5, "rising": true}},
	{cameraID, "streaming", "Front camera", 5, object{"brand": "Demo", "motion_detection": false, "supported_features": int64(1)}},
}

func (m *rooms) open(h *Home) {
	m.states = map[string]*state{}
	m.registry = map[string]entry{}
	m.removed = map[string]bool{}
	context := h.context(nil)
	for _, f := range furnishing {
		attributes := maps.Clone(f.attributes)
		attributes["friendly_name"] = f.name
		m.states[f.id] = &state{EntityID: f.id, State: f.state, Attributes: attributes, Changed: h.started, Updated: h.started, Context: context}
		domain, object, _ := strings.Cut(f.id, ".")
		switch domain {
		case "zone", "sun":
			continue
		}
		e := entry{entityID: f.id, uniqueID: object, platform: "demo", name: f.name}
		if f.device > 0 {
			e.device = devices[f.device-1].id
		}
		m.registry[f.id] = e
	}
}

// get returns an entity's state.
func (m *rooms) get(id string) (state, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.states[id]
	if !ok {
		return state{}, false
	}
	return *s, true
}

// all returns every state in the order of their ids.
func (m *rooms) all() []*state {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sorted()
}

func (m *rooms) sorted() []*state {
	list := make([]*state, 0, len(m.states))
	for _, id := range slices.Sorted(maps.Keys(m.states)) {
		list = append(list, m.states[id])
	}
	return list
}

// watch gives all the states to begin and then every event to fn, with nothing
// missed or doubled in between.
func (m *rooms) watch(b *bus, begin func([]*state), fn func(event)) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	begin(m.sorted())
	return b.listen(fn)
}

// set gives an entity a state; nil attributes mean that they stay. It reports
// whether the entity is new.
func (m *rooms) set(h *Home, id, value string, attributes, context object) (fresh bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.states[id]
	now := h.now()
	after := &state{EntityID: id, State: value, Attributes: attributes, Context: context, Changed: now, Updated: now}
	if before != nil {
		if attributes == nil {
			after.Attributes = before.Attributes
		}
		if before.State == value {
			if reflect.DeepEqual(before.Attributes, after.Attributes) {
				return false
			}
			after.Changed = before.Changed
		}
	}
	if after.Attributes == nil {
		after.Attributes = object{}
	}
	m.states[id] = after
	m.tell(h, before, after, context)
	return before == nil
}

// remove takes an entity away; false if there was none.
func (m *rooms) remove(h *Home, id string, context object) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.states[id]
	if before == nil {
		return false
	}
	delete(m.states, id)
	m.tell(h, before, nil, context)
	return true
}

// tell fires state_changed. The caller holds mu, so that the order of events is
// the order of changes.
func (m *rooms) tell(h *Home, before, after *state, context object) {
	id, data := "", object{"old_state": nil, "new_state": nil}
	if before != nil {
		id = before.EntityID
		data["old_state"] = before.json()
	}
	if after != nil {
		id = after.EntityID
		data["new_state"] = after.json()
	}
	data["entity_id"] = id
	h.bus.fire(event{kind: "state_changed", data: data, at: h.now(), context: context, before: before, after: after})
}

// with is a copy of attributes with one changed.
func with(attributes object, name string, value any) object {
	o := maps.Clone(attributes)
	o[name] = value
	return o
}

// drift moves the outside temperature a little.
func (m *rooms) drift(h *Home) {
	const id = "sensor.outside_temperature"
	s, ok := m.get(id)
	if !ok {
		return
	}
	degrees, _ := strconv.ParseFloat(s.State, 64)
	steps := []float64{0.1, 0.2, -0.1, -0.2, 0.1, -0.1}
	degrees += steps[int(h.now().Unix()/10)%len(steps)]
	m.set(h, id, strconv.FormatFloat(degrees, 'f', 1, 64), nil, h.context(nil))
}

// target is whom a service is called for: the entities that exist, of those
// that were named by id, device or area.
func (m *rooms) target(domain string, sources ...object) []*state {
	m.mu.Lock()
	defer m.mu.Unlock()
	named := map[string]bool{}
	everything := false
	for _, o := range sources {
		for _, id := range words(o["entity_id"]) {
			everything = everything || id == "all"
			for part := range strings.SplitSeq(id, ",") {
				named[strings.TrimSpace(part)] = true
			}
		}
		for id, e := range m.registry {
			area := e.area
			for _, d := range devices {
				if d.id == e.device && area == "" {
					area = d.area
				}
			}
			if e.device != "" && slices.Contains(words(o["device_id"]), e.device) || area != "" && slices.Contains(words(o["area_id"]), area) {
				named[id] = true
			}
		}
	}
	var list []*state
	for _, s := range m.sorted() {
		kind, _, _ := strings.Cut(s.EntityID, ".")
		if (named[s.EntityID] || everything) && (domain == "" || domain == kind) {
			list = append(list, s)
		}
	}
	return list
}
