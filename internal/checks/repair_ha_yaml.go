package checks

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
	"gatehouse/internal/ha"
)

// haRepair drafts a fix of Home Assistant's configuration. It looks at the whole of it
// afterwards, and takes it up when it starts anew.
func haRepair(does, breaks string, draft func(*fix.Draft)) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		draft(d)
		if !d.ByAPI() {
			d.Validate("homeassistant")
			haAnew(d)
		}
		return d.Fix()
	}
}

// haAnew has Home Assistant start anew, where a unit starts it.
func haAnew(d *fix.Draft) {
	units, err := haUnitNames(d.Host)
	if err != nil && len(units) == 0 {
		return // it is not told, and takes the change up when it starts next
	}
	for _, u := range units {
		d.Unit("try-restart", u)
	}
}

// haUnitNames are the units that start Home Assistant and can be told something: not a
// template of which none is started.
func haUnitNames(h *facts.Host) ([]string, error) {
	if h.HAOnly {
		return nil, nil
	}
	units, err := h.HAUnits()
	var names []string
	for _, u := range units {
		if !strings.Contains(u.Name, "@.") {
			names = append(names, u.Name)
		}
	}
	return names, err
}

// haHTTPSet gives an http option these values; none is its default. Before 2026.8 it stands
// in YAML. Later releases keep it themselves and are asked over their API.
func haHTTPSet(d *fix.Draft, option string, values ...string) {
	s, err := d.Host.HASettings()
	switch {
	case s.Source == "":
		d.Fail(errors.Join(err, errors.New("the http settings of Home Assistant are not known")))
		return
	case s.Source == ha.SourceStorage || s.Version.AtLeast(2026, 8):
		value, err := haHTTPValue(option, values)
		if err != nil {
			d.Fail(err)
			return
		}
		d.Guard()
		d.HTTPOption(option, value)
		return
	}
	file, _, after, err := ha.SetHTTP(d.Host.HAFiles(), option, values...)
	if err != nil {
		d.Refuse("change it there yourself", "%v", err)
		return
	}
	d.Guard()
	d.Edit(d.Host.HAPath(file), func(string) (string, error) { return string(after), nil })
}

// haHTTPValue is an option as Home Assistant's storage and API have it; nil is its default.
func haHTTPValue(option string, values []string) (any, error) {
	if len(values) == 0 {
		return nil, nil
	}
	switch option {
	case "server_host", "cors_allowed_origins":
		return values, nil
	case "trusted_proxies":
		var all []string
		for _, v := range values {
			if addr, err := netip.ParseAddr(v); err == nil {
				v = netip.PrefixFrom(addr, addr.BitLen()).String()
			}
			all = append(all, v)
		}
		return all, nil
	case "use_x_forwarded_for", "ip_ban_enabled", "use_x_frame_options":
		return values[0] == "true", nil
	case "server_port", "login_attempts_threshold":
		return strconv.Atoi(values[0])
	case "ssl_profile":
		return values[0], nil
	}
	return nil, fmt.Errorf("the http option %s is not known", option)
}

// haRewrite changes values of one file of the configuration.
func haRewrite(d *fix.Draft, file string, change func(ha.YAMLEntry) ha.YAMLChange) {
	d.Edit(d.Host.HAPath(file), func(text string) (string, error) {
		after, err := ha.RewriteYAML(file, []byte(text), change)
		if err != nil {
			return "", fix.Refuse("change it there yourself", "%v", err)
		}
		return string(after), nil
	})
}

// haNodes are nodes of the configuration, by the file that they stand in.
type haNodes map[string][]*ha.Node

func (all haNodes) add(n *ha.Node) { all[n.File] = append(all[n.File], n) }

// rewrite changes these nodes: those texts of their lines that say what they say.
func (all haNodes) rewrite(d *fix.Draft, change ha.YAMLChange) {
	for _, file := range slices.Sorted(maps.Keys(all)) {
		haRewrite(d, file, func(e ha.YAMLEntry) ha.YAMLChange {
			if slices.ContainsFunc(all[file], func(n *ha.Node) bool { return n.Line == e.Line && n.Kind == e.Kind && n.Text == e.Text }) {
				return change
			}
			return ha.YAMLChange{}
		})
	}
}

