package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"

	"gatehouse/internal/ha"
	"gatehouse/internal/ha/hatest"
)

// The door wireguard with real clients: wg-quick(8) and wg(8), over an interface of the
// kernel's that WireGuard in userspace serves, since not every kernel brings its own.

// userspaceWireGuard is wireguard-go(8): it serves one interface until that is deleted, or
// for as long as a test may take.
func userspaceWireGuard() {
	name := os.Args[1]
	if err := serveInterface(name); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveInterface(name string) error {
	link, err := tun.CreateTUN(name, device.DefaultMTU)
	if err != nil {
		return err
	}
	d := device.NewDevice(link, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	defer d.Close()
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return err
	}
	control, err := ipc.UAPIListen(name, file)
	if err != nil {
		return err
	}
	defer control.Close()
	go func() {
		for {
			c, err := control.Accept()
			if err != nil {
				return
			}
			go d.IpcHandle(c)
		}
	}()
	select {
	case <-d.Wait():
	case <-time.After(5 * time.Minute):
	}
	return nil
}

// valley is a house in a network of its own, a phone that is somewhere else, by one of two
// providers, and a shed behind the house.
type valley struct {
	network
	dir, gatehouse, config string
	serving                *exec.Cmd
	home                   *hatest.Home
	root                   *x509.CertPool

	mu   sync.Mutex
	told map[string]bool // the addresses that Home Assistant was told
}

const (
	valleyName = "house.test"
	valleyWifi = "192.0.2.1"    // of the house, by one provider
	valleyCell = "198.51.100.1" // by the other
	valleySix  = "2001:db8:5::1"
	shedAddr   = "203.0.113.9"
)

func newValley(t *testing.T) *valley {
	t.Helper()
	v := &valley{network: newNetwork(t, map[string]string{"wg": "wireguard-tools", "wg-quick": "wireguard-tools", "nft": "nftables", "tc": "iproute2"},
		"link set lo up", "netns add phone", "netns add shed", "-n phone link set lo up", "-n shed link set lo up",
		"link add wifi type veth peer name eth0 netns phone", "link add cell type veth peer name eth1 netns phone", "link add yard type veth peer name eth0 netns shed",
		"addr add "+valleyWifi+"/24 dev wifi", "addr add "+valleyCell+"/24 dev cell", "addr add "+valleySix+"/64 dev cell nodad", "addr add 203.0.113.1/24 dev yard",
		"link set wifi up", "link set cell up", "link set yard up",
		"-n phone addr add 192.0.2.10/24 dev eth0", "-n phone addr add 198.51.100.10/24 dev eth1", "-n phone addr add 2001:db8:5::10/64 dev eth1 nodad",
		"-n phone link set eth0 up", "-n phone link set eth1 up",
		"-n shed addr add "+shedAddr+"/24 dev eth0", "-n shed link set eth0 up",
	), dir: t.TempDir(), told: map[string]bool{}}
	v.gatehouse, v.config = gatehouseIn(t, v.dir), filepath.Join(v.dir, "gatehouse.toml")
	v.must(os.MkdirAll("/run/wireguard", 0o700))
	v.write("resolvconf", "#!/bin/sh\n[ \"$1\" = -a ] && cat >/run/resolv.phone\nexit 0\n", 0o755)
	program, err := os.Executable()
	v.must(err)
	v.must(os.Symlink(program, filepath.Join(v.dir, "wireguard-userspace")))
	v.write("wireguard-go", "#!/bin/sh\n"+v.dir+"/wireguard-userspace \"$1\" </dev/null >"+v.dir+"/tunnel.log 2>&1 &\nfor i in 1 2 3 4 5 6 7 8 9 10; do [ -S /var/run/wireguard/$1.sock ] && exit 0; sleep 0.3; done\nexit 1\n", 0o755)
	v.startHome()
	v.write("password", "demo", 0o600)
	return v
}

func (v *valley) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *valley) write(name, text string, mode os.FileMode) string {
	v.t.Helper()
	name = filepath.Join(v.dir, name)
	v.must(os.WriteFile(name, []byte(text), mode))
	return name
}

