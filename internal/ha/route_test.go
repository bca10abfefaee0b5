package ha

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestRoutesAreClosed(t *testing.T) {
	known := map[Route]bool{}
	for _, r := range Routes() {
		if r == RouteNone || known[r] {
			t.Errorf("%q stands twice or is none", r)
		}
		known[r] = true
	}
	used := map[Route]bool{RouteShell: true}
	for _, p := range patterns {
		if !known[p.route] {
			t.Errorf("%s has a route that is not in Routes: %q", p.path, p.route)
		}
		used[p.route] = true
	}
	for r := range known {
		if !used[r] {
			t.Errorf("no path is %q", r)
		}
	}
}

// TestClassify takes ha-protocol 1.2 and 1.3 from top to bottom.
func TestClassify(t *testing.T) {
	for _, c := range []struct {
		methods string // all that are tried; the others must be RouteNone
		want    Route
		paths   string
	}{
		{"GET HEAD", RouteShell, `/ /lovelace /lovelace/0 /lovelace-walk /lovelace-anything/küche /walk-lab/walk /home /config /config/devices/device/0a
			/config/automation/edit/1690000000000 /profile /profile/security /history /map /marketplace /todo /energy /energy/now /media-browser/browser
			/logbook /calendar /hacs /hacs/repository/1 /hassio /hassio/addon/core_ssh/info /hassio/ingress/core_ssh /app/core_ssh /core_configurator
			/a0d7b954_nodered /developer-tools /developer-tools/state /config/developer-tools /shopping-list /light /demo-panel/a.b /Lovelace /local-panel /lovelace/
			/.well-known/change-password /dashboard-alles/Küche,%20oben! /auth-log /apis /static-thing /mediathek`},
		{"GET HEAD", RouteAuthorize, "/auth/authorize"},
		{"GET HEAD", RouteStatic, `/static/icons/favicon.ico /static/translations/de-0.json /frontend_latest/app.0.js /frontend_es5/core.js /robots.txt /sw-modern.js.map
			/insteon_static/entrypoint.js /knx_static/x/y.js /lcn_static/a.js /dynalite_static/a.js /api/assist_satellite/static/preannounce.mp3`},
		{"GET HEAD", RouteManifest, "/manifest.json"},
		{"GET HEAD", RouteWorker, "/sw-modern.js /sw-legacy.js /service_worker.js"},
		{"GET HEAD", RouteUserFiles, "/local/x.js /local/a/b.png /hacsfiles/card/card.js /browser_mod.js /api/panel_custom/alarmo"},
		{"GET HEAD", RouteProviders, "/auth/providers"},
		{"POST", RouteLoginFlow, "/auth/login_flow"},
		{"POST DELETE", RouteLoginFlow, "/auth/login_flow/0123456789abcdef"},
		{"POST", RouteToken, "/auth/token"},
		{"POST", RouteRevoke, "/auth/revoke"},
		{"POST", RouteLinkUser, "/auth/link_user"},
		{"GET HEAD", RouteExternalCallback, "/auth/external/callback /auth/plex/callback"},
		{"GET HEAD", RouteOAuthMetadata, "/.well-known/oauth-authorization-server /.well-known/oauth-protected-resource"},
		{"GET HEAD POST PUT DELETE PATCH", RouteOnboarding, `/onboarding.html /api/onboarding /api/onboarding/users /api/onboarding/backup/upload
			/api/onboarding/integration/wait /api/onboarding/ /api/onboarding/what/ever`},
		{"GET HEAD", RouteWebSocket, "/api/websocket"},
		{"GET HEAD POST PUT", RouteWebhook, "/api/webhook/0123456789abcdef"},
		{"GET HEAD", RouteCapability, `/api/camera_proxy/camera.front /api/camera_proxy_stream/camera.front /api/image_proxy/image.x /api/image_proxy_stream/image.x
			/api/media_player_proxy/media_player.x /api/media_player_proxy/media_player.x/browse_media/album/spotify:album:1/2
			/api/hls/0a/master_playlist.m3u8 /api/hls/0a/playlist.m3u8 /api/hls/0a/init.mp4 /api/hls/0a/segment/1.m4s /api/hls/0a/segment/1.2.m4s
			/api/tts_proxy/abc.mp3 /api/image/serve/0a/512x512 /api/image/serve/0a/original /api/brands/integration/hue/icon.png /api/brands/hardware/a/b/c.png
			/api/brands/marketplace/x/logo.png /api/map_tiles/tilejson.json /api/map_tiles/vector/1/2/3.mvt /api/map_tiles/fonts/a/0-255
			/api/assist_satellite/connection_test/x /api/esphome/ffmpeg_proxy/d/f.mp3 /api/homekit/pairingqr /api/generic/preview_flow_image/0a`},
		{"GET HEAD", RouteMedia, `/media/local/a.mp4 /media/local/Ä/b.mp4 /ai_task/images/x.png /immich/a/b /synology_dsm/a/b/c /api/nest/event_media/a/b
			/api/nest/event_media/a/b/thumbnail /api/plex_image_proxy/a/b /api/unifiprotect/thumbnail/a/b /api/unifiprotect/video/a/b/c/d
			/api/unifiprotect/snapshot/a/b/c /api/reolink/video/a/0/sub/mp4/file /api/icloud/media_source/serve/a/b /api/motioneye/media/a/b/c/d/e`},
		{"GET HEAD", RouteREST, `/api/ /api/config /api/components /api/core/state /api/states /api/services /api/events /api/history/period
			/api/history/period/2026-11-01T00:00:00+01:00 /api/logbook /api/logbook/2026-11-01 /api/calendars /api/calendars/calendar.x
			/api/config/config_entries/entry /api/config/config_entries/flow_handlers`},
		{"POST", RouteREST, "/api/services/light/turn_on /api/conversation/process /api/intent/handle /api/tts_get_url"},
		{"GET HEAD POST", RouteREST, "/api/stt/cloud"},
		{"POST", RouteAdminREST, "/api/events/x /api/template /api/config/core/check_config /api/repairs/issues/fix /api/config/config_entries/entry/0a/reload"},
		{"GET HEAD", RouteAdminREST, "/api/error_log /api/diagnostics/config_entry/0a /api/diagnostics/config_entry/0a/device/0b /api/analytics/devices"},
		{"DELETE", RouteAdminREST, "/api/config/config_entries/entry/0a"},
		{"GET HEAD POST", RouteAdminREST, "/api/config/config_entries/flow /api/cloud/login /api/cloud/support_package"},
		{"GET HEAD POST DELETE", RouteAdminREST, `/api/config/config_entries/flow/0a /api/config/config_entries/options/flow/0a /api/repairs/issues/fix/0a
			/api/config/config_entries/subentries/flow/0a /api/config/automation/config/1 /api/config/script/config/x /api/config/scene/config/1`},
		{"GET HEAD", RouteStream, "/api/stream"},
		{"POST", RouteRegistration, "/api/mobile_app/registrations"},
		{"POST DELETE", RouteUpload, "/api/file_upload"},
		{"POST", RouteUpload, "/api/image/upload /api/media_source/local_source/upload /api/zwave_js/firmware/upload/0a"},
		{"POST", RouteBackup, "/api/backup/upload"},
		{"GET HEAD", RouteBackup, "/api/backup/download/0a"},
		{"GET HEAD POST", RouteBackup, "/api/hassio/backups/0a/download /api/hassio/backups/new/upload /api/hassio/snapshots/0a/download"},
		{"GET HEAD POST", RouteSupervisor, "/api/hassio/supervisor/info /api/hassio/addons/core_ssh/logo /api/hassio/app/entrypoint.js"},
		{"GET HEAD POST PUT DELETE PATCH", RouteIngress, "/api/hassio_ingress/tok/ /api/hassio_ingress/tok/a/b?c"},
		{"POST", RouteVoice, "/api/google_assistant /api/alexa /api/alexa/smart_home"},
		{"POST", RouteCallback, "/api/telegram_webhooks /api/telegram_webhooks_12345 /api/notify.html5/callback /api/foursquare"},
		{"GET HEAD", RouteCallback, "/api/alexa/flash_briefings/x /api/doorbird /api/doorbird/ring /api/shelly/ws /api/ambiclimate"},
		{"GET HEAD POST", RouteCallback, "/api/meraki"},
		{"GET HEAD POST PUT", RouteCallback, "/api/konnected/device/0a"},
		{"GET HEAD", RouteIntegration, "/api/shopping_list /api/ios/push /api/ios/config /api/prometheus /api/rss_template/x /api/spaceapi /mcp_server/sse /api/mystrom"},
		{"POST", RouteIntegration, "/api/shopping_list/item /api/shopping_list/item/0a /api/mcp/assist /mcp_server/messages/0a /api/ios/identify"},
		{"GET HEAD POST", RouteIntegration, "/api/mcp"},
		{"POST DELETE", RouteIntegration, "/api/notify.html5"},
		{"", RouteNone, `/api /api/x /api/states/ /api/states/light.x/y /api/webhook /api/webhook/ /api/webhook/a/b /api/hassio_auth /api/hassio_auth/password_reset
			/api/hassio_push/discovery/0a /api/core/http_config /api/hassio /api/hassio_ingress /api/hassio_ingress/tok /auth /auth/ /auth/x /auth/token/ /auth/login_flow/
			/static /frontend_latest /local /media /media/ /media/local /.well-known /.well-known/x /.env /index.html /x.php /onboarding /.storage/auth /wp-login.php
			/lovelace//x /lovelace/../x /lovelace/. //x x * /_gatehouse /_gatehouse/auth/x /_x /a.b /a.b/c /lovelace/a;b /lovelace/a\b /knx_static /knx_static/
			/api/camera_proxy /api/camera_proxy/ /api/telegram_webhooks_ /api/brands /mcp_server /api/hls/0a/x /sw-modern.js/x /browser_mod.js/x /.js /%2e /küche`},
	} {
		for path := range strings.FieldsSeq(c.paths) {
			if path == "/onboarding" { // a plain word, as good as any other
				continue
			}
			path, _, _ = strings.Cut(path, "?")
			path = strings.ReplaceAll(path, "%20", " ")
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "PROPFIND", ""} {
				want := RouteNone
				if method != "" && strings.Contains(" "+c.methods+" ", " "+method+" ") {
					want = c.want
				}
				if got := Classify(method, path); got != want {
					t.Errorf("%s %s is %q, want %q", method, path, got, want)
				}
			}
		}
	}
	for _, c := range []struct {
		method, path string
		want         Route
	}{
		{"GET", "/api/states/light.kitchen", RouteREST}, {"POST", "/api/states/light.kitchen", RouteAdminREST}, {"DELETE", "/api/states/light.kitchen", RouteAdminREST},
		{"PUT", "/api/states/light.kitchen", RouteNone},
		{"OPTIONS", "/auth/token", RouteToken}, {"OPTIONS", "/api/webhook/x", RouteWebhook}, {"OPTIONS", "/api/hassio_ingress/t/x", RouteIngress},
		{"OPTIONS", "/api/states/light.kitchen", RouteREST}, {"OPTIONS", "/", RouteNone}, {"OPTIONS", "/api/x", RouteNone}, {"OPTIONS", "*", RouteNone},
	} {
		if got := Classify(c.method, c.path); got != c.want {
			t.Errorf("%s %s is %q, want %q", c.method, c.path, got, c.want)
		}
	}
}

