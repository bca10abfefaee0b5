package onion

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gatehouse/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is the tor of this machine.
func program(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"tor", "/usr/sbin/tor", "/usr/bin/tor"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	t.Fatal("tor is missing: apt-get install tor (scripts/needs unit does)")
	return ""
}

// offline has a tor open no connection to anywhere.
const offline = "DisableNetwork 1\nDirAuthority x orport=1 v3ident=" + "ffffffffffffffffffffffffffffffffffffffff" +
	" 127.0.0.1:1 ffffffffffffffffffffffffffffffffffffffff\n"

// starter starts tors without a network, and knows the last one.
type starter struct {
	program string
	mu      sync.Mutex
	pid     int
	starts  int
}

func (s *starter) start(ctx context.Context, torrc string) (int, <-chan error, error) {
	cmd := exec.CommandContext(ctx, s.program, "--hush", "--defaults-torrc", "/dev/null", "-f", "-")
	cmd.Stdin = strings.NewReader(torrc + offline)
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid = cmd.Process.Pid
	s.starts++
	return s.pid, ended, nil
}

func (s *starter) last() (pid, starts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid, s.starts
}

// short is a directory whose name leaves room for a socket's.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "onion")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// seeds are the secrets of a test's services.
type seeds map[string][]byte

func (s seeds) get(_ context.Context, address string) ([]byte, error) {
	if seed, ok := s[address]; ok {
		return seed, nil
	}
	return nil, errors.New("there is no such secret")
}

// device makes one, with a service of its own.
func (s seeds) device(t *testing.T) (Device, Client) {
	t.Helper()
	seed := NewSeed()
	address, err := Address(seed)
	if err != nil {
		t.Fatal(err)
	}
	client, err := NewClient()
	if err != nil {
		t.Fatal(err)
	}
	s[address] = seed
	return Device{address, client.Public}, client
}

// run has a door live until the test ends.
func run(t *testing.T, c Config) *Door {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		ended.Wait()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// await waits for something that comes to hold by what another program does.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come to pass that %s", what)
		}
	}
}

// has reports whether tor has made a service.
func made(d *Door, device Device) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.up[device.Address] != nil
}

func why(d *Door) string {
	why, _ := d.Why()
	return why
}

