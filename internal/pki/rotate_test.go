package pki

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/internal/ledger"
)

// trusting is a client's end of a connection that trusts one root, after its handshake.
func trusting(t *testing.T, r Root, get GetCertificate, a *Authority) (*tls.Conn, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(r.cert)
	near, far := pair(t)
	cfg := ServerConfig(get)
	cfg.Time = a.now
	go func() {
		server := tls.Server(far, cfg)
		_, _ = io.Copy(server, server) // ends with the client, or because it trusts us not
	}()
	client := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "house.test", Time: a.now})
	return client, client.HandshakeContext(t.Context())
}

// echoes reports whether what is said on a connection comes back.
func echoes(t *testing.T, c *tls.Conn) {
	t.Helper()
	heard := make([]byte, 5)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, heard); err != nil || string(heard) != "hello" {
		t.Fatalf("%q, %v", heard, err)
	}
}

// While another root is prepared, what trusts the old one goes on being let in; when it
// takes over, connections that stand are not touched, and its own certificates are shown.
func TestRotationShutsNobodyOut(t *testing.T) {
	a, l, _ := open(t, "house.test")
	get := a.GetCertificate([]string{"house.test"}, nil)
	old := a.Root()
	live, err := trusting(t, old, get, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Finish(t.Context(), l); !errors.Is(err, ErrNotPrepared) {
		t.Errorf("finished what was never begun: %v", err)
	}
	if err := a.Prepare(t.Context(), l, []string{"house.test"}); err != nil {
		t.Fatal(err)
	}
	if err := a.Prepare(t.Context(), l, []string{"house.test"}); !errors.Is(err, ErrPrepared) {
		t.Errorf("prepared twice: %v", err)
	}
	next := a.Offered()
	if next.Fingerprint() == old.Fingerprint() || a.Fingerprint() != old.Fingerprint() {
		t.Error("the old root does not count any more, or is offered still")
	}
	if _, err := trusting(t, old, get, a); err != nil {
		t.Errorf("who trusts the old root is shut out: %v", err)
	}
	again, err := Open(t.Context(), l, Options{Names: []string{"house.test"}})
	if err != nil || again.Fingerprint() != old.Fingerprint() || again.Offered().Fingerprint() != next.Fingerprint() {
		t.Errorf("after a restart the roots are others: %v", err)
	}
	if err := a.Finish(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	echoes(t, live)
	if _, err := trusting(t, next, get, a); err != nil {
		t.Errorf("who trusts the new root is shut out: %v", err)
	}
	if _, err := trusting(t, old, get, a); err == nil {
		t.Error("the old root's certificate is shown still")
	}
	again, err = Open(t.Context(), l, Options{Names: []string{"house.test"}})
	if err != nil || again.Fingerprint() != next.Fingerprint() || again.Offered().Fingerprint() != next.Fingerprint() {
		t.Errorf("after a restart the new root is forgotten: %v", err)
	}
}

// A rotation that was begun by mistake is taken back, and one in haste is done at once.
func TestAbandonAndReplace(t *testing.T) {
	a, l, _ := open(t, "house.test")
	old := a.Fingerprint()
	if err := a.Abandon(t.Context(), l); !errors.Is(err, ErrNotPrepared) {
		t.Errorf("abandoned nothing: %v", err)
	}
	if err := errors.Join(a.Prepare(t.Context(), l, nil), a.Abandon(t.Context(), l)); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Next(); ok || a.Offered().Fingerprint() != old {
		t.Error("what was abandoned is offered")
	}
	if err := errors.Join(a.Prepare(t.Context(), l, nil), a.Replace(t.Context(), l, []string{"house.test"})); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Next(); ok || a.Fingerprint() == old {
		t.Error("the old root counts, or one is prepared still")
	}
}

// stops is a store whose power goes before something is forgotten.
type stops struct{ *ledger.Ledger }

func (stops) DropSecret(context.Context, string) error { return errors.New("the power is gone") }

// A power cut in the middle of a rotation leaves the old root or the new one.
func TestPowerCutInRotation(t *testing.T) {
	a, l, _ := open(t, "house.test")
	if err := a.Prepare(t.Context(), l, []string{"house.test"}); err != nil {
		t.Fatal(err)
	}
	next := a.Offered()
	if err := a.Finish(t.Context(), stops{l}); err == nil {
		t.Error("nothing is wrong")
	}
	again, err := Open(t.Context(), l, Options{})
	if err != nil || again.Fingerprint() != next.Fingerprint() {
		t.Fatalf("%v", err)
	}
	if _, ok := again.Next(); ok {
		t.Error("the rotation goes on")
	}
}

// A connection outlives the renewal of the certificate that it began with.
func TestRenewalDropsNoConnection(t *testing.T) {
	a, _, now := open(t, "house.test")
	get := a.GetCertificate([]string{"house.test"}, nil)
	live, err := trusting(t, a.Root(), get, a)
	if err != nil {
		t.Fatal(err)
	}
	*now = now.AddDate(0, 0, 300)
	after, err := trusting(t, a.Root(), get, a)
	if err != nil {
		t.Fatal(err)
	}
	if after.ConnectionState().PeerCertificates[0].Equal(live.ConnectionState().PeerCertificates[0]) {
		t.Error("it was not renewed")
	}
	echoes(t, live)
	echoes(t, after)
}

// A certificate is made anew in good time though nobody visits, and never lives for more
// than 397 days.
func TestRenewedWithoutAVisitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, key, err := newRoot([]string{"house.test"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		a := &Authority{root: root, key: key, now: time.Now}
		var ends []time.Time
		a.Watch(func(_ []string, until time.Time) {
			if life := time.Until(until); life > 397*24*time.Hour {
				t.Errorf("it lives for %s", life)
			}
			ends = append(ends, until)
		})
		a.GetCertificate([]string{"house.test"}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 2*365*24*time.Hour)
		defer cancel()
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
		if len(ends) != 3 { // at the start, and twice in two years
			t.Errorf("it was made %d times: %v", len(ends), ends)
		}
	})
}

// Neither root's key is on the disk in the clear, in any form that it has in memory.
func TestKeyIsSealed(t *testing.T) {
	dir := t.TempDir()
	l, err := ledger.Open(t.Context(), dir, ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), l, Options{Names: []string{"house.test"}})
	if err != nil {
		t.Fatal(err)
	}
	keys := []keyPair{a.signer()}
	if err := a.Prepare(t.Context(), l, []string{"house.test"}); err != nil {
		t.Fatal(err)
	}
	keys = append(keys, *a.next)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for n, k := range keys {
			secret, err := k.key.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := marshal(k.root, k.key)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(data, secret) || bytes.Contains(data, []byte("PRIVATE KEY")) || bytes.Contains(data, sealed) {
				t.Errorf("key %d lies in %s", n, f.Name())
			}
		}
	}
}

