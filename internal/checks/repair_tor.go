package checks

import (
	"net"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// torRepair drafts a fix of torrc.
func torRepair(does, breaks string, draft func(*fix.Draft, facts.Tor)) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		t, err := h.Tor()
		if err != nil {
			return finding.Fix{}, err
		}
		d := fix.Begin(h, does, breaks)
		draft(d, t)
		torFelt(d)
		return d.Fix()
	}
}

// torFelt has Tor look at its configuration and take it up. Who comes in by it could be
// locked out.
func torFelt(d *fix.Draft) {
	d.Guard()
	d.Validate("tor")
	unit := "tor.service"
	if _, there, err := d.Host.UnitFile("tor@default.service"); err == nil && there {
		unit = "tor@default.service"
	} else if _, template, err := d.Host.UnitFile("tor@.service"); err == nil && template {
		unit = "tor@default.service"
	}
	d.Unit("try-reload-or-restart", unit)
}

// torOwn are lines of torrc and not of the defaults of the distribution.
func torOwn(d *fix.Draft, all []facts.Directive) []facts.Directive {
	for _, l := range all {
		if strings.HasPrefix(l.File, "/usr/") {
			d.Refuse("say otherwise in /etc/tor/torrc", "%s:%d is the distribution's", l.File, l.Line)
		}
	}
	return all
}

// torRemark makes remarks of lines.
func torRemark(d *fix.Draft, all []facts.Directive) {
	for _, l := range torOwn(d, all) {
		proxyRemark(d, l, false)
	}
}

func torRepairSocks() func(*facts.Host) (finding.Fix, error) {
	return torRepair("Has Tor take connections from this machine only.", "Another device that uses Tor through this machine no longer does.", func(d *fix.Draft, t facts.Tor) {
		for _, name := range []string{"socksport", "sockslistenaddress", "httptunnelport", "transport", "natdport", "dnsport"} {
			for _, l := range torOwn(d, t.Option(name)) {
				if !torOpen(l.Arg(0)) {
					continue
				}
				port := ""
				if _, p, err := net.SplitHostPort(l.Arg(0)); err == nil {
					port = ":" + p
				}
				if port == "" && name != "sockslistenaddress" {
					d.Refuse("", "%s:%d: it is not certain which port is meant", l.File, l.Line)
					return
				}
				proxyStatement(d, l, false, func(_, text string) ([]string, string, []string) {
					return nil, strings.Replace(text, l.Arg(0), "127.0.0.1"+port, 1), nil
				})
			}
		}
	})
}

func torRepairControl() func(*facts.Host) (finding.Fix, error) {
	return torRepair("Has Tor be controlled from this machine alone, by whoever may read its cookie.", "A program that controls Tor from elsewhere, or without its cookie, no longer does.", func(d *fix.Draft, t facts.Tor) {
		cookie, at, _ := torSwitch(t, "cookieauthentication")
		asks := cookie || len(t.Option("hashedcontrolpassword")) > 0
		ask := false
		var first facts.Directive
		for _, l := range torOwn(d, slices.Concat(t.Option("controlport"), t.Option("controllistenaddress"))) {
			if l.Arg(0) == "0" {
				continue
			}
			unix := strings.HasPrefix(l.Arg(0), "unix:")
			if slices.Contains(l.Args, "WorldWritable") {
				proxyPut(d, l, false, "ControlPort "+strings.Join(slices.DeleteFunc(slices.Clone(l.Args), func(a string) bool { return a == "WorldWritable" }), " "))
			}
			if torOpen(l.Arg(0)) {
				_, port, err := net.SplitHostPort(l.Arg(0))
				if err != nil {
					d.Refuse("", "%s:%d: it is not certain which port is meant", l.File, l.Line)
					return
				}
				proxyStatement(d, l, false, func(_, text string) ([]string, string, []string) {
					return nil, strings.Replace(text, l.Arg(0), "127.0.0.1:"+port, 1), nil
				})
			}
			if !asks && !unix {
				ask, first = true, l
			}
		}
		for _, l := range torOwn(d, t.Option("controlsocket")) {
			if slices.Contains(l.Args, "WorldWritable") {
				proxyPut(d, l, false, "ControlSocket "+strings.Join(slices.DeleteFunc(slices.Clone(l.Args), func(a string) bool { return a == "WorldWritable" }), " "))
			}
		}
		if readable, l, _ := torSwitch(t, "cookieauthfilegroupreadable"); cookie && readable && l.File == torrc {
			proxyPut(d, l, false, "CookieAuthFileGroupReadable 0")
		}
		switch {
		case ask && at.File == first.File && at.Line > 0:
			proxyPut(d, at, false, "CookieAuthentication 1")
		case ask:
			proxyAfter(d, first, false, "CookieAuthentication 1")
		}
	})
}

