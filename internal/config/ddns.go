package config

import (
	"net/url"
	"time"
)

// The words for where the home's address is had from. Anything else is the https address
// of a service.
const (
	FromInterface = "interface"
	FromRouter    = "router"
)

// fill puts in the defaults of what the table leaves out.
func (d *DDNS) fill(said places) {
	if !said.has("ddns.addresses") {
		d.Addresses = []string{FromInterface, FromRouter}
	}
	d.IPv4 = d.IPv4 || !said.has("ddns.ipv4")
	d.IPv6 = d.IPv6 || !said.has("ddns.ipv6")
	if !said.has("ddns.ttl") {
		d.TTL = Duration(5 * time.Minute)
	}
}

// checkDDNS looks at whose addresses are kept, where, and where they are had from.
func (c *Config) checkDDNS(k *checker) {
	d := c.DDNS
	if d == nil {
		return
	}
	const zoneHint = "add a table [certificates.dns] with the provider of your zone"
	switch dns := c.Certificates.DNS; {
	case dns == nil:
		k.say("ddns", zoneHint, "writes into the home's zone, and certificates.dns does not say where that is")
	case dns.Provider == "acmedns":
		k.say("ddns", "leave [ddns] out, or choose another provider", "cannot be with certificates.dns.provider = \"acmedns\": it holds texts for certificates, and no addresses")
	}
	switch {
	case d.Name == "":
		k.say("ddns.name", `it looks like "ha.example.org"`, "is missing, and so is home.name")
	case !IsHostName(d.Name):
		k.say("ddns.name", `it looks like "ha.example.org"`, "is %q, which is not a host name", d.Name)
	}
	if !d.IPv4 && !d.IPv6 {
		k.say("ddns.ipv6", "leave the table [ddns] out", "and ddns.ipv4 are both off, so that nothing is kept")
	}
	if len(d.Addresses) == 0 {
		k.say("ddns.addresses", `it is usually ["interface", "router"]`, "is empty")
	}
	for _, from := range d.Addresses {
		u, err := url.Parse(from)
		if from != FromInterface && from != FromRouter && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "") {
			k.say("ddns.addresses", `it is "interface", "router" or an address like "https://echo.example/"`, "has %q", from)
		}
	}
	k.between("ddns.ttl", d.TTL, time.Minute, day)
}
