package config

import (
	"strings"
	"testing"
)

const tunnel = "[home]\nname = \"house.test\"\n[doors.wireguard]\n"

// The door needs a name and nothing else.
func TestWireGuardDefaults(t *testing.T) {
	c, err := Parse("x.toml", []byte(tunnel))
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Doors.WireGuard; d.Listen != ":51820" || d.MTU != 1420 || d.DNS != SystemResolver || len(d.Reach) != 0 {
		t.Errorf("%+v", d)
	}
	if _, err := Parse("x.toml", []byte("[doors.wireguard]\n")); err == nil || !strings.Contains(err.Error(), "home.name") {
		t.Errorf("without a name: %v", err)
	}
}

// What is wrong with the door's values is said with its line and key.
func TestWireGuardProblems(t *testing.T) {
	for _, c := range []struct{ text, key, hold string }{
		{`listen = "51820"`, "listen", "not an address with a port"},
		{`endpoint = "home.example.org"`, "endpoint", "not a host and a port"},
		{`endpoint = "https://home.example.org:1"`, "endpoint", ""},
		{`endpoint = ":51820"`, "endpoint", ""},
		{`dns = "router"`, "dns", "not the address of a resolver"},
		{`dns = "0.0.0.0"`, "dns", ""},
		{`mtu = 1500`, "mtu", "from 1280 to 1420"},
		{`networks = ["10.8.0.1"]`, "networks", "not a network"},
		{`networks = ["8.8.8.0/24"]`, "networks", "somebody on the Internet"},
		{`networks = ["10.8.0.0/31"]`, "networks", "too large or too small"},
		{`networks = ["10.8.0.0/24", "10.9.0.0/24"]`, "networks", "a second one of its family"},
		{`networks = ["::ffff:10.8.0.0/120"]`, "networks", ""},
		{`reach = ["router"]`, "reach", "neither an address nor a network"},
		{`reach = ["192.168.1.5/24"]`, "reach", "the network is 192.168.1.0/24"},
		{`reach = ["127.0.0.1"]`, "reach", "never reached"},
		{`reach = ["0.0.0.0/0"]`, "reach", "never reached"},
		{"networks = [\"10.8.0.0/24\"]\nreach = [\"10.0.0.0/8\"]", "reach", "do not reach one another"},
	} {
		_, err := Parse("x.toml", []byte(tunnel+c.text+"\n"))
		if err == nil || !strings.Contains(err.Error(), "doors.wireguard."+c.key) || !strings.Contains(err.Error(), c.hold) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
	c, err := Parse("x.toml", []byte(tunnel+`listen = "192.0.2.1:4500"
endpoint = "[2001:db8::1]:4500"
networks = ["10.8.0.254/24", "fd12::/48", ]
reach = ["192.168.1.0/24", "192.168.2.7", "fd00:1::/64"]
dns = "[fd00::1]:5353"
mtu = 1280
`))
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := Resolver(c.Doors.WireGuard.DNS); !ok || at.Port() != 5353 {
		t.Errorf("resolver %s", at)
	}
	if p := Prefixes(c.Doors.WireGuard.Reach); len(p) != 3 || p[1].Bits() != 32 {
		t.Errorf("reach %v", p)
	}
}
