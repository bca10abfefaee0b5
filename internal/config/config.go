// Package config reads the one configuration file, strictly: a key that is not
// known, a value of the wrong type and a value that cannot be are errors that name
// the file, the line, the key and, where there is one, the nearest right key.
//
// Only main sees this package; everything else is given ready values. Every key is
// declared here once, with its default and what it does (the comment tags, which
// "gatehouse config show" and new files print).
//
// A door is open if its table is in the file. No key holds a secret: secrets are
// sealed in the ledger.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// DefaultPath is where the file is if nobody says otherwise.
const DefaultPath = "/etc/gatehouse/gatehouse.toml"

// The defaults that are not one line's business.
const (
	defaultStateDir = "/var/lib/gatehouse"
	defaultSocket   = "/run/gatehouse/control.sock"
	socketName      = "control.sock"
)

// Config is the whole file.
type Config struct {
	Home         Home         `toml:"home" json:"home"`
	Doors        Doors        `toml:"doors" json:"doors"`
	Certificates Certificates `toml:"certificates" json:"certificates"`
	DDNS         *DDNS        `toml:"ddns,omitempty" json:"ddns,omitempty"`
	Guard        Guard        `toml:"guard" json:"guard"`
	Policy       Policy       `toml:"policy" json:"policy"`
	Events       Events       `toml:"events" json:"events"`
	State        State        `toml:"state" json:"state"`

	at places // where the file says what; nil where there was none
}

// Home says what is guarded.
type Home struct {
	Name  string `toml:"name" json:"name" comment:"Host name under which browsers reach this home, without port. The door https needs it."`
	HAURL string `toml:"ha_url" json:"ha_url" comment:"Where Home Assistant itself answers. Default http://127.0.0.1:8123"`
	HADir string `toml:"ha_dir" json:"ha_dir" comment:"Home Assistant's configuration directory, the one with configuration.yaml. May be empty."`
}

// Doors are the ways in. One that is nil is closed.
type Doors struct {
	HTTPS     *HTTPS     `toml:"https,omitempty" json:"https,omitempty"`
	LAN       *LAN       `toml:"lan,omitempty" json:"lan,omitempty"`
	SSH       *SSH       `toml:"ssh,omitempty" json:"ssh,omitempty"`
	Onion     *Onion     `toml:"onion,omitempty" json:"onion,omitempty"`
	WireGuard *WireGuard `toml:"wireguard,omitempty" json:"wireguard,omitempty"`
}

// HTTPS is the door for everywhere: it asks for the home's name, then for a known device.
type HTTPS struct {
	Listen            string   `toml:"listen" json:"listen" comment:"Address and port to listen on. Default \":443\""`
	PublicPort        int      `toml:"public_port" json:"public_port" comment:"Port that people type, where the router forwards another one. Default 0: the port of listen"`
	CertificateListen string   `toml:"certificate_listen" json:"certificate_listen" comment:"Address and port of a door for devices that have a client certificate (gatehouse invite NAME --certificate), like \":9443\". Empty: none."`
	CertificatePort   int      `toml:"certificate_port" json:"certificate_port" comment:"Port that people type for it, where the router forwards another one. Default 0: the port of certificate_listen"`
	ProxyProtocol     bool     `toml:"proxy_protocol" json:"proxy_protocol" comment:"The proxies of trusted_proxies speak the PROXY protocol (version 1 or 2), and nobody else connects. Default false: they set X-Forwarded-For"`
	TrustedProxies    []string `toml:"trusted_proxies" json:"trusted_proxies" comment:"Addresses and networks of reverse proxies in front of this door whose word about their clients' addresses counts. Default none: see docs/behind-a-proxy.md"`
}

