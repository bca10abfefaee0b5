package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/door/onion"
	"gatehouse/internal/ha/hatest"
)

// torNetwork is a Tor of the test's own: authorities and relays in a network from which
// nothing leaves.
type torNetwork struct {
	network
	dir    string
	common string // what every tor in it is told
}

// How many there are. An onion service wants three relays on the way, and others beside.
const (
	torAuthorities = 3
	torRelays      = 3
)

func newTorNetwork(t *testing.T) *torNetwork {
	t.Helper()
	n := &torNetwork{network: newNetwork(t, map[string]string{"tor": "tor", "tor-gencert": "tor"}, "link set lo up"), dir: t.TempDir()}
	n.common = `TestingTorNetwork 1
Log notice stdout
SafeLogging 0
ShutdownWaitLength 0
PathsNeededToBuildCircuits 0.67
TestingClientDownloadInitialDelay 0
TestingServerDownloadInitialDelay 0
`
	for i := range torAuthorities {
		n.common += n.authority(i)
	}
	for i := range torAuthorities {
		n.start(fmt.Sprintf("a%d", i), fmt.Sprintf(`Nickname a%d
Address 127.0.0.1
SocksPort 0
OrPort %d
DirPort %d
AssumeReachable 1
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo nobody@test.invalid
TestingV3AuthInitialVotingInterval 10
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 10
V3AuthVoteDelay 2
V3AuthDistDelay 2
V3AuthNIntervalsValid 3
AuthDirSharedRandomness 0
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingDirAuthVoteExit *
TestingMinExitFlagThreshold 0
ExitPolicy reject *:*
`, i, 5000+i, 7000+i))
	}
	for i := range torRelays {
		n.start(fmt.Sprintf("r%d", i), fmt.Sprintf("Nickname r%d\nAddress 127.0.0.1\nSocksPort 0\nOrPort %d\nAssumeReachable 1\nContactInfo nobody@test.invalid\nExitPolicy reject *:*\n", i, 5100+i))
	}
	return n
}

// authority makes an authority's keys, and the line by which the others know it.
func (n *torNetwork) authority(i int) string {
	n.t.Helper()
	dir := filepath.Join(n.dir, fmt.Sprintf("a%d", i))
	keys := filepath.Join(dir, "keys")
	n.must(os.MkdirAll(keys, 0o700))
	cmd := exec.CommandContext(n.t.Context(), "tor-gencert", "--create-identity-key", "-m", "12", "-a", fmt.Sprintf("127.0.0.1:%d", 7000+i), "-i", filepath.Join(keys, "authority_identity_key"),
		"-s", filepath.Join(keys, "authority_signing_key"), "-c", filepath.Join(keys, "authority_certificate"), "--passphrase-fd", "0")
	cmd.Stdin = strings.NewReader("words\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("tor-gencert: %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(keys, "authority_certificate"))
	n.must(err)
	_, v3, ok := strings.Cut(string(text), "\nfingerprint ")
	if !ok {
		n.t.Fatal("the authority's certificate has no fingerprint")
	}
	v3, _, _ = strings.Cut(v3, "\n")
	nobody := filepath.Join(dir, "nobody")
	n.must(os.WriteFile(nobody, []byte("DirAuthority x 127.0.0.1:1 ffffffffffffffffffffffffffffffffffffffff\n"), 0o600))
	said, err := exec.CommandContext(n.t.Context(), "tor", "--quiet", "--defaults-torrc", "/dev/null", "-f", nobody, "--list-fingerprint", "--orport", "1", "--datadirectory", dir, "--address", "127.0.0.1").Output()
	n.must(err)
	_, fingerprint, _ := strings.Cut(strings.TrimSpace(string(said)), " ")
	return fmt.Sprintf("DirAuthority a%d orport=%d no-v2 v3ident=%s 127.0.0.1:%d %s\n", i, 5000+i, v3, 7000+i, fingerprint)
}

