package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// TestLiveOnion has a real Home Assistant, which knows the home's name and addresses, behind
// the door onion: before its login none of them is in any answer. Whoever is signed in to it
// is told them by Home Assistant itself (docs/tor.md says so). GATEHOUSE_LIVE_VERSION names
// the release (tests/live/run).
func TestLiveOnion(t *testing.T) {
	release := os.Getenv("GATEHOUSE_LIVE_VERSION")
	if release == "" {
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal("Home Assistant in a network of the test's own wants root: run tests/live/run as root")
	}
	if !inNetwork(t) {
		return
	}
	h := &onionHouse{torNetwork: newTorNetwork(t)}
	h.open(h.realHome(release))
	anna := h.invited("Laptop")
	const port = "9150"
	h.client(port, anna.File)
	h.await("one onion service, all of them published")
	b, _ := h.reach(port, anna)
	h.saysNothing(t, b, anna)
	h.inChromium(t, port, anna)

	base := strings.TrimSuffix(anna.URL, "/")
	post := func(path, kind, body string, into any) {
		t.Helper()
		_, text := h.answer(b, "POST", base+path, body, map[string]string{"Content-Type": kind, "Origin": base})
		_, text, _ = strings.Cut(text, "\n\n")
		if i := strings.Index(text, "{"); i < 0 || json.Unmarshal([]byte(text[i:]), into) != nil {
			t.Fatalf("%s answers %s", path, text)
		}
	}
	var flow struct {
		ID     string `json:"flow_id"`
		Result string `json:"result"`
	}
	post("/auth/login_flow", "application/json", fmt.Sprintf(`{"client_id":"%s/","handler":["homeassistant",null],"redirect_uri":"%s/?auth_callback=1"}`, base, base), &flow)
	post("/auth/login_flow/"+flow.ID, "application/json", fmt.Sprintf(`{"client_id":"%s/","username":"owner","password":"correct horse battery"}`, base), &flow)
	var token struct {
		Access string `json:"access_token"`
	}
	post("/auth/token", "application/x-www-form-urlencoded", "grant_type=authorization_code&code="+flow.Result+"&client_id="+base+"/", &token)
	status, text := h.answer(b, "GET", base+"/api/config", "", map[string]string{"Authorization": "Bearer " + token.Access})
	if status != http.StatusOK || !strings.Contains(text, "https://"+onionHomeName) || !strings.Contains(text, "52.37") {
		t.Errorf("whoever is signed in to Home Assistant is told %d\n%s", status, text)
	}
}

// inChromium opens the frontend in a browser that knows Tor's SOCKS port alone: it comes as
// far as Home Assistant's own login, at the onion's name.
func (h *onionHouse) inChromium(t *testing.T, port string, d onionDocument) {
	args := chromium(filepath.Join(h.dir, "chromium"), "--proxy-server=socks5://127.0.0.1:"+port)
	page := becomes(t, exec.CommandContext(t.Context(), args[0], args[1:]...), d.URL, 3*time.Minute, func(page string) bool {
		return strings.Contains(page, "<ha-authorize") && strings.Contains(page, "Home Assistant")
	})
	if !strings.Contains(page, "<ha-authorize") {
		t.Errorf("the browser does not come to Home Assistant's login:\n%.2000s", page)
	}
	for _, word := range []string{onionHomeName, "10.77.0.2", "Secret-name"} {
		if strings.Contains(page, word) {
			t.Errorf("the page says %q:\n%.2000s", word, page)
		}
	}
}

// realHome starts one whose configuration names the home in every way.
func (h *onionHouse) realHome(release string) (address string) {
	h.t.Helper()
	lab := os.Getenv("HA_LAB")
	if lab == "" {
		lab = filepath.Join(os.Getenv("HOME"), ".cache", "gatehouse-lab")
	}
	dir := filepath.Join(lab, "run", fmt.Sprintf("onion-%s-%d", release, os.Getpid()))
	h.must(os.MkdirAll(filepath.Join(dir, ".storage"), 0o755))
	h.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	configuration := "homeassistant: {name: Secret-name house, latitude: 52.37, longitude: 4.9, elevation: 2, unit_system: metric, time_zone: Europe/Amsterdam, country: NL, external_url: 'https://" +
		onionHomeName + "', internal_url: 'http://10.77.0.2:8123'}\nfrontend:\nconfig:\napi:\nhistory:\nmobile_app:\nlogger: {default: warning}\n"
	if strings.HasPrefix(release, "2026.2.") {
		configuration += "http: {server_port: 8123, server_host: 127.0.0.1, use_x_forwarded_for: true, trusted_proxies: [127.0.0.1]}\n"
	} else {
		h.must(os.WriteFile(filepath.Join(dir, ".storage", "http"), []byte(`{"version": 2, "minor_version": 1, "key": "http", "data": {"pending": null, "yaml_migration_done": true, "stable": {"server_port": 8123, "server_host": ["127.0.0.1"], "use_x_forwarded_for": true, "trusted_proxies": ["127.0.0.1/32"], "cors_allowed_origins": [], "login_attempts_threshold": 10, "ip_ban_enabled": true, "ssl_profile": "modern", "use_x_frame_options": true, "created_at": "2026-01-01T00:00:00+00:00", "error": null, "error_message": null}}}`), 0o600))
	}
	h.must(os.WriteFile(filepath.Join(dir, "configuration.yaml"), []byte(configuration), 0o644))
	log, err := os.Create(filepath.Join(h.dir, "home-assistant.log"))
	h.must(err)
	defer log.Close()
	cmd := exec.CommandContext(h.t.Context(), "bash", "../../lab/ha", "start", release, dir, "8123")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	h.must(cmd.Start())
	h.t.Cleanup(func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:8123"); err == nil {
			_ = c.Close()
			break
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			h.t.Fatalf("Home Assistant does not answer\n%s", text)
		}
	}
	h.run("bash", "../../lab/ha", "onboard", "http://127.0.0.1:8123")
	return "127.0.0.1:8123"
}
