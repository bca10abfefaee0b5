package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// ProxySite is a way through a reverse proxy to Home Assistant.
type ProxySite struct {
	Proxy     string   // "nginx", "Caddy", "Apache", "HAProxy" or "Traefik"
	Names     []string // under which it is asked for, as far as they are written down
	TLS       bool     // it is spoken to by TLS
	File      string   // where the statement stands that leads to Home Assistant
	Line      int
	Statement string
	Upstream  string // "http://127.0.0.1:8123"
	// Blocks are the blocks around that statement, outermost first, its own last.
	Blocks [][]Directive
	Server *NginxServer // of nginx
}

// Effective are the statements of a name that hold there: those of the nearest block.
func (s ProxySite) Effective(name string) []Directive { return NginxPlace{s.Blocks}.Effective(name) }

// All are the statements of a name in all blocks around, outermost first.
func (s ProxySite) All(name string) []Directive {
	var all []Directive
	for _, b := range s.Blocks {
		all = append(all, Named(b, name)...)
	}
	return all
}

// Upstreams beyond this machine and its containers are reached over a network.
func (s ProxySite) Upstreams() (scheme, host string) {
	u, err := url.Parse(s.Upstream)
	if err != nil {
		return "", ""
	}
	return u.Scheme, u.Hostname()
}

// haPorts are what Home Assistant listens on: 8123, 18123 behind a gateway of ours, and
// what its settings say, as far as they can be read.
func (h *Host) haPorts() []string {
	ports := []string{"8123", "18123"}
	if h.HADir == "" {
		return ports
	}
	settings, _ := h.HASettings()
	if settings.Source != "" {
		ports = append(ports, strconv.Itoa(settings.HTTP.ServerPort))
	}
	return ports
}

// IsHA reports whether an address of an upstream is Home Assistant's.
func (h *Host) IsHA(target string) bool {
	target = strings.TrimPrefix(strings.TrimPrefix(target, "http://"), "https://")
	target, _, _ = strings.Cut(target, "/")
	_, port, err := net.SplitHostPort(target)
	return err == nil && slices.Contains(h.haPorts(), port)
}

// ExternalURL is the address under which Home Assistant says it is reached from outside;
// empty if it names none.
func (h *Host) ExternalURL() (Nested, error) {
	name := path.Join(h.HADir, ".storage/core.config")
	t, err := h.Text(name)
	if err != nil {
		return Nested{}, err
	}
	var f struct {
		Key  string `json:"key"`
		Data struct {
			External *string `json:"external_url"`
		} `json:"data"`
	}
	if json.Unmarshal(t.Bytes, &f) != nil || f.Key != "core.config" {
		return Nested{}, fmt.Errorf("%s: not as Home Assistant writes it", t.Path)
	}
	s := Nested{Path: "external_url", Value: deref(f.Data.External), File: t.Path}
	for n, line := range t.Lines {
		if strings.Contains(line, `"external_url"`) {
			s.Line = n + 1
		}
	}
	return s, nil
}

// ProxySites are the ways to Home Assistant through the reverse proxies that are here.
// Beside an error stand those of the proxies that could be read.
func (h *Host) ProxySites() ([]ProxySite, error) {
	if h.HAOnly {
		return nil, nil
	}
	return remember(h, "proxy sites", func() ([]ProxySite, error) {
		var all []ProxySite
		var errs []error
		for _, read := range []func() ([]ProxySite, error){h.nginxSites, h.caddySites, h.apacheSites, h.haproxySites, h.traefikSites} {
			sites, err := read()
			// That there may be a Traefik in a home that is closed to us does not make a
			// proxy unknown that was found.
			if err != nil && !errors.Is(err, fs.ErrNotExist) && (len(all) == 0 || !errors.Is(err, errComposeClosed)) {
				errs = append(errs, err)
			}
			all = append(all, sites...)
		}
		return all, errors.Join(errs...)
	})
}

