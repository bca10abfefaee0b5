package web

import (
	"cmp"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
)

// Where the local authority's certificate is got: below pathTrust, a file's name.
const (
	pathTrust   = authPrefix + "trust"
	pathTrusted = apiPrefix + "trusted"
)

// Authority is the home's own, as the page asks that has devices trust it.
type Authority interface {
	// Trust is what a visitor who knows the house by a host name or address is to trust.
	Trust(host string, visitor netip.Addr) Trust
	// IsOwn reports whether an origin is one of the door lan's, with TLS or without.
	IsOwn(origin string) bool
}

// Issuer says who vouches for a host.
type Issuer int

// The issuers.
const (
	IssuerOther  Issuer = iota // somebody else: nobody here knows who trusts them
	IssuerOwn                  // the local authority
	IssuerPublic               // one that this machine's system trusts, too
)

// Trust is what there is to trust, and by what it is told whether it is.
type Trust struct {
	Issuer Issuer
	Root   pki.Root
	Before *pki.Root // while another root is prepared: the one whose certificates are still shown
	// Origins, https://host[:port], are where the local authority's certificate is shown. Those
	// in Sure are reached by the visitor for sure, if the house is at all.
	Origins, Sure []string
}

// offer is what a file of the page is.
type offer struct {
	name, kind string
	data       func(*call, Trust) []byte
}

// offers returns the files, in the forms that platforms take.
func offers() []offer {
	der := func(_ *call, t Trust) []byte { return t.Root.DER() }
	return []offer{
		{"gatehouse.mobileconfig", "application/x-apple-aspen-config", profile},
		{"gatehouse.crt", "application/x-x509-ca-cert", der},
		{"gatehouse.cer", "application/x-x509-ca-cert", der},
		{"gatehouse.pem", "application/x-pem-file", func(_ *call, t Trust) []byte { return t.Root.PEM() }},
		{"before.crt", "application/x-x509-ca-cert", func(_ *call, t Trust) []byte {
			if t.Before == nil {
				return nil
			}
			return t.Before.DER()
		}},
	}
}

// profile holds both roots while one takes the other's place, so that an Apple device is
// let in now and then.
func profile(c *call, t Trust) []byte {
	roots := []pki.Root{t.Root}
	if t.Before != nil {
		roots = append(roots, *t.Before)
	}
	return pki.Profile(c.lang.words.TrustLimits, roots...)
}

// isForTrust reports whether a visit may see what is about the local authority: whoever is
// at home, at the door lan. It names the home, so nobody else learns that it is there.
func (p *Pages) isForTrust(c *call) bool {
	return p.cfg.Authority != nil && c.visit.Door == policy.LAN && c.visit.AtHome
}

// host is the host name or address under which the visitor reaches the house with TLS.
func (c *call) host() string {
	if u, err := url.Parse(c.visit.Secure); err == nil && u.Host != "" {
		return u.Hostname()
	}
	return c.visit.Host
}

// trustFile hands out the root.
func (p *Pages) trustFile(c *call) error {
	if !p.isForTrust(c) {
		return errNoRoute
	}
	for _, o := range offers() {
		if o.name != c.arg {
			continue
		}
		data := o.data(c, p.cfg.Authority.Trust(c.host(), c.visit.Addr))
		if data == nil {
			break
		}
		c.w.Header().Set("Content-Disposition", `attachment; filename="`+o.name+`"`)
		p.send(c, http.StatusOK, o.kind, data)
		return nil
	}
	return errNoRoute
}

// trusted answers the question of a page of ours, at another origin of the door lan,
// whether its browser trusts what we show: that there is an answer is the answer. A page
// of anybody else's may not read it.
func (p *Pages) trusted(c *call) error {
	if !p.isForTrust(c) {
		return errNoRoute
	}
	h := c.w.Header()
	h.Set("Vary", "Origin")
	if origins := c.r.Header["Origin"]; len(origins) == 1 && p.cfg.Authority.IsOwn(origins[0]) {
		h.Set("Access-Control-Allow-Origin", origins[0])
	}
	p.send(c, http.StatusOK, "text/plain; charset=utf-8", nil)
	return nil
}

// trustView is what the page shows.
type trustView struct {
	Public, Foreign, Changing, Plain bool

	Host        string // what the house is called here
	Name        string // of the root
	Fingerprint []string
	Until       time.Time
	First       platform
	Others      []platform
	Check       bool // there is something to ask
	Alone       []string
	Sure        []string
	Same        string       // the origin with TLS at this page's own host, whose answer proves little
	Try         string       // where to look by hand; empty where nothing is known
	Picture     template.URL // a data: URL of our own making
}

// platform is how one kind of device is told.
type platform struct {
	ID, Name, File, Get string
	Steps               []string
	Commands            []command
	Note                string
}

// command is something to type, and what it is for.
type command struct{ For, Text string }

