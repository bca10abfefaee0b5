package checks

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
	"gatehouse/internal/ha"
)

// nginxOurs is a file of http settings of ours, which nginx of Debian reads by itself.
const nginxOurs = "/etc/nginx/conf.d/60-gatehouse.conf"

// proxyFelt has a proxy look at its configuration and take it up. Whatever is changed in
// front of Home Assistant could lock its owner out.
func proxyFelt(d *fix.Draft, proxy string) {
	d.Guard()
	switch proxy {
	case "nginx":
		d.Validate("nginx")
		d.Unit("try-reload-or-restart", "nginx.service")
	case "Apache":
		d.Validate("apache")
		unit := "apache2.service"
		if _, there, err := d.Host.UnitFile("httpd.service"); err == nil && there {
			unit = "httpd.service"
		}
		d.Unit("try-reload-or-restart", unit)
	case "HAProxy":
		d.Validate("haproxy")
		d.Unit("try-reload-or-restart", "haproxy.service")
	case "Caddy":
		d.Validate("caddy")
		d.Unit("try-reload-or-restart", "caddy.service")
	}
}

// proxyRepair drafts a fix of every way through a proxy that draft has something to change
// at; it says whether it did.
func proxyRepair(does, breaks string, draft func(*fix.Draft, facts.ProxySite) bool) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		for n := 0; ; n++ {
			sites, err := d.Host.ProxySites() // lines move with every change
			if err != nil {
				return finding.Fix{}, err
			}
			if n >= len(sites) || d.Err() != nil {
				return orPerson(d)
			}
			if draft(d, sites[n]) {
				proxyFelt(d, sites[n].Proxy)
			}
		}
	}
}

// orPerson is the fix, or that there is none for what stands here.
func orPerson(d *fix.Draft) (finding.Fix, error) {
	f, err := d.Fix()
	if err != nil && d.Err() == nil {
		err = fix.Refuse("gatehouse audit --explain says what to do", "what stands there is changed by no program with certainty")
	}
	return f, err
}

// proxyStatement changes the one statement that stands on a line; whatever else is on the
// line with it makes that uncertain. text is the statement, without its ; in nginx.
func proxyStatement(d *fix.Draft, s facts.Directive, nginx bool, change func(indent, text string) (before []string, instead string, after []string)) {
	d.Edit(s.File, func(file string) (string, error) {
		lines := strings.SplitAfter(file, "\n")
		uncertain := fix.Refuse("change it there yourself", "%s:%d: more than one statement, or half of one, is on the line", s.File, s.Line)
		if s.Line < 1 || s.Line > len(lines) {
			return "", uncertain
		}
		line := strings.TrimRight(lines[s.Line-1], "\r\n")
		eol := lines[s.Line-1][len(line):]
		rest := strings.TrimLeft(line, " \t")
		indent, text, tail := line[:len(line)-len(rest)], rest, ""
		if nginx {
			end := nginxEnd(rest)
			if end < 0 {
				return "", uncertain
			}
			text, tail = rest[:end], rest[end:]
		} else if strings.HasSuffix(rest, `\`) {
			return "", uncertain
		} else if n := strings.Index(rest, " #"); n > 0 && !strings.ContainsAny(rest[:n], `"'`) {
			text = strings.TrimRight(rest[:n], " \t")
			tail = rest[len(text):]
		}
		if first := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t={", r) }); len(first) == 0 || !strings.EqualFold(strings.Trim(first[0], `"'`), s.Name) {
			return "", uncertain
		}
		if eol == "" {
			eol = "\n"
		}
		before, instead, after := change(indent, text)
		var b strings.Builder
		for _, l := range before {
			b.WriteString(indent + l + eol)
		}
		b.WriteString(indent + instead + tail + lines[s.Line-1][len(line):])
		for n, l := range after {
			if n == 0 && !strings.HasSuffix(lines[s.Line-1], "\n") {
				b.WriteString(eol)
			}
			b.WriteString(indent + l + eol)
		}
		lines[s.Line-1] = b.String()
		return strings.Join(lines, ""), nil
	})
}

// nginxEnd is where the one statement of a line ends, before its ; or {; -1 where there is none
// or more than one.
func nginxEnd(line string) int {
	end, quote := -1, byte(0)
	for n := 0; n < len(line); n++ {
		switch c := line[n]; {
		case quote != 0 && c == '\\', quote == 0 && c == '\\':
			n++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			if end >= 0 {
				return -1
			}
			quote = c
		case c == '$' && n+1 < len(line) && line[n+1] == '{':
			for n < len(line) && line[n] != '}' {
				n++
			}
		case c == ';' || c == '{':
			if end >= 0 {
				return -1
			}
			end = n
		case c == '#' && (n == 0 || strings.IndexByte(" \t;{", line[n-1]) >= 0):
			return end
		case end >= 0 && c != ' ' && c != '\t', c == '}':
			return -1
		}
	}
	return end
}