func (n *torNetwork) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// start starts a tor of the network, which ends with the test.
func (n *torNetwork) start(name, torrc string) *exec.Cmd {
	n.t.Helper()
	dir := filepath.Join(n.dir, name)
	n.must(os.MkdirAll(dir, 0o700))
	log, err := os.Create(filepath.Join(n.dir, name+".log"))
	n.must(err)
	defer log.Close()
	cmd := exec.CommandContext(n.t.Context(), "tor", "--defaults-torrc", "/dev/null", "-f", "-")
	cmd.Stdin, cmd.Stdout = strings.NewReader(n.common+"DataDirectory "+dir+"\n"+torrc), log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.must(cmd.Start())
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// program is a tor that knows this network and no other, for a gateway to start.
func (n *torNetwork) program() string {
	n.t.Helper()
	found, err := exec.LookPath("tor")
	n.must(err)
	name, known := filepath.Join(n.dir, "tor"), filepath.Join(n.dir, "network")
	n.must(os.WriteFile(known, []byte(strings.ReplaceAll(n.common, "Log notice stdout\n", "")), 0o600))
	n.must(os.WriteFile(name, []byte("#!/bin/sh\nexec "+found+" --hush --defaults-torrc "+known+" -f -\n"), 0o700))
	return name
}

// socks asks the tor at a SOCKS port for a connection; reply is what it answers, 0 where it
// is one (proposal 304: what an onion service's client is told).
func socks(ctx context.Context, port, host string) (c net.Conn, reply byte, err error) {
	c, err = (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+port)
	if err != nil {
		return nil, 0, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		err = c.SetDeadline(deadline)
	}
	ask := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(host))}, host...)
	if err == nil {
		_, err = c.Write(binary.BigEndian.AppendUint16(ask, 80))
	}
	said := make([]byte, 12)
	if err == nil {
		_, err = io.ReadFull(c, said)
	}
	if err == nil && said[3] == 0 {
		return c, 0, c.SetDeadline(time.Time{})
	}
	_ = c.Close()
	return nil, said[3], err
}

// onionHouse is a house with the door onion in a Tor of the test's own.
type onionHouse struct {
	*torNetwork
	gatehouse, config string
	serving           *exec.Cmd

	mu  sync.Mutex
	got []http.Header // of what came to Home Assistant, with its Host
}

const onionHomeName = "secret-name.test"

// home is a small Home Assistant whose requests over Tor are looked at.
func (h *onionHouse) home() (address string) {
	h.t.Helper()
	home := hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Host, ".onion") {
			told := r.Header.Clone()
			told.Set("Host", r.Host)
			h.mu.Lock()
			h.got = append(h.got, told)
			h.mu.Unlock()
		}
		home.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	h.t.Cleanup(func() { _ = server.Close() })
	return l.Addr().String()
}

// open opens the house in front of a Home Assistant.
func (h *onionHouse) open(home string) {
	t := h.t
	t.Helper()
	h.gatehouse, h.config = gatehouseIn(t, h.dir), filepath.Join(h.dir, "gatehouse.toml")
	h.must(os.WriteFile(h.config, []byte(fmt.Sprintf("[home]\nname = %q\nha_url = \"http://%s\"\n[doors.lan]\nlisten = \":8443\"\nnames = [%q]\n[doors.onion]\nprogram = %q\n[state]\ndir = %q\n",
		onionHomeName, home, onionHomeName, h.program(), filepath.Join(h.dir, "state"))), 0o600))
	h.verb("people", "add", "Anna")
	log, err := os.Create(filepath.Join(h.dir, "gatehouse.log"))
	h.must(err)
	defer log.Close()
	h.serving = exec.CommandContext(t.Context(), h.gatehouse, "serve", "--config", h.config)
	h.serving.Stderr = log
	h.serving.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	h.must(h.serving.Start())
	t.Cleanup(h.kill)
	h.await("onion")
}

// kill ends the house as a power cut does.
func (h *onionHouse) kill() {
	if h.serving.ProcessState == nil {
		_ = h.serving.Process.Kill()
		_ = h.serving.Wait()
	}
}

func (h *onionHouse) verb(args ...string) string {
	h.t.Helper()
	return h.run(h.gatehouse, append(args, "--config", h.config)...)
}

// invited makes an onion service for a device of Anna's.
func (h *onionHouse) invited(label string) onionDocument {
	h.t.Helper()
	var doc onionDocument
	h.must(json.Unmarshal([]byte(h.verb("invite", "Anna", "--onion", "--label", label, "--json", "--quiet")), &doc))
	return doc
}

// await waits until doors says something; where it does not, the test fails with the logs.
func (h *onionHouse) await(word string) {
	h.t.Helper()
	said := ""
	for end := time.Now().Add(3 * time.Minute); !strings.Contains(said, word); time.Sleep(200 * time.Millisecond) {
		out, _ := exec.CommandContext(h.t.Context(), h.gatehouse, "doors", "--config", h.config).Output()
		if said = string(out); time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(h.dir, "gatehouse.log"))
			h.t.Fatalf("doors does not say %q but\n%s\n%s", word, said, log)
		}
	}
}

func onionName(d onionDocument) string {
	return strings.TrimSuffix(strings.TrimPrefix(d.URL, "http://"), "/")
}

// browser asks by a client's tor.
func onionBrowser(port string) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			c, reply, err := socks(ctx, port, host)
			if err == nil && c == nil {
				err = fmt.Errorf("tor answers %#x", reply)
			}
			return c, err
		}},
	}
}

