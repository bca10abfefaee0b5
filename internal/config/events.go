package config

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxKeep is the most of the event log that is kept, in bytes.
const maxKeep = 1 << 40

// Kept is what events.keep says: how many bytes of the event log are kept, and how long.
// 0 is what holds without it.
func (e Events) Kept() (bytes int64, age time.Duration) {
	bytes, age, _ = parseKeep(e.Keep) // check has asked
	return bytes, age
}

var errKeep = errors.New("is no size or number of days")

// parseKeep reads "64MiB", "90d", or both.
func parseKeep(s string) (bytes int64, age time.Duration, err error) {
	words := strings.Fields(s)
	if len(words) > 2 {
		return 0, 0, errKeep
	}
	for _, w := range words {
		n, unit := w, ""
		if i := strings.IndexFunc(w, func(r rune) bool { return r < '0' || r > '9' }); i > 0 {
			n, unit = w[:i], w[i:]
		}
		count, err := strconv.ParseInt(n, 10, 32)
		if err != nil || count <= 0 {
			return 0, 0, errKeep
		}
		shift, isSize := map[string]int{"MiB": 20, "GiB": 30}[unit]
		switch {
		case isSize && bytes == 0 && count <= maxKeep>>shift:
			bytes = count << shift
		case unit == "d" && age == 0 && count <= 3650:
			age = time.Duration(count) * day
		default:
			return 0, 0, errKeep
		}
	}
	return bytes, age, nil
}

// unixMetrics is how a value of events.metrics begins that is a socket's path.
const unixMetrics = "unix:"

// MetricsAt is where metrics may be fetched: the network ("tcp" or "unix") and its
// address; "" for nowhere.
func (e Events) MetricsAt() (network, address string) {
	if path, is := strings.CutPrefix(e.Metrics, unixMetrics); is {
		return "unix", path
	}
	if e.Metrics == "" {
		return "", ""
	}
	return "tcp", e.Metrics
}

func (c *Config) checkEvents(k *checker) {
	if _, _, err := parseKeep(c.Events.Keep); err != nil {
		k.say("events.keep", `it looks like "64MiB", "90d" or "256MiB 365d"`, "%q %v", c.Events.Keep, err)
	}
	const hint = `it looks like "127.0.0.1:9184" or "unix:/run/gatehouse/metrics.sock"`
	switch network, at := c.Events.MetricsAt(); network {
	case "unix":
		switch {
		case !filepath.IsAbs(at):
			k.say("events.metrics", hint, "is %q; a socket's path begins with /", c.Events.Metrics)
		case len(at) > maxSocket:
			k.say("events.metrics", "choose a shorter path", "is longer than the %d bytes that a socket's path may have", maxSocket)
		case at == c.State.Socket:
			k.say("events.metrics", hint, "is the control socket")
		}
	case "tcp":
		host, port, ok := cutPort(at)
		addr, err := netip.ParseAddr(host)
		switch {
		case !ok || !isPort(port) || err != nil:
			k.say("events.metrics", hint, "is %q, which is not an address with a port", at)
		case !addr.IsLoopback():
			k.say("events.metrics", hint, "is %q; metrics are for this machine alone: they say when nobody is at home", at)
		}
	}
}
