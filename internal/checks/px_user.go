package checks

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyUser() audit.Check {
	return audit.Check{
		ID: "px.user", Title: "The proxy does not work as root, and only root writes its configuration", Severity: finding.Med,
		Why:       "The proxy reads what strangers send. As root a mistake in it gives the whole machine away; and who may write its configuration leads your visitors elsewhere.",
		Fix:       "Set the user of the proxy (nginx: user www-data; HAProxy: user haproxy), and give its files to root with mode 0644 or less.",
		Reference: []string{"ngx_core_module: user", "HAProxy Management Guide: user", "httpd: User"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var bad []finding.Evidence
			var errs []error
			users, files, explicit := []string{}, map[string]bool{}, true
			for _, p := range []struct {
				name string
				read func() ([]facts.Directive, error)
			}{{"nginx", h.Nginx}, {"Apache", h.Apache}, {"HAProxy", h.HAProxy}, {"Caddy", h.Caddyfile}} {
				all, err := p.read()
				if err != nil {
					if !proxyMissing(err) {
						errs = append(errs, err)
					}
					continue
				}
				var user facts.Directive
				everyDirective(all, func(d facts.Directive) {
					files[d.File] = true
					if d.Name == "user" && (p.name != "HAProxy" || len(d.Args) == 1) {
						user = d
					}
				})
				if p.name == "HAProxy" {
					user = facts.Directive{Name: "user", File: "/etc/haproxy/haproxy.cfg"}
					for _, g := range facts.Named(all, "global") {
						for _, d := range g.Block {
							if d.Name == "user" || d.Name == "uid" {
								user = d
							}
						}
					}
				}
				who := user.Arg(0)
				switch {
				case who == "root" || who == "0", who == "" && p.name == "HAProxy":
					bad = append(bad, audit.At(user.File, user.Line, "root"))
					who = "root"
				case who == "":
					who, explicit = "as it was built or started", false
				}
				users = append(users, p.name+": "+who)
			}
			for _, name := range slices.Sorted(maps.Keys(files)) {
				info, err := h.Stat(name)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				if info.UID != 0 || info.Mode.Perm()&0o002 != 0 || info.Mode.Perm()&0o020 != 0 && info.GID != 0 {
					bad = append(bad, audit.At(name, 0, fmt.Sprintf("%04o %d:%d", info.Mode.Perm(), info.UID, info.GID)))
				}
			}
			switch {
			case len(bad) > 0:
				return audit.Fail(users, bad...).Explicitly(explicit)
			case len(errs) > 0:
				return audit.Unknown(errors.Join(errs...))
			case len(users) == 0:
				return audit.NotApplicable("no proxy was found")
			}
			return audit.Pass(users).Explicitly(explicit)
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairUser(),
	}
}
