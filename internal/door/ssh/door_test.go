package ssh

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	gossh "golang.org/x/crypto/ssh"

	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A home is a door with something behind it that says who asks, and a folder of keys.
type home struct {
	t    *testing.T
	door *Door
	dir  string
	port string
	// agent is the socket of whoever signs for clients; empty if nobody does.
	agent string

	mu      sync.Mutex
	refused []string
	known   []Known
}

// openHome opens a door behind which Anna and Ben live.
func openHome(t *testing.T, set func(*home, *Config)) *home {
	t.Helper()
	need(t, "ssh", "openssh-client")
	need(t, "ssh-keygen", "openssh-client")
	h := &home{t: t, dir: t.TempDir()}
	keys, err := NewHostKeys()
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Listen: "127.0.0.1:0", Names: []string{"house.test"}, Keys: keys, Person: personOf,
		Refused: func(_ net.Addr, why string) { h.mu.Lock(); h.refused = append(h.refused, why); h.mu.Unlock() }}
	if set != nil {
		set(h, &c)
	}
	if h.door, err = Listen(c); err != nil {
		t.Fatal(err)
	}
	h.port = strconv.Itoa(h.door.Port())
	h.trust()
	ctx, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	server := wire.Server{Handler: http.HandlerFunc(sayWho), ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, whose{}, keyBelow(c))
	}}
	running.Go(func() {
		if err := server.Serve(ctx, h.door); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		if err := h.door.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { end(); running.Wait() })
	return h
}

func personOf(name string) (string, bool) {
	for _, p := range []string{"Anna", "Ben"} {
		if strings.EqualFold(p, name) {
			return p, true
		}
	}
	return "", false
}

type whose struct{}

func keyBelow(c net.Conn) policy.Key {
	for {
		if k, ok := c.(interface{ Key() policy.Key }); ok {
			return k.Key()
		}
		c = c.(interface{ NetConn() net.Conn }).NetConn()
	}
}

// sayWho answers with who asks, and how; /big with 8 MiB; /wait when the client goes.
func sayWho(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/big":
		_, _ = w.Write(bytes.Repeat([]byte("gatehouse"), 8<<20/9))
		return
	case "/wait":
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	fmt.Fprintf(w, "%s %s %t", r.Context().Value(whose{}).(policy.Key).ID, from, r.TLS != nil)
}

func need(t *testing.T, program, from string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s (scripts/needs unit does)", program, from)
	}
	return path
}

// trust writes what clients know of the host.
func (h *home) trust() {
	now, _ := h.door.HostKeys().Public()
	h.write("known_hosts", now.KnownHosts("127.0.0.1", h.door.Port())+"\n")
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

func (h *home) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// keygen runs ssh-keygen in the folder.
func (h *home) keygen(args ...string) {
	h.t.Helper()
	c := exec.Command("ssh-keygen", args...)
	c.Dir = h.dir
	if out, err := c.CombinedOutput(); err != nil {
		h.t.Fatalf("ssh-keygen %v: %v\n%s", args, err, out)
	}
}

// newKey makes a key; what kind says stands before ssh-keygen's -f.
func (h *home) newKey(name string, kind ...string) (id string) {
	h.t.Helper()
	h.keygen(append(kind, "-q", "-N", "", "-C", name+" at home", "-f", name)...)
	text, err := os.ReadFile(h.path(name + ".pub"))
	if err != nil {
		h.t.Fatal(err)
	}
	k, err := ParseKey(text)
	var weak *WeakError
	if err != nil && !errors.As(err, &weak) {
		h.t.Fatal(err)
	}
	if err != nil {
		return ""
	}
	return k.ID()
}

// give makes a key somebody's.
func (h *home) give(k Known) {
	h.mu.Lock()
	h.known = append(h.known, k)
	all := append([]Known(nil), h.known...)
	h.mu.Unlock()
	h.door.SetKeys(all)
}

// anna makes a key of Anna's.
func (h *home) anna(name string) (id string) {
	h.t.Helper()
	id = h.newKey(name, "-t", "ed25519")
	h.give(Known{ID: id, Person: "Anna"})
	return id
}

// why says what was refused since it was asked last.
func (h *home) why() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	why := h.refused
	h.refused = nil
	return why
}

