package config

import (
	"reflect"
	"testing"
	"time"
)

// dns is where the zone is.
const dns = "[certificates.dns]\nprovider = \"desec\"\n"

// The empty table is enough where the zone is known, with a certificate of any kind; what
// is turned off stays off.
func TestDDNSDefaults(t *testing.T) {
	const home = "[home]\nname = \"HA.example.org\"\n[doors.https]\n"
	for text, want := range map[string]DDNS{
		home + dns + "[ddns]\n": {"ha.example.org", []string{"interface", "router"}, true, true, Duration(5 * time.Minute)},
		home + "[certificates]\nissuers = [\"letsencrypt\"]\n" + dns + "[ddns]\n":                                                    {"ha.example.org", []string{"interface", "router"}, true, true, Duration(5 * time.Minute)},
		home + dns + "[ddns]\nname = \"House.duckdns.org\"\nipv4 = false\nttl = \"1h\"\naddresses = [\"https://echo.example/ip\"]\n": {"house.duckdns.org", []string{"https://echo.example/ip"}, false, true, Duration(time.Hour)},
	} {
		c, err := Parse("x", []byte(text))
		if err != nil || c.DDNS == nil || !reflect.DeepEqual(*c.DDNS, want) {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
	if c, err := Parse("x", []byte(home)); err != nil || c.DDNS != nil {
		t.Errorf("not asked for: %+v, %v", c, err)
	}
}
