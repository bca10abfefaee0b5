package gateway

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"gatehouse/internal/ha"
	"gatehouse/internal/ha/client"
)

// TestLiveApps has both companion apps live on each real Home Assistant that
// GATEHOUSE_LIVE_HA names (tests/live/run starts them): a first day, days in the
// background, a revocation that Home Assistant feels, a new beginning.
func TestLiveApps(t *testing.T) {
	for _, address := range strings.Fields(os.Getenv("GATEHOUSE_LIVE_HA")) {
		for name, app := range map[string]string{"android": ha.ClientAndroid, "ios": ha.ClientIOS} {
			t.Run(name, func(t *testing.T) { liveApp(t, address, app, "app-"+name) })
		}
	}
}

func liveApp(t *testing.T, address, app, username string) {
	h := newHouse(t, func(s *setting) { s.haURL = address })
	u, err := url.Parse(address)
	h.must(err)
	c, err := client.New(client.Config{URL: u})
	h.must(err)
	tokens, err := c.Login(t.Context(), os.Getenv("GATEHOUSE_LIVE_USERNAME"), os.Getenv("GATEHOUSE_LIVE_PASSWORD"), nil)
	h.must(err)
	admin := c.WithToken(tokens.Access)
	const password = "lantern tidal nineteen"
	id, err := admin.CreateUser(t.Context(), username, []string{client.GroupUsers}, false)
	h.must(err)
	defer func() { h.must(admin.DeleteUser(t.Context(), id)) }()
	h.must(admin.SetPassword(t.Context(), id, username, password))

	h.owner()
	p := h.phone(username, app)
	const light = "light.kitchen_lights"
	p.firstDay(username, password, light)
	for range 3 {
		p.background(light)
	}
	socket := p.connect()
	h.must(h.id.RevokeDevice(t.Context(), p.device))
	p.silence(socket)
	p.wants(p.call("get_config", "{}"), http.StatusForbidden)
	p.wants(p.refreshToken(), http.StatusBadRequest, "invalid_grant")
	direct, err := http.PostForm(address+"/auth/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {app}, "refresh_token": {p.refresh}})
	h.must(err)
	_ = direct.Body.Close()
	if direct.StatusCode != http.StatusBadRequest {
		t.Errorf("its refresh token lives on in Home Assistant: %d", direct.StatusCode)
	}
	left := h.id.Leftovers()
	if len(left) != 1 {
		t.Fatalf("to be taken out: %+v", left)
	}
	if found, err := admin.RemoveApp(t.Context(), left[0].HADeviceID); !found || err != nil {
		t.Errorf("its registration is not taken out: %t, %v", found, err)
	}
	if found, err := admin.RemoveApp(t.Context(), left[0].HADeviceID); found || err != nil {
		t.Errorf("taken out, it is there: %t, %v", found, err)
	}
	if running, err := admin.Running(t.Context()); !running || err != nil {
		t.Errorf("running: %t, %v", running, err)
	}

	again := h.phone(username, app)
	again.firstDay(username, password, light)
	if app == ha.ClientIOS { // it signs out with its access token
		again.wants(again.form("/auth/revoke", url.Values{"token": {again.access}}), http.StatusOK)
		direct, err := http.PostForm(address+"/auth/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {app}, "refresh_token": {again.refresh}})
		h.must(err)
		_ = direct.Body.Close()
		if direct.StatusCode != http.StatusBadRequest {
			t.Errorf("signed out, its refresh token lives on in Home Assistant: %d", direct.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