// haFront are the addresses from which proxies on this machine speak to Home Assistant.
func haFront(h *facts.Host) ([]string, error) {
	if h.HAOnly {
		return nil, nil
	}
	sites, err := h.ProxySites()
	var found []string
	for _, s := range sites {
		_, host := s.Upstreams()
		addr, parseErr := netip.ParseAddr(host)
		switch {
		case host == "localhost":
			found = append(found, "127.0.0.1", "::1")
		case parseErr == nil && addr.Unmap() == netip.MustParseAddr("127.0.0.1"), parseErr == nil && addr == netip.IPv6Loopback():
			found = append(found, addr.Unmap().String())
		default:
			err = errors.Join(err, fmt.Errorf("%s:%d: it is not known from which address %s speaks to Home Assistant", s.File, s.Line, s.Proxy))
		}
	}
	if _, there, unitErr := h.UnitFile("gatehouse.service"); unitErr == nil && there {
		found = append(found, "127.0.0.1")
	}
	slices.Sort(found)
	return slices.Compact(found), err
}

// haTrust has Home Assistant believe the proxies on this machine, beside single addresses
// that it believes already.
func haTrust(d *fix.Draft) {
	front, err := haFront(d.Host)
	if err != nil || len(front) == 0 {
		d.Refuse("write the address of your proxy into trusted_proxies, and nothing else", "%v", cmp.Or(err, errors.New("no proxy that leads to Home Assistant was found on this machine, so its address is yours to name")))
		return
	}
	s, _ := d.Host.HASettings()
	var kept []string
	for _, p := range s.HTTP.TrustedProxies {
		if p.Addr().Is4() && p.Bits() < 28 || p.Addr().Is6() && p.Bits() < 120 {
			continue
		}
		if p.IsSingleIP() {
			kept = append(kept, p.Addr().String())
		} else {
			kept = append(kept, p.String())
		}
	}
	for _, a := range front {
		addr := netip.MustParseAddr(a)
		if !slices.ContainsFunc(kept, func(k string) bool {
			p, err := netip.ParsePrefix(k)
			return k == a || err == nil && p.Contains(addr)
		}) {
			kept = append(kept, a)
		}
	}
	haHTTPSet(d, "trusted_proxies", kept...)
}

func haRepairTrusted() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Has Home Assistant believe the proxy on this machine, and no whole networks.", "Another proxy that stood in one of these networks is answered with an error until it is named.", haTrust)
}

func haRepairForwarded() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Has Home Assistant ask the proxy on this machine who is asking.", "", func(d *fix.Draft) {
		haTrust(d)
		haHTTPSet(d, "use_x_forwarded_for", "true")
	})
}

func haRepairBind() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Has Home Assistant listen on this machine alone, where its proxy finds it.", "Whatever uses Home Assistant's own port directly, past the proxy, no longer reaches it: speakers, wall panels, apps with an address of the home network.", func(d *fix.Draft) {
		front, err := haFront(d.Host)
		if err != nil || len(front) == 0 {
			d.Refuse("set server_host to the address by which your proxy reaches Home Assistant", "%v", cmp.Or(err, errors.New("no proxy that leads to Home Assistant was found on this machine")))
			return
		}
		core, err := d.Host.HACore()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.Fail(err)
			return
		}
		s, _ := d.Host.HASettings()
		if haNamesPort(core.Internal, s.HTTP.ServerPort) {
			d.Refuse("gatehouse close moves such a home, and keeps this address", "%s: speakers and televisions are sent to %s", core.At("internal_url").File, haWithoutLogin(core.Internal))
			return
		}
		if slices.Contains(front, "127.0.0.1") { // a name that means both is tried on both
			front = []string{"127.0.0.1"}
		}
		haHTTPSet(d, "server_host", front...)
	})
}

func haRepairBan() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Has Home Assistant shut out an address for good after ten wrong passwords.", "Somebody at home who is wrong ten times has to be taken out of ip_bans.yaml again.", func(d *fix.Draft) {
		s, _ := d.Host.HASettings()
		if proxies, err := haProxies(d.Host, s.HTTP.ServerPort); err != nil || len(proxies) > 0 && !s.HTTP.UseXForwardedFor {
			d.Refuse("gatehouse fix hahttp.xff", "%v", cmp.Or(err, errors.New("everybody is taken for the proxy, and would be shut out")))
			return
		}
		if !s.HTTP.IPBanEnabled {
			haHTTPSet(d, "ip_ban_enabled", "true")
		}
		if n := s.HTTP.LoginAttemptsThreshold; n < 3 || n > 10 {
			haHTTPSet(d, "login_attempts_threshold", "10")
		}
	})
}

// haRepairCORS leaves those pages alone that are good.
func haRepairCORS(does string, good func(string) bool) func(*facts.Host) (finding.Fix, error) {
	return haRepair(does, "A page of another server that shows Home Assistant's data in a browser stops doing so.", func(d *fix.Draft) {
		s, _ := d.Host.HASettings()
		var kept []string
		for _, o := range s.HTTP.CORSAllowedOrigins {
			if good(o) {
				kept = append(kept, o)
			}
		}
		haHTTPSet(d, "cors_allowed_origins", kept...)
	})
}

