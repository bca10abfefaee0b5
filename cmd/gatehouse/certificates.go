package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"gatehouse/internal/acme"
	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
	"gatehouse/internal/resolver"
	"gatehouse/internal/zone"
)

// The public authorities that have a word of their own. They are asked where the
// configuration names them.
const (
	letsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	letsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
	zeroSSL            = "https://acme.zerossl.com/v2/DV90"
)

// byCommand is the provider that is a program of the owner's.
const byCommand = "command"

// orderedName is the name that a certificate is ordered for.
func orderedName(c *config.Config) string {
	if !c.Certificates.Wildcard {
		return c.Home.Name
	}
	_, above, _ := strings.Cut(c.Home.Name, ".")
	return "*." + above
}

// newCertificates makes what gets certificates from public authorities; nil where the
// configuration names none. pem is the root of the owner's own authorities.
func (s *server) newCertificates(ctx context.Context, pem []byte) (*acme.Manager, error) {
	c, l := s.cfg.Certificates, s.parts.ledger
	if len(c.Issuers) == 0 {
		return nil, nil
	}
	issuers, err := issuersOf(c, l, pem)
	if err != nil {
		return nil, err
	}
	asks := resolver.Resolver{}
	m, err := acme.New(ctx, acme.Config{
		Ledger: l, Names: []string{orderedName(s.cfg)}, Issuers: issuers, Challenge: c.Challenge, Contact: c.Contact, Resolver: asks, Log: s.parts.log,
		Zone:      func(ctx context.Context) (acme.Zone, error) { return openZone(ctx, c.DNS, l, asks) },
		Addresses: s.outside,
		Obtained: func(g acme.Got) {
			s.emit(event.Event{Kind: event.CertificateGot, Detail: g.Name + " from " + g.Issuer + " until " + stamp(g.Until)})
		},
		Failed: func(name string, err *acme.Error) {
			s.emit(event.Event{Kind: event.CertificateFailed, Detail: name + ": " + err.What})
		},
		Holder: "gateway", // whoever serves has the ledger's lock, so there is one
	})
	var wrong *acme.Error
	if errors.As(err, &wrong) {
		return nil, &problem{status: statusUsage, err: wrong, hint: wrong.Hint}
	}
	return m, err
}

// issuersOf are the issuers of the configuration, in its order.
func issuersOf(c config.Certificates, l *ledger.Ledger, pem []byte) ([]acme.Issuer, error) {
	var roots *x509.CertPool
	if c.IssuerRoot != "" {
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return nil, &problem{status: statusCannot, err: fmt.Errorf("%s holds no certificate", c.IssuerRoot), hint: "certificates.issuer_root names the root in PEM"}
		}
	}
	var all []acme.Issuer
	for _, name := range c.Issuers {
		switch name {
		case "letsencrypt":
			all = append(all, acme.Issuer{Name: "Let's Encrypt", Directory: letsEncrypt, Staging: letsEncryptStaging})
		case "zerossl":
			all = append(all, acme.Issuer{Name: "ZeroSSL", Directory: zeroSSL, Binding: binding(l, name, true)})
		default:
			all = append(all, acme.Issuer{Name: name, Directory: name, Roots: roots, Private: true, Binding: binding(l, name, false)})
		}
	}
	return all, nil
}

// binding is the key that ties an account to one at an issuer, as the ledger keeps it.
func binding(l *ledger.Ledger, issuer string, needed bool) func(context.Context) (string, string, error) {
	return func(ctx context.Context) (id, key string, err error) {
		words, err := loadTokens(ctx, l, issuer)
		switch {
		case err != nil:
			return "", "", err
		case len(words) == 2:
			return words[0], words[1], nil
		case needed:
			return "", "", &acme.Error{What: issuer + " wants the key of an account there", Hint: `make one on its pages (ACME, EAB credentials), then: "gatehouse certificates token ` + issuer + `"`}
		}
		return "", "", nil
	}
}

// homeZone is the home's zone: texts and addresses are written there.
type homeZone interface {
	Present(ctx context.Context, name, text string) error
	CleanUp(ctx context.Context, name, text string) error
	Lead(ctx context.Context, name string, want, now []netip.Addr, life time.Duration) error
}

