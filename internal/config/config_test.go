package config

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const small = "[home]\nname = \"house.test\"\n[doors.https]\n"

func TestDefaults(t *testing.T) {
	c, err := Parse("x.toml", []byte(small+"[doors.lan]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Doors.HTTPS.Listen != ":443" || c.Doors.LAN.Listen != ":8443" || c.Home.HAURL != "http://127.0.0.1:8123" ||
		c.State.Dir != "/var/lib/gatehouse" || c.State.Socket != "/run/gatehouse/control.sock" || c.Guard.Threshold != 5 || c.Guard.MaxBan != Duration(7*day) {
		t.Errorf("%+v", c)
	}
	if c, err = Parse("x.toml", []byte(small+"[guard]\nban = \"30d\"\n")); err != nil || c.Guard.MaxBan != Duration(30*day) {
		t.Errorf("a long ban: %+v, %v", c, err)
	}
	c, err = Parse("x.toml", []byte("[home]\nname = \"HOUSE.test\"\n[doors.https]\n[state]\ndir = \"/srv/gatehouse\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.State.Socket != "/srv/gatehouse/control.sock" || c.Home.Name != "house.test" || c.Doors.LAN != nil {
		t.Errorf("%+v", c)
	}
}

// What is wrong is said with its line, its key and what to do.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		text, key string
		line      int
		hold      string
	}{
		{"[home]\nnmae = \"x\"\n", "home.nmae", 2, "did you mean home.name?"},
		{"[homes]\nname = \"x\"\n", "homes", 1, ""},
		{"[home]\nname = \"a\"\n[doors.http]\nlisten = \":1\"\n", "doors.http", 3, ""},
		{small + "certificate_listen = \":443\"\n", "doors.https.certificate_listen", 4, "same port as doors.https.listen"},
		{small + "certificate_listen = \":8443\"\n[doors.lan]\n", "doors.https.certificate_listen", 4, "same port as doors.lan.listen"},
		{small + "[events]\nmetrics = \"127.0.0.1:443\"\n", "events.metrics", 5, "same port as doors.https.listen"},
		{"[doors.lan]\nlisten = \"0.0.0.0:9184\"\n[events]\nmetrics = \"127.0.0.1:9184\"\n", "events.metrics", 4, "same port as doors.lan.listen"},
		{small + "[doors.ssh]\nlisten = \":443\"\n", "doors.ssh.listen", 5, "same port as doors.https.listen"},
		{small + "[doors.lan]\nlisten = \":443\"\n", "doors.lan.listen", 5, "same port as doors.https.listen"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nchallenge = \"http\"\nhttp_listen = \":443\"\n", "certificates.http_listen", 7, "same port as doors.https.listen"},
		{small + "certificate_listen = \"9443\"\n", "doors.https.certificate_listen", 4, "not an address with a port"},
		{small + "certificate_port = 70000\n", "doors.https.certificate_port", 4, "ports go from 1 to 65535"},
		{small + "[certificates]\ntls = \"old\"\n", "certificates.tls", 5, `"modern" or "intermediate"`},
		{small + "listen = 443\n", "doors.https.listen", 4, "wants a text in quotes"},
		{small + "listen = \"443\"\n", "doors.https.listen", 4, "not an address with a port"},
		{small + "listen = \"house:443\"\n", "doors.https.listen", 4, "an address or nothing"},
		{small + "listen = \":0443\"\n", "doors.https.listen", 4, ""},
		{small + "public_port = 70000\n", "doors.https.public_port", 4, "ports go from 1 to 65535"},
		{small + "proxy_protocol = true\n", "doors.https.proxy_protocol", 4, "needs doors.https.trusted_proxies"},
		{small + "proxy_protocol = 1\ntrusted_proxies = [\"192.0.2.1\"]\n", "doors.https.proxy_protocol", 4, ""},
		{small + "trusted_proxies = \"192.0.2.1\"\n", "doors.https.trusted_proxies", 4, ""},
		{small + "trusted_proxies = [\"192.0.2.1\", \"proxy.lan\"]\n", "doors.https.trusted_proxies", 4, `has "proxy.lan", which is neither`},
		{small + "trusted_proxies = [\"192.0.2.1/24\"]\n", "doors.https.trusted_proxies", 4, "the network is 192.0.2.0/24"},
		{small + "trusted_proxies = [\"192.0.2.1:443\"]\n", "doors.https.trusted_proxies", 4, "neither an address nor a network"},
		{small + "trusted_proxies = [\"fe80::1%eth0\"]\n", "doors.https.trusted_proxies", 4, "without %zone"},
		{small + "trusted_proxies = [\"::ffff:192.0.2.0/120\"]\n", "doors.https.trusted_proxies", 4, "write it as IPv4"},
		{small + "trusted_proxies = [\"0.0.0.0/0\"]\n", "doors.https.trusted_proxies", 4, "much of the Internet"},
		{small + "trusted_proxies = [\"::/0\"]\n", "doors.https.trusted_proxies", 4, "much of the Internet"},
		{small + "trusted_proxies = [\"128.0.0.0/7\"]\n", "doors.https.trusted_proxies", 4, "much of the Internet"},
		{small + "trusted_proxies = [\"2000::/15\"]\n", "doors.https.trusted_proxies", 4, "much of the Internet"},
		{small + "trusted_proxies = [\"0.0.0.0\"]\n", "doors.https.trusted_proxies", 4, "from where nobody connects"},
		{small + "trusted_proxies = [\"224.0.0.0/8\"]\n", "doors.https.trusted_proxies", 4, "from where nobody connects"},
		{"[doors.lan]\nproxy_protocol = true\ntrusted_proxies = []\n", "doors.lan.proxy_protocol", 2, "needs doors.lan.trusted_proxies"},
		{"[doors.lan]\ntrusted_proxies = [\"\"]\n", "doors.lan.trusted_proxies", 2, "neither an address nor a network"},
		{small + "trusted_proxy = [\"192.0.2.1\"]\n", "doors.https.trusted_proxy", 4, "did you mean doors.https.trusted_proxies?"},
		{"[doors.https]\n", "home.name", 0, "is missing"},
		{"[home]\nname = \"1.2.3.4\"\n[doors.https]\n", "home.name", 2, "not a host name"},
		{"[home]\nname = \"a.b\"\n", "", 0, "no door is open"},
		{"[doors.ssh]\nlisten = \"2222\"\n", "doors.ssh.listen", 2, "not an address with a port"},
		{"[doors.ssh]\nca = \"ca.pub\"\n", "doors.ssh.ca", 2, "depends on where"},
		{"[doors.lan]\nlisten = \":2222\"\n[doors.ssh]\n", "doors.ssh.listen", 3, "same port as doors.lan.listen"},
		{small + "[home2]\n", "home2", 4, ""},
		{small + "[guard]\nban = \"1x\"\n", "guard.ban", 5, `like "90s"`},
		{small + "[guard]\nthreshold = 0\n", "guard.threshold", 5, "from 1 to 100"},
		{small + "[guard]\nthreshold = 101\n", "guard.threshold", 5, "from 1 to 100"},
		{small + "[guard]\nwindow = \"10s\"\n", "guard.window", 5, "from 1m to 7d"},
		{small + "[guard]\nban = \"1h\"\nmax_ban = \"10m\"\n", "guard.max_ban", 6, "is shorter than guard.ban (1h)"},
		{small + "[guard]\nmax_ban = \"400d\"\n", "guard.max_ban", 5, "from 1m to 365d"},
		{small + "[guard]\nmaxban = \"7d\"\n", "guard.maxban", 5, "did you mean guard.max_ban?"},
		{small + "[guard]\nallow = \"10.0.0.1\"\n", "guard.allow", 5, "a list of texts"},
		{small + "[guard]\nallow = [\"home\"]\n", "guard.allow", 5, "neither an address nor a network"},
		{small + "[guard]\nallow = [\"10.0.0.1/24\"]\n", "guard.allow", 5, "the network is 10.0.0.0/24"},
		{small + "[guard]\nallow = [\"fe80::1%eth0\"]\n", "guard.allow", 5, "without %zone"},
		{small + "[guard]\nallow = [\"::ffff:10.0.0.0/120\"]\n", "guard.allow", 5, "write it as IPv4"},
		{small + "[guard]\nallow = [\"0.0.0.0/0\"]\n", "guard.allow", 5, "everybody"},
		{small + "[guard]\noffload = \"iptables\"\n", "guard.offload", 5, "nftables"},
		{small + "[policy]\nsession_idle = \"10d\"\nsession_max = \"1d\"\n", "policy.session_max", 6, "is shorter than"},
		{small + "[policy]\nclients = [\"http://evil.example\"]\n", "policy.clients", 5, "is no client id"},
		{small + "[certificates]\ncertificate = \"/a.pem\"\n", "certificates.key", 4, "come together"},
		{small + "[certificates]\nissuers = [\"letsencrpyt\"]\n", "certificates.issuers", 5, "is no issuer"},
		{small + "[certificates]\nissuers = [\"http://ca.example.org/\"]\n", "certificates.issuers", 5, "is no issuer"},
		{small + "[certificates]\nissuers = [\"letsencrypt\"]\ncertificate = \"/a\"\nkey = \"/b\"\n", "certificates.issuers", 5, "are both there"},
		{"[home]\nname = \"a.b\"\n[doors.lan]\n[certificates]\nissuers = [\"letsencrypt\"]\n", "certificates.issuers", 5, "doors.https"},
		{small + "[certificates]\nwildcard = true\n", "certificates.wildcard", 5, "names none"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nchallenge = \"magic\"\n", "certificates.challenge", 6, `"tls", "http" or "dns"`},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nchallenge = \"http\"\n", "certificates.http_listen", 4, "come together"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nhttp_listen = \":80\"\n", "certificates.http_listen", 6, "come together"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nchallenge = \"dns\"\n", "certificates.dns", 4, "come together"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nwildcard = true\n", "certificates.wildcard", 6, "dns"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\ncontact = \"Olga <o@x.org>\"\n", "certificates.contact", 6, "for mail"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nchallenge = \"dns\"\n[certificates.dns]\nprovider = \"godaddy\"\n", "certificates.dns.provider", 8, "cloudflare"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nchallenge = \"dns\"\n[certificates.dns]\nprovider = \"rfc2136\"\nserver = \"192.0.2.1:53\"\n", "certificates.dns.key_name", 7, "is missing"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nchallenge = \"dns\"\n[certificates.dns]\nprovider = \"duckdns\"\nserver = \"x\"\n", "certificates.dns.server", 9, "means nothing"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\nchallenge = \"dns\"\n[certificates.dns]\nprovider = \"command\"\ncommand = [\"hook\"]\n", "certificates.dns.command", 9, "a path begins with /"},
		{small + "[ddns]\n", "ddns", 4, "certificates.dns does not say"},
		{small + "[certificates.dns]\nprovider = \"desec\"\n", "certificates.dns", 4, "names none"},
		{small + "[certificates]\nissuers = [\"zerossl\"]\n[certificates.dns]\nprovider = \"desec\"\n", "certificates.dns", 6, "come together"},
		{small + "[certificates.dns]\nprovider = \"godaddy\"\n[ddns]\n", "certificates.dns.provider", 5, "cloudflare"},
		{small + dns + "[ddns]\naddresses = []\n", "ddns.addresses", 7, "is empty"},
		{small + dns + "[ddns]\naddresses = [\"http://echo.example/\"]\n", "ddns.addresses", 7, "has \"http://echo.example/\""},
		{small + dns + "[ddns]\naddresses = [\"upnp\"]\n", "ddns.addresses", 7, "has \"upnp\""},
		{small + dns + "[ddns]\nipv4 = false\nipv6 = false\n", "ddns.ipv6", 8, "both off"},
		{small + dns + "[ddns]\nttl = \"10s\"\n", "ddns.ttl", 7, "from 1m to 1d"},
		{small + dns + "[ddns]\nname = \"*.a.b\"\n", "ddns.name", 7, "not a host name"},
		{small + dns + "[ddns]\nadresses = []\n", "ddns.adresses", 7, "did you mean ddns.addresses?"},
		{"[doors.lan]\n" + dns + "[ddns]\n", "ddns.name", 4, "so is home.name"},
		{small + "[certificates.dns]\nprovider = \"acmedns\"\nserver = \"https://a.b\"\nsubdomain = \"x\"\n[ddns]\n", "ddns", 8, "holds texts for certificates, and no addresses"},
		{small + "[state]\ndir = \"state\"\n", "state.dir", 5, "a path begins with /"},
		{small + "[state]\nsocket = \"/" + strings.Repeat("a", 120) + "\"\n", "state.socket", 5, "longer than"},
		{"[home]\nname = \"a.b\"\nha_url = \"http://u:p@h\"\n[doors.https]\n", "home.ha_url", 3, "leave them out"},
		{"[home]\nname = \"a.b\"\nha_url = \"http://h/x\"\n[doors.https]\n", "home.ha_url", 3, "more than a host and a port"},
		{"[home\n", "", 1, ""},
		{"\xff", "", 1, ""},
	} {
		_, err := Parse("x.toml", []byte(c.text))
		var wrong *Error
		if !errors.As(err, &wrong) || len(wrong.Problems) == 0 {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		p := wrong.Problems[0]
		for _, other := range wrong.Problems {
			if other.Key == c.key {
				p = other
				break
			}
		}
		if p.Key != c.key || p.Line != c.line || !strings.Contains(p.Message+"; "+p.Hint, c.hold) {
			t.Errorf("%q: %+v, want key %q, line %d, %q", c.text, wrong.Problems, c.key, c.line, c.hold)
		}
		if !strings.HasPrefix(err.Error(), "x.toml") {
			t.Errorf("%q: the file is not named: %v", c.text, err)
		}
	}
}

// Proxies are named by address or network, and none are trusted unless they are.
func TestProxyNetworks(t *testing.T) {
	c, err := Parse("x.toml", []byte(small+"proxy_protocol = true\ntrusted_proxies = [\"192.0.2.1\", \"10.0.0.0/8\", \"2001:db8::1\", \"fd00::/16\"]\n[doors.lan]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128"), netip.MustParsePrefix("fd00::/16")}
	if got := ProxyNetworks(c.Doors.HTTPS.TrustedProxies); !slices.Equal(got, want) || !c.Doors.HTTPS.ProxyProtocol {
		t.Errorf("%v", got)
	}
	if d := c.Doors.LAN; d.ProxyProtocol || len(ProxyNetworks(d.TrustedProxies)) != 0 {
		t.Errorf("%+v", d)
	}
}

func TestNoFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.toml") {
		t.Error(err)
	}
	name := filepath.Join(t.TempDir(), "good.toml")
	if err := os.WriteFile(name, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err != nil {
		t.Error(err)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "10m": 10 * time.Minute, "36h": 36 * time.Hour, "30d": 30 * day, "1h30m": 90 * time.Minute} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%s is %v, %v", text, time.Duration(d), err)
		}
		var again Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%s is written as %s", text, d)
		}
	}
	for _, text := range []string{"", "10", "-1h", "1.5d", "d", "99999d", "ten"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %s", text, d)
		}
	}
}

// FuzzParse: what is taken is written as something that is read as the same, and what
// is not taken is an *Error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(small + "[doors.lan]\nnames = [\"a.lan\"]\n[guard]\nban = \"30d\"\nmax_ban = \"30d\"\nallow = [\"10.0.0.1\", \"2001:db8::/32\"]\noffload = \"nftables\"\n[policy]\nplain_worker = true\n[state]\ndir = \"/a\"\n"))
	f.Add([]byte(small + "proxy_protocol = true\ntrusted_proxies = [\"192.0.2.1\", \"fd00::/16\"]\n"))
	f.Add([]byte("home = { name = \"a.b\" }\ndoors.https = {}\n"))
	f.Add([]byte("[home]\nname = 3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("x", data)
		var wrong *Error
		if err != nil {
			if !errors.As(err, &wrong) || len(wrong.Problems) == 0 || wrong.Error() == "" {
				t.Errorf("%T: %v", err, err)
			}
			return
		}
		text, err := c.TOML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("x", text)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		if twice, err := again.TOML(); err != nil || !bytes.Equal(text, twice) {
			t.Errorf("written as\n%s\nand then as\n%s", text, twice)
		}
	})
}
