package config

import (
	"net/mail"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// checkCertificates looks at how certificates are got from public authorities.
func (c *Config) checkCertificates(k *checker) {
	s := c.Certificates
	if s.TLS != "modern" && s.TLS != "intermediate" {
		k.say("certificates.tls", `it is "modern" or "intermediate"`, "is %q", s.TLS)
	}
	if s.DNS != nil {
		s.DNS.check(k)
	}
	if len(s.Issuers) == 0 {
		for key, said := range map[string]bool{"issuer_root": s.IssuerRoot != "", "contact": s.Contact != "", "challenge": s.Challenge != "tls",
			"http_listen": s.HTTPListen != "", "wildcard": s.Wildcard, "dns": s.DNS != nil && c.DDNS == nil} {
			if said {
				k.say("certificates."+key, `add issuers = ["letsencrypt"], or leave this out`, "is for certificates of public authorities, and certificates.issuers names none")
			}
		}
		return
	}
	for _, issuer := range s.Issuers {
		if u, err := url.Parse(issuer); !slices.Contains([]string{"letsencrypt", "zerossl"}, issuer) && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
			k.say("certificates.issuers", `"letsencrypt", "zerossl" or an address like "https://ca.home.example/acme/directory"`, "has %q, which is no issuer", issuer)
		}
	}
	switch {
	case s.Certificate != "":
		k.say("certificates.issuers", "keep one of the two", "and certificates.certificate are both there")
	case c.Doors.HTTPS == nil:
		k.say("certificates.issuers", "add a table [doors.https], or leave it out", "is for the door https, and there is none")
	}
	if s.Contact != "" {
		if at, err := mail.ParseAddress(s.Contact); err != nil || at.Address != s.Contact {
			k.say("certificates.contact", `it looks like "olga@example.org"`, "is no address for mail")
		}
	}
	c.checkChallenge(k)
}

func (c *Config) checkChallenge(k *checker) {
	s := c.Certificates
	switch s.Challenge {
	case "tls", "http", "dns":
	default:
		k.say("certificates.challenge", `it is "tls", "http" or "dns"`, "is %q", s.Challenge)
		return
	}
	if s.HTTPListen != "" {
		k.listen("certificates.http_listen", s.HTTPListen)
	}
	if (s.Challenge == "http") != (s.HTTPListen != "") {
		k.say("certificates.http_listen", `for the challenge "http" it is ":80"; without that challenge it is left out`, "and the challenge \"http\" come together")
	}
	if s.DNS == nil && s.Challenge == "dns" || s.DNS != nil && s.Challenge != "dns" && c.DDNS == nil {
		k.say("certificates.dns", "", "and the challenge \"dns\" come together")
	}
	if s.Wildcard {
		if s.Challenge != "dns" {
			k.say("certificates.wildcard", `challenge = "dns"`, "wants the challenge \"dns\"")
		}
		if strings.Count(c.Home.Name, ".") < 2 {
			k.say("home.name", `"gatehouse certificates label ZONE" makes one that nobody guesses`, "has too few labels for certificates.wildcard: it stands one below the zone")
		}
	}
}

// check looks for what a provider needs, and for what is another's.
func (d *DNS) check(k *checker) {
	needs := map[string][]string{
		"acmedns": {"server", "subdomain"}, "cloudflare": nil, "desec": nil, "duckdns": nil, "gandi": nil, "hetzner": nil, "ovh": nil,
		"rfc2136": {"server", "key_name"}, "command": {"command"},
	}
	also := map[string][]string{"rfc2136": {"key_algorithm"}, "ovh": {"endpoint"}}
	need, ok := needs[d.Provider]
	if !ok {
		k.say("certificates.dns.provider", "it is acmedns, cloudflare, desec, duckdns, gandi, hetzner, ovh, rfc2136 or command", "is %q", d.Provider)
		return
	}
	given := map[string]bool{"server": d.Server != "", "key_name": d.KeyName != "", "key_algorithm": d.KeyAlgorithm != "",
		"subdomain": d.Subdomain != "", "endpoint": d.Endpoint != "", "command": len(d.Command) > 0}
	for _, key := range []string{"server", "key_name", "key_algorithm", "subdomain", "endpoint", "command"} {
		switch {
		case slices.Contains(need, key) && !given[key]:
			k.say("certificates.dns."+key, "", "is missing: %s needs it", d.Provider)
		case given[key] && !slices.Contains(need, key) && !slices.Contains(also[d.Provider], key):
			k.say("certificates.dns."+key, "leave it out", "means nothing to %s", d.Provider)
		}
	}
	if d.Zone != "" && !IsHostName(strings.ToLower(d.Zone)) {
		k.say("certificates.dns.zone", `it looks like "example.org"`, "is %q, which is no zone", d.Zone)
	}
	if d.Endpoint != "" && !slices.Contains([]string{"ovh-eu", "ovh-ca", "ovh-us"}, d.Endpoint) {
		k.say("certificates.dns.endpoint", "it is ovh-eu, ovh-ca or ovh-us", "is %q", d.Endpoint)
	}
	if len(d.Command) > 0 && !filepath.IsAbs(d.Command[0]) {
		k.say("certificates.dns.command", "a path begins with /", "begins with %q, which depends on where Gatehouse is started", d.Command[0])
	}
}
