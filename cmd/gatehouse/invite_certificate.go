package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"gatehouse/internal/identity"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
)

// certificateWish is what somebody wants a client certificate for.
type certificateWish struct {
	Person string `json:"person"`
	Label  string `json:"label"`
	Days   int    `json:"days"`
	Legacy bool   `json:"legacy"`
}

type certificateDocument struct {
	SchemaVersion int    `json:"schema_version"`
	Person        string `json:"person"`
	Label         string `json:"label"`
	Link          string `json:"link"`     // works once
	Password      string `json:"password"` // of the file behind it; shown this once
	Address       string `json:"address"`  // where the certificate is good
	Expires       string `json:"expires"`  // of the link
	CertificateTo string `json:"certificate_until"`
}

// maxClientDays is how long a client certificate may last.
const maxClientDays = 825

// inviteCertificate makes a client certificate and a link by which it is fetched, once. The
// private key is sealed by the link's code, which is kept nowhere.
func inviteCertificate(ctx context.Context, h *house, in certificateWish) (doc certificateDocument, err error) {
	if in.Days < 1 || in.Days > maxClientDays {
		return doc, &problem{status: statusUsage, err: fmt.Errorf("a certificate of %d days", in.Days), hint: fmt.Sprintf("it lasts from 1 to %d days", maxClientDays)}
	}
	d := h.cfg.Doors.HTTPS
	if d == nil || d.CertificateListen == "" {
		return doc, &problem{status: statusUsage, err: errors.New("there is no door for devices with a certificate"),
			hint: `give certificate_listen, such as ":9443", below [doors.https] in the configuration, and start the gateway anew`}
	}
	if _, ok := h.identity.PersonByName(in.Person); !ok {
		return doc, noPerson(h, in.Person)
	}
	base, err := h.base()
	if err != nil {
		return doc, err
	}
	clients, err := pki.OpenClients(ctx, h.ledger, nil)
	if err != nil {
		return doc, err
	}
	password := spokenPassword()
	file, err := clients.Issue(clientName(in.Person, in.Label), password, in.Days, in.Legacy)
	if err != nil {
		return doc, err
	}
	key := identity.NewKey{Key: policy.Key{Kind: identity.KindCertificate, ID: file.KeyID}, Expires: file.Expires}
	made, err := h.identity.HandOut(ctx, in.Person, in.Label, key, file.PKCS12)
	if err != nil {
		return doc, refused(err, in.Label)
	}
	port := d.CertificatePort
	if port == 0 {
		port = portOf(d.CertificateListen)
	}
	return certificateDocument{schemaVersion, made.Person, made.Label, base + "/_gatehouse/auth/certificate/" + made.Code, password,
		origin(h.cfg.Home.Name, port), stamp(made.Expires), stamp(file.Expires)}, nil
}

// spokenPassword is a password that can be read out: twelve syllables, 75 bits.
func spokenPassword() string {
	const first, second = "bdfghjklmnprstvz", "aeiou"
	var b strings.Builder
	for n := 0; n < 12; {
		var one [1]byte
		rand.Read(one[:]) // never fails (crypto/rand)
		if one[0] >= 240 {
			continue // so that each of the 80 syllables is as likely as another
		}
		if n > 0 && n%3 == 0 {
			b.WriteByte('-')
		}
		k := int(one[0]) % 80
		b.WriteByte(first[k/5])
		b.WriteByte(second[k%5])
		n++
	}
	return b.String()
}

// inviteCertificate is the verb.
func (a *app) inviteCertificate(ctx context.Context, wish certificateWish) error {
	doc, err := ask(ctx, a, "invite/certificate", inviteCertificate, wish)
	if err != nil {
		return err
	}
	return a.print(doc, func(w io.Writer) {
		fmt.Fprintln(w, doc.Link)
		if a.isTerminal() {
			fmt.Fprint(w, "\n"+qrText(doc.Link, a.getenv("NO_COLOR") == "")+"\n")
		}
		fmt.Fprintln(w, "Password: "+doc.Password)
		a.note("for %s, on %s; the link works once and ends %s", doc.Person, doc.Label, ago(doc.Expires))
		a.note("the password is shown this once: say it, do not send it with the link")
		a.note("with the certificate the house is at %s until %s; docs/client-certificates.md says how apps use it", doc.Address, doc.CertificateTo)
	})
}
