package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/policy"
)

// keptFiles is a certificate in files, and who renews it.
type keptFiles struct {
	*issuer
	*fileCertificate
	said []string
}

func newKeptFiles(t *testing.T) *keptFiles {
	t.Helper()
	dir, k := t.TempDir(), &keptFiles{issuer: newIssuer(t)}
	k.fileCertificate = &fileCertificate{certificate: filepath.Join(dir, "cert"), key: filepath.Join(dir, "key"), name: "house.test",
		log: slog.New(slog.DiscardHandler), lasting: func(why string) { k.said = append(k.said, why) }}
	return k
}

// write writes a file as cp does, with a date that is always the same.
func (k *keptFiles) write(name string, data []byte) {
	k.t.Helper()
	k.must(os.WriteFile(name, data, 0o600))
	k.must(os.Chtimes(name, time.Time{}, time.Unix(1_700_000_000, 0)))
}

// renew writes a new pair.
func (k *keptFiles) renew(name string, until time.Time) {
	k.t.Helper()
	cert, key := k.files(name, until)
	k.write(k.certificate, cert)
	k.write(k.key, key)
}

// serial is the number of the certificate that is shown; 0 where none is.
func (k *keptFiles) serial() int64 {
	c, err := k.get(nil)
	if err != nil {
		return 0
	}
	return c.Leaf.SerialNumber.Int64()
}

// Whatever the files hold that cannot be used, the certificate before is shown, and it is said;
// what can be used is shown at the next look, in whatever way it came there.
func TestFilesThatCannotBeUsed(t *testing.T) {
	k := newKeptFiles(t)
	k.look(time.Now())
	if why, hint := k.closed(); k.serial() != 0 || !strings.Contains(why, "no such file") || hint == "" {
		t.Errorf("no files: %d, %q, %q", k.serial(), why, hint)
	}
	k.renew("house.test", time.Time{})
	k.look(time.Now())
	last := k.serial()
	if why, _ := k.trouble(); last == 0 || why != "" {
		t.Fatalf("the first pair: %d, %q", last, why)
	}
	for what, spoil := range map[string]func(){
		"another name":          func() { k.renew("other.test", time.Time{}) },
		"one that has ended":    func() { k.renew("house.test", time.Now().Add(-time.Minute)) },
		"the certificate alone": func() { cert, _ := k.files("house.test", time.Time{}); k.write(k.certificate, cert) },
		"the key alone":         func() { _, key := k.files("house.test", time.Time{}); k.write(k.key, key) },
		"half a certificate": func() {
			cert, key := k.files("house.test", time.Time{})
			k.write(k.certificate, cert[:200])
			k.write(k.key, key)
		},
		"nothing":                   func() { k.write(k.certificate, nil); k.write(k.key, nil) },
		"no certificate":            func() { k.must(os.Remove(k.certificate)) },
		"no key":                    func() { k.must(os.Remove(k.key)) },
		"a link that leads nowhere": func() { k.must(os.Remove(k.key)); k.must(os.Symlink("nowhere", k.key)) },
	} {
		spoil()
		k.look(time.Now())
		if why, hint := k.trouble(); k.serial() != last || !strings.Contains(why, "the one before is still shown") || hint == "" {
			t.Errorf("%s: %d is shown, not %d; %q, %q", what, k.serial(), last, why, hint)
		}
		if why, _ := k.closed(); why != "" {
			t.Errorf("%s: the door is closed: %s", what, why)
		}
		_ = os.Remove(k.key)
		k.renew("house.test", time.Time{})
		k.look(time.Now())
		if why, _ := k.trouble(); k.serial() == last || why != "" {
			t.Errorf("after %s: %d is shown; %q", what, k.serial(), why)
		}
		last = k.serial()
	}
}

