package ha

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
)

// App is one of Home Assistant's companion apps.
type App int

// The apps. AppNone is everything that is none.
const (
	AppNone App = iota
	AppAndroid
	AppIOS // and macOS, and their watch and widgets
)

// CompanionApp names the companion app that a User-Agent claims to be of, in its web
// view or in its own requests (ha-protocol 5.2). It is a claim: nothing but the form
// of an answer may depend on it.
func CompanionApp(userAgent string) App {
	switch {
	case strings.Contains(userAgent, "io.robbie.HomeAssistant"),
		strings.Contains(userAgent, "Mobile/HomeAssistant"),
		strings.HasPrefix(userAgent, "Home%20Assistant/") && strings.Contains(userAgent, " CFNetwork/"):
		return AppIOS
	case strings.Contains(userAgent, "Home Assistant/") && strings.Contains(userAgent, "Android"):
		return AppAndroid
	}
	return AppNone
}

// The client ids of the companion apps, and where their login leads back to
// (ha-protocol 2.2). They are compared, never fetched.
const (
	ClientAndroid = "https://home-assistant.io/android"
	ClientIOS     = "https://home-assistant.io/iOS"
)

// IsAppClient reports whether a client id is a companion app's.
func IsAppClient(clientID string) bool { return clientID == ClientAndroid || clientID == ClientIOS }

// IsAppRedirect reports whether a companion app's login may lead to an address: into
// the app itself, or onto its watch.
func IsAppRedirect(clientID, redirect string) bool {
	switch redirect {
	case "homeassistant://auth-callback":
		return IsAppClient(clientID)
	case "https://wear.googleapis.com/3p_auth/io.homeassistant.companion.android",
		"https://wear.googleapis-cn.com/3p_auth/io.homeassistant.companion.android":
		return clientID == ClientAndroid
	}
	return false
}

// Registration is what a companion app says of its device when it registers.
type Registration struct {
	DeviceID   string `json:"device_id"`
	DeviceName string `json:"device_name"`
}

var errRegistration = errors.New("registration is malformed")

// ParseRegistration reads the body of POST /api/mobile_app/registrations.
func ParseRegistration(body []byte) (Registration, error) {
	var r Registration
	if json.Unmarshal(body, &r) != nil || len(r.DeviceID) > 256 {
		return Registration{}, errRegistration // err may quote the push token
	}
	return r, nil
}

// ParseRegistered reads the answer to a registration: the id of the app's webhook.
func ParseRegistered(body []byte) (webhookID string, err error) {
	var a struct {
		WebhookID string `json:"webhook_id"`
	}
	if json.Unmarshal(body, &a) != nil || a.WebhookID == "" {
		return "", errRegistration
	}
	return a.WebhookID, nil
}

// WebhookID is the id in the path of a webhook; empty if it is none.
func WebhookID(path string) string {
	id, ok := strings.CutPrefix(path, "/api/webhook/")
	if !ok || strings.Contains(id, "/") {
		return ""
	}
	return id
}
