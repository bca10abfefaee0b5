package ha

import (
	"slices"
	"strings"
)

// Route is the class of a request: what it is for. The set is closed, and the zero
// Route is what nobody classified.
type Route string

// The routes (ha-protocol 1.2 and 1.3).
const (
	RouteNone             Route = ""
	RouteShell            Route = "shell"             // the one page that every panel and dashboard is
	RouteAuthorize        Route = "authorize"         // Home Assistant's login page
	RouteStatic           Route = "static"            // the frontend's own files
	RouteManifest         Route = "manifest"          // the web app's manifest
	RouteWorker           Route = "worker"            // the service worker's script
	RouteUserFiles        Route = "user files"        // the owner's www folder and custom cards
	RouteProviders        Route = "providers"         // which ways to log in there are
	RouteLoginFlow        Route = "login flow"        // passwords and second factors
	RouteToken            Route = "token"             // codes and refresh tokens against tokens
	RouteRevoke           Route = "revoke"            // the end of a refresh token
	RouteOAuthMetadata    Route = "oauth metadata"    // tells the frontend whether to use PKCE
	RouteExternalCallback Route = "external callback" // the way back of an integration's own sign-in
	RouteLinkUser         Route = "link user"         // a second login for a user
	RouteWebSocket        Route = "websocket"         // the API's socket
	RouteWebhook          Route = "webhook"           // an id that is a secret
	RouteCapability       Route = "capability"        // pictures, sound and streams; the secret is in the URL
	RouteMedia            Route = "media"             // media files
	RouteREST             Route = "rest"              // the API for every user
	RouteAdminREST        Route = "admin rest"        // the API for administrators
	RouteStream           Route = "event stream"      // every event, for administrators
	RouteRegistration     Route = "registration"      // a companion app makes itself known
	RouteUpload           Route = "upload"            // files into Home Assistant
	RouteBackup           Route = "backup"            // everything that Home Assistant knows, in one file
	RouteSupervisor       Route = "supervisor"        // the Supervisor's API
	RouteIngress          Route = "ingress"           // the pages of add-ons
	RouteVoice            Route = "voice"             // the clouds of voice assistants
	RouteCallback         Route = "callback"          // other services' calls
	RouteIntegration      Route = "integration"       // an integration's own API
	RouteOnboarding       Route = "onboarding"        // the first steps of a new Home Assistant
)

// routes has every Route but RouteNone.
var routes = []Route{
	RouteShell, RouteAuthorize, RouteStatic, RouteManifest, RouteWorker, RouteUserFiles, RouteProviders, RouteLoginFlow,
	RouteToken, RouteRevoke, RouteOAuthMetadata, RouteExternalCallback, RouteLinkUser, RouteWebSocket, RouteWebhook,
	RouteCapability, RouteMedia, RouteREST, RouteAdminREST, RouteStream, RouteRegistration, RouteUpload, RouteBackup,
	RouteSupervisor, RouteIngress, RouteVoice, RouteCallback, RouteIntegration, RouteOnboarding,
}

// Routes returns every Route but RouteNone.
func Routes() []Route { return slices.Clone(routes) }

// ForAdministrators reports whether Home Assistant answers 401 there to a good token too, if
// its user is no administrator.
func (r Route) ForAdministrators() bool {
	switch r {
	case RouteAdminREST, RouteStream, RouteUpload, RouteBackup, RouteSupervisor:
		return true
	}
	return false
}

// ParseRoute reads a route's name; a hyphen may stand for a space.
func ParseRoute(s string) (Route, bool) {
	r := Route(strings.ReplaceAll(s, "-", " "))
	return r, slices.Contains(routes, r)
}

// methods is a set of request methods.
type methods uint8

const (
	get methods = 1 << iota
	head
	post
	put
	del
	patch
	options

	anyMethod = get | head | post | put | del | patch | options
)

// methodOf returns the set of one method; empty if Home Assistant knows no such method.
func methodOf(method string) methods {
	switch method {
	case "GET":
		return get
	case "HEAD":
		return head
	case "POST":
		return post
	case "PUT":
		return put
	case "DELETE":
		return del
	case "PATCH":
		return patch
	case "OPTIONS":
		return options
	}
	return 0
}