func proxyPut(d *fix.Draft, s facts.Directive, nginx bool, instead string) {
	proxyStatement(d, s, nginx, func(string, string) ([]string, string, []string) { return nil, instead, nil })
}

func proxyAfter(d *fix.Draft, s facts.Directive, nginx bool, after ...string) {
	proxyStatement(d, s, nginx, func(_, text string) ([]string, string, []string) { return nil, text, after })
}

func proxyBefore(d *fix.Draft, s facts.Directive, nginx bool, before ...string) {
	proxyStatement(d, s, nginx, func(_, text string) ([]string, string, []string) { return before, text, nil })
}

// proxyRemark makes a remark of a statement that has its line to itself.
func proxyRemark(d *fix.Draft, s facts.Directive, nginx bool) {
	proxyStatement(d, s, nginx, func(_, text string) ([]string, string, []string) { return nil, "# (gatehouse) " + text, nil })
}

// siteStatement is the statement that leads to Home Assistant.
func siteStatement(s facts.ProxySite) facts.Directive {
	name, _, _ := strings.Cut(s.Statement, " ")
	return facts.Directive{Name: name, File: s.File, Line: s.Line}
}

// nginxBeside is the last statement of a name that holds in a place, or else the last of
// its own block of another one: what is written after it holds as well.
func nginxBeside(place facts.NginxPlace, name, otherwise string) (facts.Directive, bool) {
	if d, ok := place.Last(name); ok {
		return d, true
	}
	if len(place.Around) == 0 {
		return facts.Directive{}, false
	}
	all := facts.Named(place.Around[len(place.Around)-1], otherwise)
	if len(all) == 0 {
		return facts.Directive{}, false
	}
	return all[len(all)-1], true
}

// nginxAdd writes statements beside others.
func nginxAdd(d *fix.Draft, place facts.NginxPlace, name, otherwise string, statements ...string) bool {
	at, ok := nginxBeside(place, name, otherwise)
	if !ok {
		d.Refuse("change it there yourself", "there is no statement beside which %s could be written", name)
		return false
	}
	proxyAfter(d, at, true, statements...)
	return true
}

// nginxSettings adds lines to a file of http settings, and makes sure that nginx reads it.
func nginxSettings(d *fix.Draft, read func([]facts.Directive) bool, lines string) {
	text := d.Text(nginxOurs)
	if text == "" {
		text = "# Written by gatehouse; \"gatehouse undo\" takes it back.\n"
	}
	d.Write(nginxOurs, 0o644, text+lines)
	all, err := d.Host.Nginx()
	if err != nil {
		d.Fail(err)
		return
	}
	for _, http := range facts.Named(all, "http") {
		if read(http.Block) {
			return
		}
	}
	d.Refuse("include conf.d/*.conf in the http block of nginx.conf", "nginx does not read %s", nginxOurs)
}

func proxyRepairXFF() func(*facts.Host) (finding.Fix, error) {
	const name, good = "X-Forwarded-For", "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for"
	return proxyRepair("Has the proxy tell Home Assistant who is asking, once and truly.", "", func(d *fix.Draft, s facts.ProxySite) bool {
		switch s.Proxy {
		case "nginx":
			for _, from := range s.Effective("set_real_ip_from") {
				if strings.HasSuffix(from.Arg(0), "/0") {
					d.Refuse("name the addresses of what stands in front of nginx in set_real_ip_from, or take it out", "%s:%d: whose word nginx may take is yours to say", from.File, from.Line)
					return false
				}
			}
			place := facts.NginxPlace{Around: s.Blocks}
			all := headerLines(place.Effective("proxy_set_header"), 0, name)
			if len(all) == 0 {
				return nginxAdd(d, place, "proxy_set_header", "proxy_pass", good+";")
			}
			for _, more := range slices.Backward(all[1:]) {
				proxyRemark(d, more, true)
			}
			value := all[0].Arg(1)
			if value != "$remote_addr" && value != "$proxy_add_x_forwarded_for" && value != "$realip_remote_addr" {
				proxyPut(d, all[0], true, good)
				return true
			}
			return len(all) > 1
		case "Apache":
			changed := false
			for _, off := range slices.Backward(s.Effective("proxyaddheaders")) {
				if strings.EqualFold(off.Arg(0), "off") {
					proxyPut(d, off, false, "ProxyAddHeaders On")
					changed = true
				}
			}
			for _, add := range slices.Backward(headerLines(s.All("requestheader"), 1, name)) {
				if strings.EqualFold(add.Arg(0), "add") {
					proxyRemark(d, add, false)
					changed = true
				}
			}
			return changed
		case "HAProxy":
			return haproxyXFF(d, s)
		case "Caddy":
			for _, up := range headerLines(s.Blocks[len(s.Blocks)-1], 0, name) {
				if up.Name == "header_up" && !strings.Contains(up.Arg(1), "remote") {
					proxyRemark(d, up, false)
					return true
				}
			}
		}
		return false
	})
}

