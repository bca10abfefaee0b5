package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/nft"
)

// apart runs the test again in a network of its own, with a packet filter of its own, which
// end with it. It reports whether this is that run.
func apart(t *testing.T) bool {
	t.Helper()
	const mark = "GATEHOUSE_TEST_NETWORK"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	if testing.Short() {
		t.Skip("-short")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v (it takes user namespaces: sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces)\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("the test did not run in its network:\n%s", out)
	}
	return false
}

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// home is a house at 192.168.1.10 and 2001:db8:1:2::10, whose owner allows two networks.
func home(drops Drops) *Bans {
	return &Bans{Drops: drops, Now: time.Now, Allow: prefixes("198.51.100.0/24", "2001:db8:7::/56"),
		Own: func() ([]netip.Prefix, error) {
			return prefixes("127.0.0.1/8", "::1/128", "192.168.1.10/24", "203.0.113.10/28", "2001:db8:1:2::10/64", "fd00:1::10/64", "fe80::1/64"), nil
		}}
}

// Whoever holds the gateway can have nobody shut out but public addresses, few at a time and
// not for long: never this machine, its neighbours, its site, or whom root's configuration
// allows.
func TestAgentDropsNobodyOfTheHouse(t *testing.T) {
	const week = 7 * 24 * 3600
	b := home(nil)
	own, _ := b.Own()
	for _, c := range []struct {
		prefix  string
		seconds int64
		why     string // the beginning of it, after "it "; "" if it is dropped
	}{
		{"203.0.113.200/32", 600, ""},
		{"203.0.113.200/32", week, ""},
		{"2001:db8:9:1::/64", 600, ""},
		{"2001:db8:9:100::/56", 600, ""},
		{"2001:db8:9::/48", 600, ""},
		{"2001:db8:9::1/128", 600, ""},
		{"203.0.113.200/32", week + 1, "is for"},
		{"203.0.113.200/32", 0, "is for"},
		{"203.0.113.200/32", -600, "is for"},
		{"203.0.113.200/32", 1 << 62, "is for"},
		{"203.0.113.200/31", 600, "is neither"},
		{"203.0.113.0/24", 600, "is neither"},
		{"0.0.0.0/0", 600, "is neither"},
		{"::/0", 600, "is neither"},
		{"2001:db8::/32", 600, "is neither"},
		{"2001:db8:8::/47", 600, "is neither"},
		{"2001:db8:9::/60", 600, "is neither"},
		{"2001:db8:9::1/64", 600, "is neither"},
		{"::ffff:203.0.113.200/128", 600, "is neither"},
		{"127.0.0.1/32", 600, "is no public"},
		{"127.8.0.1/32", 600, "is no public"},
		{"10.1.2.3/32", 600, "is no public"},
		{"172.31.0.1/32", 600, "is no public"},
		{"192.168.7.1/32", 600, "is no public"},
		{"100.127.0.1/32", 600, "is no public"},
		{"169.254.0.1/32", 600, "is no public"},
		{"0.0.0.0/32", 600, "is no public"},
		{"224.0.0.251/32", 600, "is no public"},
		{"255.255.255.255/32", 600, "is no public"},
		{"::1/128", 600, "is no public"},
		{"::/48", 600, "is no public"},
		{"::/128", 600, "is no public"},
		{"fe80::/64", 600, "is no public"},
		{"fd00:9::/48", 600, "is no public"},
		{"fec0::/48", 600, "is no public"},
		{"ff02::1/128", 600, "is no public"},
		{"64:ff9b::cb00:71c8/128", 600, "is no public"},
		{"203.0.113.10/32", 600, "is this machine's"},
		{"203.0.113.1/32", 600, "is this machine's"},
		{"2001:db8:1:2::10/128", 600, "is this machine's"},
		{"2001:db8:1:2::/64", 600, "is this machine's"},
		{"2001:db8:1:ff00::/56", 600, "is this machine's"},
		{"2001:db8:1::/48", 600, "is this machine's"},
		{"198.51.100.7/32", 600, "is allowed"},
		{"2001:db8:7:1::/64", 600, "is allowed"},
		{"2001:db8:7::/48", 600, "is allowed"},
		{"2001:db8:7:100::/56", 600, ""},
	} {
		why := strings.Replace(b.refuses(Ban{netip.MustParsePrefix(c.prefix), c.seconds}, own), "the configuration allows it", "it is allowed", 1)
		if c.why == "" && why != "" || c.why != "" && !strings.HasPrefix(why, "it "+c.why) {
			t.Errorf("%s for %d: %q, want it %s", c.prefix, c.seconds, why, c.why)
		}
	}
}