// openZone opens the home's zone at its provider, with what the ledger keeps for it.
func openZone(ctx context.Context, d *config.DNS, l *ledger.Ledger, asks resolver.Resolver) (homeZone, error) {
	if d.Provider == byCommand {
		return &zoneCommand{argv: d.Command}, nil
	}
	words, err := loadTokens(ctx, l, d.Provider)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, &acme.Error{What: "there is no token for " + d.Provider, Hint: "gatehouse certificates token " + d.Provider}
	}
	z, err := zone.Open(zone.Settings{Provider: d.Provider, Zone: strings.ToLower(d.Zone), Server: d.Server, KeyName: d.KeyName,
		KeyAlgorithm: d.KeyAlgorithm, Subdomain: d.Subdomain, Endpoint: d.Endpoint}, words, asks.Zone)
	if err != nil {
		return nil, &acme.Error{What: err.Error(), Hint: "see [certificates.dns], and gatehouse certificates token " + d.Provider, Err: err}
	}
	return z, nil
}

// Tokens: what a provider or an issuer knows us by.

func tokensSecret(of string) string { return "certificates/token/" + of }

func loadTokens(ctx context.Context, l *ledger.Ledger, of string) (words []string, err error) {
	data, err := l.Secret(ctx, tokensSecret(of))
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the token for %s: %w", of, err)
	}
	if err := json.Unmarshal(data, &words); err != nil {
		return nil, fmt.Errorf("read the token for %s: %w", of, err)
	}
	return words, nil
}

// tokenNames are what the secrets for a provider or an issuer are called; nil if there is
// no such.
func tokenNames(of string) []string {
	if names := zone.Secrets(of); names != nil {
		return names
	}
	if of == "zerossl" || strings.HasPrefix(of, "https://") {
		return []string{"key id", "key"}
	}
	return nil
}

type tokens struct {
	Of    string   `json:"of"`
	Words []string `json:"words"`
}

func keepTokens(ctx context.Context, h *house, in tokens) (done, error) {
	names := tokenNames(in.Of)
	if names == nil || len(names) != len(in.Words) || slices.Contains(in.Words, "") {
		return done{}, wrongToken(in.Of)
	}
	data, err := json.Marshal(in.Words)
	if err != nil {
		return done{}, err
	}
	if err := h.ledger.PutSecret(ctx, tokensSecret(in.Of), data); err != nil {
		return done{}, fmt.Errorf("keep the token for %s: %w", in.Of, err)
	}
	return again(ctx, h, none{})
}

func wrongToken(of string) error {
	return &problem{status: statusUsage, err: fmt.Errorf("there is no token for %q", of),
		hint: "the providers are " + strings.Join(zone.Providers(), ", ") + "; the issuers zerossl and those of the configuration"}
}

// again has the next try made now, and a certificate's files looked at.
func again(ctx context.Context, h *house, _ none) (done, error) {
	if h.server == nil {
		return allDone(), nil
	}
	if h.server.file != nil {
		h.server.file.look(time.Now())
	}
	var errs []error
	if h.server.public != nil {
		errs = append(errs, h.server.public.Again(ctx))
	}
	if h.server.ddns != nil { // with the same token
		errs = append(errs, h.server.ddns.Again(ctx))
	}
	return allDone(), errors.Join(errs...)
}

// What there is.

type certificatesDocument struct {
	SchemaVersion int              `json:"schema_version"`
	Certificates  []certificateRow `json:"certificates"`
}

type certificateRow struct {
	Name    string `json:"name"`
	Issuer  string `json:"issuer,omitempty"`
	Until   string `json:"until,omitempty"`
	Renew   string `json:"renew,omitempty"`
	Why     string `json:"why,omitempty"` // the last try failed
	Hint    string `json:"hint,omitempty"`
	NextTry string `json:"next_try,omitempty"`
}

func listCertificates(_ context.Context, h *house, _ none) (certificatesDocument, error) {
	doc := certificatesDocument{SchemaVersion: schemaVersion, Certificates: []certificateRow{}}
	if h.server == nil {
		return doc, &problem{status: statusCannot, err: errors.New("the gateway is not running"), hint: `start it: "gatehouse serve", or its service`}
	}
	for _, e := range h.server.endings() {
		row := certificateRow{Name: e.what, Until: stamp(e.until), Why: e.why, Hint: e.hint}
		if s := e.state; s != nil {
			row = certificateRow{s.Name, s.Issuer, stamp(s.Until), stamp(s.Renew), s.Why, s.Hint, stamp(s.NextTry)}
		}
		doc.Certificates = append(doc.Certificates, row)
	}
	return doc, nil
}

