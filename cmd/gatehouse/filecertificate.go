package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/pki"
)

// fileCertificate is a certificate that somebody else renews in its files. What they hold is
// compared every minute: so it is the same whether they are written over, renamed or behind
// links that are turned (as certbot does), and with which date. A pair that cannot be used, and
// a half that came before the other, leave the certificate before in place.
type fileCertificate struct {
	certificate, key string
	name             string // that it must be for; empty: any
	log              *slog.Logger
	lasting          func(why string) // told once of what is wrong for more than one look

	shown atomic.Pointer[tls.Certificate] // nil while there was none to use yet

	mu    sync.Mutex        // held while it is looked
	sum   [sha256.Size]byte // of what is shown
	wrong error             // why what the files hold now is not shown
	told  bool              // that wrong lasts
}

// lookEvery is how often the files are looked at.
const lookEvery = time.Minute

// run looks until ctx ends; at once, because rights may have been given up since the start.
func (f *fileCertificate) run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		f.look(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// look reads the files, and shows what they hold if it is new and can be used.
func (f *fileCertificate) look(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh, sum, err := f.read(now)
	if err != nil {
		f.refuse(err)
		return
	}
	f.wrong, f.told = nil, false
	if fresh == nil {
		return
	}
	f.sum = sum
	f.shown.Store(fresh)
	f.log.Info("certificate read", "file", f.certificate, "until", stamp(fresh.Leaf.NotAfter))
}

// read returns what the files hold; nil if that is shown already.
func (f *fileCertificate) read(now time.Time) (fresh *tls.Certificate, sum [sha256.Size]byte, err error) {
	certificate, err := os.ReadFile(f.certificate)
	if err != nil {
		return nil, sum, fmt.Errorf("load certificate: %w", err)
	}
	key, err := os.ReadFile(f.key)
	if err != nil {
		return nil, sum, fmt.Errorf("load certificate: %w", err)
	}
	both := sha256.Sum256(certificate)
	sum = sha256.Sum256(append(both[:], key...))
	if sum == f.sum {
		return nil, sum, nil
	}
	if fresh, err = pki.ReadPair(certificate, key, now); err == nil && f.name != "" {
		err = fresh.Leaf.VerifyHostname(f.name)
	}
	if err != nil {
		return nil, sum, fmt.Errorf("load certificate %s: %w", f.certificate, err)
	}
	return fresh, sum, nil
}

// refuse notes that the files cannot be used. The owner is told of what lasts: the two halves
// of a pair are written one after the other.
func (f *fileCertificate) refuse(err error) {
	if f.wrong == nil || f.wrong.Error() != err.Error() {
		f.log.Error("the certificate's files cannot be used", "error", err, "shown", f.shown.Load() != nil)
		f.wrong, f.told = err, false
		return
	}
	f.wrong = err
	if !f.told && f.lasting != nil {
		f.told = true
		f.lasting(f.describe(err))
	}
}

// describe says what is wrong.
func (f *fileCertificate) describe(err error) string {
	if f.shown.Load() == nil {
		return err.Error()
	}
	return "its files cannot be used, and the one before is still shown: " + err.Error()
}

// trouble says what is wrong with the files, and what to do; empty where nothing is.
func (f *fileCertificate) trouble() (why, hint string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wrong == nil {
		return "", ""
	}
	return f.describe(f.wrong), f.remedy(f.wrong)
}

// remedy is what to do about an error.
func (f *fileCertificate) remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("the gateway runs as %s, who must be able to read both files, and the folders and links on the way; where they are root's alone, as certbot's, have its deploy hook copy them", userName(uint32(os.Geteuid())))
	case errors.Is(err, fs.ErrNotExist):
		return "see certificates.certificate and certificates.key in the configuration"
	case f.name != "":
		return "put a certificate for " + f.name + " and its own key there; it is looked again every minute"
	}
	return "put a certificate and its own key there; it is looked again every minute"
}

// closed says why there is none to show, and what to do; empty once there is one.
func (f *fileCertificate) closed() (why, hint string) {
	if f.shown.Load() != nil {
		return "", ""
	}
	return f.trouble()
}

// ready reports whether there is one to show.
func (f *fileCertificate) ready(string) bool { return f.shown.Load() != nil }

// get shows it.
func (f *fileCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := f.shown.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("no certificate yet")
}

// before shows it to whoever asks for a name of its own, and others what next returns.
func (f *fileCertificate) before(next pki.GetCertificate) pki.GetCertificate {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c := f.shown.Load(); c != nil {
			return pki.WithFile(c, next)(hello)
		}
		return next(hello)
	}
}