// LAN is the door for home alone. It must not be the one that the router forwards to.
type LAN struct {
	Listen         string   `toml:"listen" json:"listen" comment:"Address and port to listen on. Default \":8443\""`
	Names          []string `toml:"names" json:"names" comment:"Further host names of this machine at home. Its own name with .local is known without."`
	ProxyProtocol  bool     `toml:"proxy_protocol" json:"proxy_protocol" comment:"The proxies of trusted_proxies speak the PROXY protocol (version 1 or 2), and nobody else connects. Default false: they set X-Forwarded-For"`
	TrustedProxies []string `toml:"trusted_proxies" json:"trusted_proxies" comment:"Addresses and networks of reverse proxies in front of this door whose word about their clients' addresses counts. Default none: see docs/behind-a-proxy.md"`
}

// SSH is the door for those who have SSH: tunnels to the house's pages and nothing else.
type SSH struct {
	Listen string `toml:"listen" json:"listen" comment:"Address and port to listen on. Default \":2222\""`
	CA     string `toml:"ca" json:"ca" comment:"File with the public keys of authorities, one a line, whose certificates let people in under their names. Empty: none, and each key is invited."`
}

// Onion is the door over Tor: an onion service for each device. It has no port here.
type Onion struct {
	Control string `toml:"control" json:"control" comment:"Where a tor that runs already is commanded, with its cookie: a socket, like \"unix:/run/tor/control\", or a port of this machine, like \"127.0.0.1:9051\". Default \"\": the gateway starts one of its own"`
	Program string `toml:"program" json:"program" comment:"The tor to start. Default \"\": the system's"`
}

// Certificates says where the certificate of the home's name comes from: from files, from
// public authorities (issuers), or, for a name that exists at home alone, from the local
// authority, which never goes onto a public name.
type Certificates struct {
	Certificate string   `toml:"certificate" json:"certificate" comment:"PEM file of the certificate and those between it and its root. May be empty."`
	Key         string   `toml:"key" json:"key" comment:"PEM file of its private key. May be empty."`
	Issuers     []string `toml:"issuers" json:"issuers" comment:"Public authorities that are asked for a certificate, in this order: \"letsencrypt\", \"zerossl\", or the https:// address of an ACME directory. Naming one accepts its terms of service. Empty: nobody is asked."`
	IssuerRoot  string   `toml:"issuer_root" json:"issuer_root" comment:"PEM file of the root that the https:// issuers' own certificates are trusted by. Empty: what the system trusts."`
	Contact     string   `toml:"contact" json:"contact" comment:"Address for mail of the issuers. May be empty."`
	Challenge   string   `toml:"challenge" json:"challenge" comment:"How the name is proved: \"tls\" on the door https itself, from outside on port 443; \"http\" on port 80 (http_listen); \"dns\" in the home's zone ([certificates.dns]), with no port open. Default \"tls\""`
	HTTPListen  string   `toml:"http_listen" json:"http_listen" comment:"Address and port that the challenge \"http\" is answered on, and nothing else is. Empty: none."`
	Wildcard    bool     `toml:"wildcard" json:"wildcard" comment:"Ask for *.zone in place of the home's own name, which then is in no public log. The challenge is \"dns\". Default false"`
	TLS         string   `toml:"tls" json:"tls" comment:"Which TLS the doors speak: \"modern\" is 1.3 alone; \"intermediate\" is 1.2 as well, for devices from before 2019 (Android up to 9, iOS up to 12.1). Default \"modern\""`
	DNS         *DNS     `toml:"dns,omitempty" json:"dns,omitempty"`
}

