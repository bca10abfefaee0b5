// Package zone writes into the home's DNS zone, at the provider where the owner has it:
// texts, by which a challenge of a certificate's issuer is answered (RFC 8555 section
// 8.4), and the addresses that the home's name leads to. It reaches the provider through libdns' own modules and is reached by nobody.
//
// A provider is asked only where the owner named it. Its secrets are handed in, and
// whatever an error of a provider's module says of them is blacked out: some put the
// address they asked into it, and the token with it.
package zone

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/libdns/acmedns"
	"github.com/libdns/cloudflare"
	"github.com/libdns/desec"
	"github.com/libdns/duckdns"
	"github.com/libdns/gandi"
	"github.com/libdns/hetzner/v2"
	"github.com/libdns/libdns"
	"github.com/libdns/ovh"
	"github.com/libdns/rfc2136"
)

// The providers, by the words that the configuration has for them.
const (
	DuckDNS    = "duckdns"
	DeSEC      = "desec"
	Cloudflare = "cloudflare"
	Hetzner    = "hetzner"
	Gandi      = "gandi"
	OVH        = "ovh"
	RFC2136    = "rfc2136"
	ACMEDNS    = "acmedns"
)

// patience is how long a provider may take for one change.
const patience = time.Minute

// ttl is for the texts that are written: they live for minutes. No provider takes less.
const ttl = time.Minute

// The least that these providers take: deSEC answers 400 to less, Gandi likewise.
const (
	deSECTTL = time.Hour
	gandiTTL = 300 * time.Second
)

// Settings say which provider and, where it has to be said, where it is.
type Settings struct {
	Provider     string
	Zone         string // empty: ZoneOf finds it
	Server       string // rfc2136: "address:port"; acmedns: its address, https://…
	KeyName      string // rfc2136: the TSIG key's name
	KeyAlgorithm string // rfc2136: "hmac-sha256" if empty
	Subdomain    string // acmedns: what its registration gave
	Endpoint     string // ovh: "ovh-eu" if empty
}

// Providers returns every provider's word, in the order of their names.
func Providers() []string {
	return []string{ACMEDNS, Cloudflare, DeSEC, DuckDNS, Gandi, Hetzner, OVH, RFC2136}
}

// Secrets returns what a provider's secrets are called, in the order in which they are
// asked for; nil for one that is none.
func Secrets(provider string) []string {
	switch provider {
	case DuckDNS, DeSEC, Cloudflare, Hetzner, Gandi:
		return []string{"token"}
	case OVH:
		return []string{"application key", "application secret", "consumer key"}
	case RFC2136:
		return []string{"key"}
	case ACMEDNS:
		return []string{"user name", "password"}
	}
	return nil
}

// editor is what of a provider's module is used.
type editor interface {
	AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error)
	SetRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error)
	DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error)
}

// Zone is a home's zone, or what a provider lets be written there.
type Zone struct {
	settings Settings
	secrets  []string
	zoneOf   func(ctx context.Context, name string) (string, error)
	editor   editor
	ttl      time.Duration
}

