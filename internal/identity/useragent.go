package identity

import (
	"strings"
	"unicode"
)

// maxUserAgent bounds what is kept of a User-Agent, in bytes.
const maxUserAgent = 256

// cleanUserAgent returns what of a User-Agent can be shown.
func cleanUserAgent(ua string) string {
	if len(ua) > maxUserAgent {
		ua = ua[:maxUserAgent]
	}
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, ua)
}

// describe names a browser in a few words, as its User-Agent claims. It is a help
// for people's eyes and nothing is decided by it.
func describe(ua string) string {
	app := firstIn(ua, [][2]string{
		{"Home Assistant/", "Home Assistant app"}, {"io.robbie.HomeAssistant", "Home Assistant app"}, {"Mobile/HomeAssistant", "Home Assistant app"},
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
		{"Vivaldi/", "Vivaldi"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	}, "A browser")
	system := firstIn(ua, [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"},
		{"Mac OS X", "Mac"}, {"Macintosh", "Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}, "")
	if system == "" {
		return app
	}
	return app + " on " + system
}

// firstIn returns the word of the first mark that is in s.
func firstIn(s string, marks [][2]string, otherwise string) string {
	for _, m := range marks {
		if strings.Contains(s, m[0]) {
			return m[1]
		}
	}
	return otherwise
}