// haproxyXFF has HAProxy throw away what a stranger says before it says itself who is asking.
func haproxyXFF(d *fix.Draft, s facts.ProxySite) bool {
	const name = "X-Forwarded-For"
	var set, del, forward []facts.Directive
	for _, block := range s.Blocks {
		for _, r := range block {
			switch {
			case r.Name == "http-request" && strings.EqualFold(r.Arg(1), name) && r.Arg(0) == "set-header":
				set = append(set, r)
			case r.Name == "http-request" && strings.EqualFold(r.Arg(1), name) && r.Arg(0) == "del-header":
				del = append(del, r)
			case r.Name == "option" && r.Arg(0) == "forwardfor":
				forward = append(forward, r)
			}
		}
	}
	switch {
	case len(set) > 1 || len(forward) > 1:
		d.Refuse("keep one of them", "%s:%d: it is set in more than one place", s.File, s.Line)
		return false
	case len(forward) > 0 && slices.Contains(forward[0].Args, "if-none"):
		proxyPut(d, forward[0], false, "option forwardfor")
	case len(set) > 0 && len(forward) > 0:
		proxyPut(d, set[0], false, "http-request del-header X-Forwarded-For")
		return true
	case len(set) > 0 && !strings.Contains(set[0].Arg(2), "src"):
		proxyPut(d, set[0], false, "http-request set-header X-Forwarded-For %[src]")
		return true
	case len(forward) == 0 && len(set) == 0:
		proxyBefore(d, siteStatement(s), false, "http-request set-header X-Forwarded-For %[src]")
		return true
	}
	if len(forward) > 0 && len(del) == 0 {
		proxyBefore(d, siteStatement(s), false, "http-request del-header X-Forwarded-For")
		return true
	}
	return len(forward) > 0 && slices.Contains(forward[0].Args, "if-none")
}

func proxyRepairWebSocket() func(*facts.Host) (finding.Fix, error) {
	return proxyRepair("Has the proxy let through the connection that the dashboard lives on.", "", func(d *fix.Draft, s facts.ProxySite) bool {
		if s.Proxy != "nginx" || s.Server == nil {
			return false
		}
		l, ok := nginxLocation(s.Server, "/api/websocket")
		if !ok {
			return false
		}
		headers := l.Place.Effective("proxy_set_header")
		var more []string
		if v, ok := l.Place.Last("proxy_http_version"); !ok {
			more = append(more, "proxy_http_version 1.1;")
		} else if v.Arg(0) != "1.1" {
			d.Refuse("set it to 1.1", "%s:%d: proxy_http_version is %s", v.File, v.Line, v.Arg(0))
			return false
		}
		for _, h := range [][2]string{{"Upgrade", "$http_upgrade"}, {"Connection", `"upgrade"`}} {
			line := "proxy_set_header " + h[0] + " " + h[1]
			if there := headerLines(headers, 0, h[0]); len(there) == 0 {
				more = append(more, line+";")
			} else if v := there[0].Arg(1); v == "" || h[0] == "Upgrade" && v != "$http_upgrade" {
				proxyPut(d, there[0], true, line)
			}
		}
		if t, ok := l.Place.Last("proxy_read_timeout"); ok {
			if long, ok := proxyTime(t.Arg(0), 1e9); ok && long < 60e9 {
				proxyPut(d, t, true, "proxy_read_timeout 1h")
			}
		}
		if len(more) > 0 {
			return nginxAdd(d, l.Place, "proxy_set_header", "proxy_pass", more...)
		}
		return true
	})
}

func proxyRepairLimit() func(*facts.Host) (finding.Fix, error) {
	return proxyRepair("Has nginx slow down an address that signs in more than thirty times a minute.", "A large family behind one address, or a script that signs in all the time, may be told to wait.", func(d *fix.Draft, s facts.ProxySite) bool {
		if s.Proxy != "nginx" || s.Server == nil {
			return false
		}
		if _, limited := s.Server.Place.Last("limit_req"); limited {
			return false
		}
		if !strings.Contains(d.Text(nginxOurs), "zone=gatehouse_login:") {
			nginxSettings(d, func(block []facts.Directive) bool {
				return slices.ContainsFunc(facts.Named(block, "limit_req_zone"), func(z facts.Directive) bool { return z.File == nginxOurs })
			}, "map $uri $gatehouse_login {\n    default \"\";\n    ~^/auth/(login_flow|token) $binary_remote_addr;\n}\nlimit_req_zone $gatehouse_login zone=gatehouse_login:1m rate=30r/m;\n")
			sites, err := d.Host.ProxySites()
			if err != nil {
				d.Fail(err)
				return false
			}
			n := slices.IndexFunc(sites, func(o facts.ProxySite) bool { return o.File == s.File && o.Line == s.Line })
			if n < 0 {
				return false
			}
			s = sites[n]
		}
		at, ok := nginxBeside(s.Server.Place, "server_name", "listen")
		if !ok {
			d.Refuse("", "%s:%d: a server without listen", s.Server.Directive.File, s.Server.Directive.Line)
			return false
		}
		proxyAfter(d, at, true, "limit_req zone=gatehouse_login burst=20 nodelay;", "limit_req_status 429;")
		return true
	})
}