// verb is a verb of the house.
func (v *valley) verb(args ...string) string {
	v.t.Helper()
	return v.run(v.gatehouse, append(args, "--config", v.config)...)
}

// startHome starts a small Home Assistant, and the house in front of it.
func (v *valley) startHome() {
	v.t.Helper()
	v.home = hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	v.must(err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.told[r.Header.Get("X-Forwarded-For")] = true
		v.mu.Unlock()
		v.home.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	v.t.Cleanup(func() { _ = server.Close() })
	v.write("gatehouse.toml", fmt.Sprintf(`[home]
name = %q
ha_url = "http://%s"
[doors.https]
listen = "127.0.0.1:443"
[doors.wireguard]
endpoint = %q
reach = ["203.0.113.0/24"]
[state]
dir = %q
`, valleyName, l.Addr(), valleyWifi+":51820", filepath.Join(v.dir, "state")), 0o600)
	v.serve()
	v.verb("people", "add", "Anna", "--ha-user", "anna")
	v.root = x509.NewCertPool()
	v.root.AppendCertsFromPEM([]byte(v.verb("ca", "export")))
}

// serve opens the house, and waits until it answers. It does not die with the thread that
// began it (Pdeathsig), because those that dial in another world end.
func (v *valley) serve() {
	v.t.Helper()
	v.serving = exec.CommandContext(v.t.Context(), v.gatehouse, "serve", "--config", v.config)
	log, err := os.OpenFile(filepath.Join(v.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	v.must(err)
	defer log.Close()
	v.serving.Stderr = log
	v.must(v.serving.Start())
	v.t.Cleanup(func() { _ = v.serving.Process.Kill(); _ = v.serving.Wait() })
	v.await("the house opens", func() bool {
		return exec.Command(v.gatehouse, "status", "--json", "--config", v.config).Run() == nil
	})
}

// await waits until something is so.
func (v *valley) await(what string, so func() bool) {
	v.t.Helper()
	for begin := time.Now(); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > 30*time.Second {
			log, _ := os.ReadFile(filepath.Join(v.dir, "log"))
			v.t.Fatalf("%s: it has not come\n%s\n%s", what, v.verb("doors"), log)
		}
	}
}

// up brings a tunnel up on the phone, as a person does there.
func (v *valley) up(file string) {
	v.t.Helper()
	v.quick("up", file)
	v.t.Cleanup(func() { v.quickly("down", file) })
}

func (v *valley) quick(what, file string) {
	v.t.Helper()
	if out, err := v.quickly(what, file); err != nil {
		log, _ := os.ReadFile(filepath.Join(v.dir, "tunnel.log"))
		v.t.Fatalf("wg-quick %s: %v\n%s\n%s", what, err, out, log)
	}
}

func (v *valley) quickly(what, file string) ([]byte, error) {
	c := exec.Command("nsenter", "--net=/run/netns/phone", "wg-quick", what, file)
	c.Env = append(os.Environ(), "PATH="+v.dir+":"+os.Getenv("PATH"), "WG_QUICK_USERSPACE_IMPLEMENTATION="+filepath.Join(v.dir, "wireguard-go"))
	return c.CombinedOutput()
}

// client is a browser on the phone that asks the resolver of its tunnel for names.
func (v *valley) client() *http.Client {
	phone := world{name: "phone"}
	text, err := os.ReadFile("/run/resolv.phone")
	v.must(err)
	var servers []string
	for line := range strings.Lines(string(text)) {
		if addr, ok := strings.CutPrefix(strings.TrimSpace(line), "nameserver "); ok {
			servers = append(servers, addr)
		}
	}
	if len(servers) != 2 {
		v.t.Fatalf("the phone has the resolvers %q", text)
	}
	names := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return phone.dial(ctx, network, net.JoinHostPort(servers[0], "53"))
	}}
	return &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: v.root},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			addrs, err := names.LookupNetIP(ctx, "ip4", host)
			if err != nil {
				return nil, err
			}
			return phone.dial(ctx, network, net.JoinHostPort(addrs[0].String(), port))
		}}}
}

