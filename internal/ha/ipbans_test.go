package ha

import (
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
)

func ipBans(text string) (IPBans, error) {
	return ReadIPBans(fstest.MapFS{IPBansFile: {Data: []byte(text)}}, IPBansFile)
}

// The list is read as Home Assistant writes it: one block appended for each ban, each after an
// empty line, times with and without a zone.
func TestIPBansAsHomeAssistantWritesThem(t *testing.T) {
	list, err := ipBans(`
203.0.113.9:
  banned_at: '2024-03-01T04:05:06.789012+00:00'

2001:db8::7:
  banned_at: '2016-11-16T19:20:03'

::1:
  banned_at: 2023-05-06 07:08:09

203.0.113.9:
  banned_at: '2025-01-01T00:00:00+02:00'

"198.51.100.4":
'::ffff:198.51.100.5': {banned_at: null}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		addr, at string
		line     int
	}{
		{"203.0.113.9", "2025-01-01T00:00:00+02:00", 11},
		{"2001:db8::7", "2016-11-16T19:20:03", 5},
		{"::1", "2023-05-06 07:08:09", 8},
		{"198.51.100.4", "", 14},
		{"198.51.100.5", "", 15},
	}
	if len(list.Bans) != len(want) || len(list.Wrong) != 0 {
		t.Fatalf("%+v", list)
	}
	for i, w := range want {
		b := list.Bans[i]
		if b.Addr != netip.MustParseAddr(w.addr) || b.At != w.at || b.Line != w.line {
			t.Errorf("%d: %+v, want %v", i, b, w)
		}
	}
}

func TestIPBansThatCannotBeRead(t *testing.T) {
	list, err := ipBans("house: {}\n203.0.113.7: soon\n203.0.113.8: {banned_at: [1]}\n10.0.0.0/8: {}\n")
	if err != nil || len(list.Bans) != 2 || len(list.Wrong) != 2 || !strings.Contains(list.Wrong[0], `ip_bans.yaml:1: "house" is no address`) {
		t.Errorf("%+v, %v", list, err)
	}
	for _, text := range []string{"- 203.0.113.7\n", "text\n", "a: [", "\xff"} {
		if list, err := ipBans(text); err == nil {
			t.Errorf("%q is taken for %+v", text, list)
		}
	}
	if list, err := ipBans("# nobody\n"); err != nil || len(list.Bans) != 0 {
		t.Errorf("an empty file: %+v, %v", list, err)
	}
	if _, err := ReadIPBans(fstest.MapFS{}, IPBansFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// FuzzReadIPBans: whatever the file says, each address comes once, in the one form that is
// compared.
func FuzzReadIPBans(f *testing.F) {
	f.Add("203.0.113.9:\n  banned_at: '2024-03-01T04:05:06+00:00'\n")
	f.Add("::ffff:1.2.3.4: {}\n1.2.3.4:\n")
	f.Add("fe80::1%eth0: {banned_at: 0000-01-01}\n")
	f.Add("a: &a {1.1.1.1: {}}\n<<: *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ipBans(text)
		if err != nil {
			return
		}
		seen := map[netip.Addr]bool{}
		for _, b := range list.Bans {
			if !b.Addr.IsValid() || b.Addr.Is4In6() || b.Addr.Zone() != "" || seen[b.Addr] || b.Line < 1 {
				t.Errorf("%q: %+v", text, b)
			}
			seen[b.Addr] = true
		}
	})
}
