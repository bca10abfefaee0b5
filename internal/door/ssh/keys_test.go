package ssh

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"gatehouse/internal/wire"
)

// A securityKey is a security key's two ends in software: it signs as one does, with its
// flags and a counter (OpenSSH's PROTOCOL.u2f).
type securityKey struct {
	public  gossh.PublicKey
	private crypto.Signer
	touched bool
}

const application = "ssh:"

func newSecurityKey(t *testing.T, kind string) *securityKey {
	t.Helper()
	k := &securityKey{touched: true}
	var blob []byte
	switch kind {
	case gossh.KeyAlgoSKED25519:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k.private = private
		blob = gossh.Marshal(struct {
			Kind        string
			Key         []byte
			Application string
		}{kind, public, application})
	case gossh.KeyAlgoSKECDSA256:
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		k.private = private
		blob = gossh.Marshal(struct {
			Kind, Curve string
			Key         []byte
			Application string
		}{kind, "nistp256", point, application})
	}
	var err error
	if k.public, err = gossh.ParsePublicKey(blob); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *securityKey) Sign(data []byte) (*gossh.Signature, error) {
	app, message := sha256.Sum256([]byte(application)), sha256.Sum256(data)
	rest := []byte{0, 0, 0, 0, 7} // flags, and a counter
	if k.touched {
		rest[0] = 1
	}
	signed := bytes.Join([][]byte{app[:], rest, message[:]}, nil)
	s := &gossh.Signature{Format: k.public.Type(), Rest: rest}
	if _, ok := k.private.(ed25519.PrivateKey); ok {
		blob, err := k.private.Sign(rand.Reader, signed, crypto.Hash(0))
		s.Blob = blob
		return s, err
	}
	digest := sha256.Sum256(signed)
	der, err := k.private.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return nil, err
	}
	s.Blob = gossh.Marshal(pair)
	return s, nil
}

// An agentOf is an agent of OpenSSH's that holds one security key.
type agentOf struct {
	agent.Agent
	key *securityKey
}

func (a agentOf) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: a.key.public.Type(), Blob: a.key.public.Marshal(), Comment: "security key"}}, nil
}

func (a agentOf) Sign(_ gossh.PublicKey, data []byte) (*gossh.Signature, error) {
	return a.key.Sign(data)
}

// serveAgent answers the real client's questions for signatures.
func (h *home) serveAgent(k *securityKey) (socket string) {
	h.t.Helper()
	socket = h.path(fmt.Sprintf("agent-%d", len(k.public.Marshal())))
	l, err := net.Listen("unix", socket)
	if err != nil {
		h.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(agentOf{agent.NewKeyring(), k}, c)
			_ = c.Close()
		}
	}()
	h.t.Cleanup(func() { _ = l.Close(); <-done })
	return socket
}

// A security key comes in where somebody has touched it, and not where nobody has.
func TestSecurityKeyWantsTouch(t *testing.T) {
	h := openHome(t, nil)
	for _, kind := range []string{gossh.KeyAlgoSKED25519, gossh.KeyAlgoSKECDSA256} {
		k := newSecurityKey(t, kind)
		id := gossh.FingerprintSHA256(k.public)
		h.give(Known{ID: id, Person: "Anna"})
		h.write("sk.pub", string(gossh.MarshalAuthorizedKey(k.public)))
		h.agent = h.serveAgent(k)
		if got, said := h.through("anna", "sk.pub"); got != id+" 127.0.0.1 false" {
			t.Errorf("%s, touched: %q, %s", kind, got, said)
		}
		k.touched = false
		if got, _ := h.through("anna", "sk.pub"); got != "" {
			t.Errorf("%s, not touched: %q", kind, got)
		}
		if why := h.waitWhy(); why != string(wire.ReasonKey) {
			t.Errorf("%s, not touched: %q", kind, why)
		}
	}
}

