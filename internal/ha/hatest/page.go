package hatest

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strings"
)

//go:embed page
var pageFiles embed.FS

// panelNames are the first segments of the paths that show the page.
var panelNames = []string{"home", "lovelace", "config", "profile", "history", "logbook", "map", "energy"}

// adminPanels are shown to administrators alone.
var adminPanels = map[string]bool{"config": true}

// Caching as Home Assistant has it: bundles for a month, pages not at all.
const forMonth = "public, max-age=2678400"

// file is one embedded file as it is sent.
type file struct {
	kind  string
	cache string
	body  []byte
	tag   string
}

func (f file) serve(r *request) {
	head := r.w.Header()
	if f.cache != "" {
		head.Set("Cache-Control", f.cache)
	}
	head.Set("ETag", f.tag)
	if r.Header.Get("If-None-Match") == f.tag {
		r.w.WriteHeader(http.StatusNotModified)
		return
	}
	r.bytes(http.StatusOK, f.kind, f.body)
}

// pageRoutes are the home's own page and what belongs to it.
func (h *Home) pageRoutes() []route {
	var names []string // old and new, for links between files
	bundles := map[string]file{}
	kinds := map[string]string{"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
	for _, name := range []string{"icon.svg", "style.css", "link.js", "home.js", "login.js", "onboarding.js"} {
		body, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			h.log.Error("read a page", "err", err)
			continue
		}
		// What one file imports of another is cached for a month: its name says its contents.
		body = []byte(strings.NewReplacer(names...).Replace(string(body)))
		base, kind, _ := strings.Cut(name, ".")
		sum := sha256.Sum256(body)
		path := "/frontend_latest/" + base + "." + hex.EncodeToString(sum[:4]) + "." + kind
		names = append(names, "/frontend_latest/"+name, path)
		bundles[path] = file{kind: kinds[kind], cache: forMonth, body: body, tag: tag(body)}
	}
	page := func(name, kind, cache string) file {
		body, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			h.log.Error("read a page", "err", err)
		}
		body = []byte(strings.NewReplacer(names...).Replace(string(body)))
		return file{kind: kind, cache: cache, body: body, tag: tag(body)}
	}
	const html = "text/html; charset=utf-8"
	index := page("index.html", html, "")
	home := func(r *request) {
		if !h.accounts.onboarded() {
			r.w.Header().Set("Location", "/onboarding.html")
			r.refuse(http.StatusFound)
			return
		}
		r.bytes(http.StatusOK, index.kind, index.body)
	}
	table := []route{
		{pattern: "/", views: get(home), open: true, alone: true},
		{pattern: "/auth/authorize", views: get(page("authorize.html", "text/html", "").serve), open: true},
		{pattern: "/onboarding.html", views: get(page("onboarding.html", "text/html", forMonth).serve), open: true},
		{pattern: "/manifest.json", views: get(page("manifest.json", "application/manifest+json", "").serve), open: true, cors: h.release.since(2026, 8)},
		{pattern: "/robots.txt", views: get(page("robots.txt", "text/plain", "").serve), open: true},
		{pattern: "/sw-modern.js", views: get(page("sw-modern.js", "text/javascript", "").serve), open: true},
		{pattern: "/static/icons/favicon.ico", views: get(bundleOf(bundles, "/icon.").serve), open: true},
	}
	for path, f := range bundles {
		table = append(table, route{pattern: path, views: get(f.serve), open: true})
	}
	for _, name := range panelNames {
		table = append(table, route{pattern: "/" + name, views: get(home), open: true, alone: true}, route{pattern: "/" + name + "/{rest...}", views: get(home), open: true, alone: true})
	}
	return table
}

// bundleOf is the bundle whose name has a part.
func bundleOf(bundles map[string]file, part string) file {
	for path, f := range bundles {
		if strings.Contains(path, part) {
			return f
		}
	}
	return file{}
}

func tag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}