// Classify says what a request is for, by its method and its decoded, canonical path
// (see CanonicalTarget). What no pattern matches is RouteNone, and so is a method that
// Home Assistant does not serve there; but HEAD is taken wherever GET is, and OPTIONS
// wherever anything is: Home Assistant answers these by itself, without showing
// anything (ha-protocol 1.1).
func Classify(method, path string) Route {
	m := methodOf(method)
	if m == 0 || path == "" || path[0] != '/' || strings.Contains(path, "//") {
		return RouteNone
	}
	if r := tree.find(path[1:], m); r != RouteNone {
		return r
	}
	if m&(get|head) == 0 {
		return RouteNone
	}
	return panel(path)
}

// panel tells the shell from everything else at the top. Home Assistant serves the
// same page below the name of every panel, and owners and add-ons name panels as they
// like; so every plain word is one that Home Assistant does not use for anything else.
func panel(path string) Route {
	first, rest, more := strings.Cut(path[1:], "/")
	if first == "" {
		if more {
			return RouteNone
		}
		return RouteShell
	}
	if name, ok := strings.CutSuffix(first, ".js"); ok {
		// Integrations that an owner added serve their scripts here.
		if !more && isWord(name) {
			return RouteUserFiles
		}
		return RouteNone
	}
	if !isWord(first) || first[0] == '_' || tree.literal[first] != nil {
		return RouteNone
	}
	route := RouteShell
	if strings.HasSuffix(first, "_static") {
		if route = RouteStatic; rest == "" {
			return RouteNone
		}
	}
	for rest != "" {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if !isPlain(segment) {
			return RouteNone
		}
	}
	return route
}

// isWord reports whether s is a name as panels have: letters, digits, - and _.
func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}

// isPlain reports whether a segment of a path says nothing but itself.
func isPlain(segment string) bool {
	if segment == "" || segment == "." || segment == ".." {
		return false
	}
	for i := range len(segment) {
		switch c := segment[i]; {
		case c < ' ', c == 0x7f, c == '\\', c == ';', c == '%':
			return false
		}
	}
	return true
}

// pattern is one row of the table: the methods that Home Assistant serves at a path.
// A segment {x} is one that is not empty, and may have a beginning that is written
// before it; {x...} is the rest, which may be empty.
type pattern struct {
	path    string
	methods methods
	route   Route
}

