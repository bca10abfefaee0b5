package hatest

import (
	"strconv"
	"strings"
)

// release is a version of Home Assistant whose ways a home has. Where releases
// differ, the code asks since(year, month).
type release struct {
	name        string
	year, month int
}

func parseRelease(name string) release {
	r := release{name: name}
	parts := strings.Split(name, ".")
	if len(parts) >= 2 {
		r.year, _ = strconv.Atoi(parts[0])
		r.month, _ = strconv.Atoi(parts[1])
	}
	return r
}

func (r release) since(year, month int) bool {
	return r.year > year || r.year == year && r.month >= month
}

// server is what the HTTP server calls itself where Home Assistant's own empty
// Server header does not reach: refused by the filter, upgrades, streams.
func (r release) server() string {
	if r.since(2026, 3) {
		return "Python/3.14 aiohttp/3.14.5"
	}
	return "Python/3.13 aiohttp/3.13.3"
}