// What is too weak is refused with why when it is read, and at the door, too, whoever has
// made it known.
func TestWeakKeys(t *testing.T) {
	h := openHome(t, nil)
	for _, tc := range []struct {
		kind []string
		why  string // empty: it is good
	}{
		{[]string{"-t", "ed25519"}, ""},
		{[]string{"-t", "rsa", "-b", "3072"}, ""},
		{[]string{"-t", "rsa", "-b", "2048"}, "2048 bits is too short"},
		{[]string{"-t", "ecdsa", "-b", "256"}, "ecdsa-sha2-nistp256 are not taken"},
		{[]string{"-t", "ecdsa", "-b", "521"}, "ecdsa-sha2-nistp521 are not taken"},
	} {
		name := strings.Join(tc.kind, "")
		h.newKey(name, tc.kind...)
		text, err := os.ReadFile(h.path(name + ".pub"))
		if err != nil {
			t.Fatal(err)
		}
		public, _, _, _, err := gossh.ParseAuthorizedKey(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseKey(text)
		var weak *WeakError
		if tc.why == "" && err != nil || tc.why != "" && (!errors.As(err, &weak) || !strings.Contains(weak.Why, tc.why)) {
			t.Errorf("%s: %v", name, err)
		}
		h.give(Known{ID: gossh.FingerprintSHA256(public), Person: "Anna"})
		if got, said := h.through("anna", name); (got != "") != (tc.why == "") {
			t.Errorf("%s: %q, %s", name, got, said)
		}
	}
	var why *WeakError
	if _, err := ParseKey([]byte("ssh-dss AAAAB3NzaC1kc3MAAACBAJ x")); !errors.As(err, &why) {
		t.Errorf("DSA: %v", err)
	}
	if got, said := h.through("anna", "-trsa-b3072", "-o", "PubkeyAcceptedAlgorithms=ssh-rsa"); got != "" {
		t.Errorf("RSA with SHA-1: %q, %s", got, said)
	}
}

// What is no public key on one line is refused in words.
func TestParseKey(t *testing.T) {
	h := openHome(t, nil)
	h.newKey("key", "-t", "ed25519")
	h.newKey("ca", "-t", "ed25519")
	h.keygen("-q", "-s", "ca", "-I", "anna", "-n", "anna", "key.pub")
	read := func(name string) string {
		text, err := os.ReadFile(h.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	line := read("key.pub")
	for _, tc := range []struct {
		what, text string
		want       error
	}{
		{"a key", line, nil},
		{"between comments", "# mine\n\n" + line + "\n", nil},
		{"with DOS line ends", strings.TrimSpace(line) + "\r\n", nil},
		{"nothing", "", ErrNoKey},
		{"words", "a b c", ErrNoKey},
		{"a private key", read("key"), ErrPrivate},
		{"both", line + read("key"), ErrPrivate},
		{"PuTTY's", "PuTTY-User-Key-File-3: ssh-ed25519\n", ErrPrivate},
		{"options", `command="id",no-pty ` + line, ErrOptions},
		{"an authority's", "cert-authority " + line, ErrOptions},
		{"two keys", line + read("ca.pub"), ErrManyKeys},
		{"a certificate", read("key-cert.pub"), ErrCertificate},
		{"another name before it", strings.Replace(line, "ssh-ed25519", "ssh-rsa", 1), ErrNoKey},
		{"half of it", line[:40], ErrNoKey},
		{"too long", line + strings.Repeat("#\n", maxText/2), ErrNoKey},
	} {
		k, err := ParseKey([]byte(tc.text))
		if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v", tc.what, err)
		}
		if err == nil && (k.Comment != "key at home" || k.Line()+" key at home\n" != line || k.Type() != "ssh-ed25519") {
			t.Errorf("%s: %q %q", tc.what, k.Line(), k.Comment)
		}
	}
}

// What is read as a key is one that is taken, and reads as itself again.
func FuzzParseKeys(f *testing.F) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	line := publicOf(private).Line
	for _, seed := range []string{"", line, line + " anna@desk", "# \n" + line + "\n" + line, `from="::1" ` + line, "-----BEGIN OPENSSH PRIVATE KEY-----", "ssh-rsa AAAA", "sk-ssh-ed25519@openssh.com AAAA x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if err != nil && len(keys) > 0 {
			t.Fatal("keys beside an error")
		}
		for _, k := range keys {
			again, err := ParseKey([]byte(k.Line()))
			if err != nil || again.ID() != k.ID() || weak(k.public) != "" {
				t.Fatalf("%q: %v", k.Line(), err)
			}
		}
	})
}