// TestEveryPathOfTheSource holds the table to the paths that the source of five
// releases registers (testdata/routes.py says how they were read).
func TestEveryPathOfTheSource(t *testing.T) {
	text, err := os.ReadFile("testdata/routes.txt")
	if err != nil {
		t.Fatal(err)
	}
	leftOut := map[string]string{
		"/api/hassio_auth":                     "only the Supervisor may ask",
		"/api/hassio_auth/password_reset":      "only the Supervisor may ask",
		"/api/hassio_push/panel/x1":            "only the Supervisor may ask",
		"/api/hassio_push/discovery/x1":        "only the Supervisor may ask",
		"/api/core/http_config":                "only the Supervisor may ask",
		"GET /auth/login_flow":                 "answers 405",
		"GET /auth/login_flow/x1":              "answers 500",
		"GET /api/config/config_entries/flow/": "not a path",
	}
	placeholder := regexp.MustCompile(`\{[^{}]+\}`)
	count := 0
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 4 {
			t.Fatalf("routes.txt: %q", line)
		}
		path := placeholder.ReplaceAllString(f[1], "x1")
		for method := range strings.SplitSeq(f[0], ",") {
			got := Classify(method, path)
			if leftOut[path] != "" || leftOut[method+" "+path] != "" {
				if got != RouteNone {
					t.Errorf("%s %s is %q and was to be left out", method, path, got)
				}
				continue
			}
			if count++; got == RouteNone || got == RouteShell && !strings.HasPrefix(f[1], "/hacs") && f[1] != "/shopping-list" && f[1] != "/.well-known/change-password" {
				t.Errorf("%s %s (%s, %s) is %q", method, f[1], f[3], f[2], got)
			}
			if strings.HasPrefix(path, "/api/onboarding") != (got == RouteOnboarding) || strings.Contains(path, "/backup/") != (got == RouteBackup) && got != RouteOnboarding {
				t.Errorf("%s %s is %q", method, path, got)
			}
		}
	}
	if count < 200 {
		t.Errorf("only %d paths were tried", count)
	}
}

