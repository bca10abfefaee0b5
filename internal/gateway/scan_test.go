package gateway

import (
	"strings"
	"testing"
)

// What nobody but a scanner asks for is told from what an honest client may: browsers'
// own look-ups, the frontend's files, pages, the apps and speakers.
func TestScanShaped(t *testing.T) {
	for _, c := range []struct {
		method, target string
		other          bool // for another house's name
		want           string
	}{
		// Scanners.
		{"GET", "/wp-login.php", false, scanPath},
		{"GET", "/.env", false, scanPath},
		{"GET", "/.git/config", false, scanPath},
		{"GET", "/cgi-bin/luci/;stok=/locale", false, scanTarget},
		{"GET", "/cgi-bin/luci", false, scanPath},
		{"POST", "/cgi-bin/luci", false, scanMethod},
		{"GET", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php", false, scanPath},
		{"GET", "/backup/.env", false, scanPath},
		{"GET", "/phpMyAdmin/index", false, scanPath},
		{"GET", "/HNAP1", false, scanPath},
		{"GET", "/boaform/admin/formLogin?username=admin&psd=admin", false, scanPath},
		{"GET", "/_ignition/execute-solution", false, scanPath},
		{"GET", "/owa/auth/logon.aspx", false, scanPath},
		{"GET", "/api/v1/pods", false, scanPath},
		{"GET", "/server-status.cgi", false, scanPath},
		{"GET", "/config.json", false, scanPath},
		{"GET", "/api//states", false, scanTarget},
		{"GET", "//etc/passwd", false, scanTarget},
		{"GET", "/../../etc/passwd", false, scanTarget},
		{"GET", "/static/../../.storage/auth", false, scanTarget},
		{"GET", "/%2e%2e/%2e%2e/etc/passwd", false, scanTarget},
		{"GET", "/local/..%2f..%2fsecrets.yaml", false, scanTarget},
		{"GET", "/local/%00", false, scanTarget},
		{"GET", "/%00", false, scanTarget},
		{"GET", `/\windows`, false, scanTarget},
		{"GET", "/api%2fstates", false, scanTarget},
		{"GET", "http://example.com/", false, scanTarget},
		{"OPTIONS", "*", false, scanTarget},
		{"CONNECT", "example.com:443", false, scanTarget},
		{"PROPFIND", "/", false, scanMethod},
		{"TRACE", "/", false, scanMethod},
		{"POST", "/", false, scanMethod},
		{"PUT", "/api/states", false, scanMethod},
		{"GET", "/auth/token", false, scanMethod},
		{"GET", "/", true, scanHost},
		{"GET", "/favicon.ico", true, scanHost},

		// Browsers by themselves.
		{"GET", "/favicon.ico", false, ""},
		{"HEAD", "/favicon.ico", false, ""},
		{"GET", "/robots.txt", false, ""},
		{"GET", "/apple-touch-icon.png", false, ""},
		{"GET", "/apple-touch-icon-precomposed.png", false, ""},
		{"GET", "/apple-touch-icon-120x120.png", false, ""},
		{"GET", "/browserconfig.xml", false, ""},
		{"GET", "/site.webmanifest", false, ""},
		{"GET", "/.well-known/change-password", false, ""},
		{"GET", "/.well-known/appspecific/com.chrome.devtools.json", false, ""},
		{"GET", "/.well-known/assetlinks.json", false, ""},
		{"GET", "/.well-known/oauth-authorization-server", false, ""},
		{"GET", "/sw.js", false, ""},
		{"OPTIONS", "/api/nothing", false, ""}, // a preflight

		// The frontend, the apps, speakers, our own pages.
		{"GET", "/", false, ""},
		{"HEAD", "/", false, ""},
		{"GET", "/lovelace/0?edit=1", false, ""},
		{"GET", "/media-browser/browser/app%2Cmedia-source%3A%2F%2Fmedia_source", false, ""},
		{"GET", "/config/integrations/integration/mqtt", false, ""},
		{"GET", "/map", false, ""},
		{"GET", "/my-own-panel/view", false, ""},
		{"GET", "/dashboard-vacuum/K%C3%BCche", false, ""},
		{"GET", "/manifest.json", false, ""},
		{"GET", "/sw-modern.js", false, ""},
		{"GET", "/service_worker.js", false, ""},
		{"GET", "/static/icons/favicon-192x192.png", false, ""},
		{"GET", "/frontend_latest/app.a1b2c3.js", false, ""},
		{"GET", "/local/card.js?v=2", false, ""},
		{"GET", "/hacsfiles/button-card/button-card.js", false, ""},
		{"GET", "/auth/providers", false, ""},
		{"GET", "/auth/authorize?response_type=code", false, ""},
		{"POST", "/auth/login_flow", false, ""},
		{"POST", "/auth/token", false, ""},
		{"POST", "/auth/revoke", false, ""},
		{"GET", "/api/", false, ""},
		{"GET", "/api/websocket", false, ""},
		{"GET", "/api/map_tiles/7/1/2.png", false, ""},
		{"GET", "/api/brands/icon/hue/icon.png", false, ""},
		{"GET", "/api/camera_proxy/camera.door?token=x", false, ""},
		{"GET", "/api/tts_proxy/a.mp3", false, ""},
		{"GET", "/api/hls/abc/segment/1.m4s", false, ""},
		{"POST", "/api/webhook/abc", false, ""},
		{"HEAD", "/api/webhook/abc", false, ""},
		{"GET", "/_gatehouse/auth/sign-in", false, ""},
		{"POST", "/_gatehouse/api/sign-in/code", false, ""},
	} {
		if got := scanShaped(c.method, c.target, !c.other); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.method, c.target, got, c.want)
		}
	}
}

// Whatever is asked with GET at a path that has only plain segments of a few letters is a
// page that a person may have made: nobody is banned for a bookmark.
func FuzzScanShaped(f *testing.F) {
	for _, s := range []string{"/", "/lovelace", "/%2f", "/api/states", "/.env"} {
		f.Add("GET", s)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		got := scanShaped(method, target, true)
		plain := len(target) > 1 && len(target) < 4 && strings.Trim(target[1:], "abcdefgh") == "" && target[0] == '/'
		if method == "GET" && plain && got != "" {
			t.Errorf("%s: %s", target, got)
		}
		if scanShaped(method, target, false) != scanHost {
			t.Error("another name is ours")
		}
	})
}
