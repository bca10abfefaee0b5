package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// Companion apps call their webhook and renew their token without a cookie: what the
// gateway knows them by, it learned when they signed in.
const (
	appPerson = "Anna"
	// appCount is how many apps take turns with their webhooks, because the gateway lets
	// each call 200 times at once and then 20 times a second. It knows at most 64 devices
	// of a person.
	appCount    = 60
	appClient   = "https://home-assistant.io/iOS"
	appRedirect = "homeassistant://auth-callback"
	appAgent    = "Home Assistant/2026.8 (io.robbie.HomeAssistant; build:2026.1; iOS 26.0.0)"
	appViewUA   = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Mobile/HomeAssistant, like Safari"
)

// app is a companion app that is signed in and registered.
type app struct {
	webhook string // id
	refresh string // token
}

// newApp signs an app in by an invitation's code, which is typed in its web view, and
// registers it.
func newApp(ctx context.Context, gatehouse cli, base string) (app, error) {
	view := visitor{base: base, client: loopback(), userAgent: appViewUA}
	defer view.client.CloseIdleConnections()
	invitation, err := gatehouse.invite(ctx, appPerson)
	if err != nil {
		return app{}, err
	}
	if err := view.post(ctx, "/_gatehouse/api/sign-in/code", object{"name": appPerson, "code": invitation}, nil); err != nil {
		return app{}, err
	}
	code, err := view.logIn(ctx, appClient, appRedirect, "anna")
	if err != nil {
		return app{}, err
	}
	if err := view.spend(ctx, appClient, code); err != nil {
		return app{}, err
	}
	var registered struct {
		WebhookID string `json:"webhook_id"`
	}
	err = view.post(ctx, "/api/mobile_app/registrations", object{
		"app_id": "io.robbie.HomeAssistant", "app_name": "Home Assistant", "app_version": "2026.8", "device_id": code, "device_name": "Phone",
		"manufacturer": "Apple", "model": "iPhone17,1", "os_name": "iOS", "os_version": "26.0", "supports_encryption": false,
	}, &registered)
	if err == nil && registered.WebhookID == "" {
		err = errors.New("no webhook")
	}
	return app{webhook: registered.WebhookID, refresh: view.refresh}, err
}

// webhooks are the addresses of all apps' webhooks by way of a target.
func (g *gate) webhooks(base string) []string {
	var all []string
	for _, a := range g.apps {
		all = append(all, base+webhookPath+a.webhook)
	}
	return all
}

// refreshForm is how an app asks for another access token.
func (g *gate) refreshForm() string {
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {appClient}, "refresh_token": {g.apps[0].refresh}}.Encode()
}

// appHeader is what an app says beside a body of some kind.
func appHeader(kind string) []string {
	return []string{"Content-Type: " + kind, "User-Agent: " + appAgent}
}

// sensorBody is what an app tells its webhook when a few sensors have changed.
func sensorBody() string {
	body := `{"type":"update_sensor_states","data":[`
	for i := range 3 {
		if i > 0 {
			body += ","
		}
		body += fmt.Sprintf(`{"type":"sensor","unique_id":"sensor_%d","state":%d,"icon":"mdi:battery","attributes":{"Low Power Mode":false}}`, i, 80+i)
	}
	return body + "]}"
}