func (h *Host) nginxSites() ([]ProxySite, error) {
	servers, err := h.NginxServers()
	if err != nil {
		return nil, err
	}
	all, _ := h.Nginx()
	upstreams := map[string][]string{}
	for _, http := range Named(all, "http") {
		for _, u := range Named(http.Block, "upstream") {
			for _, s := range Named(u.Block, "server") {
				upstreams[u.Arg(0)] = append(upstreams[u.Arg(0)], s.Arg(0))
			}
		}
	}
	var sites []ProxySite
	for n := range servers {
		s := &servers[n]
		names := []string{}
		for _, d := range Named(s.Directive.Block, "server_name") {
			names = append(names, d.Args...)
		}
		tls := len(Named(s.Directive.Block, "ssl")) > 0 && Named(s.Directive.Block, "ssl")[0].Arg(0) == "on"
		for _, l := range Named(s.Directive.Block, "listen") {
			tls = tls || slices.Contains(l.Args, "ssl")
		}
		for _, l := range s.Locations {
			block := l.Place.Around[len(l.Place.Around)-1]
			for _, pass := range Named(block, "proxy_pass") {
				target := nginxVariables(l.Place, pass.Arg(0))
				scheme, rest, _ := strings.Cut(target, "://")
				name, _, _ := strings.Cut(rest, "/")
				targets := []string{name}
				if named := upstreams[name]; named != nil {
					targets = named
				}
				if k := slices.IndexFunc(targets, h.IsHA); k >= 0 {
					sites = append(sites, ProxySite{Proxy: "nginx", Names: names, TLS: tls, File: pass.File, Line: pass.Line, Statement: pass.String(),
						Upstream: scheme + "://" + targets[k], Blocks: l.Place.Around, Server: s})
				}
			}
		}
	}
	return sites, nil
}

// nginxVariables puts what set gives to variables in their place.
func nginxVariables(p NginxPlace, s string) string {
	for _, block := range slices.Backward(p.Around) {
		for _, set := range Named(block, "set") {
			if name := set.Arg(0); strings.HasPrefix(name, "$") && len(name) > 1 && len(s) < 1000 && len(set.Arg(1)) < 1000 && !strings.Contains(set.Arg(1), name) {
				s = strings.ReplaceAll(strings.ReplaceAll(s, "${"+name[1:]+"}", set.Arg(1)), name, set.Arg(1))
			}
		}
	}
	return s
}

func (h *Host) caddySites() ([]ProxySite, error) {
	all, err := h.Caddyfile()
	if err != nil {
		return nil, err
	}
	var sites []ProxySite
	for _, site := range all {
		if len(site.Args) == 0 {
			continue
		}
		tls := false
		for _, a := range site.Args {
			tls = tls || !strings.HasPrefix(a, "http://") && !strings.HasSuffix(a, ":80")
		}
		var walk func(blocks [][]Directive)
		walk = func(blocks [][]Directive) {
			for _, d := range blocks[len(blocks)-1] {
				inner := append(slices.Clone(blocks), d.Block)
				if d.Name != "reverse_proxy" {
					if d.Block != nil {
						walk(inner)
					}
					continue
				}
				targets := slices.Clone(d.Args)
				for _, to := range Named(d.Block, "to") {
					targets = append(targets, to.Args...)
				}
				if k := slices.IndexFunc(targets, h.IsHA); k >= 0 {
					target := targets[k]
					if !strings.Contains(target, "://") {
						target = "http://" + target
					}
					sites = append(sites, ProxySite{Proxy: "Caddy", Names: site.Args, TLS: tls, File: d.File, Line: d.Line, Statement: d.String(), Upstream: target, Blocks: inner})
				}
			}
		}
		walk([][]Directive{all, site.Block})
	}
	return sites, nil
}