func haRepairFrame() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Has Home Assistant forbid other pages to show it inside themselves.", "A wall panel that shows Home Assistant in a frame stays empty.", func(d *fix.Draft) {
		haHTTPSet(d, "use_x_frame_options", "true")
	})
}

func haRepairBans() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Takes the proxy and this machine off the list of banned addresses.", "")
		s, _ := h.HASettings()
		if proxies, err := haProxies(h, s.HTTP.ServerPort); err != nil || len(proxies) > 0 && !s.HTTP.UseXForwardedFor {
			d.Refuse("gatehouse fix hahttp.xff", "%v", cmp.Or(err, errors.New("everybody is still taken for the proxy, which would be banned again")))
		}
		haRewrite(d, "ip_bans.yaml", func(e ha.YAMLEntry) ha.YAMLChange {
			if len(e.Keys) != 1 {
				return ha.YAMLChange{}
			}
			addr, err := netip.ParseAddr(e.Keys[0])
			return ha.YAMLChange{Remove: err == nil && (addr.Unmap().IsLoopback() || s.HTTP.Trusts(addr))}
		})
		haAnew(d)
		return d.Fix()
	}
}

func haRepairSource() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Takes the http: block out of the configuration, which Home Assistant reads no more.", "", func(d *fix.Draft) {
		s, _ := d.Host.HASettings()
		if s.Pending != nil {
			d.Refuse("confirm or discard it under Settings, System, Network", "a change of the http settings waits to be confirmed")
			return
		}
		root, err := d.Host.HAConfiguration()
		if err != nil {
			d.Fail(err)
			return
		}
		left, err := root.Sections("http")
		if err != nil {
			d.Fail(err)
			return
		}
		for _, f := range left {
			haRewrite(d, f.At.File, func(e ha.YAMLEntry) ha.YAMLChange {
				return ha.YAMLChange{Remove: e.KeyLine == f.At.Line && e.Keys[len(e.Keys)-1] == f.Key}
			})
		}
	})
}

// haSomebodySignsIn makes sure that there is an account left with a password.
func haSomebodySignsIn(d *fix.Draft) {
	all, err := d.Host.HAPasswords()
	if err == nil && !slices.ContainsFunc(all, func(p facts.HAPassword) bool { return p.Kind == "bcrypt" }) {
		err = errors.New("no account has a password")
	}
	if err != nil {
		d.Refuse("give the owner's account a password and try it first", "nobody could sign in afterwards: %v", err)
	}
}

// haProvidersWithout takes ways to sign in out of the configuration; the one by password
// stays or comes to be.
func haProvidersWithout(d *fix.Draft, gone func(*ha.Node) bool) {
	all, err := haProviders(d.Host)
	if err != nil {
		d.Fail(err)
		return
	}
	kept := haNodes{}
	passwords, left := false, 0
	for _, p := range all {
		if gone(p) {
			kept.add(p)
			continue
		}
		left++
		passwords = passwords || p.Get("type").Value() == "homeassistant"
	}
	if left > 0 && !passwords {
		d.Refuse("add type: homeassistant to auth_providers first", "nobody could sign in with a password afterwards")
		return
	}
	if len(kept) > 0 {
		haSomebodySignsIn(d)
	}
	for _, file := range slices.Sorted(maps.Keys(kept)) {
		nodes := kept[file]
		haRewrite(d, file, func(e ha.YAMLEntry) ha.YAMLChange {
			return ha.YAMLChange{Remove: e.Kind == ha.MappingNode && slices.ContainsFunc(nodes, func(n *ha.Node) bool {
				return n.Line == e.Line && e.Field("type") == n.Get("type").Value()
			})}
		})
	}
}

func haRepairProviders() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Takes the ways to sign in out of Home Assistant that ask for nothing.", "Whoever signed in without a password needs one.", func(d *fix.Draft) {
		d.Guard()
		haProvidersWithout(d, func(p *ha.Node) bool {
			kind := p.Get("type").Value()
			return kind == "insecure_example" || kind == "legacy_api_password"
		})
		haNoBypass(d)
	})
}

// haNoBypass switches off that a device signs in without being asked.
func haNoBypass(d *fix.Draft) {
	all, err := haProviders(d.Host)
	if err != nil {
		d.Fail(err)
		return
	}
	on := haNodes{}
	for _, p := range all {
		if n := p.Get("allow_bypass_login"); p.Get("type").Value() == "trusted_networks" && n.True() {
			on.add(n)
		}
	}
	on.rewrite(d, ha.YAMLChange{Put: "false"})
}

