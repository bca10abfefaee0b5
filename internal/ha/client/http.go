package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/ha"
)

// Web server settings live in Home Assistant's own storage since 2026.8 and are
// changed in two steps (ha-protocol 4.1): configure makes a pending set and
// restarts; promote makes it stable. Without promote Home Assistant restarts with
// the stable set five minutes after the start.

// Options are one set of web server settings: server_host, trusted_proxies and so
// on. What this package does not read is kept as it came, so that a release's own
// options survive.
type Options map[string]raw

// Settings is the set without Home Assistant's own notes about it.
func (o Options) Settings() Options {
	clean := maps.Clone(o)
	for _, name := range ha.HTTPMetadata() {
		delete(clean, name)
	}
	return clean
}

// HTTPConfig is what Home Assistant says of its web server settings.
type HTTPConfig struct {
	Stable  Options
	Pending Options // nil if there is none
	Default Options
	Active  string    // stable, pending; default or default_legacy_port in recovery mode
	Revert  time.Time // when a pending set that runs is taken back; zero if none runs
}

// HTTPConfig reads the web server settings. It wants an administrator; releases
// before 2026.8 answer ErrUnknownCommand.
func (c *Client) HTTPConfig(ctx context.Context) (HTTPConfig, error) {
	var said struct {
		Stable  Options `json:"stable"`
		Pending Options `json:"pending"`
		Default Options `json:"default"`
		Active  string  `json:"active_config_type"`
		Revert  *string `json:"revert_at"`
	}
	if err := c.call(ctx, "http/config", nil, &said); err != nil {
		return HTTPConfig{}, err
	}
	h := HTTPConfig{Stable: said.Stable, Pending: said.Pending, Default: said.Default, Active: said.Active}
	if said.Revert != nil {
		h.Revert = timeOf(*said.Revert)
	}
	return h, nil
}

// Running is the set that Home Assistant runs with.
func (h HTTPConfig) Running() Options {
	switch {
	case h.Active == "pending" && h.Pending != nil:
		return h.Pending
	case strings.HasPrefix(h.Active, "default"), h.Stable == nil:
		return h.Default
	}
	return h.Stable
}

// Configure makes a set pending and reports whether Home Assistant restarts with
// it; nil takes a pending set back.
func (c *Client) Configure(ctx context.Context, o Options) (restart bool, err error) {
	var config any
	if o != nil {
		config = map[string]raw(o.Settings())
	}
	var said struct {
		Restart bool `json:"restart"`
	}
	err = c.call(ctx, "http/config/configure", map[string]any{"config": config}, &said)
	return said.Restart, err
}

// Promote makes the pending set stable.
func (c *Client) Promote(ctx context.Context) error {
	return c.call(ctx, "http/config/promote", nil, nil)
}

// TrustedProxies are the networks whose X-Forwarded-For is believed; nil where
// forwarded headers are not believed at all.
func (o Options) TrustedProxies() ([]netip.Prefix, error) {
	var use bool
	if v, ok := o["use_x_forwarded_for"]; ok && v.Kind() != 'n' {
		if err := json.Unmarshal(v, &use); err != nil {
			return nil, fmt.Errorf("use_x_forwarded_for: %w", err)
		}
	}
	if !use {
		return nil, nil
	}
	return o.proxies()
}

func (o Options) proxies() ([]netip.Prefix, error) {
	var words []string
	if v, ok := o["trusted_proxies"]; ok && v.Kind() != 'n' {
		if err := json.Unmarshal(v, &words); err != nil {
			return nil, fmt.Errorf("trusted_proxies: %w", err)
		}
	}
	var list []netip.Prefix
	for _, w := range words {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			addr, err := netip.ParseAddr(w)
			if err != nil {
				return nil, fmt.Errorf("trusted_proxies: %w", err)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		list = append(list, p)
	}
	return list, nil
}

// Failure is why a pending set was given up: not_promoted, apply_failed; empty
// while it was not.
func (o Options) Failure() string {
	var why string
	if v, ok := o["error"]; ok && v.Kind() == '"' && json.Unmarshal(v, &why) != nil {
		return "unknown"
	}
	return why
}

// Trusts reports whether X-Forwarded-For from an address is believed.
func (o Options) Trusts(addr netip.Addr) bool {
	list, err := o.TrustedProxies()
	return err == nil && slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// WithProxy returns a copy that believes forwarded headers from one more address.
// Networks that were listed while forwarded headers were off stay listed.
func (o Options) WithProxy(addr netip.Addr) (Options, error) {
	list, err := o.proxies()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		list = append(list, netip.PrefixFrom(addr, addr.BitLen()))
	}
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
	}
	proxies, err := json.Marshal(words)
	if err != nil {
		return nil, fmt.Errorf("trusted_proxies: %w", err)
	}
	changed := maps.Clone(o)
	if changed == nil {
		changed = Options{}
	}
	changed["use_x_forwarded_for"], changed["trusted_proxies"] = raw("true"), raw(proxies)
	return changed, nil
}

// defaultPort is server_port where it is not set (components/http/config.py).
const defaultPort = 8123

// Hosts are the addresses that Home Assistant listens on; nil means all.
func (o Options) Hosts() []string {
	v, ok := o["server_host"]
	if !ok {
		return nil
	}
	var list []string
	if json.Unmarshal(v, &list) == nil {
		return list
	}
	var one string
	if json.Unmarshal(v, &one) == nil && one != "" {
		return []string{one}
	}
	return nil
}

// Port is the port that Home Assistant listens on.
func (o Options) Port() int {
	var port int
	if v, ok := o["server_port"]; ok && json.Unmarshal(v, &port) == nil && port > 0 {
		return port
	}
	return defaultPort
}

// WithListener returns a copy that listens on these addresses and this port. Without
// hosts the option is left out, and Home Assistant listens on all: it refuses an empty
// list and null (2026.11: "value must not be empty").
func (o Options) WithListener(hosts []string, port int) (Options, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("server_port: %d is no port", port)
	}
	if slices.Contains(hosts, "") {
		return nil, errors.New("server_host: a host is empty")
	}
	changed := maps.Clone(o)
	if changed == nil {
		changed = Options{}
	}
	delete(changed, "server_host")
	if len(hosts) > 0 {
		list, err := json.Marshal(hosts)
		if err != nil {
			return nil, fmt.Errorf("server_host: %w", err)
		}
		changed["server_host"] = list
	}
	changed["server_port"] = raw(strconv.Itoa(port))
	return changed, nil
}

// neverBans is login_attempts_threshold where it is not set: Home Assistant shuts out nobody.
const neverBans = -1

// Banning is whether Home Assistant shuts addresses out for good, and after how many wrong
// passwords; below 1 that is never.
func (o Options) Banning() (enabled bool, attempts int) {
	enabled, attempts = true, neverBans
	if v, ok := o["ip_ban_enabled"]; ok && v.Kind() != 'n' && json.Unmarshal(v, &enabled) != nil {
		enabled = true
	}
	if v, ok := o["login_attempts_threshold"]; ok && v.Kind() != 'n' && json.Unmarshal(v, &attempts) != nil {
		attempts = neverBans
	}
	return enabled, attempts
}

// WithBanning returns a copy that shuts addresses out, or not, after so many wrong passwords.
func (o Options) WithBanning(enabled bool, attempts int) Options {
	changed := maps.Clone(o)
	if changed == nil {
		changed = Options{}
	}
	changed["ip_ban_enabled"] = raw(strconv.FormatBool(enabled))
	changed["login_attempts_threshold"] = raw(strconv.Itoa(attempts))
	return changed
}