func (h *Host) apacheSites() ([]ProxySite, error) {
	all, err := h.Apache()
	if err != nil {
		return nil, err
	}
	var sites []ProxySite
	var walk func(blocks [][]Directive, site ProxySite)
	walk = func(blocks [][]Directive, site ProxySite) {
		for _, d := range blocks[len(blocks)-1] {
			if d.Block != nil {
				in := site
				if d.Name == "virtualhost" {
					for _, name := range slices.Concat(Named(d.Block, "servername"), Named(d.Block, "serveralias")) {
						in.Names = append(slices.Clone(in.Names), name.Args...)
					}
					for _, e := range Named(d.Block, "sslengine") {
						in.TLS = strings.EqualFold(e.Arg(0), "on")
					}
				}
				walk(append(slices.Clone(blocks), d.Block), in)
				continue
			}
			if d.Name != "proxypass" && d.Name != "proxypassmatch" && d.Name != "rewriterule" {
				continue
			}
			for _, a := range d.Args {
				plain := strings.Replace(strings.Replace(a, "ws://", "http://", 1), "wss://", "https://", 1)
				if u, _, _ := strings.Cut(strings.ReplaceAll(plain, "$1", ""), "$"); strings.HasPrefix(u, "http") && h.IsHA(u) {
					site := site
					site.Proxy, site.File, site.Line, site.Statement, site.Upstream, site.Blocks = "Apache", d.File, d.Line, d.String(), plain, blocks
					sites = append(sites, site)
				}
			}
		}
	}
	walk([][]Directive{all}, ProxySite{})
	return sites, nil
}

func (h *Host) haproxySites() ([]ProxySite, error) {
	all, err := h.HAProxy()
	if err != nil {
		return nil, err
	}
	var sites []ProxySite
	var defaults []Directive
	type back struct {
		d, server Directive
		defaults  []Directive
	}
	backs := map[string]back{}
	for _, s := range all {
		if s.Name == "defaults" {
			defaults = s.Block
		}
		if s.Name != "backend" && s.Name != "listen" {
			continue
		}
		for _, server := range Named(s.Block, "server") {
			if h.IsHA(server.Arg(1)) {
				backs[s.Arg(0)] = back{s, server, defaults}
			}
		}
	}
	add := func(front []Directive, b back) {
		tls := false
		for _, bind := range Named(front, "bind") {
			tls = tls || slices.Contains(bind.Args, "ssl")
		}
		scheme := "http://"
		if slices.Contains(b.server.Args, "ssl") {
			scheme = "https://"
		}
		sites = append(sites, ProxySite{Proxy: "HAProxy", TLS: tls, File: b.server.File, Line: b.server.Line, Statement: b.server.String(),
			Upstream: scheme + b.server.Arg(1), Blocks: [][]Directive{b.defaults, front, b.d.Block}})
	}
	for _, s := range all {
		if b, ok := backs[s.Arg(0)]; ok && s.Name == "listen" {
			add(nil, b)
			sites[len(sites)-1].TLS = slices.ContainsFunc(Named(s.Block, "bind"), func(d Directive) bool { return slices.Contains(d.Args, "ssl") })
		}
		if s.Name != "frontend" {
			continue
		}
		done := map[string]bool{}
		for _, use := range slices.Concat(Named(s.Block, "default_backend"), Named(s.Block, "use_backend")) {
			if b, ok := backs[use.Arg(0)]; ok && !done[use.Arg(0)] {
				done[use.Arg(0)] = true
				add(s.Block, b)
			}
		}
	}
	return sites, nil
}

func (h *Host) traefikSites() ([]ProxySite, error) {
	t, err := h.Traefik()
	if err != nil {
		return nil, err
	}
	var sites []ProxySite
	for _, s := range t.Dynamic {
		if strings.Contains(s.Path, ".services.") && strings.HasSuffix(s.Path, ".url") && h.IsHA(s.Value) {
			sites = append(sites, ProxySite{Proxy: "Traefik", TLS: true, File: s.File, Line: s.Line, Statement: s.Value, Upstream: s.Value})
		}
	}
	for _, s := range t.Compose {
		name, value := s.Path, s.Value
		if !strings.Contains(name, ".labels.") {
			continue
		}
		if label, v, ok := strings.Cut(value, "="); ok {
			name, value = label, v
		}
		if strings.HasSuffix(name, ".loadbalancer.server.port") && slices.Contains(h.haPorts(), value) {
			sites = append(sites, ProxySite{Proxy: "Traefik", TLS: true, File: s.File, Line: s.Line, Statement: "port " + value, Upstream: "http://homeassistant:" + value})
		}
	}
	return sites, nil
}
