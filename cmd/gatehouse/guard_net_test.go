package main

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/ha/hatest"
)

// siege is a house in a network of its own and those who stand outside: they have every
// address of 11.22.0.0/16 and 2a00:db8::/32. Both are addresses that the Internet routes;
// nothing leaves this network.
type siege struct {
	network
	dir       string
	gatehouse string
	config    string
	serving   *exec.Cmd
	reached   atomic.Int64 // requests that came to Home Assistant
	auth      string       // file with a known program's header
}

const (
	siegeHome4, siegeHome6 = "11.23.0.1", "2a00:db9::1"
	siegeName              = "house.test"
)

func newSiege(t *testing.T) *siege {
	t.Helper()
	s := &siege{network: newNetwork(t, map[string]string{"curl": "curl"},
		"netns add outside", "link set lo up", "-n outside link set lo up",
		"link add wan type veth peer name eth0 netns outside",
		"addr add "+siegeHome4+"/24 dev wan", "addr add "+siegeHome6+"/64 dev wan nodad", "link set wan up",
		"-n outside addr add 11.23.0.2/24 dev eth0", "-n outside addr add 2a00:db9::2/64 dev eth0 nodad", "-n outside link set eth0 up",
		"route add 11.22.0.0/16 via 11.23.0.2", "-6 route add 2a00:db8::/32 via 2a00:db9::2",
		// Every address there is the outside's own: it may call from it.
		"-n outside route add local 11.22.0.0/16 dev lo", "-n outside -6 route add local 2a00:db8::/32 dev lo",
	), dir: t.TempDir()}
	s.gatehouse, s.config = gatehouseIn(t, s.dir), filepath.Join(s.dir, "gatehouse.toml")
	s.run("nsenter", "--net=/run/netns/outside", "sh", "-c", "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind")
	home := hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("X-Forwarded-For"), "11.22.") || strings.HasPrefix(r.Header.Get("X-Forwarded-For"), "2a00:db8:") {
			s.reached.Add(1)
		}
		home.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	s.write("password", "demo")
	s.run(s.gatehouse, "setup", "--yes", "--ha-url", "http://"+l.Addr().String(), "--name", siegeName, "--https-listen", ":443", "--lan-listen", "none",
		"--ha-user", "demo", "--ha-password-file", filepath.Join(s.dir, "password"), "--state-dir", filepath.Join(s.dir, "state"), "--config", s.config)
	s.serve()
	for begin := time.Now(); s.call("11.22.99.1", "/") == "000" || s.call("2a00:db8:99::1", "/") == "000"; { // until the wire is up
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the house is not reached from outside")
		}
	}
	s.verb("people", "add", "Anna", "--ha-user", "anna")
	s.auth = s.write("auth", "Authorization: Bearer "+strings.TrimSpace(s.verb("invite", "Anna", "--program", "--label", "Backup", "--may", "rest", "--quiet"))+"\n")
	return s
}

func (s *siege) write(name, text string) string {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// verb is a verb of the house.
func (s *siege) verb(args ...string) string {
	s.t.Helper()
	return s.run(s.gatehouse, append(args, "--config", s.config)...)
}

// serve opens the house, and waits until it answers.
func (s *siege) serve() {
	s.t.Helper()
	s.serving = exec.CommandContext(s.t.Context(), s.gatehouse, "serve", "--config", s.config)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.serving.Stderr = log
	s.serving.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.serving.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.kill)
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", siegeHome4+":443")
		if err == nil {
			_ = c.Close()
			if exec.Command(s.gatehouse, "status", "--json", "--config", s.config).Run() == nil {
				return
			}
		}
		if time.Since(begin) > 20*time.Second {
			text, _ := os.ReadFile(log.Name())
			s.t.Fatalf("the house does not open: %s", text)
		}
	}
}

// kill ends the house as a power cut does.
func (s *siege) kill() {
	if s.serving.ProcessState == nil {
		_ = s.serving.Process.Kill()
		_ = s.serving.Wait()
	}
}