// DNS is the home's zone, where a name is proved and addresses are kept. Its secrets are not here: "gatehouse
// certificates token" keeps them sealed.
type DNS struct {
	Provider     string   `toml:"provider" json:"provider" comment:"acmedns, cloudflare, desec, duckdns, gandi, hetzner, ovh, rfc2136 or command."`
	Zone         string   `toml:"zone" json:"zone" comment:"The zone. Empty: it is looked up."`
	Server       string   `toml:"server" json:"server" comment:"rfc2136: its address and port. acmedns: its https:// address."`
	KeyName      string   `toml:"key_name" json:"key_name" comment:"rfc2136: the name of the TSIG key."`
	KeyAlgorithm string   `toml:"key_algorithm" json:"key_algorithm" comment:"rfc2136: its algorithm. Empty: hmac-sha256"`
	Subdomain    string   `toml:"subdomain" json:"subdomain" comment:"acmedns: what its registration gave."`
	Endpoint     string   `toml:"endpoint" json:"endpoint" comment:"ovh: ovh-eu, ovh-ca or ovh-us. Empty: ovh-eu"`
	Command      []string `toml:"command" json:"command" comment:"command: a program and its first arguments; \"present NAME TEXT\" or \"cleanup NAME TEXT\" follow, for [ddns] \"lead NAME ADDRESS…\". No shell is asked."`
}

// DDNS has the home's name follow the home's address, at the provider of
// [certificates.dns]. It is done if the table is in the file.
type DDNS struct {
	Name      string   `toml:"name" json:"name" comment:"The name whose addresses are kept. Empty: home.name"`
	Addresses []string `toml:"addresses" json:"addresses" comment:"Where the home's address is had from, in this order: \"interface\", this machine's own; \"router\", the router's on the Internet's side; or the https:// address of a service that answers with the address it sees. Default [\"interface\", \"router\"]"`
	IPv4      bool     `toml:"ipv4" json:"ipv4" comment:"Keep the A record. Default true"`
	IPv6      bool     `toml:"ipv6" json:"ipv6" comment:"Keep the AAAA record. Default true"`
	TTL       Duration `toml:"ttl" json:"ttl" comment:"How long others may remember an address, where the provider lets that be said. Default \"5m\""`
}

// Guard says when a source is not listened to any more.
type Guard struct {
	Threshold int      `toml:"threshold" json:"threshold" comment:"Failures until a source is banned. Default 5"`
	Window    Duration `toml:"window" json:"window" comment:"How long a failure counts. Default \"10m\""`
	Ban       Duration `toml:"ban" json:"ban" comment:"How long a source is not listened to the first time; every further time twice as long. Default \"10m\""`
	MaxBan    Duration `toml:"max_ban" json:"max_ban" comment:"The longest time for which a source is not listened to. Default \"7d\", or ban where that is longer"`
	Allow     []string `toml:"allow" json:"allow" comment:"Addresses and networks that are never banned. Who comes from there has to sign in all the same."`
	Offload   string   `toml:"offload" json:"offload" comment:"Have the kernel drop what banned sources send: \"nftables\". It needs gatehouse agent. Default \"\": the gateway does it"`
	Countries string   `toml:"countries" json:"countries" comment:"MaxMind DB file that tells in which country an address is: of MaxMind, DB-IP or IPinfo. Rules with country: need it."`
	ASNs      string   `toml:"asns" json:"asns" comment:"MaxMind DB file that tells whose network an address is in; may be the same. Rules with asn: need it."`
	Rules     []Rule   `toml:"rules,omitempty" json:"rules,omitempty"`
}

// Policy is what the owner may choose about who comes in.
type Policy struct {
	SessionIdle Duration `toml:"session_idle" json:"session_idle" comment:"A session ends after this long without use. Default \"30d\""`
	SessionMax  Duration `toml:"session_max" json:"session_max" comment:"A session ends after this long in any case. Default \"365d\""`
	Clients     []string `toml:"clients" json:"clients" comment:"Client ids of services on the Internet that may be linked to Home Assistant from a known browser, as they stand in the address of its login page: Google's and Amazon's assistants, for instance."`
	PlainWorker bool     `toml:"plain_worker" json:"plain_worker" comment:"Leave Home Assistant's service worker as it is. Then a browser whose session has ended shows cached pages until it is reloaded. Default false"`
}