// answer is one, whole, as text.
func (h *onionHouse) answer(c *http.Client, method, url, body string, header map[string]string) (status int, text string) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, url, strings.NewReader(body))
	h.must(err)
	for k, v := range header {
		if r.Header.Set(k, v); k == "Host" {
			r.Host = v
		}
	}
	res, err := c.Do(r)
	h.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	h.must(err)
	var head strings.Builder
	h.must(res.Header.Write(&head))
	return res.StatusCode, head.String() + "\n" + string(b)
}

// client starts a client's tor, with keys as invite shows them.
func (n *torNetwork) client(port string, keys ...string) {
	n.t.Helper()
	auth := filepath.Join(n.dir, "auth")
	n.must(os.Mkdir(auth, 0o700))
	for i, key := range keys {
		n.must(os.WriteFile(filepath.Join(auth, fmt.Sprintf("%d.auth_private", i)), []byte(key+"\n"), 0o600))
	}
	n.start("client", "SocksPort 127.0.0.1:"+port+" ExtendedErrors\nClientOnionAuthDir "+auth+"\n")
}

// reach waits until a device gets in by a client's tor, and returns the first page.
func (h *onionHouse) reach(port string, d onionDocument) (b *http.Client, page string) {
	h.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		c, reply, err := socks(h.t.Context(), port, onionName(d))
		if err == nil && c != nil {
			_ = c.Close()
			break
		}
		if time.Now().After(end) {
			h.t.Fatalf("%s does not get in: tor answers %#x (%v)", d.Device.Name, reply, err)
		}
	}
	b = onionBrowser(port)
	status, page := h.answer(b, "GET", d.URL, "", map[string]string{"Accept": "text/html"})
	if status != http.StatusOK {
		h.t.Fatalf("a known device is answered %d\n%s", status, page)
	}
	return b, page
}

// A device that has its key reaches the house over Tor and is known by its address; without
// the key the house cannot be found, with another's it cannot be read; whoever is shut out
// is out at once. Nothing of what is answered says where or what the house is.
func TestOnionInATorNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a Tor network")
	}
	if !inNetwork(t) {
		return
	}
	h := &onionHouse{torNetwork: newTorNetwork(t)}
	h.open(h.home())
	anna, locked, public := h.invited("Laptop"), h.invited("Phone"), h.invited("Tablet")
	other, err := onion.NewClient()
	h.must(err)
	const port = "9150"
	h.client(port, anna.File, other.File(strings.TrimSuffix(onionName(locked), ".onion")))
	h.await("3 onion services, all of them published")
	if said := h.verb("doors"); !strings.Contains(said, "onion  open") || strings.Contains(said, "proof of work") {
		t.Errorf("doors says\n%s", said)
	}

	b, page := h.reach(port, anna)
	if !strings.Contains(page, "Demo home") {
		t.Errorf("the page is not Home Assistant's:\n%s", page)
	}
	t.Run("nothing is said of the home", func(t *testing.T) { h.saysNothing(t, b, anna) })
	t.Run("Home Assistant is told an address that is nobody's", func(t *testing.T) { h.wasTold(t, anna) })
	t.Run("one service answers to its name alone", func(t *testing.T) {
		for _, host := range []string{onionName(locked), onionHomeName, "localhost", "127.0.0.1", "www." + onionName(anna)} {
			if status, text := h.answer(b, "GET", anna.URL, "", map[string]string{"Accept": "text/html", "Host": host}); status != http.StatusBadRequest || strings.Contains(text, "Home Assistant") {
				t.Errorf("%s is answered %d\n%s", host, status, text)
			}
		}
	})
	t.Run("without a key nothing is found", func(t *testing.T) {
		for _, c := range []struct {
			of   onionDocument
			want byte
		}{{public, 0xF4}, {locked, 0xF5}} {
			if _, reply, err := socks(t.Context(), port, onionName(c.of)); err != nil || reply != c.want {
				t.Errorf("%s: tor answers %#x (%v), want %#x", c.of.Device.Name, reply, err, c.want)
			}
		}
	})
	t.Run("whoever is shut out is out at once", func(t *testing.T) { h.shutsOut(t, port, anna) })
	t.Run("the tor ends with a gateway that is killed", h.tornDown)
}

