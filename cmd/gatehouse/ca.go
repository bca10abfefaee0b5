package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/event"
	"gatehouse/internal/pki"
)

type authorityDocument struct {
	SchemaVersion int      `json:"schema_version"`
	Name          string   `json:"name"`        // what devices list it as
	Fingerprint   string   `json:"fingerprint"` // SHA-256, as browsers show it
	Expires       string   `json:"expires"`
	PEM           string   `json:"pem"`
	Next          *rootRow `json:"next,omitempty"` // prepared to take its place
	Page          string   `json:"page,omitempty"` // where devices at home are told to trust it
}

type rootRow struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Expires     string `json:"expires"`
	PEM         string `json:"pem"`
}

func rootRowOf(r pki.Root) rootRow {
	return rootRow{r.Name(), r.Fingerprint(), stamp(r.Expires()), string(r.PEM())}
}

// roots are those to trust, the one that counts from now on first.
func (d authorityDocument) roots() ([]pki.Root, error) {
	text := d.PEM
	if d.Next != nil {
		text = d.Next.PEM + text
	}
	return pki.ReadRoots([]byte(text))
}

// openedAuthority is the local authority, opened when it is first asked for.
func (h *house) openedAuthority(ctx context.Context) (*pki.Authority, error) {
	if h.authority == nil {
		a, err := openAuthority(ctx, h.cfg, h.ledger)
		if err != nil {
			return nil, err
		}
		h.authority = a
	}
	return h.authority, nil
}

func authority(ctx context.Context, h *house, _ none) (authorityDocument, error) {
	a, err := h.openedAuthority(ctx)
	if err != nil {
		return authorityDocument{}, err
	}
	now := rootRowOf(a.Root())
	doc := authorityDocument{schemaVersion, now.Name, now.Fingerprint, now.Expires, now.PEM, nil, h.trustAddress()}
	if next, ok := a.Next(); ok {
		row := rootRowOf(next)
		doc.Next = &row
	}
	return doc, nil
}

// The steps of a rotation.
const (
	rotatePrepare = "prepare"
	rotateFinish  = "finish"
	rotateNow     = "now"
	rotateCancel  = "cancel"
)

type rotation struct {
	Step string `json:"step"`
}

func rotateAuthority(ctx context.Context, h *house, in rotation) (authorityDocument, error) {
	names := authorityNames(h.cfg)
	a, err := h.openedAuthority(ctx)
	var outside *pki.NameError
	switch {
	case errors.As(err, &outside) && in.Step == rotateNow: // the reason for it: the old one is no use
		a, err = pki.Renew(ctx, h.ledger, pki.Options{Names: names})
		h.authority = a
	case err == nil && in.Step == rotatePrepare:
		err = a.Prepare(ctx, h.ledger, names)
	case err == nil && in.Step == rotateFinish:
		err = a.Finish(ctx, h.ledger)
	case err == nil && in.Step == rotateNow:
		err = a.Replace(ctx, h.ledger, names)
	case err == nil && in.Step == rotateCancel:
		err = a.Abandon(ctx, h.ledger)
	case err == nil:
		err = &problem{status: statusUsage, err: fmt.Errorf("there is no step %q", in.Step)}
	}
	switch {
	case errors.Is(err, pki.ErrPrepared):
		return authorityDocument{}, &problem{status: statusNo, err: errors.New("another root is prepared already"),
			hint: `"gatehouse ca rotate --finish" has it take over, "gatehouse ca rotate --cancel" forgets it`}
	case errors.Is(err, pki.ErrNotPrepared):
		return authorityDocument{}, &problem{status: statusNo, err: errors.New("no other root is prepared"), hint: `"gatehouse ca rotate" prepares one`}
	case err != nil:
		return authorityDocument{}, err
	}
	doc, err := authority(ctx, h, none{})
	if err == nil && h.events != nil {
		h.events(event.Event{Kind: event.AuthorityChanged, Detail: rotated(in.Step, doc)})
	}
	return doc, err
}

// rotated says what a step did.
func rotated(step string, doc authorityDocument) string {
	switch step {
	case rotatePrepare:
		return doc.Next.Name + " is prepared to take the place of " + doc.Name
	case rotateCancel:
		return doc.Name + " stays; what was prepared is forgotten"
	}
	return doc.Name + " has taken over, " + doc.Fingerprint
}

func (a *app) newCACommand() *cobra.Command {
	return group("ca", "The local certificate authority", a.newCAExportCommand(), a.newCAFingerprintCommand(), a.newCARotateCommand())
}

func (a *app) loadAuthority(cmd *cobra.Command) (authorityDocument, error) {
	return ask(cmd.Context(), a, "ca", authority, none{})
}

