package ddns

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"gatehouse/internal/ledger"
	"gatehouse/internal/resolver"
	"gatehouse/internal/zone"
)

// killedDir names a state directory for a process that is to be killed in the middle.
const killedDir = "GATEHOUSE_TEST_KILLED_DIR"

// toBeKilled is a gateway in the middle of a change: who takes it does not answer.
func toBeKilled() {
	ctx := context.Background()
	l, err := ledger.Open(ctx, os.Getenv(killedDir), ledger.Key{1})
	if err != nil {
		panic(err)
	}
	at := os.Getenv("GATEHOUSE_TEST_DNS")
	_, port, _ := net.SplitHostPort(at)
	k, err := New(ctx, Config{Ledger: l, Name: home, Kinds: []Kind{IPv4}, Life: time.Minute, Holder: "a", Resolver: resolver.Resolver{Servers: []string{at}, Port: port},
		Sources: []Source{{Name: "x", Address: func(context.Context, Kind) (netip.Addr, error) { return netip.MustParseAddr("20.30.40.50"), nil }}},
		Zone: func(context.Context) (Zone, error) {
			return zone.Open(zone.Settings{Provider: zone.RFC2136, Server: at, KeyName: tsigName, Zone: "example.org"}, []string{tsigKey}, nil)
		}})
	if err != nil {
		panic(err)
	}
	_ = k.Run(ctx)
}

// A gateway that is killed between writing and noting finds when it is started again what
// the zone has, be it written or not, and writes no more often than otherwise.
func TestKilledInTheMiddle(t *testing.T) {
	for name, taken := range map[string]bool{"it was taken": true, "it was lost": false} {
		t.Run(name, func(t *testing.T) {
			names := newNameServer(t, home+". 60 IN A 20.1.1.1")
			asked, release := make(chan struct{}, 100), make(chan struct{})
			names.deaf, names.during = !taken, func() { asked <- struct{}{}; <-release }
			dir := t.TempDir()
			_ = openLedger(t, dir).Close()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), killedDir+"="+dir, "GATEHOUSE_TEST_DNS="+names.addr)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-asked:
			case <-time.After(30 * time.Second):
				t.Error("nothing is written")
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			close(release)
			names.set(func() { names.deaf, names.during = false, nil })

			k := keep(t, names, at("20.30.40.50", nil), func(c *Config) { c.Ledger = openLedger(t, dir) })
			k.clock.now = time.Now()
			r, err := k.load(t.Context())
			if err != nil || len(r.writing) != 1 || len(r.written) != 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			s := k.look(t, 0)
			if names.count() != 1 || s.Why != "" {
				t.Errorf("%d updates, %+v", names.count(), s)
			}
			k.look(t, rest)
			want(t, names, "A 20.30.40.50")
			if n := names.count(); taken && n != 1 || !taken && n != 2 {
				t.Errorf("%d updates", n)
			}
			if r, err := k.load(t.Context()); err != nil || r.writing != nil || len(r.written) != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}
