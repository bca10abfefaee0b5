package hatest

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"
)

// trial is how long new settings are tried before they are taken back.
const trial = 5 * time.Minute

// settings are the options of the home's HTTP server (ha-protocol 4.1). The
// address and port among them are for whoever serves the home ([Home.Listening]).
type settings struct {
	mu      sync.Mutex
	stable  object
	pending object // nil when there is none
	onTrial bool   // pending is what holds now
	started time.Time
	proxies []netip.Prefix
}

func (s *settings) open(trusted []netip.Prefix, started time.Time) {
	s.stable = defaults(started)
	s.started = started
	if len(trusted) > 0 {
		list := []any{}
		for _, p := range trusted {
			list = append(list, p.Masked().String())
		}
		s.stable["server_host"] = []any{"127.0.0.1"}
		s.stable["use_x_forwarded_for"] = true
		s.stable["trusted_proxies"] = list
	}
	s.apply()
}

func defaults(at time.Time) object {
	return object{
		"server_port": int64(8123), "cors_allowed_origins": []any{castOrigin}, "login_attempts_threshold": int64(-1), "ip_ban_enabled": true,
		"ssl_profile": "intermediate_v6", "use_x_frame_options": true, "created_at": stamp(at), "error": nil, "error_message": nil,
	}
}

// apply reads what holds now. The caller holds mu.
func (s *settings) apply() {
	active := s.stable
	if s.onTrial {
		active = s.pending
	}
	s.proxies = nil
	if active["use_x_forwarded_for"] != true {
		return
	}
	for _, name := range words(active["trusted_proxies"]) {
		if p, ok := network(name); ok {
			s.proxies = append(s.proxies, p)
		}
	}
}

// network reads an address or a network whose host bits are zero.
func network(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil && p == p.Masked()
}

// trusted are the peers whose X-Forwarded-For is believed.
func (s *settings) trusted() []netip.Prefix {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proxies
}

// Listening is how the home's web server shall listen by the settings that hold: on the
// named hosts, none of them meaning all, and a port. It is for whoever serves the home.
func (h *Home) Listening() (hosts []string, port int) {
	h.expireTrial()
	s := &h.settings
	s.mu.Lock()
	defer s.mu.Unlock()
	active := s.stable
	if s.onTrial {
		active = s.pending
	}
	n, _ := active["server_port"].(int64)
	return words(active["server_host"]), int(n)
}

// restart begins anew with what is pending, if it never failed.
func (s *settings) restart(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = now
	s.onTrial = s.pending != nil && s.pending["error"] == nil
	s.apply()
}

// overdue takes a trial back that nobody confirmed in time; true when it did.
func (s *settings) overdue(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.onTrial || now.Before(s.started.Add(trial)) {
		return false
	}
	s.onTrial = false
	s.pending = with(s.pending, "error", "not_promoted")
	s.apply()
	return true
}

// hangupDelay is how long after a command that restarts the home its sockets
// close: its result is heard first (ha-protocol 4.1).
const hangupDelay = 10 * time.Millisecond

// restart is what a command that restarts the home does.
func (h *Home) restart() {
	h.beginAnew()
	time.AfterFunc(hangupDelay, h.Hangup)
}

// beginAnew forgets what is kept in memory alone and takes up new settings.
func (h *Home) beginAnew() {
	h.settings.restart(h.now())
	h.accounts.restarted()
	h.phones.restarted()
	h.cameras.open(h)
}

// expireTrial restarts the home when its trial settings have run out.
func (h *Home) expireTrial() {
	if h.settings.overdue(h.now()) {
		h.beginAnew()
		h.Hangup()
	}
}

var metadata = []string{"created_at", "error", "error_message"}

// plain is a configuration without its metadata.
func plain(config object) object {
	o := maps.Clone(config)
	for _, name := range metadata {
		delete(o, name)
	}
	return o
}

func isPort(v any) bool { n, ok := v.(int64); return ok && n > 0 && n < 1<<16 }

// isHosts is a list of one or more; where there is none the option is left out.
func isHosts(v any) bool { list, ok := v.([]any); return ok && len(list) > 0 && isStrings(v) }

func isNetworks(v any) bool {
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(e any) bool {
		s, ok := e.(string)
		_, good := network(s)
		return !ok || !good
	})
}

// httpConfig is what http/config/configure takes.
var httpConfig = fields(
	may("server_host", isHosts), may("server_port", isPort), may("ssl_certificate", isFile), may("ssl_peer_certificate", isFile), may("ssl_key", isFile),
	may("cors_allowed_origins", isStrings), may("use_x_forwarded_for", isBool), may("trusted_proxies", isNetworks), may("login_attempts_threshold", isInt),
	may("ip_ban_enabled", isBool), may("ssl_profile", oneOf("intermediate_v6", "modern_v6", "intermediate_v4", "modern_v4")), may("use_x_frame_options", isBool),
)

// isFile refuses every file: this home has no disk.
func isFile(any) bool { return false }

// settingCommands are http/config and its kind, which came with 2026.8.
func (h *Home) settingCommands() map[string]command {
	if !h.release.since(2026, 8) {
		return nil
	}
	return map[string]command{
		"http/config":           {admin: true, takes: takes(), does: tellConfig},
		"http/config/configure": {admin: true, takes: takes(need("config", orNull(isObject))), does: configure},
		"http/config/promote":   {admin: true, takes: takes(), does: promote},
	}
}

func tellConfig(a *ask) {
	s := &a.h.settings
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := object{"stable": s.stable, "pending": nil, "revert_at": nil, "active_config_type": "stable", "default": defaults(s.started)}
	if s.pending != nil {
		answer["pending"] = s.pending
	}
	if s.onTrial {
		answer["active_config_type"] = "pending"
		answer["revert_at"] = stamp(s.started.Add(trial))
	}
	a.result(answer)
}

func configure(a *ask) {
	var config object
	if given, ok := a.object["config"].(object); ok {
		config = plain(defaults(a.h.now()))
		checked, err := httpConfig.check(given)
		if err == nil && checked["use_x_forwarded_for"] == true && len(words(checked["trusted_proxies"])) == 0 {
			a.fail("invalid_format", "trusted_proxies must not be empty when use_x_forwarded_for is enabled")
			return
		}
		if err != nil {
			a.fail("invalid_format", err.Error())
			return
		}
		maps.Copy(config, checked)
		if list, ok := config["trusted_proxies"]; ok {
			networks := []any{}
			for _, name := range words(list) {
				p, _ := network(name)
				networks = append(networks, p.String())
			}
			config["trusted_proxies"] = networks
		}
	}
	restart := a.h.settings.configure(config, a.h.now())
	a.result(object{"restart": restart})
	if restart {
		a.h.restart()
	}
}

// configure keeps settings for the next start; it reports whether that is needed.
func (s *settings) configure(config object, now time.Time) (restart bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if config != nil && reflect.DeepEqual(config, plain(s.stable)) {
		config = nil
	}
	if config == nil {
		restart = s.pending != nil
		s.pending = nil
		return restart
	}
	if s.pending != nil && s.pending["error"] == nil && reflect.DeepEqual(config, plain(s.pending)) {
		return false
	}
	config["created_at"], config["error"], config["error_message"] = stamp(now), nil, nil
	s.pending = config
	return true
}

func promote(a *ask) {
	s := &a.h.settings
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == nil || s.pending["error"] != nil {
		a.fail("not_allowed", "No pending HTTP config to promote")
		return
	}
	s.stable, s.pending, s.onTrial = s.pending, nil, false
	s.apply()
	a.result(nil)
}