func (a *app) newCAExportCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "export",
		Short: "Print the root's certificate, for devices that are to trust it",
		Long: `Prints the certificate that devices are to trust. There is no secret in it.

pem           for Linux, Firefox and programs such as curl
der           for Android and Windows (call the file gatehouse.crt or gatehouse.cer)
mobileconfig  a configuration profile, for iPhone, iPad and Mac

While another root is prepared, pem and mobileconfig hold that one and the one that
still counts; der holds the one that is prepared.`,
		Example: "  gatehouse ca export > gatehouse.pem\n  gatehouse ca export --format der > gatehouse.crt\n  gatehouse ca export | openssl x509 -noout -text",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"pem", "der", "mobileconfig"}, format) {
				return &problem{status: statusUsage, err: fmt.Errorf("there is no format %q", format), hint: "the formats are pem, der and mobileconfig"}
			}
			if format == "der" && a.isTerminal() && !a.json {
				return &problem{status: statusUsage, err: errors.New("der is no text for a terminal"), hint: "gatehouse ca export --format der > gatehouse.crt"}
			}
			doc, err := a.loadAuthority(cmd)
			if err != nil {
				return err
			}
			roots, err := doc.roots()
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { _, _ = w.Write(exported(format, roots)) }) // to the terminal or a pipe
		},
	}
	c.Flags().StringVar(&format, "format", "pem", "`FORM`: pem, der or mobileconfig")
	return c
}

// exported is what devices are to trust, in a form. In der there is room for one root.
func exported(format string, roots []pki.Root) []byte {
	switch format {
	case "der":
		return roots[0].DER()
	case "mobileconfig":
		return pki.Profile("Devices believe this certificate for names and addresses of this home alone.", roots...)
	}
	var all []byte
	for _, r := range roots {
		all = append(all, r.PEM()...)
	}
	return all
}

func (a *app) newCAFingerprintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fingerprint",
		Short: "Print the root's SHA-256, to compare with what a device shows",
		Long: `Prints the SHA-256 of the certificate that devices are to trust, in the lines that the
page of the house shows, and where that page is. On a terminal there is a QR code that
leads a telephone to it. The comparison is what proves that a certificate is the house's:
do it before you install one.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := a.loadAuthority(cmd)
			if err != nil {
				return err
			}
			roots, err := doc.roots()
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { a.writeFingerprint(w, doc, roots) })
		},
	}
}

func (a *app) writeFingerprint(w io.Writer, doc authorityDocument, roots []pki.Root) {
	fmt.Fprintln(w, strings.Join(roots[0].Lines(), "\n"))
	a.note("%s, good until %s", roots[0].Name(), roots[0].Expires().UTC().Format("2006-01-02"))
	if len(roots) > 1 {
		a.note("It is prepared to take over. Until \"gatehouse ca rotate --finish\" the old one counts:")
		fmt.Fprintln(w, "\n"+strings.Join(roots[1].Lines(), "\n"))
		a.note("%s", roots[1].Name())
	}
	if doc.Page == "" {
		a.note("\nThere is no door lan, so no page has devices trust it: see gatehouse ca export --help")
		return
	}
	if a.isTerminal() && !a.quiet {
		fmt.Fprint(w, "\n"+qrText(doc.Page, a.getenv("NO_COLOR") == "")+"\n")
	}
	a.note("\nThe page that has a device trust it, for whoever is at home:\n%s", doc.Page)
}

func (a *app) newCARotateCommand() *cobra.Command {
	var finish, now, cancel bool
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Put another root in place of the old one, in two steps",
		Long: `Makes another root for the names of the configuration, while the old one goes on
counting: have each device trust the new one, on the page that "gatehouse ca
fingerprint" names, for as long as that takes. Then --finish has it take over and
deletes the old key. Connections that stand are not touched, and the server goes on.

A device that does not trust the new root by then is warned, and a companion app on it
no longer connects, until it does. The old root stays in every device that trusted it:
take it out there, above all if its key may have been stolen.

--now does both steps at once. It is for a key that may have been stolen, and for names
that the old root may not vouch for.`,
		Example: "  gatehouse ca rotate\n  gatehouse ca rotate --finish",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if finish && now || finish && cancel || now && cancel {
				return &problem{status: statusUsage, err: errors.New("--finish, --now and --cancel exclude each other"), hint: cmd.CommandPath() + " --help says what each does"}
			}
			step, question := rotatePrepare, "Make another root? The old one counts until you finish."
			switch {
			case finish:
				step, question = rotateFinish, "Have the new root take over? Devices that do not trust it yet are shut out or warned."
			case now:
				step, question = rotateNow, "Replace the root at once? Every device is shut out or warned until it trusts the new one."
			case cancel:
				step, question = rotateCancel, "Forget the root that was prepared?"
			}
			if err := a.confirm(cmd.Context(), question); err != nil {
				return err
			}
			doc, err := ask(cmd.Context(), a, "ca/rotate", rotateAuthority, rotation{step})
			if err != nil {
				return err
			}
			roots, err := doc.roots()
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				a.note("%s", rotated(step, doc)+".\n")
				a.writeFingerprint(w, doc, roots)
			})
		},
	}
	c.Flags().BoolVar(&finish, "finish", false, "have the root that was prepared take over")
	c.Flags().BoolVar(&now, "now", false, "replace the root at once")
	c.Flags().BoolVar(&cancel, "cancel", false, "forget the root that was prepared")
	return c
}
