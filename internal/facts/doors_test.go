package facts

import (
	"slices"
	"testing"
)

// The doors are those whose tables are there, on the ports that are usual or said.
func TestDoors(t *testing.T) {
	for _, c := range []struct {
		text string
		want []Door
		bad  bool
	}{
		{"", nil, false},
		{"[doors.https]\n[doors.lan]\n", []Door{{"https", "tcp", 443, false}, {"lan", "tcp", 8443, false}}, false},
		{"[doors.lan]\nlisten = \"127.0.0.1:9443\"\n[doors.wireguard]\n[doors.ssh]\nlisten = \"[::]:2022\"\n[doors.onion]\n",
			[]Door{{"lan", "tcp", 9443, true}, {"ssh", "tcp", 2022, false}, {"wireguard", "udp", 51820, false}}, false},
		{"[doors.https]\nlisten = \"443\"\n", nil, true},
		{"[doors.https]\nlisten = \":0\"\n", nil, true},
		{"[doors", nil, true},
	} {
		got, err := hostOf(t, "-- etc/gatehouse/gatehouse.toml --\n"+c.text).Doors()
		if (err != nil) != c.bad || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v %v, want %v", c.text, got, err, c.want)
		}
	}
}
