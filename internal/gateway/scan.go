package gateway

import (
	"net/http"
	"strings"

	"gatehouse/internal/ha"
)

// What makes a request look like a scanner's, for the owner to read.
const (
	scanHost   = "another name for this house"
	scanTarget = "crooked path"
	scanMethod = "method that nothing here has"
	scanPath   = "path that is not one of Home Assistant's"
)

// scanShaped says what is wrong with a request that no client of a home sends; empty
// where nothing is. It is asked of those alone whom nobody knows, and looks at nothing
// but the request: its method, its target as it was written, and whether the name that
// it asks for is ours. What browsers look up by themselves is never wrong, and neither is
// a preflight, which any page on the Internet can have them send.
func scanShaped(method, target string, ourHost bool) string {
	if !ourHost {
		return scanHost
	}
	path, _, err := ha.CanonicalTarget(target)
	if err != nil {
		if _, _, err := ha.PageTarget(target); err != nil {
			return scanTarget
		}
		return "" // the frontend writes such addresses itself
	}
	if method == http.MethodOptions || isLookUp(path) || strings.HasPrefix(path, ownPrefix) {
		return ""
	}
	switch ha.Classify(method, path) {
	case ha.RouteNone:
		if hasRoute(path) {
			return scanMethod
		}
		return scanPath
	case ha.RouteShell:
		// Panels may have any name, so nearly everything is a page of the frontend's.
		if isBait(path) {
			return scanPath
		}
	}
	return ""
}

// hasRoute reports whether something is served at a path by another method.
func hasRoute(path string) bool {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		if ha.Classify(method, path) != ha.RouteNone {
			return true
		}
	}
	return false
}

// isLookUp reports whether browsers, and what reads links for people, ask for a path by
// themselves: for an icon, for rules, for the worker of what stood at this name before.
func isLookUp(path string) bool {
	switch path {
	case "/favicon.ico", "/favicon.png", "/favicon.svg", "/robots.txt", "/security.txt", "/sitemap.xml", "/browserconfig.xml", "/opensearch.xml",
		"/site.webmanifest", "/manifest.webmanifest", "/apple-app-site-association", "/sw.js", "/service-worker.js":
		return true
	}
	for _, prefix := range []string{"/.well-known/", "/apple-touch-icon", "/favicon-", "/mstile-", "/android-chrome-"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// isBait reports whether a path that a panel might have is one of another program's, for
// which scanners ask: scripts, hidden files, the first words of what is known to be weak.
func isBait(path string) bool {
	for segment := range strings.SplitSeq(path[1:], "/") {
		if strings.HasPrefix(segment, ".") {
			return true
		}
	}
	lower := strings.ToLower(path[1:])
	for _, end := range []string{".php", ".asp", ".aspx", ".ashx", ".jsp", ".do", ".action", ".cgi", ".sql", ".bak", ".old", ".env", ".ini", ".yml", ".yaml", ".pem", ".key"} {
		if strings.HasSuffix(lower, end) {
			return true
		}
	}
	first, _, _ := strings.Cut(lower, "/")
	switch first {
	case "cgi-bin", "wp-admin", "wp-content", "wp-includes", "wp-json", "wordpress", "phpmyadmin", "pma", "boaform", "hnap1", "gponform", "goform",
		"actuator", "geoserver", "solr", "owa", "ecp", "autodiscover", "sslvpn", "global-protect", "struts", "jenkins", "laravel", "thinkphp":
		return true
	}
	return false
}
