package acme

import (
	"context"
	"crypto/x509"
	"os"
	"os/exec"
	"testing"
	"time"

	"gatehouse/internal/ledger"
	"gatehouse/internal/resolver"
)

// killedDir names a state directory for a process that is to be killed in the middle.
const killedDir = "GATEHOUSE_TEST_KILLED_DIR"

// toBeKilled is a gateway in the middle of an order: who asks for its proof waits.
func toBeKilled() {
	ctx := context.Background()
	l, err := ledger.Open(ctx, os.Getenv(killedDir), ledger.Key{1})
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(os.Getenv("GATEHOUSE_TEST_ROOT"))
	if err != nil {
		panic(err)
	}
	roots.AppendCertsFromPEM(pem)
	m, err := New(ctx, Config{Ledger: l, Names: []string{home}, Challenge: ByTLS, Holder: "a", Resolver: resolver.Resolver{Servers: []string{os.Getenv("GATEHOUSE_TEST_DNS")}},
		Issuers: []Issuer{{Name: "Pebble", Directory: os.Getenv("GATEHOUSE_TEST_CA"), Roots: roots}}})
	if err != nil {
		panic(err)
	}
	_ = m.Run(ctx)
}

// A gateway that is killed in the middle of an order has no half of a certificate, and
// gets a whole one when it is started again, without waiting for its own lease.
func TestKilledInTheMiddle(t *testing.T) {
	names, step := newNameServer(t, home+". 60 IN A 127.0.0.1"), newDoorstep(t)
	ca := newPebble(t, names, step.port, nil).run(t)
	dir := t.TempDir()
	openLedger(t, dir).Close()
	asked := make(chan struct{}, 100)
	step.mu.Lock()
	step.first = func() { asked <- struct{}{} }
	step.mu.Unlock()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedDir+"="+dir, "GATEHOUSE_TEST_ROOT="+ca.dir+"/cert.pem", "GATEHOUSE_TEST_DNS="+names.addr, "GATEHOUSE_TEST_CA="+ca.directory)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-asked: // the issuer is at the door
	case <-time.After(30 * time.Second):
		t.Error("the issuer does not ask")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	c := config(t, names, ca.issuer("Pebble"))
	c.Ledger, c.Lease = openLedger(t, dir), 0
	m := newManager(t, c)
	if m.Certificate(home) != nil {
		t.Fatal("there is a certificate of an order that was broken off")
	}
	account, err := m.account(t.Context(), ca.directory)
	if err != nil || account == nil {
		t.Fatalf("the account from before: %v, %v", account, err)
	}
	step.of(m)
	runManager(t, m)
	eventually(t, "a certificate", has(m))
	again, err := m.account(t.Context(), ca.directory)
	if err != nil || again.Location != account.Location {
		t.Errorf("another account was made: %v, %v", again, err)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