// ask asks for something at the house, and returns the status and what is answered.
func (v *valley) ask(c *http.Client, method, path, body, kind string) (int, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, "https://"+valleyName+path, strings.NewReader(body))
	v.must(err)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
		r.Header.Set("Origin", "https://"+valleyName)
	}
	r.Header.Set("Accept", "text/html,*/*")
	answer, err := c.Do(r)
	v.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	v.must(err)
	return answer.StatusCode, string(text)
}

// browse opens the house in a browser on the phone, which asks the resolver of its tunnel and
// trusts the house's own authority: no sign-in of ours is in the way to Home Assistant's.
func (v *valley) browse() {
	v.t.Helper()
	root := v.write("root.pem", v.verb("ca", "export"), 0o644)
	// The resolver's file is the phone's for this browser alone.
	const script = `file=$(readlink -f /etc/resolv.conf) && mkdir -p "${file%/*}" && { [ -e "$file" ] || : >"$file"; } && mount --bind /run/resolv.phone "$file" && mkdir -p $HOME/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -N --empty-password &&
certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n house -i "$1" && shift && exec "$@"`
	args := append([]string{"--net=/run/netns/phone", "unshare", "-m", "sh", "-c", script, "sh", root}, chromium(filepath.Join(v.dir, "profile"))...)
	c := exec.CommandContext(v.t.Context(), "nsenter", args...)
	c.Env = append(os.Environ(), "HOME="+v.dir)
	var said bytes.Buffer
	c.Stderr = &said
	const login = "Log in to Demo home"
	page := becomes(v.t, c, "https://"+valleyName+"/", time.Minute, func(page string) bool { return strings.Contains(page, login) })
	if !strings.Contains(page, login) || strings.Contains(page, "/_gatehouse/") {
		v.t.Errorf("the browser shows\n%.2000s\n%.2000s", page, said.String())
	}
}