func haRepairTrustedNetworks() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Takes those networks out of trusted_networks from which strangers may come.", "Devices in these networks have to sign in with a password.", func(d *fix.Draft) {
		d.Guard()
		all, err := haProviders(d.Host)
		if err != nil {
			d.Fail(err)
			return
		}
		wide := haNodes{}
		var empty []*ha.Node
		for _, p := range all {
			if p.Get("type").Value() != "trusted_networks" {
				continue
			}
			left := 0
			for _, n := range p.Get("trusted_networks").List() {
				prefix, err := netip.ParsePrefix(n.Value())
				if addr, addrErr := netip.ParseAddr(n.Value()); err != nil && addrErr == nil {
					prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
				}
				if err != nil {
					d.Fail(fmt.Errorf("%s: not a network", n.Place))
					return
				}
				if trustedTooMuch(d.Host, prefix) != "" {
					wide.add(n)
				} else {
					left++
				}
			}
			if left == 0 {
				empty = append(empty, p)
			}
			if users := p.Get("trusted_users"); left > 0 && (users == nil || len(users.Fields) == 0) {
				d.Refuse("name in trusted_users who may sign in from which address, or take trusted_networks out", "%s: who may sign in by address is yours to say", p.Place)
				return
			}
		}
		haNoBypass(d)
		if len(empty) > 0 {
			haProvidersWithout(d, func(o *ha.Node) bool {
				return slices.ContainsFunc(empty, func(p *ha.Node) bool { return p.Place == o.Place })
			})
			return
		}
		wide.rewrite(d, ha.YAMLChange{Remove: true})
	})
}

func haRepairWebhooks() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Has the webhooks of automations answer in the house only, and not to links.", "A service on the Internet that calls such a webhook gets no answer any more.", func(d *fix.Draft) {
		root, err := d.Host.HAConfiguration()
		if err != nil {
			d.Fail(err)
			return
		}
		all, err := root.Sections("automation")
		if err != nil {
			d.Fail(err)
			return
		}
		local, links := haNodes{}, haNodes{}
		for _, f := range all {
			f.Value.Walk(func(_ []string, n *ha.Node) {
				if n.Get("platform").Value() != "webhook" && n.Get("trigger").Value() != "webhook" {
					return
				}
				if l := n.Get("local_only"); l != nil && !l.True() {
					local.add(l)
				}
				methods := n.Get("allowed_methods").List()
				for _, m := range methods {
					if v := strings.ToUpper(m.Value()); v == "GET" || v == "HEAD" {
						links.add(m)
					}
				}
			})
		}
		local.rewrite(d, ha.YAMLChange{Put: "true"})
		links.rewrite(d, ha.YAMLChange{Remove: true})
	})
}

func haRepairAllowlist() func(*facts.Host) (finding.Fix, error) {
	return haRepair("Takes folders with secrets in them out of those that Home Assistant may read for automations and show as media.", "An automation that sends a file out of such a folder fails until a narrower one is named.", func(d *fix.Draft) {
		block, err := haCoreBlock(d.Host)
		if err != nil {
			d.Fail(err)
			return
		}
		wide := haNodes{}
		for _, key := range []string{"allowlist_external_dirs", "whitelist_external_dirs", "media_dirs"} {
			block.Get(key).Walk(func(_ []string, n *ha.Node) {
				if n.Kind == ha.TextNode && haTooMuch(d.Host, path.Clean(n.Value())) {
					wide.add(n)
				}
			})
		}
		wide.rewrite(d, ha.YAMLChange{Remove: true})
	})
}

// haOwnEditor are the files that Home Assistant's own editor writes. It reads no secrets
// there: with one in it the editor opens no automation any more.
func haOwnEditor(file string) bool {
	return slices.Contains([]string{"automations.yaml", "scripts.yaml", "scenes.yaml"}, file)
}

// haSecretsFor is where the secrets of a file are looked for; empty where nothing does.
func haSecretsFor(h *facts.Host, file string) (string, error) {
	if strings.HasPrefix(file, "esphome/") { // which reads its own, beside the file
		return "esphome/secrets.yaml", nil
	}
	root, err := h.HAConfiguration()
	if err != nil {
		return "", err
	}
	read := false
	root.Walk(func(_ []string, n *ha.Node) { read = read || n.File == file })
	if !read {
		return "", nil
	}
	return "secrets.yaml", nil
}