// Events says where what happens is written.
type Events struct {
	File    string `toml:"file" json:"file" comment:"File for one JSON document a line, besides the event log in the state directory. Empty: none."`
	Keep    string `toml:"keep" json:"keep" comment:"How much of the event log is kept: a size, a number of days, or both, of which what is reached first counts, as in \"256MiB 365d\". Default \"64MiB\""`
	Metrics string `toml:"metrics" json:"metrics" comment:"Where Prometheus may fetch metrics: an address of this machine alone, like \"127.0.0.1:9184\", or a socket, like \"unix:/run/gatehouse/metrics.sock\". Empty: nowhere."`
}

// State says where Gatehouse keeps what it knows.
type State struct {
	Dir    string `toml:"dir" json:"dir" comment:"Directory of the ledger and its key. Default \"/var/lib/gatehouse\""`
	Socket string `toml:"socket" json:"socket" comment:"Socket by which the verbs reach a running server. Default \"/run/gatehouse/control.sock\", or control.sock in another state directory"`
}

// Duration is a time.Duration that is written like "10m", "36h" or "30d".
type Duration time.Duration

// Default returns what holds where the file says nothing. No door is open.
func Default() *Config {
	return &Config{
		Home:         Home{HAURL: "http://127.0.0.1:8123"},
		Certificates: Certificates{Challenge: "tls", TLS: "modern"},
		Guard:        Guard{Threshold: 5, Window: Duration(10 * time.Minute), Ban: Duration(10 * time.Minute), MaxBan: Duration(7 * day), Allow: []string{}},
		Policy:       Policy{SessionIdle: Duration(30 * 24 * time.Hour), SessionMax: Duration(365 * 24 * time.Hour)},
		Events:       Events{Keep: "64MiB"},
		State:        State{Dir: defaultStateDir},
	}
}

// Load reads the file at path. The error is an *Error if what it says is wrong; it
// wraps fs.ErrNotExist if there is none.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return Parse(path, data)
}

// Parse reads a file's text. name is what errors call it. The error is an *Error.
func Parse(name string, data []byte) (*Config, error) {
	c := Default()
	places := locate(data)
	dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return nil, explain(name, places, err)
	}
	c.fill(places)
	c.at = places
	if wrong := c.check(places); len(wrong) > 0 {
		return nil, &Error{File: name, Problems: wrong}
	}
	return c, nil
}

// fill puts in the defaults that depend on what the file says.
func (c *Config) fill(said places) {
	c.Home.Name = strings.ToLower(c.Home.Name)
	if d := c.Doors.HTTPS; d != nil && !said.has("doors.https.listen") {
		d.Listen = ":443"
	}
	if d := c.Doors.LAN; d != nil {
		if !said.has("doors.lan.listen") {
			d.Listen = ":8443"
		}
		for i, n := range d.Names {
			d.Names[i] = strings.ToLower(n)
		}
	}
	if d := c.Doors.SSH; d != nil && !said.has("doors.ssh.listen") {
		d.Listen = ":2222"
	}
	c.Doors.WireGuard.fill(said)
	if d := c.DDNS; d != nil {
		d.fill(said)
		if d.Name = strings.ToLower(d.Name); d.Name == "" {
			d.Name = c.Home.Name
		}
	}
	if !said.has("guard.max_ban") {
		c.Guard.MaxBan = max(c.Guard.MaxBan, c.Guard.Ban)
	}
	if !said.has("state.socket") {
		if c.State.Socket = defaultSocket; c.State.Dir != defaultStateDir {
			c.State.Socket = filepath.Join(c.State.Dir, socketName)
		}
	}
}

// TOML returns the configuration as a file that Parse reads as the same, with what
// each key means beside it.
func (c *Config) TOML() ([]byte, error) {
	var b bytes.Buffer
	enc := toml.NewEncoder(&b)
	if err := enc.Encode(c); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return b.Bytes(), nil
}