// waitWhy waits for the next refusal.
func (h *home) waitWhy() string {
	h.t.Helper()
	for range 200 {
		if why := h.why(); len(why) > 0 {
			return strings.Join(why, "; ")
		}
		time.Sleep(10 * time.Millisecond)
	}
	return ""
}

// ssh is the real client, as somebody with a key.
func (h *home) ssh(user, key string, args ...string) *exec.Cmd {
	h.t.Helper()
	ctx, end := context.WithTimeout(context.Background(), 20*time.Second)
	h.t.Cleanup(end)
	all := []string{"-F", "none", "-o", "UserKnownHostsFile=" + h.path("known_hosts"), "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes",
		"-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-p", h.port, "-l", user}
	if key != "" {
		all = append(all, "-i", h.path(key))
	}
	c := exec.CommandContext(ctx, "ssh", append(all, args...)...)
	c.Env = append(os.Environ(), "HOME="+h.dir, "SSH_AUTH_SOCK="+h.agent)
	c.Dir = h.dir
	return c
}

// through asks for a page by ssh -W, and returns what is heard.
func (h *home) through(user, key string, options ...string) (page, said string) {
	h.t.Helper()
	c := h.ssh(user, key, append(options, "-W", "localhost:8123", "127.0.0.1")...)
	c.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: localhost:8123\r\nConnection: close\r\n\r\n")
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	_ = c.Run()
	_, body, _ := strings.Cut(out.String(), "\r\n\r\n")
	return body, complaint.String()
}