// A whole folder that is turned is noticed, and the owner is told of what lasts, once.
func TestOwnerIsToldOfFilesThatStayWrong(t *testing.T) {
	k := newKeptFiles(t)
	dir := filepath.Dir(k.certificate)
	for _, version := range []string{"1", "2"} {
		k.must(os.Mkdir(filepath.Join(dir, version), 0o700))
		cert, key := k.files("house.test", time.Time{})
		k.write(filepath.Join(dir, version, "cert"), cert)
		k.write(filepath.Join(dir, version, "key"), key)
	}
	turn := func(version string) {
		t.Helper()
		k.must(os.Symlink(version, filepath.Join(dir, "next")))
		k.must(os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "live")))
	}
	k.certificate, k.key = filepath.Join(dir, "live", "cert"), filepath.Join(dir, "live", "key")
	turn("1")
	k.look(time.Now())
	first := k.serial()
	turn("2")
	k.look(time.Now())
	if first == 0 || k.serial() == first {
		t.Fatalf("%d, then %d", first, k.serial())
	}
	turn("gone")
	for range 5 {
		k.look(time.Now())
	}
	turn("1")
	k.look(time.Now())
	turn("gone")
	k.look(time.Now()) // for a moment
	turn("2")
	k.look(time.Now())
	if len(k.said) != 1 || !strings.Contains(k.said[0], "no such file") {
		t.Errorf("told %q", k.said)
	}
}

// It is looked at the start and every minute, and no longer than it is shown.
func TestFilesAreLookedAtEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeptFiles(t)
		k.renew("house.test", time.Now().AddDate(0, 3, 0))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.run(ctx) }()
		synctest.Wait()
		first := k.serial()
		k.renew("house.test", time.Now().AddDate(0, 3, 0))
		time.Sleep(lookEvery - time.Second)
		synctest.Wait()
		if first == 0 || k.serial() != first {
			t.Errorf("%d, then %d", first, k.serial())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if k.serial() == first {
			t.Error("the new one is not shown")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// The door https opens by itself once its files are there; as long as they are not, it says why.
func TestDoorOpensOnceItsFilesAreThere(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"beside the door lan": func(*config.Config) {},
		"beside the door ssh": func(c *config.Config) { c.Doors.LAN, c.Doors.SSH = nil, &config.SSH{Listen: "127.0.0.1:0"} },
	} {
		t.Run(name, func(t *testing.T) { doorOpensOnceItsFilesAreThere(t, change) })
	}
}

func doorOpensOnceItsFilesAreThere(t *testing.T, change func(*config.Config)) {
	k := newKeptFiles(t)
	s := frontDoors(t, func(c *config.Config) {
		c.Certificates.Certificate, c.Certificates.Key = k.certificate, k.key
		c.Doors.HTTPS.CertificateListen = "127.0.0.1:0"
		change(c)
	})
	rows := func() (open int) {
		for _, d := range s.doors {
			if row := d.row(); row.Name == string(policy.HTTPS) && row.Open {
				open++
			} else if row.Name == string(policy.HTTPS) && (!strings.Contains(row.Why, "no such file") || row.Hint == "") {
				t.Errorf("%+v", row)
			}
		}
		return open
	}
	if n := rows(); n != 0 {
		t.Errorf("%d doors are open without a certificate", n)
	}
	if doc, err := listCertificates(t.Context(), s.house, none{}); err != nil || !strings.Contains(doc.Certificates[0].Why, "no such file") || doc.Certificates[0].Until != "" {
		t.Errorf("%+v, %v", doc, err)
	}
	if d := s.house.examineFiles(); d.Result != bad || d.Hint == "" {
		t.Errorf("%+v", d)
	}
	k.renew(certificateName, time.Time{})
	_, err := again(t.Context(), s.house, none{})
	k.must(err)
	if n := rows(); n != 2 {
		t.Errorf("%d doors are open", n)
	}
	if d := s.house.examineFiles(); d.Result != good {
		t.Errorf("%+v", d)
	}
	doc, err := listCertificates(t.Context(), s.house, none{})
	if n := len(doc.Certificates); err != nil || n != 2 || doc.Certificates[0].Until == "" {
		t.Errorf("%+v, %v", doc, err) // the files once, and the authority's root
	}
}