func (a *app) newCertificatesCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "certificates", Short: "List the certificates, until when they are good and why one is missing",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := ask(cmd.Context(), a, "certificates", listCertificates, none{})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				rows := [][]string{{"NAME", "ISSUER", "ENDS", "RENEWED", "NEXT TRY"}}
				for _, r := range doc.Certificates {
					rows = append(rows, []string{r.Name, orDash(r.Issuer), ago(r.Until), ago(r.Renew), ago(r.NextTry)})
				}
				table(w, rows)
				for _, r := range doc.Certificates {
					if r.Why != "" {
						fmt.Fprintf(w, "%s: %s\n", r.Name, r.Why)
					}
					if r.Hint != "" {
						fmt.Fprintf(w, "        → %s\n", r.Hint)
					}
				}
			})
		},
	}
	token := &cobra.Command{
		Use: "token NAME", Short: "Keep the token of a DNS provider or an issuer, sealed",
		Long: `Asks for the token of a DNS provider, or for the key that an issuer gave to its own
account, and keeps it sealed in the ledger. Without a terminal it is read from standard
input, one line for each secret.`,
		Example: "  gatehouse certificates token duckdns\n  gatehouse certificates token zerossl < file",
		Args:    exactly(1, "a provider or an issuer"),
		RunE: func(cmd *cobra.Command, args []string) error {
			names := tokenNames(args[0])
			if names == nil {
				return wrongToken(args[0])
			}
			words, err := a.readSecrets(cmd.Context(), args[0], names)
			if err != nil {
				return err
			}
			doc, err := ask(cmd.Context(), a, "certificates/token", keepTokens, tokens{args[0], words})
			if err != nil {
				return err
			}
			return a.print(doc, func(io.Writer) { a.note("kept") })
		},
	}
	retry := &cobra.Command{
		Use: "retry", Short: "Try now to get what is missing, without waiting for the next time", Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := ask(cmd.Context(), a, "certificates/retry", again, none{})
			if err != nil {
				return err
			}
			return a.print(doc, func(io.Writer) { a.note(`on its way; "gatehouse certificates" shows what comes of it`) })
		},
	}
	label := &cobra.Command{
		Use: "label ZONE", Short: "Make a name for the home that nobody guesses",
		Long: `Prints a random name below a zone. As home.name, and with certificates.wildcard, it
stands in no public log of certificates: that shows *.ZONE alone.`,
		Example: "  gatehouse certificates label home.example.org",
		Args:    exactly(1, "a zone"),
		RunE: func(_ *cobra.Command, args []string) error {
			zone := strings.ToLower(args[0])
			if !config.IsHostName(zone) || !strings.Contains(zone, ".") {
				return &problem{status: statusUsage, err: fmt.Errorf("%q is no zone", args[0]), hint: `it looks like "home.example.org"`}
			}
			doc := struct {
				SchemaVersion int    `json:"schema_version"`
				Name          string `json:"name"`
			}{schemaVersion, randomLabel() + "." + zone}
			return a.print(doc, func(w io.Writer) { fmt.Fprintln(w, doc.Name) })
		},
	}
	list.AddCommand(token, retry, label)
	return list
}

// randomLabel is a label of 80 random bits that begins with a letter.
func randomLabel() string {
	var b [10]byte
	rand.Read(b[:])
	return "h" + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// readSecrets asks for secrets in the terminal, or reads them from standard input.
func (a *app) readSecrets(ctx context.Context, of string, names []string) ([]string, error) {
	in, _ := a.in.(*os.File)
	asker := &asker{in: in, out: a.err}
	words := make([]string, len(names))
	if asker.terminal() {
		for i, name := range names {
			word, err := asker.secret(ctx, "The "+name+" for "+of, "standard input")
			if err != nil {
				return nil, err
			}
			words[i] = strings.TrimSpace(word)
		}
		return words, nil
	}
	const most = 16 << 10
	text, err := io.ReadAll(io.LimitReader(a.in, most))
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(names) || lines[0] == "" {
		return nil, &problem{status: statusUsage, err: fmt.Errorf("%s has %d secrets, a line each: %s", of, len(names), strings.Join(names, ", "))}
	}
	for i, line := range lines {
		words[i] = strings.TrimSpace(line)
	}
	return words, nil
}
