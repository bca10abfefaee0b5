package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"gatehouse/internal/config"
	"gatehouse/internal/door/wireguard"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// way is a device's way in: how it connects, and to what it believes to talk.
type way struct {
	device string
	base   string // https://host[:port] or http://host[:port]
	cookie string
	client *http.Client
}

// trusting is how a device of the house speaks TLS.
func (h *certificateHouse) trusting() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.authority.RootPEM())
	return &tls.Config{RootCAs: roots, ServerName: certificateName}
}

// comes makes a client that connects in one way and no other.
func (h *certificateHouse) comes(c *tls.Config, dial func(ctx context.Context) (net.Conn, error)) *http.Client {
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// dials connects to a port of this machine's.
func dials(port string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
	}
}

// byBrowser enrols a browser of Anna's.
func (h *certificateHouse) byBrowser() way {
	h.t.Helper()
	inv, err := h.identity.Invite(h.t.Context(), "Anna")
	h.must(err)
	e, err := h.identity.EnrolBrowser(h.t.Context(), identity.Visit{Door: policy.HTTPS, Addr: netip.MustParseAddr("127.0.0.1"), Host: certificateName}, inv.Code)
	h.must(err)
	port := h.port("")
	return way{h.identity.Recognise(e.Cookie).Who.Device, "https://" + certificateName + ":" + port, e.Cookie, h.comes(h.trusting(), dials(port))}
}

// byCertificate fetches a certificate of Anna's.
func (h *certificateHouse) byCertificate() way {
	h.t.Helper()
	f := h.invite(365, false)
	c := h.trusting()
	c.Certificates = []tls.Certificate{f.pair(h.t)}
	port := h.port("certificates")
	return way{f.device, "https://" + certificateName + ":" + port, "", h.comes(c, dials(port))}
}

// bySSH invites a key of Anna's, and opens a tunnel with it.
func (h *certificateHouse) bySSH() way {
	h.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	h.must(err)
	signer, err := gossh.NewSignerFromKey(private)
	h.must(err)
	line, err := gossh.NewPublicKey(public)
	h.must(err)
	doc, err := inviteSSH(h.t.Context(), h.house, sshWish{Person: "Anna", Key: string(gossh.MarshalAuthorizedKey(line))})
	h.must(err)
	client, err := gossh.Dial("tcp", h.doorAt(policy.SSH), &gossh.ClientConfig{User: "anna", Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)},
		HostKeyCallback: gossh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second})
	h.must(err)
	h.t.Cleanup(func() { _ = client.Close() })
	return way{doc.Device.ID, "http://localhost:8123", "", h.comes(nil, func(context.Context) (net.Conn, error) { return client.Dial("tcp", "localhost:8123") })}
}

// byTunnel invites a WireGuard peer of Anna's, and brings it up.
func (h *certificateHouse) byTunnel() way {
	h.t.Helper()
	private := wireguard.NewPrivateKey()
	public, err := private.Public()
	h.must(err)
	doc, err := inviteTunnel(h.t.Context(), h.house, tunnelWish{Person: "Anna", Label: "Tablet", Key: public.String()})
	h.must(err)
	link, network, err := netstack.CreateNetTUN(doc.Addresses, nil, 1280)
	h.must(err)
	d := device.NewDevice(link, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	h.t.Cleanup(d.Close)
	inHex := func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		h.must(err)
		return hex.EncodeToString(b)
	}
	h.must(d.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\npreshared_key=%s\nendpoint=%s\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0\n",
		inHex(private.String()), inHex(doc.Key), inHex(doc.Preshared), h.tunnelAt())))
	h.must(d.Up())
	at := netip.AddrPortFrom(doc.DNS[0], 443)
	return way{doc.Device.ID, "https://" + certificateName, "", h.comes(h.trusting(), func(ctx context.Context) (net.Conn, error) { return network.DialContextTCPAddrPort(ctx, at) })}
}