// logIn signs in to Home Assistant itself, and returns the access token.
func (v *valley) logIn(c *http.Client) string {
	v.t.Helper()
	const form = "application/json"
	client := "https://" + valleyName + "/"
	var flow struct {
		ID     string `json:"flow_id"`
		Result string `json:"result"`
		Access string `json:"access_token"`
	}
	read := func(status int, text string) {
		v.t.Helper()
		if err := json.Unmarshal([]byte(text), &flow); err != nil || status != http.StatusOK {
			v.t.Fatalf("Home Assistant's login: %d %s", status, text)
		}
	}
	read(v.ask(c, "POST", "/auth/login_flow", fmt.Sprintf(`{"client_id":%q,"redirect_uri":%q,"handler":["homeassistant",null]}`, client, client), form))
	read(v.ask(c, "POST", "/auth/login_flow/"+flow.ID, fmt.Sprintf(`{"client_id":%q,"username":"anna","password":"anna"}`, client), form))
	read(v.ask(c, "POST", "/auth/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "code": {flow.Result}}.Encode(), "application/x-www-form-urlencoded"))
	return flow.Access
}

// socket opens Home Assistant's socket.
func (v *valley) socket(c *http.Client, access string) *websocket.Conn {
	v.t.Helper()
	s, _, err := websocket.Dial(v.t.Context(), "wss://"+valleyName+"/api/websocket", &websocket.DialOptions{HTTPClient: c, HTTPHeader: http.Header{"Origin": {"https://" + valleyName}}})
	v.must(err)
	v.t.Cleanup(func() { _ = s.CloseNow() })
	v.must(s.Write(v.t.Context(), websocket.MessageText, ha.AppendAuth(nil, access)))
	for range 2 {
		if _, text, err := s.Read(v.t.Context()); err != nil || bytes.Contains(text, []byte(`"auth_ok"`)) {
			v.must(err)
			return s
		}
	}
	v.t.Fatal("the socket is not opened")
	return nil
}

// ping asks over a socket, and waits for the answer.
func (v *valley) ping(s *websocket.Conn, id int) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 30*time.Second)
	defer cancel()
	v.must(s.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"id":%d,"type":"ping"}`, id)))
	_, text, err := s.Read(ctx)
	if err != nil || !bytes.Contains(text, []byte(`"pong"`)) {
		v.t.Fatalf("ping %d: %s %v", id, text, err)
	}
}

// tunnel is what the house says of the phone's tunnel.
func (v *valley) tunnel() peerRow {
	v.t.Helper()
	var doc devicesDocument
	v.must(json.Unmarshal([]byte(v.verb("devices", "--json")), &doc))
	for _, d := range doc.Devices {
		if d.Tunnel != nil {
			return *d.Tunnel
		}
	}
	return peerRow{}
}

// listen listens in a world.
func (w world) listen(addr string) (l net.Listener, err error) {
	there, err := os.Open("/run/netns/" + w.name)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	done := make(chan struct{})
	go func() { // as with dial
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err == nil {
			l, err = net.Listen("tcp", addr)
		}
	}()
	<-done
	return l, err
}

// A phone with the file of an invitation reaches the house from anywhere: no sign-in is
// asked, by the home's own name, whose certificate fits; it changes networks, over loss, in
// the middle of what it does, and what it has open goes on. It reaches what the owner named
// and nothing of this machine. Revoked, it has nothing any more.
func TestWireGuardInNetworks(t *testing.T) {
	if testing.Short() {
		t.Skip("makes networks")
	}
	if !inNetwork(t) {
		return
	}
	v := newValley(t)
	file := filepath.Join(v.dir, "anna.conf")
	v.verb("invite", "Anna", "--wireguard", "--label", "Pixel 9", "-o", file)
	v.up(file)
	c := v.client()

	status, page := v.ask(c, "GET", "/", "", "")
	if status != http.StatusOK || !strings.Contains(page, "data-connected") {
		t.Fatalf("the home's page: %d %.300s", status, page)
	}
	own := ""
	v.mu.Lock()
	for addr := range v.told {
		if a, err := netip.ParseAddr(addr); err == nil && a.IsPrivate() {
			own = addr
		}
	}
	v.mu.Unlock()
	if own == "" {
		t.Errorf("Home Assistant is told %v, none of it a tunnel's address", v.told)
	}
	v.browse()
	access := v.logIn(c)
	socket := v.socket(c, access)
	v.ping(socket, 1)
	if at := v.tunnel(); !strings.HasPrefix(at.Endpoint, "192.0.2.10:") || at.Handshake == "" || at.Received == 0 || at.Sent == 0 {
		t.Errorf("at first: %+v", at)
	}

	// Somebody who has the address and no key hears nothing.
	stranger, err := world{name: "phone"}.dial(t.Context(), "udp", valleyWifi+":51820")
	v.must(err)
	defer stranger.Close()
	for _, packet := range [][]byte{append([]byte{1, 0, 0, 0}, make([]byte, 144)...), []byte("hello"), make([]byte, 1200)} {
		_, err := stranger.Write(packet)
		v.must(err)
	}
	v.must(stranger.SetReadDeadline(time.Now().Add(500 * time.Millisecond)))
	if n, err := stranger.Read(make([]byte, 100)); err == nil {
		t.Errorf("a stranger hears %d bytes", n)
	}

	// It loses packets, and then its network: what it sends comes from elsewhere.
	v.lose()
	v.ping(socket, 2)
	v.run("ip", "-n", "phone", "link", "set", "eth0", "down")
	v.run("ip", "-n", "phone", "route", "add", "192.0.2.0/24", "via", valleyCell, "dev", "eth1")
	for id := 3; id < 6; id++ {
		v.ping(socket, id)
	}
	if at := v.tunnel(); !strings.HasPrefix(at.Endpoint, "198.51.100.10:") {
		t.Errorf("by the other provider: %+v", at)
	}
	for range 5 {
		if status, _ := v.ask(c, "GET", "/", "", ""); status != http.StatusOK {
			t.Errorf("over loss: %d", status)
		}
	}
	// The app looks its endpoint up again, and finds an IPv6 address.
	key := strings.TrimSpace(v.run("nsenter", "--net=/run/netns/phone", "wg", "show", "anna", "peers"))
	id := 6
	v.await("it comes over IPv6", func() bool { // what was under way may lead both back to IPv4
		v.run("nsenter", "--net=/run/netns/phone", "wg", "set", "anna", "peer", key, "endpoint", "["+valleySix+"]:51820")
		v.ping(socket, id)
		id++
		return strings.HasPrefix(v.tunnel().Endpoint, "[2001:db8:5::10]:")
	})

	v.shed()

	v.revoked(c, socket)
}

// lose has one packet in twenty be lost, each way. Where the kernel has it, netem delays them
// as well, as far networks do.
func (v *valley) lose() {
	v.t.Helper()
	const rules = "add table inet loss; add chain inet loss in { type filter hook input priority 0; }; add chain inet loss out { type filter hook output priority 0; }; " +
		"add rule inet loss in udp sport 51820 numgen random mod 20 == 0 drop; add rule inet loss out udp dport 51820 numgen random mod 20 == 0 drop"
	v.run("nsenter", "--net=/run/netns/phone", "nft", rules)
	for _, link := range []string{"eth0", "eth1"} {
		c := exec.Command("nsenter", "--net=/run/netns/phone", "tc", "qdisc", "add", "dev", link, "root", "netem", "delay", "30ms", "5ms")
		if out, err := c.CombinedOutput(); err != nil && !bytes.Contains(out, []byte("qdisc kind is unknown")) {
			v.t.Errorf("netem: %v %s", err, out)
		}
	}
}

// shed looks at what is reached beside the house's own pages.
func (v *valley) shed() {
	v.t.Helper()
	l, err := world{name: "shed"}.listen(shedAddr + ":8080")
	v.must(err)
	defer l.Close()
	go func() {
		_ = (&http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "the shed, from ", r.RemoteAddr) })}).Serve(l)
	}()
	phone := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: world{name: "phone"}.dial}}
	answer, err := phone.Get("http://" + shedAddr + ":8080/")
	v.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	v.must(err)
	if !strings.HasPrefix(string(text), "the shed, from 203.0.113.1:") {
		v.t.Errorf("the shed says %q", text)
	}
	own, err := net.Listen("tcp", "203.0.113.1:8081")
	v.must(err)
	defer own.Close()
	ctx, cancel := context.WithTimeout(v.t.Context(), 3*time.Second)
	defer cancel()
	if c, err := (world{name: "phone"}).dial(ctx, "tcp", "203.0.113.1:8081"); err == nil {
		_ = c.Close()
		v.t.Error("the house's own address is reached through the tunnel")
	}
}

// revoked takes the phone's device away.
func (v *valley) revoked(c *http.Client, socket *websocket.Conn) {
	v.t.Helper()
	if n := v.home.Live(); n == 0 {
		v.t.Error("no socket is open to end")
	}
	var doc devicesDocument
	v.must(json.Unmarshal([]byte(v.verb("devices", "--json")), &doc))
	if len(doc.Devices) != 1 {
		v.t.Fatalf("the devices are %+v", doc.Devices)
	}
	v.verb("devices", "revoke", doc.Devices[0].ID)
	v.await("its socket ends", func() bool { return v.home.Live() == 0 })
	if at := v.tunnel(); at.Key != "" {
		v.t.Errorf("its tunnel is there: %+v", at)
	}
	ctx, cancel := context.WithTimeout(v.t.Context(), 2*time.Second)
	defer cancel()
	if _, text, err := socket.Read(ctx); err == nil {
		v.t.Errorf("it hears %s", text)
	}
	c.CloseIdleConnections()
	c.Timeout = 3 * time.Second
	var timeout net.Error
	if answer, err := c.Get("https://" + valleyName + "/"); err == nil || !errors.As(err, &timeout) {
		v.t.Errorf("it gets %v, %v", answer, err)
	}
}
