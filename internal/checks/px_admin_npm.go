package checks

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyAdmin() audit.Check {
	return audit.Check{
		ID: "px.admin-npm", Title: "The proxy's own administration is not open to the network", Severity: finding.High,
		Why:       "Who reaches the administration of the proxy leads all visitors wherever he likes.",
		Fix:       "Bind the administration to 127.0.0.1 (Nginx Proxy Manager: 127.0.0.1:81:81; Caddy: admin localhost:2019 or off; HAProxy: stats auth, and a socket of mode 660).",
		Reference: []string{"Nginx Proxy Manager: setup", "Caddyfile: admin", "HAProxy Configuration Manual: stats"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var bad []finding.Evidence
			var errs []error
			found := []string{}
			seen := func(name string, err error) bool {
				if err == nil {
					found = append(found, name)
				} else if !proxyMissing(err) {
					errs = append(errs, err)
				}
				return err == nil
			}
			if all, err := h.Caddyfile(); seen("Caddy", err) {
				for _, options := range all {
					if len(options.Args) > 0 {
						continue
					}
					for _, d := range facts.Named(options.Block, "admin") {
						if a := d.Arg(0); a != "off" && a != "" && !strings.HasPrefix(a, "unix/") && !onLoopback(strings.TrimPrefix(a, "tcp/")) {
							bad = append(bad, statements(d)...)
						}
					}
				}
			}
			if all, err := h.HAProxy(); seen("HAProxy", err) {
				bad = append(bad, openStatistics(all)...)
			}
			managers, err := h.NginxProxyManagers()
			if err != nil {
				errs = append(errs, err)
			}
			for _, m := range managers {
				found = append(found, "Nginx Proxy Manager")
				if !onLoopback(strings.TrimSuffix(m.Value, ":81")) {
					bad = append(bad, audit.At(m.File, m.Line, m.Value))
				}
			}
			switch {
			case len(bad) > 0:
				return audit.Fail(found, bad...)
			case len(errs) > 0:
				return audit.Unknown(errors.Join(errs...))
			case len(found) == 0:
				return audit.NotApplicable("no proxy with an administration of its own was found")
			}
			return audit.Pass(found)
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairAdmin(),
	}
}

// openStatistics are the ways to HAProxy's statistics and commands that ask nobody.
func openStatistics(sections []facts.Directive) []finding.Evidence {
	var bad []finding.Evidence
	for _, s := range sections {
		var enabled, open []facts.Directive
		asks, local := false, len(facts.Named(s.Block, "bind")) > 0
		for _, d := range s.Block {
			switch {
			case d.Name == "bind":
				local = local && (onLoopback(d.Arg(0)) || strings.HasPrefix(d.Arg(0), "/"))
			case d.Name == "stats" && (d.Arg(0) == "auth" || d.Arg(0) == "http-request"), d.Name == "http-request" && d.Arg(0) == "auth":
				asks = true
			case d.Name == "stats" && (d.Arg(0) == "enable" || d.Arg(0) == "uri"):
				enabled = append(enabled, d)
			case d.Name == "stats" && d.Arg(0) == "socket":
				at := slices.Index(d.Args, "mode")
				address := strings.TrimPrefix(strings.TrimPrefix(d.Arg(1), "ipv4@"), "ipv6@")
				mode, err := strconv.ParseUint(d.Arg(at+1), 8, 32)
				switch {
				case !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "unix@") && !strings.HasPrefix(address, "abns@"):
					if !onLoopback(address) {
						open = append(open, d)
					}
				case at >= 0 && (err != nil || mode&0o007 != 0):
					open = append(open, d)
				}
			}
		}
		if len(enabled) > 0 && !asks && !local {
			open = append(open, enabled[0])
		}
		bad = append(bad, statements(open...)...)
	}
	return bad
}