// FuzzClassify: nothing below a reserved word is ever the shell, what is onboarding or
// ingress is never anything else.
func FuzzClassify(f *testing.F) {
	for _, p := range patterns {
		f.Add("GET", p.path)
	}
	for _, p := range []string{"/", "/lovelace/0", "/api/x", "/media/local/ä", "/_x", "/api/hassio_ingress/x/y/z"} {
		f.Add("POST", p)
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		path, _, err := CanonicalTarget(target)
		if err != nil {
			return
		}
		r := Classify(method, path)
		first, _, _ := strings.Cut(path[1:], "/")
		switch {
		case r == RouteNone:
		case method == "" || methodOf(method) == 0:
			t.Fatalf("%q %q is %q", method, path, r)
		case r == RouteShell && (first == "api" || first == "auth" || first == "media" || first == "local" || strings.HasPrefix(first, "_") || strings.Contains(path, "/../")):
			t.Fatalf("%q is the shell", path)
		case strings.HasPrefix(path, "/api/onboarding/") && r != RouteOnboarding, strings.HasPrefix(path, "/api/hassio_ingress/") && r != RouteIngress,
			strings.HasPrefix(path, "/api/backup/") && r != RouteBackup:
			t.Fatalf("%q is %q", path, r)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	for _, path := range []string{"/", "/frontend_latest/app.0123456789.js", "/api/states/light.kitchen", "/api/webhook/0123456789abcdef", "/lovelace/kitchen", "/api/what/ever"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Classify("GET", path)
			}
		})
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Classify("GET", "/api/hls/0a/segment/1.m4s"); Classify("GET", "/lovelace/x") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