// haMove moves secrets of a file to where it looks for them, and gives a new file of
// secrets to whom the configuration belongs.
func haMove(d *fix.Draft, file string, secret func(ha.YAMLEntry) bool) {
	into, err := haSecretsFor(d.Host, file)
	switch {
	case err != nil:
		d.Fail(err)
		return
	case into == "":
		d.Refuse("see whether that program takes secrets from somewhere else", "%s is not Home Assistant's, and whoever reads it may know no !secret", d.Host.HAPath(file))
		return
	case haOwnEditor(file):
		d.Refuse("make the automation or script anew in a package or another file that configuration.yaml includes, where !secret is read", "%s is written by Home Assistant's own editor, which knows no !secret", d.Host.HAPath(file))
		return
	}
	changed, secrets, err := ha.MoveSecrets(d.Host.HAFiles(), file, into, secret)
	if err != nil {
		d.Refuse("move it yourself", "%v", err)
		return
	}
	at := d.Host.HAPath(into)
	there, err := d.Host.Exists(at)
	if err != nil {
		d.Fail(err)
		return
	}
	d.Write(at, 0o600, string(secrets))
	if dir, err := d.Host.Stat(path.Dir(at)); !there && err == nil {
		d.Owner(at, dir.UID, dir.GID)
	}
	d.Edit(d.Host.HAPath(file), func(string) (string, error) { return string(changed), nil })
	d.Secret(at)
	d.Secret(d.Host.HAPath(file))
}

func haRepairLiterals() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Moves passwords and keys to secrets.yaml and writes !secret and a name in their place; what they say stays the same.",
			"What was shown to others before is still known to them: change those passwords.")
		const most = 200
		for range most {
			all, err := d.Host.HALiterals()
			if len(all) == 0 {
				d.Fail(err)
				break
			}
			first := all[0]
			name := strings.TrimPrefix(first.File, strings.TrimSuffix(d.Host.HAPath(""), "/")+"/")
			haMove(d, name, func(e ha.YAMLEntry) bool {
				return e.Tag == "" && len(e.Keys) > 0 && slices.ContainsFunc(all, func(l facts.HALiteral) bool {
					return l.File == first.File && l.Line == e.Line && l.Key == e.Keys[len(e.Keys)-1] && l.Length == len(e.Text)
				})
			})
			if _, err := d.Fix(); err != nil {
				return finding.Fix{}, err
			}
		}
		d.Validate("homeassistant")
		return d.Fix()
	}
}

func haRepairRecorder() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Moves the address of the database, with its password, to secrets.yaml.", "")
		root, err := h.HAConfiguration()
		if err != nil {
			return finding.Fix{}, err
		}
		all, err := root.Sections("recorder")
		if err != nil {
			return finding.Fix{}, err
		}
		for _, f := range all {
			days, _ := strconv.Atoi(f.Value.Get("purge_keep_days").Value())
			if auto := f.Value.Get("auto_purge"); auto != nil && !auto.True() || days > 365 {
				d.Refuse("set purge_keep_days yourself", "what Home Assistant then forgets cannot be brought back")
			}
			if url := f.Value.Get("db_url"); url != nil && !url.Secret {
				haMove(d, url.File, func(e ha.YAMLEntry) bool {
					return e.Line == url.Line && e.Text == url.Text && e.Tag == ""
				})
			}
		}
		d.Validate("homeassistant")
		return d.Fix()
	}
}

func haRepairUnused() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Takes secrets out of secrets.yaml that no file of the configuration uses.", "A program beside Home Assistant that reads this file by itself, such as AppDaemon, may miss one.")
		v := haSecUnused().Judge(h)
		names, _ := v.Effective.([]string)
		left := map[string]int{}
		for _, e := range v.Evidence {
			if name, why, _ := strings.Cut(e.Value, ": "); why == "twice" {
				left[name]++
			}
		}
		seen := map[string]bool{}
		for _, e := range v.Evidence {
			if name, why, _ := strings.Cut(e.Value, ": "); why != "twice" {
				seen[name] = true
			}
		}
		haRewrite(d, "secrets.yaml", func(e ha.YAMLEntry) ha.YAMLChange {
			if len(e.Keys) != 1 || e.Item || !slices.Contains(names, e.Keys[0]) {
				return ha.YAMLChange{}
			}
			if seen[e.Keys[0]] {
				return ha.YAMLChange{Remove: true}
			}
			left[e.Keys[0]]-- // the last of several is the one that Home Assistant takes
			return ha.YAMLChange{Remove: left[e.Keys[0]] >= 0}
		})
		d.Secret(h.HAPath("secrets.yaml"))
		d.Validate("homeassistant")
		return d.Fix()
	}
}