// Open returns the zone at a provider. secrets are those that Secrets names, in that
// order; zoneOf finds the zone of a name. It asks nobody.
func Open(s Settings, secrets []string, zoneOf func(ctx context.Context, name string) (string, error)) (*Zone, error) {
	names := Secrets(s.Provider)
	if names == nil {
		return nil, fmt.Errorf("there is no provider %q; there is %s", s.Provider, strings.Join(Providers(), ", "))
	}
	for i, name := range names {
		if len(secrets) != len(names) || secrets[i] == "" {
			return nil, fmt.Errorf("the %s for %s is missing", name, s.Provider)
		}
	}
	if err := s.check(secrets); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Provider, err)
	}
	z := &Zone{settings: s, secrets: slices.Clone(secrets), zoneOf: zoneOf, ttl: ttl}
	switch s.Provider {
	case DuckDNS:
		z.editor = &duckdns.Provider{APIToken: secrets[0]}
	case DeSEC:
		z.editor, z.ttl = &desec.Provider{Token: secrets[0]}, deSECTTL
	case Cloudflare:
		z.editor = &cloudflare.Provider{APIToken: secrets[0]}
	case Hetzner:
		z.editor = hetzner.New(secrets[0])
	case Gandi:
		z.editor, z.ttl = &gandi.Provider{BearerToken: secrets[0]}, gandiTTL
	case OVH:
		z.editor = &ovh.Provider{Endpoint: cmp.Or(s.Endpoint, "ovh-eu"), ApplicationKey: secrets[0], ApplicationSecret: secrets[1], ConsumerKey: secrets[2]}
	case RFC2136:
		z.editor = &rfc2136.Provider{KeyName: s.KeyName, KeyAlg: cmp.Or(s.KeyAlgorithm, "hmac-sha256"), Key: secrets[0], Server: s.Server}
	case ACMEDNS:
		z.editor = textsAlone{&acmedns.Provider{Username: secrets[0], Password: secrets[1], Subdomain: s.Subdomain, ServerURL: strings.TrimSuffix(s.Server, "/")}}
	}
	return z, nil
}

// check looks for what a provider needs beside its secrets, and for secrets that cannot be.
func (s Settings) check(secrets []string) error {
	for _, secret := range secrets {
		if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("a secret has a character that none has")
		}
	}
	switch s.Provider {
	case DuckDNS:
		if len(secrets[0]) != 36 {
			return errors.New("its token has 36 characters")
		}
	case RFC2136:
		if _, _, err := net.SplitHostPort(s.Server); err != nil {
			return errors.New(`the server is missing; it looks like "192.0.2.1:53"`)
		}
		if s.KeyName == "" {
			return errors.New("the name of the key is missing")
		}
		if _, err := base64.StdEncoding.DecodeString(secrets[0]); err != nil {
			return errors.New("its key is not base64")
		}
	case ACMEDNS:
		if u, err := url.Parse(s.Server); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return errors.New(`the server is missing; it looks like "https://acme-dns.example.org"`)
		}
		if s.Subdomain == "" {
			return errors.New("the subdomain is missing; its registration gave one")
		}
	}
	return nil
}

// Present writes a text at a name, beside those that are there.
func (z *Zone) Present(ctx context.Context, name, text string) error {
	return z.change(ctx, "write", name, text, func(ctx context.Context, zone string, r []libdns.Record) error {
		_, err := z.editor.AppendRecords(ctx, zone, r)
		return err
	})
}

// CleanUp takes the text away again.
func (z *Zone) CleanUp(ctx context.Context, name, text string) error {
	return z.change(ctx, "take away", name, text, func(ctx context.Context, zone string, r []libdns.Record) error {
		_, err := z.editor.DeleteRecords(ctx, zone, r)
		return err
	})
}

func (z *Zone) change(ctx context.Context, what, name, text string, do func(context.Context, string, []libdns.Record) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	zone, err := z.of(ctx, name)
	if err != nil {
		return err
	}
	record := libdns.TXT{Name: libdns.RelativeName(name+".", zone), TTL: z.ttl, Text: text}
	if err := do(ctx, zone, []libdns.Record{record}); err != nil {
		return fmt.Errorf("%s the text at %s by %s: %w", what, name, z.settings.Provider, z.blackOut(err))
	}
	return nil
}

// of returns the zone that a name lies in, with its final dot.
func (z *Zone) of(ctx context.Context, name string) (string, error) {
	zone := z.settings.Zone
	if zone == "" {
		var err error
		if zone, err = z.zoneOf(ctx, name); err != nil {
			return "", fmt.Errorf("find the zone of %s: %w", name, err)
		}
	}
	return strings.TrimSuffix(zone, ".") + ".", nil
}

// blackOut takes the secrets out of an error's words.
func (z *Zone) blackOut(err error) error {
	words := err.Error()
	for _, secret := range z.secrets {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			words = strings.ReplaceAll(words, form, "…")
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", words, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", words, context.DeadlineExceeded)
	}
	return errors.New(words)
}