// torrc is the configuration of Tor.
const torrc = "/etc/tor/torrc"

func torRepairRelay() func(*facts.Host) (finding.Fix, error) {
	return torRepair("Has Tor carry nobody else's traffic.", "The relay or bridge on this machine stops.", func(d *fix.Draft, t facts.Tor) {
		for _, name := range []string{"orport", "orlistenaddress", "exitrelay", "bridgerelay", "dirport"} {
			torRemark(d, slices.DeleteFunc(slices.Clone(t.Option(name)), func(l facts.Directive) bool {
				return l.Arg(0) == "0" || l.Arg(0) == "auto" && name != "orport"
			}))
		}
	})
}

func torRepairHidden() func(*facts.Host) (finding.Fix, error) {
	return torRepair("Has Tor hide where the house is: three hops instead of one.", "The onion service answers a little slower.", func(d *fix.Draft, t facts.Tor) {
		for _, name := range []string{"hiddenservicenonanonymousmode", "hiddenservicesinglehopmode"} {
			torRemark(d, t.Option(name))
		}
	})
}

func torRepairV3() func(*facts.Host) (finding.Fix, error) {
	return torRepair("Takes HiddenServiceVersion 2 out of torrc, which no Tor speaks any more.", "", func(d *fix.Draft, t facts.Tor) {
		for _, s := range t.Services {
			for _, name := range []string{"/hostname", "/private_key"} {
				if there, err := d.Host.Exists(s.Path() + name); err != nil || there {
					d.Refuse("move the folder away yourself; Tor then makes an address of version 3, which everybody has to be told", "%s holds an address of its own", s.Path())
					return
				}
			}
			torRemark(d, slices.DeleteFunc(facts.Named(s.Options, "hiddenserviceversion"), func(l facts.Directive) bool { return l.Arg(0) == "3" }))
		}
	})
}

func torRepairDoS() func(*facts.Host) (finding.Fix, error) {
	return torRepair("Has the onion service make floods expensive for those who send them.", "", func(d *fix.Draft, t facts.Tor) {
		option := "HiddenServiceEnableIntroDoSDefense 1"
		if status, err := d.Host.Text("/var/lib/dpkg/status"); err == nil {
			version, _ := packageVersion(status, "tor")
			if old, ok := torBefore048(version); ok && !old {
				option = "HiddenServicePoWDefensesEnabled 1"
			}
		}
		keyword, _, _ := strings.Cut(option, " ")
		for _, s := range slices.Backward(torServices(t)) {
			if pow, ok := s.Last("hiddenservicepowdefensesenabled"); ok && pow.Arg(0) == "1" {
				continue
			}
			if intro, ok := s.Last("hiddenserviceenableintrodosdefense"); ok && intro.Arg(0) == "1" {
				continue
			}
			torOwn(d, []facts.Directive{s.Dir})
			if there, ok := s.Last(strings.ToLower(keyword)); ok {
				proxyPut(d, there, false, option)
				continue
			}
			proxyAfter(d, s.Dir, false, option)
		}
	})
}

// torServices are services in the order of their lines.
func torServices(t facts.Tor) []facts.OnionService {
	all := slices.Clone(t.Services)
	slices.SortStableFunc(all, func(a, b facts.OnionService) int { return a.Dir.Line - b.Dir.Line })
	return all
}

func torRepairDirs() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Closes the folder of the onion service's key to everybody but Tor.", "")
		t, err := h.Tor()
		if err != nil {
			return finding.Fix{}, err
		}
		users, err := h.Users()
		if err != nil {
			return finding.Fix{}, err
		}
		name := "debian-tor"
		if all := t.Option("user"); len(all) > 0 {
			name = all[len(all)-1].Arg(0)
		}
		at := slices.IndexFunc(users, func(u facts.User) bool { return u.Name == name })
		for _, s := range t.Services {
			for _, file := range []string{s.Path(), s.Path() + "/hs_ed25519_secret_key"} {
				info, err := h.Stat(file)
				if proxyMissing(err) {
					continue
				}
				if err != nil {
					return finding.Fix{}, err
				}
				d.Mode(file, uint32(info.Mode.Perm())&0o700)
				if at >= 0 {
					d.Owner(file, uint32(users[at].UID), uint32(users[at].GID))
				}
			}
		}
		return d.Fix()
	}
}