// A tor of our own is started, commanded, and followed when it dies; it ends with us.
func TestOwnTor(t *testing.T) {
	s, all, dir := &starter{program: program(t)}, seeds{}, short(t)
	anna, _ := all.device(t)
	ben, _ := all.device(t)
	d, err := New(Config{Dir: filepath.Join(dir, "onion"), Start: s.start, Seed: all.get})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer cancel()
	d.Set([]Device{anna, ben})
	await(t, "both services are made", func() bool { return made(d, anna) && made(d, ben) })
	if got := why(d); !strings.Contains(got, "has not reached its network yet: 0 %") {
		t.Errorf("a tor without a network is %q", got)
	}
	health := strings.Join(d.Health(), "; ")
	if !strings.Contains(health, "a tor of its own, version 0.") || !strings.Contains(health, "2 onion services, 0 published") {
		t.Error(health)
	}
	if strings.Contains(health, noPower) {
		t.Errorf("no proof of work: %s", health)
	}
	info, err := os.Stat(filepath.Join(dir, "onion"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info, err)
	}

	d.Set([]Device{ben})
	if made(d, anna) {
		t.Error("a service that is withdrawn is there after Set")
	}
	pid, _ := s.last()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "another tor was started", func() bool { _, n := s.last(); return n == 2 })
	await(t, "the service is made again", func() bool { return made(d, ben) })
	if made(d, anna) {
		t.Error("a service that was withdrawn came back with a new tor")
	}
	pid, _ = s.last()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("tor has outlived the door: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// A service whose secret is lost, or of a device whose key is none, keeps nobody else out.
func TestOneServiceFails(t *testing.T) {
	s, all := &starter{program: program(t)}, seeds{}
	good, _ := all.device(t)
	lost, _ := all.device(t)
	mixed, _ := all.device(t)
	delete(all, lost.Address)
	all[mixed.Address] = NewSeed()
	_, client := all.device(t)
	d := run(t, Config{Dir: short(t), Start: s.start, Seed: all.get})
	d.Set([]Device{lost, mixed, {Address: good.Address, Client: "x"}, good})
	await(t, "the good one is made", func() bool { return made(d, good) })
	health := strings.Join(d.Health(), "; ")
	for _, want := range []string{"there is no such secret", "belongs to another address"} {
		if !strings.Contains(health, want) {
			t.Errorf("%s: %q is not said", health, want)
		}
	}
	if !isClient(client.Public) || isClient("x") || isClient(strings.ToLower(client.Public)) {
		t.Error("what a client's key is")
	}
}

// A tor that is there is commanded by its cookie, at its socket or its port.
func TestExistingTor(t *testing.T) {
	dir, all := short(t), seeds{}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	config := fmt.Sprintf("DataDirectory %s/data\nControlSocket %s/control\nControlPort 127.0.0.1:%s\nCookieAuthentication 1\nSocksPort 0\nLog warn stdout\n%s", dir, dir, port, offline)
	cmd := exec.CommandContext(t.Context(), program(t), "--hush", "--defaults-torrc", "/dev/null", "-f", "-")
	cmd.Stdin = strings.NewReader(config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for _, at := range []string{"unix:" + dir + "/control", "127.0.0.1:" + port} {
		anna, _ := all.device(t)
		d := run(t, Config{Dir: filepath.Join(dir, "sockets"), Control: at, Seed: all.get})
		d.Set([]Device{anna})
		await(t, "the service is made by "+at, func() bool { return made(d, anna) })
		d.Set(nil)
		await(t, "nothing is there any more", func() bool {
			left, err := os.ReadDir(filepath.Join(dir, "sockets"))
			return err == nil && len(left) == 0
		})
	}
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// What is wrong with tor is said plainly, with what to do.
func TestTroubleIsSaidPlainly(t *testing.T) {
	dir := short(t)
	missing := func(context.Context, string) (int, <-chan error, error) {
		return 0, nil, fmt.Errorf("start: %w", ErrMissing)
	}
	dies := func(context.Context, string) (int, <-chan error, error) {
		ended := make(chan error, 1)
		ended <- errors.New("exit status 1: it said no")
		return os.Getpid(), ended, nil
	}
	for _, c := range []struct {
		config    Config
		why, hint string
	}{
		{Config{Start: missing}, "tor is not installed", "apt-get install tor"},
		{Config{Start: dies}, "tor does not run: tor has ended: exit status 1: it said no", "tried again"},
		{Config{Control: "unix:" + dir + "/nowhere"}, "no tor answers at unix:", "start it"},
		{Config{Control: "127.0.0.1:" + freePort(t)}, "no tor answers at 127.0.0.1:", "start it"},
		{Config{Control: "127.0.0.1:" + tooOld(t)}, "too old: it is 0.4.6.10", "newer one"},
		{Config{Control: "127.0.0.1:" + said(t, "HTTP/1.1 400 Bad Request\r\n\r\n")}, "does not speak tor's control protocol", "doors.onion.control"},
		{Config{Control: "127.0.0.1:" + said(t, "")}, "cannot be used", "doors.onion.control"},
	} {
		c.config.Dir, c.config.Seed = filepath.Join(dir, "d"), seeds{}.get
		d := run(t, c.config)
		await(t, fmt.Sprintf("%q is said", c.why), func() bool { return strings.Contains(why(d), c.why) })
		if _, hint := d.Why(); !strings.Contains(hint, c.hint) {
			t.Errorf("%s: the hint is %q", c.why, hint)
		}
	}
}

// said is the port of a program that says a text to whoever comes, and hangs up.
func said(t *testing.T, text string) string {
	return serve(t, func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		_, _ = c.Read(make([]byte, 1))
	})
}

// tooOld is the port of a tor of another time.
func tooOld(t *testing.T) string {
	cookie := filepath.Join(t.TempDir(), "cookie")
	secret := bytes.Repeat([]byte{7}, cookieSize)
	if err := os.WriteFile(cookie, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	return serve(t, func(c net.Conn) {
		var word, kind string
		var nonce []byte
		_, _ = fmt.Fscanf(c, "PROTOCOLINFO 1\r\n")
		fmt.Fprintf(c, "250-AUTH METHODS=SAFECOOKIE COOKIEFILE=\"%s\"\r\n250 OK\r\n", cookie)
		_, _ = fmt.Fscanf(c, "%s %s %x\r\n", &word, &kind, &nonce)
		theirs := make([]byte, 32)
		fmt.Fprintf(c, "250 AUTHCHALLENGE SERVERHASH=%X SERVERNONCE=%X\r\n", proof("server-to-controller", secret, nonce, theirs), theirs)
		_, _ = fmt.Fscanf(c, "%s %s\r\n", &word, &kind)
		if kind != fmt.Sprintf("%x", proof("controller-to-server", secret, nonce, theirs)) {
			fmt.Fprint(c, "515 Bad authentication\r\n")
			return
		}
		fmt.Fprint(c, "250 OK\r\n")
		_, _ = fmt.Fscanf(c, "GETINFO version\r\n")
		fmt.Fprint(c, "250-version=0.4.6.10\r\n250 OK\r\n")
	})
}

// serve is the port of something that answers whoever comes, until the test ends.
func serve(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				answer(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// A tor that cannot be started is tried again less and less often, at least once a minute.
func TestTorIsTriedAgain(t *testing.T) {
	dir := short(t)
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), []time.Duration{}
		d, err := New(Config{Dir: dir, Seed: seeds{}.get, Start: func(context.Context, string) (int, <-chan error, error) {
			tries = append(tries, time.Since(began))
			return 0, nil, ErrMissing
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
		want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183, 243}
		if len(tries) != len(want) {
			t.Fatalf("tried at %v", tries)
		}
		for i := range want {
			if tries[i] != want[i]*time.Second {
				t.Errorf("tried at %v", tries)
			}
		}
	})
}

// serviceOf opens a service of a device's for a process, without tor.
func serviceOf(t *testing.T, d *Door, device Device, tor process) *service {
	t.Helper()
	s, err := newService(d, device, tor, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	d.up[device.Address] = s
	d.mu.Unlock()
	return s
}

func dial(t *testing.T, s *service) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A connection says whose service it came over, and ends with the device.
func TestConnectionsAreTheirDevices(t *testing.T) {
	all := seeds{}
	anna, _ := all.device(t)
	ben, _ := all.device(t)
	d, err := New(Config{Dir: short(t), Control: "127.0.0.1:1", Seed: all.get})
	if err != nil {
		t.Fatal(err)
	}
	d.Set([]Device{anna, ben})
	me := process{uid: os.Getuid(), pid: os.Getpid()}
	clients := map[string]net.Conn{}
	servers := map[string]net.Conn{}
	for _, device := range []Device{anna, ben} {
		clients[device.Address] = dial(t, serviceOf(t, d, device, me))
		c, err := d.Accept()
		if err != nil {
			t.Fatal(err)
		}
		servers[device.Address] = c
		keyed, ok := c.(interface{ Key() policy.Key })
		if !ok || keyed.Key() != (policy.Key{Kind: "onionkey", ID: device.Address}) {
			t.Errorf("the connection's key: %v", c)
		}
		at, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err != nil || at.Addr() != Source(device.Address) {
			t.Errorf("its address is %s: %v", c.RemoteAddr(), err)
		}
	}
	waiting := dial(t, d.up[anna.Address]) // nobody has accepted it yet
	d.Set([]Device{ben})
	for name, c := range map[string]net.Conn{"accepted": clients[anna.Address], "waiting": waiting} {
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the %s connection of a device that was shut out lives: %v", name, err)
		}
	}
	go func() { _, _ = servers[ben.Address].Write([]byte("x")) }()
	if n, err := clients[ben.Address].Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("another device's connection: %d, %v", n, err)
	}
	if err := servers[ben.Address].Close(); err != nil {
		t.Error(err)
	}
	d.withdraw()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed door accepts: %v", err)
	}
}

// What connects to a service's socket and is not tor is not the device.
func TestOnlyTorConnects(t *testing.T) {
	all := seeds{}
	anna, _ := all.device(t)
	refused := make(chan string, 1)
	d, err := New(Config{Dir: short(t), Control: "127.0.0.1:1", Seed: all.get, Refused: func(_ net.Addr, why string) { refused <- why }})
	if err != nil {
		t.Fatal(err)
	}
	d.Set([]Device{anna})
	for _, other := range []process{{os.Getuid() + 1, 0}, {os.Getuid(), os.Getpid() + 1}} {
		s := serviceOf(t, d, anna, other)
		if _, err := dial(t, s).Read(make([]byte, 1)); err == nil {
			t.Error("it is answered")
		}
		if why := <-refused; why != "address not allowed" {
			t.Errorf("it is refused for %q", why)
		}
		d.withdraw()
	}
}

// Each device has a source of its own, in a network that is nobody's.
func TestSources(t *testing.T) {
	all, seen := seeds{}, map[netip.Prefix]bool{}
	nobodys := netip.MustParsePrefix("3fff::/20")
	for range 64 {
		device, _ := all.device(t)
		a := Source(device.Address)
		net64, err := a.Prefix(64)
		if err != nil || !nobodys.Contains(a) || a.IsPrivate() || a != Source(device.Address) || seen[net64] {
			t.Errorf("%s of %s", a, device.Address)
		}
		seen[net64] = true
	}
}

// A service answers to its own name alone.
func TestHosts(t *testing.T) {
	all := seeds{}
	anna, _ := all.device(t)
	other, _ := all.device(t)
	d, err := New(Config{Dir: "/run/x", Control: "127.0.0.1:1", Seed: all.get})
	if err != nil {
		t.Fatal(err)
	}
	d.Set([]Device{anna})
	for host, want := range map[string]bool{
		anna.Address + ".onion": true, anna.Address + ".onion:80": true,
		anna.Address: false, "www." + anna.Address + ".onion": false, anna.Address + ".onion:8080": false, anna.Address + ".onion.": false,
		other.Address + ".onion": false, ".onion": false, "": false, "127.0.0.1": false, "ha.example": false, "localhost": false,
	} {
		if d.HostAllowed(host) != want {
			t.Errorf("%q: %t", host, !want)
		}
	}
	if got := d.HostOf(policy.Key{Kind: KeyKind, ID: anna.Address}); got != anna.Address+".onion" {
		t.Error(got)
	}
	if d.Name() != policy.Onion || d.AtHome(netip.MustParseAddr("192.168.1.2")) || !d.Encrypts() || d.Addr().String() != "tor" || d.Addr().Network() != "tor" {
		t.Error("what the door says of itself")
	}
}

// An address is tor's own: this one and its key are of the specification's kind, and the
// real tor agrees (TestOwnTor), or it would have made another service.
func TestAddresses(t *testing.T) {
	address, err := Address(NewSeed())
	if err != nil || !IsAddress(address) {
		t.Errorf("%s: %v", address, err)
	}
	// The address of the Tor Project's own pages.
	if !IsAddress("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid") {
		t.Error("an address in use is none")
	}
	for _, bad := range []string{"", address[:55], address + "a", strings.ToUpper(address), "3" + address[1:], address[:55] + "e", strings.Repeat("a", 56)} {
		if IsAddress(bad) && bad != address {
			t.Errorf("%q is an address", bad)
		}
	}
	if _, err := Address(NewSeed()[1:]); err == nil {
		t.Error("a short secret has an address")
	}
}

func TestWhatANewDoorNeeds(t *testing.T) {
	start := func(context.Context, string) (int, <-chan error, error) { return 0, nil, ErrMissing }
	get := seeds{}.get
	for name, c := range map[string]Config{
		"nothing":        {},
		"no tor":         {Dir: "/run/x", Seed: get},
		"two tors":       {Dir: "/run/x", Seed: get, Start: start, Control: "127.0.0.1:9051"},
		"no secrets":     {Dir: "/run/x", Start: start},
		"a relative one": {Dir: "x", Seed: get, Start: start},
		"a space":        {Dir: "/run/a b", Seed: get, Start: start},
		"a line":         {Dir: "/run/a\nSocksPort 9050", Seed: get, Start: start},
		"a long name":    {Dir: "/" + strings.Repeat("x", 100), Seed: get, Start: start},
		"somewhere else": {Dir: "/run/x", Seed: get, Control: "192.0.2.1:9051"},
		"no port":        {Dir: "/run/x", Seed: get, Control: "127.0.0.1"},
		"a name":         {Dir: "/run/x", Seed: get, Control: "localhost:9051"},
		"no path":        {Dir: "/run/x", Seed: get, Control: "unix:run/tor"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: a door is made", name)
		}
	}
}