// Where a channel leads is read as it is written, or not at all.
func FuzzParseTarget(f *testing.F) {
	type target struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	f.Add(gossh.Marshal(target{"localhost", 8123, "127.0.0.1", 5000}))
	f.Add([]byte{0, 0, 0, 9, 'l'})
	f.Add([]byte{})
	d := &Door{targets: []string{"localhost"}, ports: []int{8123}}
	f.Fuzz(func(t *testing.T, data []byte) {
		host, port, ok := parseTarget(data)
		if !ok {
			if host != "" || port != 0 {
				t.Fatal("a target of what is none")
			}
			return
		}
		if want := gossh.Marshal(struct {
			Host string
			Port uint32
		}{host, port}); !bytes.HasPrefix(data, want) {
			t.Fatalf("%q is read as %s, %d", data, host, port)
		}
		if d.serves(host, port) && (host != "localhost" || port != 8123) {
			t.Fatalf("it leads to %s, %d", host, port)
		}
	})
}

// Whatever is shown as a key is judged: what is let in is a key that somebody has, or one
// with the authority's own certificate.
func FuzzJudge(f *testing.F) {
	keys, err := NewHostKeys()
	if err != nil {
		f.Fatal(err)
	}
	signers := keys.signers()
	cert := &gossh.Certificate{Key: signers[0].PublicKey(), CertType: gossh.UserCert, KeyId: "desk", ValidPrincipals: []string{"anna"},
		ValidBefore: gossh.CertTimeInfinity, Permissions: gossh.Permissions{Extensions: map[string]string{mayForward: ""}}}
	if err := cert.SignCert(rand.Reader, signers[1]); err != nil {
		f.Fatal(err)
	}
	known := Known{ID: gossh.FingerprintSHA256(signers[0].PublicKey()), Person: "Anna"}
	d := &Door{now: time.Now, known: map[string]Known{known.ID: known}}
	d.cfg = Config{Person: personOf, Authorities: []Key{{public: signers[1].PublicKey()}}, Certify: func(context.Context, Certified) error { return nil }}
	f.Add("anna", signers[0].PublicKey().Marshal())
	f.Add("anna", signers[1].PublicKey().Marshal())
	f.Add("ANNA", cert.Marshal())
	f.Add("ben", cert.Marshal())
	f.Add("", []byte{0, 0, 0, 11, 's', 's', 'h', '-', 'e', 'd', '2', '5', '5', '1', '9'})
	f.Fuzz(func(t *testing.T, user string, blob []byte) {
		key, err := gossh.ParsePublicKey(blob)
		if err != nil {
			return
		}
		p, err := (&arrival{door: d}).judge(named{user: user}, key)
		if err != nil {
			return
		}
		inner := key
		if c, ok := key.(*gossh.Certificate); ok {
			inner = c.Key
			if !bytes.Equal(c.Marshal(), cert.Marshal()) {
				t.Fatal("a certificate that the authority has not made")
			}
		}
		if shown := p.ExtraData[shownKey{}].(Known); shown.ID != gossh.FingerprintSHA256(inner) || shown.ID != known.ID || shown.Person != "Anna" || !strings.EqualFold(user, "anna") {
			t.Fatalf("%+v comes in as %q", shown, user)
		}
	})
}

// named is a connection of somebody who says a name.
type named struct {
	gossh.ConnMetadata
	user string
}

func (n named) User() string { return n.user }