func proxyRepairHost() func(*facts.Host) (finding.Fix, error) {
	const ours = "/etc/nginx/conf.d/00-gatehouse-default.conf"
	return proxyRepair("Has nginx close the connection where somebody asks for another name than that of the house.", "Home Assistant is no longer reached through the proxy by a plain address, as https://192.168.1.5.", func(d *fix.Draft, s facts.ProxySite) bool {
		if s.Proxy != "nginx" || s.Server == nil || d.Text(ours) != "" {
			return false
		}
		if len(s.Names) == 0 || slices.ContainsFunc(s.Names, func(n string) bool { return n == "_" || n == "" }) {
			d.Refuse("give the server its name with server_name", "%s:%d: the server has no name, so it would be asked for by none", s.Server.Directive.File, s.Server.Directive.Line)
			return false
		}
		all, err := d.Host.NginxServers()
		if err != nil {
			d.Fail(err)
			return false
		}
		var tls, plain []string
		for _, l := range nginxListens(s.Server) {
			line := "    listen " + l.Arg(0)
			switch {
			case slices.ContainsFunc(all, func(o facts.NginxServer) bool {
				return o.Directive.Line != s.Server.Directive.Line && slices.ContainsFunc(facts.Named(o.Directive.Block, "listen"), func(m facts.Directive) bool {
					return m.Arg(0) == l.Arg(0) && slices.Contains(m.Args, "default_server")
				})
			}): // another one is it already
			case slices.Contains(l.Args, "default_server") || slices.Contains(l.Args, "quic") || strings.HasPrefix(l.Arg(0), "unix:"):
				d.Refuse("take default_server off it first", "%s:%d: somebody made it the default on purpose", l.File, l.Line)
				return false
			case slices.Contains(l.Args, "ssl"):
				tls = append(tls, line+" ssl default_server;\n")
			default:
				plain = append(plain, line+" default_server;\n")
			}
		}
		text := "# Written by gatehouse; \"gatehouse undo\" takes it back.\n"
		if len(tls) > 0 {
			text += "server {\n" + strings.Join(tls, "") + "    ssl_reject_handshake on;\n}\n"
		}
		if len(plain) > 0 {
			text += "server {\n" + strings.Join(plain, "") + "    return 444;\n}\n"
		}
		d.Write(ours, 0o644, text)
		if all, err = d.Host.NginxServers(); err != nil {
			d.Fail(err)
			return false
		}
		if !slices.ContainsFunc(all, func(o facts.NginxServer) bool { return o.Directive.File == ours }) {
			d.Refuse("include conf.d/*.conf in the http block of nginx.conf", "nginx does not read %s", ours)
		}
		return true
	})
}

// proxyHSTS has a proxy tell browsers to stay with TLS.
func proxyHSTS(d *fix.Draft, s facts.ProxySite) bool {
	const name = "Strict-Transport-Security"
	if !s.TLS {
		return false
	}
	switch s.Proxy {
	case "nginx":
		place := facts.NginxPlace{Around: s.Blocks}
		if len(headerLines(place.Effective("add_header"), 0, name)) > 0 {
			return false
		}
		const line = `add_header Strict-Transport-Security "max-age=31536000" always;`
		if _, some := place.Last("add_header"); some {
			return nginxAdd(d, place, "add_header", "proxy_pass", line)
		}
		at, ok := nginxBeside(s.Server.Place, "server_name", "listen")
		if ok {
			proxyAfter(d, at, true, line)
		}
		return ok
	case "Caddy":
		said := false
		for _, block := range s.Blocks[1:] {
			everyDirective(block, func(c facts.Directive) {
				said = said || strings.Contains(strings.ToLower(c.String()), strings.ToLower(name))
			})
		}
		if !said {
			proxyBefore(d, siteStatement(s), false, "header Strict-Transport-Security max-age=31536000")
		}
		return !said
	case "HAProxy":
		for _, block := range s.Blocks {
			if len(headerLines(block, 1, name)) > 0 {
				return false
			}
		}
		proxyBefore(d, siteStatement(s), false, "http-response set-header Strict-Transport-Security max-age=31536000")
		return true
	case "Apache":
		if len(headerLines(s.All("header"), 1, name))+len(headerLines(s.All("header"), 2, name)) > 0 {
			return false
		}
		if _, err := d.Host.Stat("/etc/apache2/mods-enabled/headers.load"); err != nil {
			d.Refuse("a2enmod headers", "Apache has not loaded mod_headers")
			return false
		}
		proxyBefore(d, siteStatement(s), false, `Header always set Strict-Transport-Security "max-age=31536000"`)
		return true
	}
	return false
}

