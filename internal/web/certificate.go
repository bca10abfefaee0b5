package web

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"gatehouse/internal/identity"
)

// Certificates makes the next certificate of a device that has one.
type Certificates interface {
	// Next returns a PKCS #12 file for the device of a key, sealed with a password, and makes
	// its key the device's, in place of the one it has and for as long as that one was for.
	Next(ctx context.Context, k identity.KeyInfo, password string) ([]byte, error)
}

// renewFrom is how long before its end a certificate can be renewed.
const renewFrom = 30 * 24 * time.Hour

// Bounds of a password that a person chooses for a file, in bytes.
const (
	minFilePassword = 8
	maxFilePassword = 128
)

// errNoCertificate means that who asks has shown no certificate.
var errNoCertificate = errors.New("web: no client certificate was shown")

// handoutView is what the page of a file shows that waits to be fetched.
type handoutView struct {
	Code, Person, Label string
}

// handoutPage says what waits to be fetched, and leaves it as it is: a messenger that previews
// links does not use it up.
func (p *Pages) handoutPage(c *call) error {
	h, err := p.cfg.Identity.PeekHandout(c.r.Context(), c.visit, c.arg)
	if err != nil {
		return err
	}
	return p.show(c, http.StatusOK, "handout", view{Title: c.lang.words.HandoutTitle, Page: handoutView{c.arg, h.Person, h.Label}})
}

// takeHandout sends the file, once.
func (p *Pages) takeHandout(c *call) error {
	if _, err := c.fields(); err != nil {
		return err
	}
	file, d, err := p.cfg.Identity.TakeHandout(c.r.Context(), c.visit, c.arg)
	if err != nil {
		return err
	}
	p.sendFile(c, d.PersonName, file)
	return nil
}

// sendFile sends a PKCS #12 file.
func (p *Pages) sendFile(c *call, person string, file []byte) {
	name := mime.FormatMediaType("attachment", map[string]string{"filename": "gatehouse-" + plainName(person) + ".p12"})
	c.w.Header().Set("Content-Disposition", name)
	p.send(c, http.StatusOK, "application/x-pkcs12", file)
}

// plainName is a name as any file system takes it.
func plainName(name string) string {
	keep := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}
	if plain := strings.Trim(strings.Map(keep, strings.ToLower(name)), "-"); plain != "" {
		return plain
	}
	return "certificate"
}

// renewView is what the page of a device's own certificate shows.
type renewView struct {
	Person, Label string
	Expires       time.Time
	Due           bool // it can be renewed now
	Brief         bool // it never can
	Least, Most   int  // characters of a password
	Wrong         bool // the password that came was none
}

// shownKey is the certificate that the connection has shown.
func (p *Pages) shownKey(c *call) (identity.KeyInfo, error) {
	if c.visit.Key.Kind != identity.KindCertificate || p.cfg.Certificates == nil {
		return identity.KeyInfo{}, errNoCertificate
	}
	k, ok := p.cfg.Identity.Key(c.visit.Key)
	if !ok {
		return identity.KeyInfo{}, errNoCertificate
	}
	return k, nil
}

// isBrief reports whether a certificate was made for so short a time that the owner meant its
// end: a guest's does not renew itself.
func isBrief(k identity.KeyInfo) bool { return k.Expires.Sub(k.Created) <= renewFrom }

// isDue reports whether a certificate can be renewed.
func isDue(k identity.KeyInfo) bool { return !isBrief(k) && time.Until(k.Expires) < renewFrom }

// renewPage shows how long the certificate lasts by which the device is known.
func (p *Pages) renewPage(c *call) error { return p.showRenewal(c, http.StatusOK, false) }

func (p *Pages) showRenewal(c *call, status int, wrong bool) error {
	k, err := p.shownKey(c)
	if err != nil {
		return err
	}
	return p.show(c, status, "renew", view{Title: c.lang.words.RenewTitle,
		Page: renewView{k.Device.PersonName, k.Device.Name, k.Expires, isDue(k), isBrief(k), minFilePassword, maxFilePassword, wrong}})
}

// renewCertificate sends the next certificate of the device that asks.
func (p *Pages) renewCertificate(c *call) error {
	fields, err := c.fields()
	if err != nil {
		return err
	}
	k, err := p.shownKey(c)
	if err != nil {
		return err
	}
	password := fields.Get("password")
	if !isDue(k) {
		return p.showRenewal(c, http.StatusConflict, false)
	}
	if len(password) < minFilePassword || len(password) > maxFilePassword {
		return p.showRenewal(c, http.StatusUnprocessableEntity, true)
	}
	file, err := p.cfg.Certificates.Next(c.r.Context(), k, password)
	if err != nil {
		return err
	}
	p.sendFile(c, k.Device.PersonName, file)
	return nil
}