// The profile holds the roots, once each, and nothing else that a device would act on;
// it is the same each time, and what is said in it cannot break it.
func TestProfile(t *testing.T) {
	a, l, _ := open(t, "house.test")
	const about = `Trust </string> & "this" house`
	one := Profile(about, a.Root())
	if !bytes.Equal(one, Profile(about, a.Root())) {
		t.Error("it is another each time")
	}
	if err := a.Prepare(t.Context(), l, nil); err != nil {
		t.Fatal(err)
	}
	two := Profile(about, a.Root(), a.Offered())
	for n, profile := range [][]byte{one, two} {
		var types, certificates, ids []string
		d := xml.NewDecoder(bytes.NewReader(profile))
		key, inside := "", ""
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			switch token := token.(type) {
			case xml.StartElement:
				inside = token.Name.Local
			case xml.EndElement:
				inside = ""
			case xml.CharData:
				switch value := string(token); {
				case inside == "key":
					key = value
				case inside == "data":
					certificates = append(certificates, value)
				case inside == "string" && key == "PayloadType":
					types = append(types, value)
				case inside == "string" && key == "PayloadUUID":
					ids = append(ids, value)
				case inside == "string" && key == "PayloadDescription" && value != about:
					t.Errorf("it says %q", value)
				}
			}
		}
		want := strings.Repeat("com.apple.security.root ", n+1) + "Configuration"
		if strings.Join(types, " ") != want || len(certificates) != n+1 || len(ids) != n+2 {
			t.Errorf("it holds %v, %d certificates, %d ids", types, len(certificates), len(ids))
		}
		seen := map[string]bool{}
		for _, id := range ids {
			if len(id) != 36 || id[14] != '8' || seen[id] {
				t.Errorf("the id %s", id)
			}
			seen[id] = true
		}
		der, err := base64.StdEncoding.DecodeString(certificates[0])
		if err != nil || !bytes.Equal(der, a.Root().DER()) {
			t.Errorf("the first certificate is not the root: %v", err)
		}
		if bytes.Contains(profile, []byte("PRIVATE")) {
			t.Error("there is a key in it")
		}
	}
}