func proxyRepairHSTS() func(*facts.Host) (finding.Fix, error) {
	return proxyRepair("Has the proxy tell browsers to ask for the house by TLS only, for a year.", "Browsers do not forget it: the house has to stay with TLS under this name.", proxyHSTS)
}

func proxyRepairHeaders() func(*facts.Host) (finding.Fix, error) {
	return proxyRepair("Has the proxy tell browsers to stay with TLS for a year, and strangers nothing about itself.", "Browsers do not forget it: the house has to stay with TLS under this name.", func(d *fix.Draft, s facts.ProxySite) bool {
		changed := proxyHSTS(d, s)
		if d.Err() != nil {
			return false
		}
		switch s.Proxy {
		case "nginx":
			if t, ok := (facts.NginxPlace{Around: s.Blocks}).Last("server_tokens"); ok && t.Arg(0) == "on" {
				proxyPut(d, t, true, "server_tokens off")
				return true
			} else if !ok && s.TLS {
				nginxSettings(d, func(block []facts.Directive) bool {
					return slices.ContainsFunc(facts.Named(block, "server_tokens"), func(z facts.Directive) bool { return z.File == nginxOurs })
				}, "server_tokens off;\n")
				return true
			}
		case "Apache":
			if tokens := s.All("servertokens"); len(tokens) > 0 && !strings.HasPrefix(strings.ToLower(tokens[len(tokens)-1].Arg(0)), "prod") {
				proxyPut(d, tokens[len(tokens)-1], false, "ServerTokens Prod")
				return true
			}
		}
		return changed
	})
}

// proxyEverywhere drafts a fix of statements anywhere in a proxy's configuration: bad says
// what stands there instead, or nothing.
func proxyEverywhere(does, breaks string, bad map[string]func(facts.Directive) string) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		for _, p := range []struct {
			name string
			read func() ([]facts.Directive, error)
		}{{"nginx", h.Nginx}, {"Apache", h.Apache}, {"HAProxy", h.HAProxy}, {"Caddy", h.Caddyfile}} {
			judge := bad[p.name]
			if judge == nil {
				continue
			}
			all, err := p.read()
			if proxyMissing(err) {
				continue
			}
			if err != nil {
				return finding.Fix{}, err
			}
			seen := map[string]bool{}
			everyDirective(all, func(s facts.Directive) { // no line moves
				at := fmt.Sprintf("%s:%d", s.File, s.Line)
				if instead := judge(s); instead != "" && !seen[at] {
					seen[at] = true
					proxyPut(d, s, p.name == "nginx", instead)
					proxyFelt(d, p.name)
				}
			})
		}
		return orPerson(d)
	}
}

func proxyRepairProtocols() func(*facts.Host) (finding.Fix, error) {
	old := regexp.MustCompile(`(?i)\b(TLSv1|TLSv1\.0|TLSv1\.1|SSLv2|SSLv3)(\s|$)`)
	return proxyEverywhere("Has the proxy speak TLS 1.2 and 1.3 only.", "A tablet or a device that is older than ten years may not come in any more.", map[string]func(facts.Directive) string{
		"nginx": func(s facts.Directive) string {
			if s.Name == "ssl_protocols" && old.MatchString(s.String()) {
				return "ssl_protocols TLSv1.2 TLSv1.3"
			}
			return ""
		},
		"Apache": func(s facts.Directive) string {
			if s.Name == "sslprotocol" && slices.ContainsFunc(s.Args, func(a string) bool { return !strings.HasPrefix(a, "-") && old.MatchString(strings.TrimPrefix(a, "+")) }) {
				return "SSLProtocol -all +TLSv1.2 +TLSv1.3"
			}
			return ""
		},
		"HAProxy": func(s facts.Directive) string {
			n := slices.Index(s.Args, "ssl-min-ver")
			if (s.Name == "bind" || s.Name == "ssl-default-bind-options") && n >= 0 && old.MatchString(s.Arg(n+1)) && !strings.ContainsAny(s.String(), `"'\#`) {
				return s.Name + " " + strings.Join(append(append(slices.Clone(s.Args[:n+1]), "TLSv1.2"), s.Args[n+2:]...), " ")
			}
			return ""
		},
	})
}

