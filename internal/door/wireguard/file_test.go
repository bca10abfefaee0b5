package wireguard

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const (
	keyA = "UJCtzvJSTNcKMneSj9alGzaRKJBgYsTMPKYefDcB6nA="
	keyB = "1juTE1Wtxx1IeepRr4JZqIUxeYGGQR+dWk2WrpAtxDw="
	keyC = "mxQ0wRyBEZbpnr3Bq4JpP5Wh4eRk1dCgZ2yzGkq0XVI="
)

// A file is read as wg-quick(8) means it, with the names that people and scripts write
// beside peers, and what is not done is said.
func TestReadFile(t *testing.T) {
	got, err := ParseFile([]byte(`
# Address of the server
[Interface]
Address = 10.8.0.1/24, fd42:42:42::1/64
ListenPort=51820
PrivateKey = ` + keyA + ` # do not show
SaveConfig = true
PostUp = iptables -A FORWARD -i %i -j ACCEPT
PostUp = iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
MTU = 1420

### Client anna
[Peer]
PublicKey = ` + keyB + `
PresharedKey = ` + keyC + `
AllowedIPs = 10.8.0.2/32
AllowedIPs = fd42:42:42::2/128

[peer] # Ben's tablet
publickey = ` + keyC + `
allowedips = 10.8.0.3
Endpoint = [2001:db8::1]:51820
PersistentKeepalive = off
`))
	must(t, err)
	a, _ := ParseKey(keyA)
	b, _ := ParseKey(keyB)
	c, _ := ParseKey(keyC)
	want := &File{PrivateKey: a, Port: 51820, MTU: 1420, Addresses: []netip.Prefix{netip.MustParsePrefix("10.8.0.1/24"), netip.MustParsePrefix("fd42:42:42::1/64")},
		Ignored: []string{"line 7: SaveConfig", "line 8: PostUp", "line 9: PostUp"},
		Peers: []FilePeer{
			{Line: 13, Comment: "anna", Key: b, Preshared: c, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.8.0.2/32"), netip.MustParsePrefix("fd42:42:42::2/128")}},
			{Line: 19, Comment: "Ben's tablet", Key: c, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.8.0.3/32")}, Endpoint: "[2001:db8::1]:51820"},
		}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// What cannot be read names its line, and never what stood there as a key.
func TestFilesThatCannotBeRead(t *testing.T) {
	ok := "[Interface]\nPrivateKey = " + keyA + "\n"
	secret := keyA[:43]
	for text, line := range map[string]int{
		"":                                    0,
		"[Peer]\nPublicKey = " + keyB:         1,
		"PrivateKey = " + keyA:                1,
		"[Interface]\n[Interface]\n":          2,
		ok + "[Server]\n":                     3,
		ok + "nonsense\n":                     3,
		ok + "ListenPort = 0\n":               3,
		ok + "ListenPort = 70000\n":           3,
		ok + "PrivateKey = " + keyB + "\n":    3,
		ok + "PublicKey = " + keyB + "\n":     3,
		ok + "Address = 10.0.0.1/33\n":        3,
		ok + "Address = ::ffff:10.0.0.1\n":    3,
		ok + "MTU = 1\n":                      3,
		ok + "DNS = a b\n":                    3,
		ok + "[Peer]\n":                       3,
		ok + "[Peer]\nAllowedIPs = ::/0\n":    4,
		ok + "[Peer]\nPublicKey = abc\n":      4,
		ok + "[Peer]\nMTU = 1400\n":           4,
		ok + "[Peer]\nEndpoint = host\n":      4,
		"[Interface]\nPrivateKey = " + secret: 2,
		"\xff":                                0,
		ok + "[Peer]\nPublicKey = " + keyB + "\n[Peer]\nPublicKey = " + keyB + "\n": 5,
		ok + "Address = " + strings.Repeat("1", maxLine) + "\n":                     3,
		strings.Repeat("#", maxFile+1):                                              0,
	} {
		_, err := ParseFile([]byte(text))
		var wrong *FileError
		if !errors.As(err, &wrong) || wrong.Line != line {
			t.Errorf("%.80q: %v, want line %d", text, err, line)
		} else if strings.Contains(err.Error(), secret[:20]) && !strings.Contains(text, "[Peer]") {
			t.Errorf("%v", err)
		}
	}
}

// What is written is read as the same.
func FuzzFile(f *testing.F) {
	f.Add([]byte("[Interface]\nPrivateKey = " + keyA + "\nAddress = 10.8.0.1/24\nDNS = 10.8.0.1, home.example\n# a\n[Peer]\nPublicKey = " + keyB + "\nAllowedIPs = 10.8.0.2/32, ::/0\nEndpoint = h:1\nPersistentKeepalive = 25\n"))
	f.Add([]byte("[Interface]\nPrivateKey = " + keyA + "\nMTU = 1280\n[Peer]\n# Name = x\nPublicKey=" + keyC + "\nPresharedKey=" + keyB + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := ParseFile(text)
		if err != nil {
			return
		}
		second, err := ParseFile([]byte(first.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, first)
		}
		first.Ignored = nil
		for i := range first.Peers {
			first.Peers[i].Line, second.Peers[i].Line = 0, 0
		}
		if !reflect.DeepEqual(first, second) {
			t.Errorf("%+v\n%+v", first, second)
		}
	})
}

// A device's state is read or refused, whatever it says.
func FuzzState(f *testing.F) {
	f.Add("private_key=00\nlisten_port=51820\npublic_key=" + strings.Repeat("ab", 32) + "\nendpoint=192.0.2.1:5\nlast_handshake_time_sec=1\nrx_bytes=3\ntx_bytes=4\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseState(text)
		if err != nil && (s.port != 0 || s.peers != nil) {
			t.Errorf("%+v", s)
		}
	})
}
