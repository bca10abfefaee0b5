package ha

import "strings"

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
