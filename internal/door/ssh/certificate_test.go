package ssh

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/wire"
)

// A certificate of the owner's authority comes in: of a person, of now, from where it says,
// for tunnels, and with no condition that is not kept. It makes its key known, which then
// opens nothing without it.
func TestCertificates(t *testing.T) {
	var mu sync.Mutex
	var certified []Certified
	authority, cas := newAuthority(t)
	h := openHome(t, func(h *home, c *Config) {
		c.Authorities = cas
		c.Certify = func(_ context.Context, k Certified) error {
			mu.Lock()
			certified = append(certified, k)
			mu.Unlock()
			h.give(Known{ID: k.ID, Person: k.Person, Certified: true, Expires: k.Expires})
			return nil
		}
	})
	h.newKey("wrong-ca", "-t", "ed25519")
	bens := h.newKey("bens", "-t", "ed25519")
	h.give(Known{ID: bens, Person: "Ben"})
	id := h.newKey("key", "-t", "ed25519")
	sign := func(key, ca string, args ...string) {
		t.Helper()
		h.keygen(append([]string{"-q", "-s", ca, "-I", "annas desk"}, append(args, key+".pub")...)...)
	}
	for _, tc := range []struct {
		what string
		ca   string
		args []string
	}{
		{"of another authority", "wrong-ca", []string{"-n", "anna"}},
		{"for nobody", authority, nil},
		{"for somebody else", authority, []string{"-n", "ben"}},
		{"for nobody here", authority, []string{"-n", "root"}},
		{"for a host", authority, []string{"-h", "-n", "anna"}},
		{"of the past", authority, []string{"-n", "anna", "-V", "20200101:20210101"}},
		{"of the future", authority, []string{"-n", "anna", "-V", "20400101:20410101"}},
		{"from elsewhere", authority, []string{"-n", "anna", "-O", "source-address=192.0.2.0/24"}},
		{"for a command", authority, []string{"-n", "anna", "-O", "force-command=id"}},
		{"with a condition that nobody knows", authority, []string{"-n", "anna", "-O", "critical:no-rain@example.org=yes"}},
		{"not for tunnels", authority, []string{"-n", "anna", "-O", "clear"}},
		{"without touch", authority, []string{"-n", "anna", "-O", "no-touch-required"}},
	} {
		sign("key", tc.ca, tc.args...)
		if got, _ := h.through("anna", "key"); got != "" {
			t.Errorf("%s: %q", tc.what, got)
		}
		want := wire.ReasonUser
		if tc.ca != authority || tc.what == "for a host" { // which ssh itself does not show
			want = wire.ReasonKey
		}
		if why := h.waitWhy(); why != string(want) {
			t.Errorf("%s: %q", tc.what, why)
		}
	}
	mu.Lock()
	if len(certified) > 0 {
		t.Errorf("made known: %+v", certified)
	}
	mu.Unlock()

	sign("key", authority, "-n", "guest,Anna", "-V", "-1m:+1h", "-O", "source-address=127.0.0.0/8,2001:db8::/32")
	for range 2 {
		if got, said := h.through("anna", "key"); got != id+" 127.0.0.1 false" {
			t.Errorf("a good one: %q, %s", got, said)
		}
	}
	mu.Lock()
	if len(certified) != 1 || certified[0].ID != id || certified[0].Person != "Anna" || certified[0].Label != "annas desk" || time.Until(certified[0].Expires) > time.Hour {
		t.Errorf("made known: %+v", certified)
	}
	mu.Unlock()
	if why := h.why(); len(why) > 0 {
		t.Errorf("refused: %v", why)
	}
	sign("key", authority, "-n", "anna", "-V", "-1m:+3h")
	if got, said := h.through("anna", "key"); got == "" {
		t.Errorf("renewed: %s", said)
	}
	mu.Lock()
	if len(certified) != 2 || !certified[1].Expires.After(certified[0].Expires) {
		t.Errorf("renewed: %+v", certified)
	}
	mu.Unlock()
	if err := os.Remove(h.path("key-cert.pub")); err != nil {
		t.Fatal(err)
	}
	if got, said := h.through("anna", "key"); got != "" || !strings.Contains(said, "Permission denied") {
		t.Errorf("without its certificate: %q, %s", got, said)
	}
	sign("bens", authority, "-n", "anna")
	if got, _ := h.through("anna", "bens"); got != "" {
		t.Errorf("Ben's key with Anna's certificate: %q", got)
	}
}

// A client that came by a certificate ends when that does.
func TestCertificateEndsTunnel(t *testing.T) {
	authority, cas := newAuthority(t)
	h := openHome(t, func(h *home, c *Config) {
		c.Authorities = cas
		c.Certify = func(_ context.Context, k Certified) error {
			h.give(Known{ID: k.ID, Person: k.Person, Certified: true, Expires: k.Expires})
			return nil
		}
	})
	h.newKey("key", "-t", "ed25519")
	h.keygen("-q", "-s", authority, "-I", "x", "-n", "anna", "-V", "-1m:+3s", "key.pub")
	_, c := h.tunnel("anna", "key", "localhost:8123")
	if err := c.Wait(); err == nil {
		t.Error("ssh ends well")
	}
	if got, _ := h.through("anna", "key"); got != "" {
		t.Errorf("after its end: %q", got)
	}
	if why := h.waitWhy(); why != string(wire.ReasonUser) {
		t.Errorf("an expired certificate: %q", why)
	}
}

// newAuthority makes an authority's key, and what a home has of it.
func newAuthority(t *testing.T) (file string, public []Key) {
	t.Helper()
	h := &home{t: t, dir: t.TempDir()}
	h.keygen("-q", "-N", "", "-t", "ed25519", "-f", "ca")
	text, err := os.ReadFile(h.path("ca.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if public, err = ParseKeys(text); err != nil {
		t.Fatal(err)
	}
	return h.path("ca"), public
}