func proxyRepairCiphers() func(*facts.Host) (finding.Fix, error) {
	const good = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
	weak := func(list string) bool {
		return slices.ContainsFunc(strings.FieldsFunc(list, func(r rune) bool { return r == ':' || r == ',' || r == ' ' }), func(c string) bool {
			return slices.Contains([]string{"ALL", "RC4", "3DES", "DES", "NULL", "eNULL", "aNULL", "EXPORT", "EXP", "LOW", "MD5", "COMPLEMENTOFALL"}, c) ||
				!strings.HasPrefix(c, "!") && !strings.HasPrefix(c, "-") && (strings.Contains(c, "RC4") || strings.Contains(c, "DES-CBC") || strings.Contains(c, "NULL") || strings.HasPrefix(c, "EXP-") || strings.HasPrefix(c, "ADH"))
		})
	}
	return proxyEverywhere("Has the proxy take no weak cipher: those of Mozilla's intermediate profile with ECDHE.", "A tablet or a device that is older than ten years may not come in any more.", map[string]func(facts.Directive) string{
		"nginx": func(s facts.Directive) string {
			if s.Name == "ssl_ciphers" && weak(s.Arg(0)) {
				return "ssl_ciphers " + good
			}
			return ""
		},
		"Apache": func(s facts.Directive) string {
			if s.Name == "sslciphersuite" && weak(s.Arg(len(s.Args)-1)) {
				return "SSLCipherSuite " + good
			}
			return ""
		},
	})
}

func proxyRepairForward() func(*facts.Host) (finding.Fix, error) {
	return proxyEverywhere("Has Apache lead to its own sites only.", "Whoever uses this machine as a forward proxy on purpose needs one that asks for a password.", map[string]func(facts.Directive) string{
		"Apache": func(s facts.Directive) string {
			if s.Name == "proxyrequests" && strings.EqualFold(s.Arg(0), "on") {
				return "ProxyRequests Off"
			}
			return ""
		},
	})
}

func proxyRepairAdmin() func(*facts.Host) (finding.Fix, error) {
	return proxyEverywhere("Has the proxy's own administration answer on this machine alone.", "Whoever administers the proxy from another machine needs a tunnel.", map[string]func(facts.Directive) string{
		"Caddy": func(s facts.Directive) string {
			if a := s.Arg(0); s.Name == "admin" && a != "off" && a != "" && !strings.HasPrefix(a, "unix/") && !onLoopback(strings.TrimPrefix(a, "tcp/")) && len(s.Block) == 0 {
				_, port, ok := strings.Cut(a[max(strings.LastIndex(a, ":"), 0):], ":")
				if !ok {
					port = "2019"
				}
				return "admin localhost:" + port
			}
			return ""
		},
		"HAProxy": func(s facts.Directive) string {
			at := slices.Index(s.Args, "mode")
			if s.Name == "stats" && s.Arg(0) == "socket" && strings.HasPrefix(s.Arg(1), "/") && at >= 0 && at+1 < len(s.Args) && !strings.ContainsAny(s.String(), `"'\#`) {
				if m := s.Arg(at + 1); len(m) > 0 && m[len(m)-1] != '0' {
					return "stats " + strings.Join(append(append(slices.Clone(s.Args[:at+1]), m[:len(m)-1]+"0"), s.Args[at+2:]...), " ")
				}
			}
			return ""
		},
	})
}