// trustPage guides a device to trusting the local authority.
func (p *Pages) trustPage(c *call) error {
	if !p.isForTrust(c) {
		return errNoRoute
	}
	t := p.cfg.Authority.Trust(c.host(), c.visit.Addr)
	picture, err := pictureOf(c.visit.Origin + pathTrust)
	if err != nil {
		return err
	}
	known := platforms(c.lang.words)
	order := guess(c.visit.UserAgent)
	slices.SortStableFunc(known, func(a, b platform) int { return cmp.Compare(rank(order, a.ID), rank(order, b.ID)) })
	v := trustView{Public: t.Issuer == IssuerPublic, Foreign: t.Issuer == IssuerOther, Changing: t.Before != nil, Plain: c.visit.Secure != "",
		Host: c.host(), Name: t.Root.Name(), Fingerprint: t.Root.Lines(), Until: t.Root.Expires(),
		First: known[0], Others: known[1:], Picture: template.URL(picture)}
	v.ask(c, t)
	return p.show(c, http.StatusOK, "trust", view{Title: c.lang.words.TrustTitle, Script: "trust.js", Connect: v.asks(), Page: v})
}

// ask decides whom the page's script asks. The host of the page itself proves little: its
// visitor may have told the browser to go on in spite of its warning, for this host alone.
func (v *trustView) ask(c *call, t Trust) {
	for _, o := range t.Origins {
		u, err := url.Parse(o)
		switch {
		case err != nil:
		case u.Hostname() != c.visit.Host:
			v.Alone = append(v.Alone, o)
		case v.Plain:
			v.Same = o
		default:
			v.Try = o // this very page
		}
	}
	for _, o := range t.Sure {
		if slices.Contains(v.Alone, o) {
			v.Sure = append(v.Sure, o)
		}
	}
	if v.Try == "" {
		v.Try = v.Same
	}
	if v.Try == "" && len(t.Origins) > 0 {
		v.Try = t.Origins[0]
	}
	// While another root is prepared, the answer would be about the old one.
	v.Check = t.Before == nil && (len(v.Alone) > 0 || v.Same != "")
}

// asks are the origins that the page's script may ask.
func (v *trustView) asks() []string {
	if !v.Check {
		return nil
	}
	if v.Same == "" {
		return v.Alone
	}
	return append([]string{v.Same}, v.Alone...)
}

// guess returns which platforms a visitor probably sits at, the likeliest first. What it
// says of itself decides what is shown first, and nothing else.
func guess(agent string) []string {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(agent, w) })
	}
	var order []string
	switch {
	case has("Android"):
		return []string{"android"}
	case has("iPhone", "iPad", "iPod", "iOS"):
		return []string{"apple"}
	case has("Macintosh", "Mac OS X"):
		order = []string{"mac", "apple"}
	case has("Windows"):
		order = []string{"windows"}
	case has("Linux", "X11"):
		order = []string{"linux"}
	}
	if has("Firefox/") {
		return append([]string{"firefox"}, order...)
	}
	return order
}

func rank(order []string, id string) int {
	if i := slices.Index(order, id); i >= 0 {
		return i
	}
	return len(order)
}

// platforms returns how each is told, the commonest first.
func platforms(t *messages) []platform {
	return []platform{
		{ID: "apple", Name: t.AppleName, File: "gatehouse.mobileconfig", Get: t.GetProfile, Steps: []string{t.Apple1, t.Apple2, t.Apple3}, Note: t.AppleNote},
		{ID: "android", Name: "Android", File: "gatehouse.crt", Get: t.GetCertificate, Steps: []string{t.Android1, t.Android2, t.Android3}, Note: t.AndroidNote},
		{ID: "windows", Name: "Windows", File: "gatehouse.cer", Get: t.GetCertificate, Steps: []string{t.Windows1, t.Windows2, t.Windows3}, Commands: []command{
			{t.WindowsCommand, `certutil -user -addstore Root %USERPROFILE%\Downloads\gatehouse.cer`},
		}},
		{ID: "mac", Name: "Mac", File: "gatehouse.cer", Get: t.GetCertificate, Steps: []string{t.Mac1, t.Mac2}, Note: t.MacNote, Commands: []command{
			{t.MacCommand, "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ~/Downloads/gatehouse.cer"},
		}},
		{ID: "linux", Name: "Linux", File: "gatehouse.pem", Get: t.GetCertificate, Steps: []string{t.Linux1, t.Linux2}, Commands: []command{
			{t.LinuxDebian, "sudo install -m 644 ~/Downloads/gatehouse.pem /usr/local/share/ca-certificates/gatehouse.crt && sudo update-ca-certificates"},
			{t.LinuxFedora, "sudo install -m 644 ~/Downloads/gatehouse.pem /etc/pki/ca-trust/source/anchors/gatehouse.pem && sudo update-ca-trust"},
			{t.LinuxChromium, `certutil -d sql:$HOME/.pki/nssdb -A -t "C,," -n gatehouse -i ~/Downloads/gatehouse.pem`},
		}},
		{ID: "firefox", Name: "Firefox", File: "gatehouse.pem", Get: t.GetCertificate, Steps: []string{t.Firefox1, t.Firefox2}, Commands: []command{
			{t.FirefoxCommand, "security.enterprise_roots.enabled"},
		}},
	}
}

// warns reports whether a browser that trusts nothing of ours is going to warn about the
// address that it is led to.
func (p *Pages) warns(c *call) bool {
	return p.isForTrust(c) && p.cfg.Authority.Trust(c.host(), c.visit.Addr).Issuer == IssuerOwn
}