// patterns are Home Assistant's paths from 2024.3 to 2026.11 (ha-protocol 1.2, 1.3).
// Left out on purpose, because only the Supervisor may ask: /api/hassio_auth,
// /api/hassio_push and /api/core/http_config.
var patterns = []pattern{
	// The front end. Its pages are in panel.
	{"/auth/authorize", get, RouteAuthorize},
	{"/static/{path...}", get, RouteStatic},
	{"/frontend_latest/{path...}", get, RouteStatic},
	{"/frontend_es5/{path...}", get, RouteStatic},
	{"/robots.txt", get, RouteStatic},
	{"/sw-modern.js.map", get, RouteStatic},
	{"/sw-legacy.js.map", get, RouteStatic},
	{"/api/assist_satellite/static/{path...}", get, RouteStatic},
	{"/manifest.json", get, RouteManifest},
	{"/sw-modern.js", get, RouteWorker},
	{"/sw-legacy.js", get, RouteWorker},
	{"/service_worker.js", get, RouteWorker},
	{"/local/{path...}", get, RouteUserFiles},
	{"/hacsfiles/{path...}", get, RouteUserFiles},
	{"/api/panel_custom/{path...}", get, RouteUserFiles}, // panels of custom integrations
	{"/.well-known/change-password", get, RouteShell},
	{"/_my_redirect/{path...}", get, RouteShell}, // where a "My Home Assistant" link leads

	// Login.
	{"/auth/providers", get, RouteProviders},
	{"/auth/login_flow", post, RouteLoginFlow},
	{"/auth/login_flow/{flow}", post | del, RouteLoginFlow},
	{"/auth/token", post, RouteToken},
	{"/auth/revoke", post, RouteRevoke},
	{"/auth/link_user", post, RouteLinkUser},
	{"/auth/external/callback", get, RouteExternalCallback},
	{"/auth/plex/callback", get, RouteExternalCallback},
	{"/.well-known/oauth-authorization-server", get, RouteOAuthMetadata},
	{"/.well-known/oauth-protected-resource", get, RouteOAuthMetadata},

	// Onboarding.
	{"/onboarding.html", anyMethod, RouteOnboarding},
	{"/api/onboarding", anyMethod, RouteOnboarding},
	{"/api/onboarding/{path...}", anyMethod, RouteOnboarding},

	{"/api/websocket", get, RouteWebSocket},
	{"/api/webhook/{id}", get | head | post | put, RouteWebhook},

	// The secret is in the URL.
	{"/api/camera_proxy/{entity}", get, RouteCapability},
	{"/api/camera_proxy_stream/{entity}", get, RouteCapability},
	{"/api/image_proxy/{entity}", get, RouteCapability},
	{"/api/image_proxy_stream/{entity}", get, RouteCapability},
	{"/api/media_player_proxy/{entity}", get, RouteCapability},
	{"/api/media_player_proxy/{entity}/browse_media/{type}/{id...}", get, RouteCapability},
	{"/api/hls/{token}/master_playlist.m3u8", get, RouteCapability},
	{"/api/hls/{token}/playlist.m3u8", get, RouteCapability},
	{"/api/hls/{token}/init.mp4", get, RouteCapability},
	{"/api/hls/{token}/segment/{file}", get, RouteCapability},
	{"/api/tts_proxy/{file}", get, RouteCapability},
	{"/api/image/serve/{id}/{size}", get, RouteCapability},
	{"/api/brands/{kind}/{path...}", get, RouteCapability},
	{"/api/map_tiles/{path...}", get, RouteCapability},
	{"/api/assist_satellite/connection_test/{id}", get, RouteCapability},
	{"/api/esphome/ffmpeg_proxy/{device}/{file}", get, RouteCapability},
	{"/api/google_assistant_sdk/audio/{file}", get, RouteCapability},
	{"/api/homekit/pairingqr", get, RouteCapability},
	{"/api/generic/preview_flow_image/{flow}", get, RouteCapability},

	// Media; a token or a signed path.
	{"/media/{dir}/{path...}", get, RouteMedia},
	{"/ai_task/{dir}/{path...}", get, RouteMedia},
	{"/immich/{path...}", get, RouteMedia},
	{"/synology_dsm/{path...}", get, RouteMedia},
	{"/api/nest/event_media/{device}/{event}", get, RouteMedia},
	{"/api/nest/event_media/{device}/{event}/thumbnail", get, RouteMedia},
	{"/api/plex_image_proxy/{server}/{id}", get, RouteMedia},
	{"/api/unifiprotect/thumbnail/{nvr}/{event}", get, RouteMedia},
	{"/api/unifiprotect/snapshot/{nvr}/{camera}/{time}", get, RouteMedia},
	{"/api/unifiprotect/video/{nvr}/{event}", get, RouteMedia},
	{"/api/unifiprotect/video/{nvr}/{camera}/{start}/{end}", get, RouteMedia},
	{"/api/reolink/video/{path...}", get, RouteMedia},
	{"/api/icloud/media_source/serve/{version}/{id}", get, RouteMedia},
	{"/api/motioneye/media/{path...}", get, RouteMedia},

	// The API.
	{"/api/", get, RouteREST},
	{"/api/config", get, RouteREST},
	{"/api/components", get, RouteREST},
	{"/api/core/state", get, RouteREST},
	{"/api/states", get, RouteREST},
	{"/api/states/{entity}", get, RouteREST},
	{"/api/services", get, RouteREST},
	{"/api/services/{domain}/{service}", post, RouteREST},
	{"/api/events", get, RouteREST},
	{"/api/history/period", get, RouteREST},
	{"/api/history/period/{time}", get, RouteREST},
	{"/api/logbook", get, RouteREST},
	{"/api/logbook/{time}", get, RouteREST},
	{"/api/calendars", get, RouteREST},
	{"/api/calendars/{entity}", get, RouteREST},
	{"/api/conversation/process", post, RouteREST},
	{"/api/intent/handle", post, RouteREST},
	{"/api/stt/{engine}", get | post, RouteREST},
	{"/api/tts_get_url", post, RouteREST},
	{"/api/config/config_entries/entry", get, RouteREST},
	{"/api/config/config_entries/flow_handlers", get, RouteREST},

	{"/api/states/{entity}", post | del, RouteAdminREST},
	{"/api/events/{type}", post, RouteAdminREST},
	{"/api/template", post, RouteAdminREST},
	{"/api/error_log", get, RouteAdminREST},
	{"/api/analytics/devices", get, RouteAdminREST},
	{"/api/config/config_entries/entry/{id}", del, RouteAdminREST},
	{"/api/config/config_entries/entry/{id}/reload", post, RouteAdminREST},
	{"/api/config/config_entries/flow", get | post, RouteAdminREST},
	{"/api/config/config_entries/flow/{flow}", get | post | del, RouteAdminREST},
	{"/api/config/config_entries/options/flow", post, RouteAdminREST},
	{"/api/config/config_entries/options/flow/{flow}", get | post | del, RouteAdminREST},
	{"/api/config/config_entries/subentries/flow", post, RouteAdminREST},
	{"/api/config/config_entries/subentries/flow/{flow}", get | post | del, RouteAdminREST},
	{"/api/config/automation/config/{key}", get | post | del, RouteAdminREST},
	{"/api/config/scene/config/{key}", get | post | del, RouteAdminREST},
	{"/api/config/script/config/{key}", get | post | del, RouteAdminREST},
	{"/api/config/core/check_config", post, RouteAdminREST},
	{"/api/repairs/issues/fix", post, RouteAdminREST},
	{"/api/repairs/issues/fix/{flow}", get | post | del, RouteAdminREST},
	{"/api/diagnostics/{kind}/{id}", get, RouteAdminREST},
	{"/api/diagnostics/{kind}/{id}/{subkind}/{subid}", get, RouteAdminREST},
	{"/api/cloud/{path...}", get | post, RouteAdminREST},
	{"/api/stream", get, RouteStream},
	{"/api/mobile_app/registrations", post, RouteRegistration},

	// Files.
	{"/api/file_upload", post | del, RouteUpload},
	{"/api/image/upload", post, RouteUpload},
	{"/api/media_source/local_source/upload", post, RouteUpload},
	{"/api/zwave_js/firmware/upload/{device}", post, RouteUpload},
	{"/api/backup/upload", post, RouteBackup},
	{"/api/backup/download/{id}", get, RouteBackup},

	// The Supervisor. Its backups hold Home Assistant's.
	{"/api/hassio/{path...}", get | post, RouteSupervisor},
	{"/api/hassio/backups/{path...}", get | post, RouteBackup},
	{"/api/hassio/snapshots/{path...}", get | post, RouteBackup},
	{"/api/hassio_ingress/{token}/{path...}", anyMethod, RouteIngress},

	{"/api/google_assistant", post, RouteVoice},
	{"/api/alexa", post, RouteVoice},
	{"/api/alexa/smart_home", post, RouteVoice},

	// What other services call, each with a proof of its own.
	{"/api/alexa/flash_briefings/{id}", get, RouteCallback},
	{"/api/notify.html5/callback", post, RouteCallback},
	{"/api/telegram_webhooks", post, RouteCallback}, // until 2025
	{"/api/telegram_webhooks_{bot}", post, RouteCallback},
	{"/api/foursquare", post, RouteCallback},
	{"/api/meraki", get | post, RouteCallback},
	{"/api/doorbird", get, RouteCallback},
	{"/api/doorbird/{event}", get, RouteCallback},
	{"/api/shelly/ws", get, RouteCallback},
	{"/api/konnected", get | post | put, RouteCallback}, // the next five are gone from 2026.11
	{"/api/konnected/{path...}", get | post | put, RouteCallback},
	{"/api/ambiclimate", get, RouteCallback},
	{"/api/logi_circle", get, RouteCallback},
	{"/api/minut", get, RouteCallback},

	// What integrations add.
	{"/api/shopping_list", get, RouteIntegration},
	{"/api/shopping_list/item", post, RouteIntegration},
	{"/api/shopping_list/item/{id}", post, RouteIntegration},
	{"/api/shopping_list/clear_completed", post, RouteIntegration},
	{"/api/ios/push", get, RouteIntegration},
	{"/api/ios/config", get, RouteIntegration},
	{"/api/ios/identify", post, RouteIntegration},
	{"/api/notify.html5", post | del, RouteIntegration},
	{"/api/prometheus", get, RouteIntegration},
	{"/api/rss_template/{feed}", get, RouteIntegration},
	{"/api/spaceapi", get, RouteIntegration},
	{"/api/mystrom", get, RouteIntegration},
	{"/api/netio/{host}", get, RouteIntegration},
	{"/api/torque", get, RouteIntegration},
	{"/api/dominos", get, RouteIntegration},
	{"/api/mailbox/platforms", get, RouteIntegration}, // the next four are gone from 2025.4
	{"/api/mailbox/messages/{platform}", get, RouteIntegration},
	{"/api/mailbox/media/{platform}/{id}", get, RouteIntegration},
	{"/api/mailbox/delete/{platform}/{id}", del, RouteIntegration},
	{"/api/mcp", get | post, RouteIntegration},
	{"/api/mcp/{api}", post, RouteIntegration},
	{"/mcp_server/sse", get, RouteIntegration},
	{"/mcp_server/messages/{session}", post, RouteIntegration},
}