// tunnelAt is where the door wireguard listens.
func (h *certificateHouse) tunnelAt() string {
	h.t.Helper()
	for _, d := range h.doors {
		if d.name == policy.WireGuard {
			return fmt.Sprintf("127.0.0.1:%d", d.listener.(interface{ Port() int }).Port())
		}
	}
	h.t.Fatal("there is no door wireguard")
	return ""
}

// asks asks for Home Assistant's page, and returns what is wrong.
func (w way) asks(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+"/lovelace/0", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/html")
	if w.cookie != "" {
		r.Header.Set("Cookie", identity.CookieName+"="+w.cookie)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "data-connected")) {
		err = fmt.Errorf("%s, %d bytes", answer.Status, len(body))
	}
	return err
}

// Devices come by all doors at once, each through its own; no sign-in is asked, none is taken
// for another, and the one that is revoked is out while the others go on. (The door onion is
// in TestOnionInATorNetwork.)
func TestAllDoorsAtOnce(t *testing.T) {
	h := newCertificateHouse(t, func(c *config.Config) {
		c.Doors.SSH = &config.SSH{Listen: "127.0.0.1:0"}
		c.Doors.WireGuard = &config.WireGuard{Listen: "127.0.0.1:0", MTU: 1280}
	})
	ways := map[string]way{"https": h.byBrowser(), "certificate": h.byCertificate(), "ssh": h.bySSH(), "wireguard": h.byTunnel()}
	const workers, times = 4, 25
	crowd := func(each func(name string, err error)) {
		var all sync.WaitGroup
		for name, w := range ways {
			for range workers {
				all.Go(func() {
					for range times {
						each(name, w.asks(t.Context()))
					}
				})
			}
		}
		all.Wait()
	}
	crowd(func(name string, err error) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	doors := map[string]policy.Door{"https": policy.HTTPS, "certificate": policy.HTTPS, "ssh": policy.SSH, "wireguard": policy.WireGuard}
	for name, w := range ways {
		for _, d := range h.identity.Devices() {
			if d.ID == w.device && (d.LastDoor != string(doors[name]) || d.LastSeen.IsZero()) {
				t.Errorf("%s: last seen %s at the door %q", name, d.LastSeen, d.LastDoor)
			}
		}
	}
	gone := ways["ssh"]
	delete(ways, "ssh")
	h.must(h.identity.RevokeDevice(t.Context(), gone.device))
	if err := gone.asks(t.Context()); err == nil {
		t.Error("who was revoked comes in")
	}
	crowd(func(name string, err error) {
		if err != nil {
			t.Errorf("%s, once another was revoked: %v", name, err)
		}
	})
}

// Passkeys belong to the home's name where a door is reached by it, and else to a door's own.
func TestPasskeysBelongToANameOfADoor(t *testing.T) {
	lan, public, ssh := openDoor{origins: []string{"https://house.local:8443", "https://house.lan:8443"}}, openDoor{origins: []string{"https://ha.example.org"}}, openDoor{origins: []string{"http://localhost:8123"}}
	for _, c := range []struct {
		name    string
		doors   []openDoor
		rpID    string
		origins []string
	}{
		{"ha.example.org", []openDoor{lan, public}, "ha.example.org", public.origins},
		{"example.org", []openDoor{lan, public}, "example.org", public.origins},
		{"ha.example.org", []openDoor{ssh, lan}, "house.local", lan.origins[:1]},
		{"", []openDoor{lan, public}, "house.local", lan.origins[:1]},
		{"ample.org", []openDoor{public}, "ha.example.org", public.origins},
		{"ha.example.org", []openDoor{ssh}, "", nil},
	} {
		rpID, origins := passkeyHome(&config.Config{Home: config.Home{Name: c.name}}, c.doors)
		if rpID != c.rpID || !slices.Equal(origins, c.origins) {
			t.Errorf("%q: they belong to %q, at %v", c.name, rpID, origins)
		}
	}
}
