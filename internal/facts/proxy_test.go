package facts

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// at draws a host with one file.
func at(t testing.TB, drawing string) *Host {
	t.Helper()
	tree, err := Draw(drawing)
	if err != nil {
		t.Fatal(err)
	}
	return &Host{Tree: tree, Now: time.Unix(1.8e9, 0)}
}

// told is a configuration in short, for comparing.
func told(block []Directive) string {
	var parts []string
	for _, d := range block {
		s := fmt.Sprintf("%s@%d", strings.TrimSpace(d.String()), d.Line)
		if d.Block != nil {
			s += "{" + told(d.Block) + "}"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

func TestNginx(t *testing.T) {
	for name, c := range map[string]struct{ drawing, want, err string }{
		"statements": {"-- etc/nginx/nginx.conf --\nuser www-data; # x\nhttp {\n  server { listen 443 ssl; }\n}\n", "user www-data@1; http@2{server@3{listen 443 ssl@3}}", ""},
		"quotes":     {"-- etc/nginx/nginx.conf --\nlog_format x '{\"a\":\"$b\"}'\n\t'c;';\nreturn 301 https://${host}$request_uri;\n", "log_format x {\"a\":\"$b\"} c;@1; return 301 https://${host}$request_uri@3", ""},
		"include": {"-- etc/nginx/nginx.conf --\nhttp { include sites-enabled/*; include /etc/nginx/none/*.conf; }\n-- etc/nginx/sites-enabled/ha -> ../sites-available/ha --\n-- etc/nginx/sites-available/ha --\nserver { }\n",
			"http@1{server@1{}}", ""},
		"lua":     {"-- etc/nginx/nginx.conf --\naccess_by_lua_block { if x { } ; \n }\na b;\n", "access_by_lua_block@1{}; a b@3", ""},
		"missing": {"-- etc/nginx/nginx.conf --\ninclude x.conf;\n", "", "/etc/nginx/nginx.conf:1: includes \"/etc/nginx/x.conf\", which is not there"},
		"circle":  {"-- etc/nginx/nginx.conf --\ninclude nginx.conf;\n", "", "more than any"},
		"open":    {"-- etc/nginx/nginx.conf --\nhttp { a b;\n", "", "does not end"},
		"many":    {"-- etc/nginx/nginx.conf --\na b;\n}\n", "", ":2: a } too many"},
		"junk":    {"-- etc/nginx/nginx.conf --\nthis is nothing\n", "", ":1: not a statement"},
	} {
		got, err := at(t, c.drawing).Nginx()
		if told(got) != c.want && c.err == "" || fmt.Sprint(err) == "<nil>" && c.err != "" || c.err != "" && !strings.Contains(fmt.Sprint(err), c.err) || c.err == "" && err != nil {
			t.Errorf("%s: %s, %v", name, told(got), err)
		}
	}
}

func TestCaddyfile(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"one site": {"house.example\nreverse_proxy :8123\n", "house.example@1{reverse_proxy :8123@2}"},
		"blocks":   {"{\n\tadmin off\n}\nhouse.example, www.house.example {\n\treverse_proxy {$UP} {\n\t\theader_up Host {host}\n\t}\n}\n", "@1{admin off@2}; house.example www.house.example@4{reverse_proxy {$UP}@5{header_up Host {host}@6}}"},
		"snippet":  {"(s) {\n\theader X {args[0]}\n}\na.example {\n\timport s \"1 2\" # x\n}\n", "a.example@4{header X 1 2@2}"},
		"file":     {"import sites/*\n", "b.example@1{respond hi@2}"},
		"heredoc":  {"a.example {\n\trespond <<E\n\t{ x\n\tE\n\tencode\n}\n", "a.example@1{respond \t{ x@2; encode@5}"},
	} {
		got, err := at(t, "-- etc/caddy/Caddyfile --\n"+c.text+"-- etc/caddy/sites/b --\nb.example {\nrespond hi\n}\n").Caddyfile()
		if s := strings.ReplaceAll(told(got), " @", "@"); err != nil || s != c.want {
			t.Errorf("%s: %s, %v", name, s, err)
		}
	}
	for _, bad := range []string{"a {\n", "}\n", "a {\nimport nothing\n}\n", "(s) {\nimport s\nimport s\n}\na {\nimport s\n}\n"} {
		if got, err := at(t, "-- etc/caddy/Caddyfile --\n"+bad).Caddyfile(); err == nil {
			t.Errorf("%q is %s", bad, told(got))
		}
	}
}

func TestApache(t *testing.T) {
	h := at(t, "-- etc/apache2/apache2.conf --\nServerTokens Prod\nInclude sites/\nIncludeOptional none/*.conf\n<IfModule !x>\nA b\n</IfModule>\n<IfModule mod_ssl.c>\nListen \\\n 443\n</IfModule>\n-- etc/apache2/sites/ha.conf --\n<VirtualHost *:443>\n# c\nSSLEngine on\n</virtualhost>\n")
	got, err := h.Apache()
	if want := "servertokens Prod@1; virtualhost *:443@1{sslengine on@3}; listen 443@8"; err != nil || told(got) != want {
		t.Errorf("%s, %v", told(got), err)
	}
}

func TestHAProxy(t *testing.T) {
	got, err := at(t, "-- etc/haproxy/haproxy.cfg --\nglobal\n  user haproxy # x\nfrontend a\n  bind :443 ssl crt \"/x y\"\n").HAProxy()
	if want := "global@1{user haproxy@2}; frontend a@3{bind :443 ssl crt /x y@4}"; err != nil || told(got) != want {
		t.Errorf("%s, %v", told(got), err)
	}
}

func TestTor(t *testing.T) {
	h := at(t, "-- etc/tor/torrc --\nSocksPort 0\n%include /etc/tor/torrc.d/*\n-- etc/tor/torrc.d/ha --\nHiddenServiceDir /var/lib/tor/ha # x\nHiddenServicePort 443 127.0.0.1:8443\n-- usr/share/tor/tor-service-defaults-torrc --\nSocksPort unix:/run/tor/socks\nCookieAuthentication 1\n")
	got, err := h.Tor()
	if err != nil || told(got.Options) != "cookieauthentication 1@2; socksport 0@1" || len(got.Services) != 1 || told(got.Services[0].Options) != "hiddenserviceport 443 127.0.0.1:8443@2" {
		t.Errorf("%s, %+v, %v", told(got.Options), got.Services, err)
	}
}

func TestProxySites(t *testing.T) {
	for name, c := range map[string]struct{ drawing, want string }{
		"nginx upstream": {"-- etc/nginx/nginx.conf --\nhttp { upstream ha { server 10.0.0.2:8123; } server { listen 443 ssl; server_name a.example; location / { proxy_pass http://ha; } location /x { proxy_pass http://127.0.0.1:9; } } }\n", "nginx true http://10.0.0.2:8123 [a.example]"},
		"nginx set":      {"-- etc/nginx/nginx.conf --\nhttp { server { set $server \"10.0.0.2\"; set $port 8123; location / { proxy_pass http://$server:$port; } } }\n", "nginx false http://10.0.0.2:8123 []"},
		"caddy":          {"-- etc/caddy/Caddyfile --\na.example {\n\thandle {\n\t\treverse_proxy 10.0.0.2:8123\n\t}\n}\n", "Caddy true http://10.0.0.2:8123 [a.example]"},
		"apache":         {"-- etc/apache2/apache2.conf --\n<VirtualHost *:443>\nServerName a.example\nSSLEngine on\nProxyPass / http://127.0.0.1:8123/\n</VirtualHost>\n", "Apache true http://127.0.0.1:8123/ [a.example]"},
		"haproxy":        {"-- etc/haproxy/haproxy.cfg --\nfrontend f\n bind :443 ssl crt /x\n default_backend b\nbackend b\n server ha 127.0.0.1:8123\n", "HAProxy true http://127.0.0.1:8123 []"},
		"traefik":        {"-- etc/traefik/traefik.yml --\nproviders:\n  file:\n    directory: /etc/traefik/d\n-- etc/traefik/d/ha.yml --\nhttp:\n  services:\n    ha:\n      loadBalancer:\n        servers:\n          - url: http://10.0.0.2:8123\n", "Traefik true http://10.0.0.2:8123 []"},
		"compose":        {"-- opt/docker-compose.yml --\nservices:\n  t:\n    image: traefik:v3\n  ha:\n    image: x\n    labels:\n      - traefik.http.services.ha.loadbalancer.server.port=8123\n", "Traefik true http://homeassistant:8123 []"},
		"another port":   {"-- config/configuration.yaml --\nhttp:\n  server_port: 8080\n-- etc/caddy/Caddyfile --\n:80 {\nreverse_proxy localhost:8080\n}\n", "Caddy false http://localhost:8080 [:80]"},
		"none":           {"-- etc/caddy/Caddyfile --\na.example {\nreverse_proxy localhost:1\n}\n", ""},
	} {
		h := at(t, c.drawing)
		h.HADir = "/config"
		sites, err := h.ProxySites()
		got := ""
		for _, s := range sites {
			got += fmt.Sprint(s.Proxy, " ", s.TLS, " ", s.Upstream, " ", s.Names)
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestWireGuards(t *testing.T) {
	const zero, public = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo="
	h := at(t, "-- etc/wireguard/wg0.conf --\n[Interface]\nPrivateKey = "+zero+"\nListenPort=51820\nPostUp = iptables -A x; echo\n[Peer]\nPublicKey = "+public+"\nAllowedIPs = 10.0.0.2/32, fd00::2/128\nPresharedKey = x\n"+
		"-- etc/systemd/network/wg1.netdev --\n[NetDev]\nKind=wireguard\n[WireGuard]\nPrivateKeyFile=/etc/k\n[WireGuardPeer]\nPublicKey=x\n-- etc/systemd/network/br0.netdev --\n[NetDev]\nKind=bridge\n"+
		"-- etc/NetworkManager/system-connections/wg2.nmconnection --\n[connection]\ntype=wireguard\n[wireguard]\nprivate-key="+public+"\n[wireguard-peer."+public+"]\nallowed-ips=10.0.0.3/32;\n")
	all, err := h.WireGuards()
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	w := all[0]
	if !w.ZeroKey || !w.Server() || w.Port != "51820" || len(w.Hooks) != 1 || len(w.Peers) != 1 || !w.Peers[0].Shared || len(w.Peers[0].Allowed) != 2 || w.Peers[0].AllowedAt[1] != 7 {
		t.Errorf("%+v", w)
	}
	if all[1].KeyPath() != "/etc/k" || all[2].PublicKey == "" || all[2].PublicKey == public || all[2].Peers[0].PublicKey != public {
		t.Errorf("%+v", all[1:])
	}
	if all, err := at(t, "-- etc/wireguard/wg0.conf --\nthis is nothing\n").WireGuards(); err == nil {
		t.Errorf("junk is %+v", all)
	}
}

// No text makes a reader crash, or run for long.
func FuzzProxies(f *testing.F) {
	for _, s := range []string{"http { server { listen 443 ssl; location / { proxy_pass http://a:8123; } } }\n", "a.example {\nreverse_proxy :8123\nimport *\n}\n", "(s) {\nimport s\n}\na {\nimport s\n}\n",
		"<VirtualHost *:443>\nProxyPass / http://127.0.0.1:8123/\n</VirtualHost>\nInclude *\n", "frontend x\n bind :443 ssl crt x\n default_backend y\nbackend y\n server a b:8123\n",
		"providers:\n  file:\n    directory: /etc/traefik\nhttp: {services: {a: {loadBalancer: {servers: [{url: 'http://a:8123'}]}}}}\n", "%include /etc/tor/*\nHiddenServiceDir /x\nHiddenServicePort 80\n",
		"[Interface]\nPrivateKey = x\n[Peer]\nAllowedIPs = 0.0.0.0/0\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 10000 || strings.Contains(text, "-- ") {
			return
		}
		var drawing strings.Builder
		for _, name := range []string{"etc/nginx/nginx.conf", "etc/caddy/Caddyfile", "etc/apache2/apache2.conf", "etc/haproxy/haproxy.cfg", "etc/traefik/traefik.yml", "opt/compose.yml", "etc/tor/torrc", "etc/wireguard/wg0.conf", "etc/x.pem"} {
			drawing.WriteString("-- " + name + " --\n" + text + "\n")
		}
		h := at(t, drawing.String())
		h.ProxySites()
		h.UsedCertificates()
		h.Tor()
		h.WireGuards()
		h.Certificates("/etc/x.pem")
	})
}