// tree is patterns, cut into segments.
var tree = compile(patterns)

// node is one segment of the patterns, and what can follow it.
type node struct {
	literal map[string]*node
	begins  []begin  // begin{x}
	any     *node    // {x}
	here    []served // patterns that end here
	rest    []served // {x...}
}

// begin is a segment of which only the beginning is known.
type begin struct {
	with string
	next *node
}

type served struct {
	methods methods
	route   Route
}

func compile(rows []pattern) *node {
	root := &node{}
	for _, p := range rows {
		at := root
		if p.methods&get != 0 {
			p.methods |= head
		}
		s := served{p.methods | options, p.route}
		parts := strings.Split(p.path[1:], "/")
		for i, part := range parts {
			switch {
			case strings.HasSuffix(part, "...}"):
				at.rest = append(at.rest, s)
				at = nil
			case strings.HasPrefix(part, "{"):
				if at.any == nil {
					at.any = &node{}
				}
				at = at.any
			case strings.HasSuffix(part, "}"):
				with, _, _ := strings.Cut(part, "{")
				at.begins = append(at.begins, begin{with, &node{}})
				at = at.begins[len(at.begins)-1].next
			default:
				if at.literal == nil {
					at.literal = make(map[string]*node)
				}
				if at.literal[part] == nil {
					at.literal[part] = &node{}
				}
				at = at.literal[part]
			}
			if i == len(parts)-1 && at != nil {
				at.here = append(at.here, s)
			}
		}
	}
	return root
}

// find returns the route of what is left of a path; the more exact pattern wins.
func (n *node) find(left string, m methods) Route {
	segment, after, more := strings.Cut(left, "/")
	if next := n.literal[segment]; next != nil {
		if r := next.then(after, more, m); r != RouteNone {
			return r
		}
	}
	for _, b := range n.begins {
		if len(segment) > len(b.with) && strings.HasPrefix(segment, b.with) {
			if r := b.next.then(after, more, m); r != RouteNone {
				return r
			}
		}
	}
	if n.any != nil && segment != "" {
		if r := n.any.then(after, more, m); r != RouteNone {
			return r
		}
	}
	return which(n.rest, m)
}

func (n *node) then(after string, more bool, m methods) Route {
	if more {
		return n.find(after, m)
	}
	return which(n.here, m)
}

func which(all []served, m methods) Route {
	for _, s := range all {
		if s.methods&m != 0 {
			return s.route
		}
	}
	return RouteNone
}