// tunnel runs ssh -N -L until the test ends, and returns the near end's address.
func (h *home) tunnel(user, key, target string, options ...string) (near string, c *exec.Cmd) {
	h.t.Helper()
	near = freePort(h.t)
	c = h.ssh(user, key, append(options, "-N", "-L", near+":"+target, "127.0.0.1")...)
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	_ = dial(h.t, near).Close()
	return near, c
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// dial connects to where something is about to listen.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	for range 500 {
		if c, err := net.Dial("tcp", addr); err == nil {
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nobody listens at %s", addr)
	return nil
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	r, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// A browser that goes through ssh -L gets the page, in plain HTTP or with TLS, under the
// client's own address and key; so does who uses ssh -W.
func TestTunnelCarriesPages(t *testing.T) {
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := pki.Open(t.Context(), l, pki.Options{Names: []string{"house.test"}})
	if err != nil {
		t.Fatal(err)
	}
	h := openHome(t, func(_ *home, c *Config) { c.TLS = pki.ServerConfig(a.GetCertificate([]string{"house.test"}, nil)) })
	id := h.anna("key")
	near, _ := h.tunnel("anna", "key", "localhost:8123")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{ServerName: "house.test", InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	if got, want := get(t, client, "http://"+near+"/"), id+" 127.0.0.1 false"; got != want {
		t.Errorf("plain: %q, not %q", got, want)
	}
	if got, want := get(t, client, "https://"+near+"/"), id+" 127.0.0.1 true"; got != want {
		t.Errorf("TLS: %q, not %q", got, want)
	}
	if n := len(get(t, client, "http://"+near+"/big")); n != 8<<20/9*9 {
		t.Errorf("%d bytes of a large page", n)
	}
	if got, said := h.through("ANNA", "key"); got != id+" 127.0.0.1 false" {
		t.Errorf("ssh -W: %q, %s", got, said)
	}
	for _, target := range []string{"127.0.0.1:80", "[::1]:443", "gatehouse:8123", "house.test:8123"} {
		near, _ := h.tunnel("anna", "key", target)
		if got := get(t, client, "http://"+near+"/"); !strings.HasPrefix(got, id) {
			t.Errorf("to %s: %q", target, got)
		}
	}
	if why := h.why(); len(why) > 0 {
		t.Errorf("refused: %v", why)
	}
}

// There is nothing but the pages: no command, shell, file, port of ours or anywhere else.
func TestNothingButPages(t *testing.T) {
	h := openHome(t, nil)
	h.anna("key")
	for _, tc := range []struct {
		what string
		args []string
		said string
	}{
		{"a command", []string{"127.0.0.1", "id"}, "nothing else"},
		{"a shell with a terminal", []string{"-tt", "127.0.0.1"}, "nothing else"},
		{"sftp", []string{"-s", "127.0.0.1", "sftp"}, "nothing else"},
		{"an agent and X11", []string{"-A", "-Y", "127.0.0.1", "true"}, "nothing else"},
		{"a port of ours", []string{"-N", "-R", "0:localhost:22", "127.0.0.1"}, "remote port forwarding failed"},
		{"a socket of ours", []string{"-N", "-R", "/tmp/none:localhost:22", "127.0.0.1"}, "remote port forwarding failed"},
		{"another host", []string{"-W", "192.0.2.1:80", "127.0.0.1"}, "only this house"},
		{"another port", []string{"-W", "localhost:22", "127.0.0.1"}, "only this house"},
		{"another spelling", []string{"-W", "127.1:8123", "127.0.0.1"}, "only this house"},
		{"a tunnel device", []string{"-N", "-w", "0:0", "127.0.0.1"}, ""},
	} {
		out, err := h.ssh("anna", "key", tc.args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), tc.said) {
			t.Errorf("%s: %v, %s", tc.what, err, out)
		}
	}
	near := freePort(t)
	c := h.ssh("anna", "key", "-N", "-D", near, "127.0.0.1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	// SOCKS 5: no sign-in, then a connection to 192.0.2.1:80. Success would begin with 5, 0.
	conn := dial(t, near)
	defer conn.Close()
	if _, err := conn.Write([]byte{5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 0, 80}); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	heard, _ := io.ReadAll(conn)
	if len(heard) > 3 && heard[3] == 0 {
		t.Errorf("ssh -D leads elsewhere: %v", heard)
	}
}

// Of what people sign in with elsewhere nothing is offered here.
func TestNoPassword(t *testing.T) {
	h := openHome(t, nil)
	h.newKey("other", "-t", "ed25519")
	for _, method := range []string{"password", "keyboard-interactive", "hostbased", "none"} {
		_, said := h.through("anna", "other", "-o", "PreferredAuthentications="+method)
		if !strings.Contains(said, "Permission denied (publickey)") {
			t.Errorf("%s: %s", method, said)
		}
	}
}

// What is agreed on is strong, and resists quantum computers where the client can; nothing
// weaker is agreed on.
func TestStrongAlgorithmsAlone(t *testing.T) {
	h := openHome(t, nil)
	h.anna("key")
	try := func(set func(*gossh.ClientConfig)) (gossh.NegotiatedAlgorithms, error) {
		c := &gossh.ClientConfig{User: "anna", Auth: []gossh.AuthMethod{gossh.PublicKeys(h.signer("key"))}, HostKeyCallback: gossh.FixedHostKey(h.door.HostKeys().signers()[0].PublicKey())}
		set(c)
		client, err := gossh.Dial("tcp", "127.0.0.1:"+h.port, c)
		if err != nil {
			return gossh.NegotiatedAlgorithms{}, err
		}
		defer client.Close()
		return client.Conn.(gossh.AlgorithmsConnMetadata).Algorithms(), nil
	}
	got, err := try(func(*gossh.ClientConfig) {})
	if err != nil || got.KeyExchange != gossh.KeyExchangeMLKEM768X25519 || got.HostKey != gossh.KeyAlgoED25519 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, exchange := range []string{gossh.KeyExchangeECDHP256, gossh.KeyExchangeDH14SHA256, gossh.KeyExchangeDH16SHA512, gossh.InsecureKeyExchangeDH14SHA1} {
		if _, err := try(func(c *gossh.ClientConfig) { c.KeyExchanges = []string{exchange} }); err == nil {
			t.Errorf("%s is agreed on", exchange)
		}
	}
	for _, cipher := range []string{gossh.CipherAES128CTR, gossh.CipherAES256CTR, gossh.InsecureCipherAES128CBC, gossh.InsecureCipherTripleDESCBC} {
		if _, err := try(func(c *gossh.ClientConfig) { c.Ciphers = []string{cipher} }); err == nil {
			t.Errorf("%s is agreed on", cipher)
		}
	}
	for _, kind := range []string{gossh.KeyAlgoRSA, gossh.KeyAlgoRSASHA512, gossh.KeyAlgoECDSA256} {
		if _, err := try(func(c *gossh.ClientConfig) { c.HostKeyAlgorithms = []string{kind} }); err == nil {
			t.Errorf("a host key %s is shown", kind)
		}
	}
}

// What is not SSH ends at once and counts as a scan; a look whether the port is open does not.
func TestNotSSH(t *testing.T) {
	h := openHome(t, nil)
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00", "\n", "SSX-2.0-x\r\n"} {
		c := dial(t, "127.0.0.1:"+h.port)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		heard, err := io.ReadAll(c)
		if errors.Is(err, os.ErrDeadlineExceeded) || string(heard) != "" && string(heard) != ourVersion+"\r\n" {
			t.Errorf("%q hears %q, %v", text, heard, err)
		}
		_ = c.Close()
		if why := h.waitWhy(); why != string(wire.ReasonNotSSH) {
			t.Errorf("%q: %q", text, why)
		}
	}
	_ = dial(t, "127.0.0.1:"+h.port).Close()
	if why := h.waitWhy(); why != string(wire.ReasonTruncated) {
		t.Errorf("a look: %q", why)
	}
}

// What one connection tries counts once, and a person's many keys do not count at all: nor
// another name, which is told from an unknown key by nobody outside.
func TestOneFailureForEachConnection(t *testing.T) {
	h := openHome(t, nil)
	id := h.anna("key")
	h.give(Known{ID: h.newKey("bens", "-t", "ed25519"), Person: "Ben"})
	for n := range 5 {
		h.newKey(fmt.Sprint("k", n), "-t", "ed25519")
	}
	others := []string{}
	for n := range 5 {
		others = append(others, "-i", h.path(fmt.Sprint("k", n)))
	}
	if got, said := h.through("anna", "k0", append(others[2:], "-i", h.path("key"))...); got != id+" 127.0.0.1 false" {
		t.Errorf("after five others: %q, %s", got, said)
	}
	if why := h.why(); len(why) != 0 {
		t.Errorf("counted: %v", why)
	}
	_, unknown := h.through("anna", "k0", others[2:]...)
	if why := h.waitWhy(); why != string(wire.ReasonKey) {
		t.Errorf("five unknown keys: %q", why)
	}
	_, name := h.through("ben", "key")
	if why := h.waitWhy(); why != string(wire.ReasonUser) {
		t.Errorf("Anna's key as Ben: %q", why)
	}
	_, nobody := h.through("root", "key")
	if why := h.waitWhy(); why != string(wire.ReasonUser) {
		t.Errorf("Anna's key as root: %q", why)
	}
	if strings.ReplaceAll(unknown, "anna@", "ben@") != name || strings.ReplaceAll(unknown, "anna@", "root@") != nobody {
		t.Errorf("one is told from the other:\n%s%s%s", unknown, name, nobody)
	}
}

// A key that is taken away ends the tunnel that it opened, and what goes through it.
func TestKeyTakenAwayEndsTunnel(t *testing.T) {
	h := openHome(t, nil)
	h.anna("key")
	near, c := h.tunnel("anna", "key", "localhost:8123")
	client := &http.Client{}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://" + near + "/wait")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	h.give(Known{ID: "SHA256:another", Person: "Ben"})
	if h.door.Clients() != 1 {
		t.Fatalf("%d clients", h.door.Clients())
	}
	h.door.SetKeys(nil)
	if _, err := io.ReadAll(r.Body); err == nil {
		t.Error("the page ends well")
	}
	if err := c.Wait(); err == nil {
		t.Error("ssh ends well")
	}
	if _, said := h.through("anna", "key"); !strings.Contains(said, "Permission denied") {
		t.Errorf("it comes in again: %s", said)
	}
}

// A client that knows the host learns its next key, and knows it when that is shown.
func TestHostKeyRotates(t *testing.T) {
	h := openHome(t, nil)
	id := h.anna("key")
	_, next := h.door.HostKeys().Public()
	near, c := h.tunnel("anna", "key", "localhost:8123", "-o", "UpdateHostKeys=yes")
	if got := get(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+near+"/"); !strings.HasPrefix(got, id) {
		t.Fatalf("before: %q", got)
	}
	learned := ""
	for range 500 {
		text, err := os.ReadFile(h.path("known_hosts"))
		if learned = string(text); err != nil || strings.Contains(learned, next.Line) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(learned, next.Line) {
		t.Fatalf("the client knows only %s", learned)
	}
	_ = c.Process.Kill()
	rotated, err := h.door.HostKeys().Rotated()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := ParseHostKeys(rotated.Secret())
	if err != nil {
		t.Fatal(err)
	}
	h.door.SetHostKeys(kept)
	if now, _ := kept.Public(); now != next {
		t.Errorf("%v is shown, not %v", now, next)
	}
	if got, said := h.through("anna", "key"); !strings.HasPrefix(got, id) {
		t.Errorf("after: %q, %s", got, said)
	}
}

// Who fills the house with connections is held: channels of a client, and clients of a key.
func TestBounds(t *testing.T) {
	h := openHome(t, nil)
	h.anna("key")
	near, _ := h.tunnel("anna", "key", "localhost:8123")
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range maxChannels + 5 {
		c, err := net.Dial("tcp", near)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for n, c := range conns {
		if n > 3 && n < maxChannels {
			continue
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n <= 3 {
			_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		}
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, io.EOF) != (n > 3) {
			t.Errorf("connection %d: %v", n, err)
		}
	}
}

// Of one key's clients the oldest makes room for another: it is the one that nobody may be
// at any more.
func TestOldestClientMakesRoom(t *testing.T) {
	h := openHome(t, nil)
	h.anna("key")
	signer := h.signer("key")
	var clients []*gossh.Client
	for range maxClientsPerKey + 1 {
		c, err := gossh.Dial("tcp", "127.0.0.1:"+h.port, &gossh.ClientConfig{User: "anna", Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)}, HostKeyCallback: gossh.FixedHostKey(h.door.HostKeys().signers()[0].PublicKey())})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
		for h.door.opened.Load() < uint64(len(clients)) {
			time.Sleep(time.Millisecond)
		}
	}
	if err := clients[0].Wait(); err == nil {
		t.Error("the oldest ends well")
	}
	for n, c := range clients[1:] {
		if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
			t.Errorf("client %d: %v", n+1, err)
		}
	}
}

func (h *home) signer(key string) gossh.Signer {
	h.t.Helper()
	text, err := os.ReadFile(h.path(key))
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := gossh.ParsePrivateKey(text)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// A silent client is asked whether it is there, and one that does not answer for long ends.
func TestSilentClientEnds(t *testing.T) {
	h := openHome(t, nil)
	h.anna("key")
	_, c := h.tunnel("anna", "key", "localhost:8123")
	there := h.door.clientsNow()
	if len(there) != 1 {
		t.Fatalf("%d clients", len(there))
	}
	heard := there[0].line.heard.Load()
	there[0].check(h.door, time.Unix(0, heard).Add(askAfter+time.Second))
	for deadline := time.Now().Add(5 * time.Second); there[0].line.heard.Load() == heard; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the client was not asked, or does not answer")
		}
	}
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	heard = there[0].line.heard.Load()
	there[0].check(h.door, time.Unix(0, heard).Add(goneAfter-time.Second))
	if h.door.Clients() != 1 {
		t.Error("it ends too soon")
	}
	there[0].check(h.door, time.Unix(0, heard).Add(goneAfter+time.Second))
	for deadline := time.Now().Add(5 * time.Second); h.door.Clients() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it stays")
		}
	}
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// What a client may call the near end is allowed, at any port; what a page on the Internet
// can give to an address is not.
func TestHosts(t *testing.T) {
	h := openHome(t, nil)
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8123": true, "localhost:1": true, "127.0.0.1:9999": true, "[::1]:8123": true, "[::1]": true, "gatehouse:80": true, "house.test": true, "house.test:443": true,
		"": false, "evil.example": false, "evil.example:8123": false, "localhost.evil.example:8123": false, "localhost:": false, "localhost:0": false, "localhost:08123": false, "localhost:99999": false,
		"::1": false, "[localhost]:80": false, "127.0.0.2:80": false, "LOCALHOST": false, "a.localhost:80": false, "localhost.": false, "192.168.1.2:8123": false,
	} {
		if got := h.door.HostAllowed(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
	if !h.door.Encrypts() || h.door.Name() != policy.SSH {
		t.Error("it is another door")
	}
}

func TestIncomplete(t *testing.T) {
	keys, err := NewHostKeys()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(Config{Listen: "127.0.0.1:0", Keys: keys}); err == nil {
		t.Error("a door opens that knows nobody")
	}
	if _, err := Listen(Config{Listen: "127.0.0.1:0", Person: personOf}); err == nil {
		t.Error("a door opens without a host key")
	}
}