// saysNothing asks for much, and looks for the home in all that is answered.
func (h *onionHouse) saysNothing(t *testing.T, b *http.Client, d onionDocument) {
	machine, err := os.Hostname()
	h.must(err)
	base := strings.TrimSuffix(d.URL, "/")
	form := map[string]string{"Content-Type": "application/json", "Origin": base}
	for _, ask := range []struct {
		method, path, body string
		header             map[string]string
	}{
		{"GET", "/", "", map[string]string{"Accept": "text/html"}},
		{"GET", "/lovelace/0", "", map[string]string{"Accept": "text/html"}},
		{"GET", "/lovelace/0", "", map[string]string{"Accept": "text/html", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}},
		{"GET", "/manifest.json", "", nil},
		{"GET", "/auth/authorize?response_type=code&client_id=" + base + "/&redirect_uri=" + base + "/", "", map[string]string{"Accept": "text/html"}},
		{"GET", "/auth/providers", "", nil},
		{"POST", "/auth/login_flow", `{"client_id":"` + base + `/","handler":["homeassistant",null],"redirect_uri":"` + base + `/"}`, form},
		{"GET", "/api/", "", nil},
		{"GET", "/api/config", "", nil},
		{"GET", "/service_worker.js", "", nil},
		{"GET", "/sw-modern.js", "", nil},
		{"GET", "/local/nothing", "", nil},
		{"GET", "/nothing/here", "", map[string]string{"Accept": "text/html"}},
		{"GET", "/../etc", "", nil},
		{"GET", "/_gatehouse/auth/sign-in", "", map[string]string{"Accept": "text/html"}},
		{"GET", "/_gatehouse/auth/", "", map[string]string{"Accept": "text/html"}},
		{"GET", "/_gatehouse/api/status", "", nil},
		{"GET", "/_gatehouse/nothing", "", nil},
		{"POST", "/_gatehouse/auth/sign-in", "name=anna&code=123456", map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Origin": base}},
		{"POST", "/_gatehouse/api/sign-in/passkey/begin", "{}", form},
		{"POST", "/_gatehouse/api/approvals", "{}", form},
		{"GET", "/", "", map[string]string{"Accept": "text/html", "Host": onionHomeName}},
		{"GET", "/", "", map[string]string{"X-Forwarded-Host": onionHomeName, "X-Forwarded-Proto": "https", "Accept": "text/html"}},
		{"OPTIONS", "/api/", "", map[string]string{"Origin": "https://elsewhere.test", "Access-Control-Request-Method": "GET"}},
	} {
		_, text := h.answer(b, ask.method, base+ask.path, ask.body, ask.header)
		for _, word := range []string{onionHomeName, "secret-name", machine + ".", "10.77.0.2", "127.0.0.1", ":8123", ":8443", "192.0.2.1", "3fff:", "Strict-Transport-Security", "aiohttp", "Server:", "Via:", "X-Forwarded"} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(word)) {
				t.Errorf("%s %s says %q:\n%.600s", ask.method, ask.path, word, text)
			}
		}
	}
}

// wasTold looks at what Home Assistant was told.
func (h *onionHouse) wasTold(t *testing.T, d onionDocument) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, told := range h.got {
		if told.Get("X-Forwarded-For") != "192.0.2.1" || told.Get("X-Forwarded-Proto") != "http" || told.Get("X-Forwarded-Host") != "" || told.Get("Host") != onionName(d) {
			t.Errorf("Home Assistant is told %v", told)
		}
	}
	if len(h.got) == 0 {
		t.Error("nothing came to Home Assistant")
	}
}

// shutsOut revokes a device that is connected.
func (h *onionHouse) shutsOut(t *testing.T, port string, d onionDocument) {
	c, reply, err := socks(t.Context(), port, onionName(d))
	if err != nil || c == nil {
		t.Fatalf("%#x, %v", reply, err)
	}
	defer c.Close()
	h.must(c.SetDeadline(time.Now().Add(time.Minute)))
	r := bufio.NewReader(c)
	_, err = fmt.Fprintf(c, "GET /manifest.json HTTP/1.1\r\nHost: %s\r\n\r\n", onionName(d))
	h.must(err)
	res, err := http.ReadResponse(r, nil)
	h.must(err)
	_, err = io.Copy(io.Discard, res.Body)
	h.must(err)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("before: %s", res.Status)
	}
	h.verb("devices", "revoke", d.Device.ID)
	if b, err := io.ReadAll(r); err != nil || len(b) != 0 {
		t.Errorf("its connection brings %q, %v", b, err)
	}
	h.await("2 onion services")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if again, _, err := socks(ctx, port, onionName(d)); err == nil && again != nil {
		_ = again.Close()
		t.Error("it is connected again")
	}
}

// tornDown kills the gateway.
func (h *onionHouse) tornDown(t *testing.T) {
	children := func() string {
		out, _ := exec.CommandContext(t.Context(), "pgrep", "-f", "--", "--defaults-torrc "+filepath.Join(h.dir, "network")).Output()
		return strings.TrimSpace(string(out))
	}
	if children() == "" {
		t.Fatal("there is no tor of the gateway's")
	}
	h.kill()
	for end := time.Now().Add(20 * time.Second); children() != ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the tor lives on")
		}
	}
}