func proxyRepairTraps() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Takes well-known traps out of nginx's locations.", "What was asked for without a slash at the end of such a location is answered by another one.")
		servers, err := h.NginxServers()
		if err != nil {
			return finding.Fix{}, err
		}
		for _, s := range servers {
			if m, ok := s.Place.Last("merge_slashes"); ok && m.Arg(0) == "off" {
				proxyPut(d, m, true, "merge_slashes on")
			}
			for _, l := range s.Locations {
				block := l.Place.Around[len(l.Place.Around)-1]
				plain := len(l.Directive.Args) == 1 || l.Directive.Arg(0) == "^~"
				prefix := l.Directive.Arg(len(l.Directive.Args) - 1)
				for _, a := range facts.Named(block, "alias") {
					if l.Directive.Name == "location" && plain && !strings.HasSuffix(prefix, "/") && strings.HasSuffix(a.Arg(0), "/") && !strings.ContainsAny(prefix, `"' \`) {
						proxyPut(d, l.Directive, true, "location "+strings.Join(l.Directive.Args, " ")+"/ ")
					}
				}
			}
			everyDirective(s.Directive.Block, func(r facts.Directive) {
				value := ""
				switch r.Name {
				case "return":
					value = r.Arg(len(r.Args) - 1)
				case "add_header", "proxy_set_header":
					value = r.Arg(1)
				}
				if carriesURI(value) && !strings.Contains(value, "$args") && !strings.Contains(value, "$query_string") {
					proxyStatement(d, r, true, func(_, text string) ([]string, string, []string) {
						return nil, regexp.MustCompile(`\$(\{(document_)?uri\}|(document_)?uri\b)`).ReplaceAllString(text, "$$request_uri"), nil
					})
				}
			})
		}
		proxyFelt(d, "nginx")
		return d.Fix()
	}
}

func proxyRepairACL() func(*facts.Host) (finding.Fix, error) {
	return proxyRepair("Ends the list of who may come in with a line that refuses all others.", "Whoever comes from an address that the list does not name is refused from now on.", func(d *fix.Draft, s facts.ProxySite) bool {
		if s.Proxy != "nginx" {
			return false
		}
		for _, block := range slices.Backward(s.Blocks) {
			allow, deny := facts.Named(block, "allow"), facts.Named(block, "deny")
			if len(allow)+len(deny) == 0 {
				continue
			}
			open := len(allow) == 0 || slices.ContainsFunc(allow, func(a facts.Directive) bool { return a.Arg(0) == "all" || strings.HasSuffix(a.Arg(0), "/0") })
			if open || slices.ContainsFunc(deny, func(r facts.Directive) bool { return r.Arg(0) == "all" }) {
				return false
			}
			last := allow[len(allow)-1]
			for _, r := range deny {
				if r.File == last.File && r.Line > last.Line {
					last = r
				}
			}
			proxyAfter(d, last, true, "deny all;")
			return true
		}
		return false
	})
}

func proxyRepairUser() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Has the proxy work as its own account, and gives its configuration to root.", "Whoever else changed these files has to become root for it.")
		users, err := h.Users()
		if err != nil {
			return finding.Fix{}, err
		}
		known := func(name string) bool {
			return slices.ContainsFunc(users, func(u facts.User) bool { return u.Name == name && u.UID != 0 })
		}
		for _, p := range []struct {
			name, account string
			read          func() ([]facts.Directive, error)
		}{{"nginx", "www-data", h.Nginx}, {"HAProxy", "haproxy", h.HAProxy}, {"Apache", "", h.Apache}, {"Caddy", "", h.Caddyfile}} {
			all, err := p.read()
			if proxyMissing(err) {
				continue
			}
			if err != nil {
				return finding.Fix{}, err
			}
			top := all
			if p.name == "HAProxy" {
				top = nil
				for _, g := range facts.Named(all, "global") {
					top = append(top, g.Block...)
				}
			}
			for _, u := range facts.Named(top, "user") {
				if (u.Arg(0) == "root" || u.Arg(0) == "0") && p.account != "" {
					if !known(p.account) {
						d.Refuse("name another account", "there is no account %s", p.account)
					}
					proxyPut(d, u, p.name == "nginx", "user "+p.account)
					proxyFelt(d, p.name)
				}
			}
			if globals := facts.Named(all, "global"); p.name == "HAProxy" && len(facts.Named(top, "user"))+len(facts.Named(top, "uid")) == 0 && len(globals) > 0 {
				if !known(p.account) {
					d.Refuse("name another account", "there is no account %s", p.account)
				}
				proxyAfter(d, globals[0], false, "\tuser haproxy", "\tgroup haproxy")
				proxyFelt(d, p.name)
			}
			files := map[string]bool{}
			everyDirective(all, func(s facts.Directive) {
				if files[s.File] {
					return
				}
				files[s.File] = true
				info, err := d.Host.Stat(s.File)
				if err != nil {
					d.Fail(err)
					return
				}
				at, err := d.Host.Resolve(s.File)
				if err != nil {
					d.Fail(err)
					return
				}
				if info.UID != 0 {
					d.Owner(at, 0, info.GID)
				}
				if mode := uint32(info.Mode.Perm()); mode&0o002 != 0 || mode&0o020 != 0 && info.GID != 0 {
					d.Mode(at, mode&^0o022)
				}
			})
		}
		return d.Fix()
	}
}

func proxyRepairSquid() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Has the forward proxy serve those whom it names, and nobody else.", "A device that its other rules do not name no longer gets through this proxy.")
		if t, err := h.Text("/etc/squid/squid.conf"); err == nil {
			open, err := openSquid(t)
			if err != nil {
				return finding.Fix{}, err
			}
			for _, e := range open {
				if e.Value != "http_access allow all" {
					d.Refuse("name the networks that may use it", "%s:%d: whom it may serve is yours to say", e.File, e.Line)
				}
				proxyPut(d, facts.Directive{Name: "http_access", File: e.File, Line: e.Line}, false, "http_access deny all")
				d.Validate("squid")
				d.Unit("try-reload-or-restart", "squid.service")
			}
		}
		if t, err := h.Text("/etc/tinyproxy/tinyproxy.conf"); err == nil {
			open, err := openTinyproxy(t)
			if err != nil {
				return finding.Fix{}, err
			}
			for _, e := range open {
				if e.Value != "no Allow" {
					proxyPut(d, facts.Directive{Name: "Allow", File: e.File, Line: e.Line}, false, "Allow 127.0.0.1")
				} else {
					d.Edit(t.Path, func(text string) (string, error) {
						if text != "" && !strings.HasSuffix(text, "\n") {
							text += "\n"
						}
						return text + "# (gatehouse) those at home\nAllow 127.0.0.1\nAllow 10.0.0.0/8\nAllow 172.16.0.0/12\nAllow 192.168.0.0/16\n", nil
					})
				}
				d.Unit("try-restart", "tinyproxy.service")
			}
		}
		return orPerson(d)
	}
}

func proxyRepairTraefik() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Has Traefik show its dashboard to nobody without a sign-in.", "Whoever looked at the dashboard on port 8080 no longer sees it.")
		t, err := h.Traefik()
		if err != nil {
			return finding.Fix{}, err
		}
		s, ok := facts.Find(t.Static, "api.insecure")
		if !ok || strings.EqualFold(s.Value, "false") || !strings.HasSuffix(s.File, ".yml") && !strings.HasSuffix(s.File, ".yaml") {
			d.Refuse("see gatehouse audit --explain px.traefik-api", "it does not stand in a file of YAML of Traefik's own, or which containers shall be shown is yours to say")
			return d.Fix()
		}
		d.Edit(s.File, func(text string) (string, error) {
			after, err := ha.RewriteYAML(s.File, []byte(text), func(e ha.YAMLEntry) ha.YAMLChange {
				if e.Line == s.Line && len(e.Keys) == 2 && strings.EqualFold(e.Keys[0], "api") && strings.EqualFold(e.Keys[1], "insecure") {
					return ha.YAMLChange{Put: "false"}
				}
				return ha.YAMLChange{}
			})
			return string(after), err
		})
		d.Guard()
		d.Unit("try-restart", "traefik.service")
		return d.Fix()
	}
}

// tlsRepairKeys closes keys of certificates to all but their owner and group.
func tlsRepairKeys() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Closes the keys of the house's certificates to everybody but their owner and their group.", "A program that read such a key as a stranger no longer does.")
		for _, e := range tlsKeyPerms().Judge(h).Evidence {
			at, err := h.Resolve(e.File)
			if err != nil {
				return finding.Fix{}, err
			}
			info, err := h.Lstat(at)
			if err != nil {
				return finding.Fix{}, err
			}
			if info.Mode.Perm()&0o037 == 0 {
				d.Refuse("move it elsewhere, say where it is now, and make a new key: this one is to be taken for known", "%s lies where others look, or belongs to a person", e.File)
				return d.Fix()
			}
			d.Mode(at, uint32(info.Mode.Perm())&0o640)
		}
		return d.Fix()
	}
}

// tlsRepairRenewal has certbot's own timer run, and the proxies told of what is new.
func tlsRepairRenewal() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Has certbot renew the certificates by itself, and tell the proxy of it.", "")
		lineages, err := h.Glob("/etc/letsencrypt/renewal/*.conf")
		if err != nil {
			return finding.Fix{}, err
		}
		if len(lineages) == 0 {
			d.Refuse("see how this certificate is made", "it was not made by certbot, so how to renew it is not known")
			return d.Fix()
		}
		scheduled, err := renewalJob(h)
		if err != nil {
			return finding.Fix{}, err
		}
		if scheduled == "" {
			file, there, err := h.UnitFile("certbot.timer")
			if err != nil {
				return finding.Fix{}, err
			}
			if !there {
				d.Refuse("apt-get install certbot, or add a job that renews it", "there is no certbot.timer")
				return d.Fix()
			}
			d.Link("/etc/systemd/system/timers.target.wants/certbot.timer", file)
			d.Unit("daemon-reload", "")
			d.Unit("start", "certbot.timer")
		}
		const hooks = "/etc/letsencrypt/renewal-hooks/deploy"
		if names, err := h.Dir(hooks); err != nil {
			return finding.Fix{}, err
		} else if len(names) == 0 {
			units, err := renewalUnits(h)
			if err != nil {
				return finding.Fix{}, err
			}
			if len(units) == 0 {
				d.Refuse("put a script that reloads whatever uses the certificate into "+hooks, "no proxy was found that uses the certificate")
				return d.Fix()
			}
			d.Write(hooks+"/60-gatehouse", 0o755, "#!/bin/sh\n# Written by gatehouse; \"gatehouse undo\" takes it back.\nexec systemctl try-reload-or-restart "+strings.Join(units, " ")+"\n")
		}
		return d.Fix()
	}
}

// renewalUnits are the proxies that have to hear of a new certificate.
func renewalUnits(h *facts.Host) ([]string, error) {
	sites, err := h.ProxySites()
	var units []string
	for _, s := range sites {
		if u := map[string]string{"nginx": "nginx.service", "Apache": "apache2.service", "HAProxy": "haproxy.service"}[s.Proxy]; u != "" && s.TLS {
			units = append(units, u)
		}
	}
	slices.Sort(units)
	return slices.Compact(units), err
}