// call asks from an address outside, and returns the status; "000" where nothing was answered.
func (s *siege) call(from, path string, args ...string) string {
	s.t.Helper()
	home := siegeHome4
	if strings.Contains(from, ":") {
		home = "[" + siegeHome6 + "]"
	}
	args = append([]string{"--net=/run/netns/outside", "curl", "-sk", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "--interface", from,
		"--resolve", siegeName + ":443:" + home, "https://" + siegeName + path}, args...)
	out, err := exec.CommandContext(s.t.Context(), "nsenter", args...).Output()
	if err != nil && len(out) == 0 {
		s.t.Fatalf("curl from %s: %v", from, err)
	}
	return string(out)
}

// logIn is a login at Home Assistant's own form with a password that is wrong.
func (s *siege) logIn(from string) {
	s.t.Helper()
	got := s.call(from, "/auth/login_flow/0123456789abcdef0123456789abcdef", "-H", "Content-Type: application/json",
		"-d", fmt.Sprintf(`{"client_id":"https://%s/","username":"anna","password":"wrong from %s"}`, siegeName, from))
	if got != "401" {
		s.t.Fatalf("a wrong login from %s is answered %s", from, got)
	}
}

// banned is what the house says of an address.
func (s *siege) banned(addr string) bool {
	s.t.Helper()
	out, _ := exec.CommandContext(s.t.Context(), s.gatehouse, "guard", "explain", addr, "--json", "--config", s.config).Output()
	var said struct {
		Banned *bool `json:"banned"`
	}
	if err := json.Unmarshal(out, &said); err != nil || said.Banned == nil {
		s.t.Fatalf("explain %s says %s", addr, out)
	}
	return *said.Banned
}

// Whoever guesses from outside is not listened to after exactly the fifth try, over IPv4 and
// IPv6; whoever holds a whole network of addresses loses that; nobody else is touched, and a
// device that is known goes on from the very address. A power cut forgets none of it.
func TestGuardInNetworks(t *testing.T) {
	if testing.Short() {
		t.Skip("makes networks")
	}
	if !inNetwork(t) {
		return
	}
	s := newSiege(t)
	for _, from := range []string{"11.22.7.9", "2a00:db8:7:9::1"} {
		for range 4 {
			s.logIn(from)
		}
		if s.banned(from) {
			t.Errorf("%s is banned after four", from)
		}
		s.logIn(from)
		if !s.banned(from) {
			t.Errorf("%s is not banned after five: %s", from, s.verb("guard", "explain", from))
		}
		if got := s.call(from, "/api/states", "-H", "@"+s.auth); got != "200" {
			t.Errorf("a known device is answered %s at the banned address %s", got, from)
		}
	}
	for addr, want := range map[string]bool{"11.22.7.10": false, "2a00:db8:7:9:ffff::1": true, "2a00:db8:7:a::1": false} {
		if s.banned(addr) != want {
			t.Errorf("banned is %v of %s", !want, addr)
		}
	}
	// Network after network of one customer.
	for _, from := range []string{"2a00:db8:8:100::1", "2a00:db8:8:101::1", "2a00:db8:8:1ff::1"} {
		for range 5 {
			s.logIn(from)
		}
	}
	if !s.banned("2a00:db8:8:142::1") || s.banned("2a00:db8:8:200::1") {
		t.Error("three networks of a /56 have not become the /56")
	}
	if n := s.reached.Load(); n != 2 {
		t.Errorf("%d requests from outside came to Home Assistant, want the known device's two", n)
	}
	time.Sleep(1500 * time.Millisecond) // what the last second brought may be lost
	s.kill()
	s.serve()
	for _, addr := range []string{"11.22.7.9", "2a00:db8:7:9::1", "2a00:db8:8:142::1"} {
		if !s.banned(addr) {
			t.Errorf("a power cut freed %s", addr)
		}
	}
	s.verb("guard", "unban", "11.22.7.9")
	if s.banned("11.22.7.9") {
		t.Error("unban does not")
	}
}