// What the gateway asks for is done in the kernel, and what it may not is named.
func TestAgentBans(t *testing.T) {
	if !apart(t) {
		return
	}
	table, err := nft.New([]uint16{443})
	if err != nil {
		t.Fatal(err)
	}
	b := home(table)
	ask := serve(t, newHost(t), b, anybody)
	status, a := ask(Path+"ban", `{"bans":[{"prefix":"203.0.113.200/32","seconds":600},{"prefix":"192.168.1.20/32","seconds":600},{"prefix":"2001:db8:9::/64","seconds":60}]}`)
	if status != http.StatusOK || len(a.Refused) != 1 || a.Refused[0].Prefix != netip.MustParsePrefix("192.168.1.20/32") || a.Refused[0].Why == "" {
		t.Errorf("%d %+v", status, a)
	}
	listed := func(want ...string) {
		t.Helper()
		status, a := ask(Path+"bans", "{}")
		var got []string
		for _, x := range a.Bans {
			if x.Seconds < 1 || x.Seconds > 600 {
				t.Errorf("%s for %d s", x.Prefix, x.Seconds)
			}
			got = append(got, x.Prefix.String())
		}
		if slices.Sort(got); status != http.StatusOK || a.Bans == nil || !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
	listed("2001:db8:9::/64", "203.0.113.200/32")
	if status, a := ask(Path+"unban", `{"prefixes":["203.0.113.200/32","203.0.113.201/32"]}`); status != http.StatusOK || a.Error != "" {
		t.Errorf("%d %+v", status, a)
	}
	listed("2001:db8:9::/64")
	if status, a := ask(Path+"unban", `{"prefixes":["2001:db8:9::/64"]}`); status != http.StatusOK || a.Error != "" {
		t.Errorf("%d %+v", status, a)
	}
	listed()

	many := func(n int) string {
		var w BanWish
		for i := range n {
			w.Bans = append(w.Bans, Ban{netip.PrefixFrom(netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), 32), 600})
		}
		text, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if status, a := ask(Path+"ban", many(MaxBans)); status != http.StatusOK || a.Refused != nil {
		t.Errorf("%d %+v", status, a)
	}
	if _, a := ask(Path+"bans", "{}"); len(a.Bans) != MaxBans {
		t.Errorf("%d are listed", len(a.Bans))
	}
	for _, body := range []string{
		many(MaxBans + 1), `{"bans":[{"prefix":"203.0.113.200","seconds":600}]}`, `{"bans":[{"prefix":"203.0.113.200/32","seconds":1.5}]}`, `{"bans":[{"prefix":"fe80::%eth0/64","seconds":600}]}`,
		`{"bans":[{"prefix":"203.0.113.200/32","seconds":600,"ports":[22]}]}`, `{"bans":[{"prefix":"203.0.113.200/32","prefix":"203.0.113.201/32","seconds":600}]}`,
		`{"bans":[],"bans":[]}`, `[]`, ``, `{"bans":[]} x`, `{"ports":[22]}`, strings.Repeat(" ", maxBanBody+1),
	} {
		if status, a := ask(Path+"ban", body); status != http.StatusBadRequest || a.Error == "" {
			t.Errorf("%.60s: %d %+v", body, status, a)
		}
	}
	for _, path := range []string{Path + "ports", Path + "flush", Path + "ban/"} {
		if status, _ := ask(path, "{}"); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
	// When it ends, what is still on the way does nothing any more.
	b.End()
	if status, a := ask(Path+"ban", many(1)); status != http.StatusUnprocessableEntity || a.Error == "" {
		t.Errorf("%d %+v", status, a)
	}
	if err := table.Remove(); err != nil {
		t.Error(err)
	}
}

// Where root's configuration does not say so, nothing is dropped.
func TestAgentBansOnlyWhenTold(t *testing.T) {
	ask := serve(t, newHost(t), nil, anybody)
	for _, path := range []string{Path + "ban", Path + "unban", Path + "bans"} {
		if status, a := ask(path, "{}"); status != http.StatusUnprocessableEntity || !strings.Contains(a.Error, "offload") {
			t.Errorf("%s: %d %+v", path, status, a)
		}
	}
}

// A ban does not wait for a repair that takes minutes.
func TestAgentBansDuringARepair(t *testing.T) {
	h := newHost(t)
	h.started = make(chan bool)
	ask := serve(t, h, home(strict{t}), anybody)
	_, shown := ask(Path+"plan", `{"id":"test.file"}`)
	first := make(chan int)
	go func() {
		status, _ := ask(Path+"apply", `{"id":"test.file","digest":"`+shown.Offer.Digest+`"}`)
		first <- status
	}()
	<-h.started
	if status, a := ask(Path+"ban", `{"bans":[{"prefix":"203.0.113.200/32","seconds":600}]}`); status != http.StatusOK {
		t.Errorf("%d %+v", status, a)
	}
	h.started <- true
	if status := <-first; status != http.StatusOK {
		t.Errorf("the repair: %d", status)
	}
}

// More than a gateway under a flood needs is refused until it has waited, lists most of all.
func TestAgentIsNotWornOut(t *testing.T) {
	now := time.Now()
	b := home(strict{t})
	b.Now = func() time.Time { return now }
	asked := func(path string) (answered int) {
		q := (&Agent{bans: b}).askedOfBans(path)
		for {
			_, err := q(context.Background(), []byte("{}"))
			if errors.Is(err, errOften) {
				return answered
			}
			if answered++; err != nil || answered > budget {
				t.Fatal(err)
			}
		}
	}
	if n := asked(Path + "bans"); n != budget/listCosts {
		t.Errorf("%d lists at once", n)
	}
	now = now.Add(time.Second)
	if n := asked(Path + "ban"); n != aSecond/askCosts {
		t.Errorf("%d questions a second", n)
	}
	now = now.Add(-time.Hour)
	if n := asked(Path + "unban"); n != 0 {
		t.Errorf("%d where the clock went back", n)
	}
	now = now.Add(24 * time.Hour)
	if n := asked(Path + "bans"); n != budget/listCosts {
		t.Errorf("%d lists after a day", n)
	}
}

// What cannot be read is not taken for harmless.
func TestAgentFailsClosed(t *testing.T) {
	b := home(strict{t})
	b.Own = func() ([]netip.Prefix, error) { return nil, errors.New("no interfaces") }
	if _, err := (&Agent{bans: b}).askedOfBans(Path+"ban")(t.Context(), []byte(`{"bans":[{"prefix":"203.0.113.200/32","seconds":600}]}`)); err == nil {
		t.Error("dropped, though nobody knows whom")
	}
}

// strict is an end that takes nothing which could shut out the house.
type strict struct{ t testing.TB }

func (s strict) Ban(bans []nft.Ban) error {
	for _, b := range bans {
		a := b.Prefix.Addr()
		for _, own := range []string{"203.0.113.10", "2001:db8:1:2::10", "198.51.100.1", "2001:db8:7::1"} {
			if b.Prefix.Contains(netip.MustParseAddr(own)) {
				s.t.Errorf("%s contains %s", b.Prefix, own)
			}
		}
		if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is4In6() || a.Is4() && b.Prefix.Bits() < 32 || a.Is6() && b.Prefix.Bits() < 48 || b.Left < time.Second || b.Left > nft.Longest {
			s.t.Errorf("%s for %s", b.Prefix, b.Left)
		}
	}
	return nil
}

func (s strict) Unban([]netip.Prefix) error { return nil }

func (s strict) Bans() ([]nft.Ban, error) { return nil, nil }

// Whatever is asked: no more is dropped than may be.
func FuzzBan(f *testing.F) {
	for _, p := range []string{"203.0.113.200/32", "2001:db8:9::/48", "::/0", "fe80::%1/64", "::ffff:1.2.3.4/128", "224.0.0.1/32", "2001:db8:1::/48"} {
		f.Add([]byte(fmt.Sprintf(`{"bans":[{"prefix":%q,"seconds":600}]}`, p)))
	}
	f.Add([]byte(`{"bans":[{"seconds":9223372036854775807},{"prefix":"","seconds":1}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := (&Agent{bans: home(strict{t})}).askedOfBans(Path+"ban")(t.Context(), body)
		if err != nil && len(a.Refused) > 0 {
			t.Error("refused and failed")
		}
	})
}
