package guard

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

func TestExplanationSaysWhatAnAddressDid(t *testing.T) {
	g, c := newTest()
	for n, f := range []Failure{
		{Kind: HALogin, Account: "Olga", Door: "https", What: "login"},
		{Kind: HALogin, Account: "\x1b[2Jolga\u202e\n" + strings.Repeat("ö", 100), Door: "https", What: "login"},
		{Kind: Scan, Door: "https", What: "unknown"},
		{Kind: "no kind", Door: "lan"},
		{Kind: SignIn, Account: "anna", Door: "https", What: "a code"},
	} {
		f.Addr = addr([]string{"2600:db8:0:1::7", "2600:db8:0:1::8"}[n%2])
		g.Fail(f)
		c.pass(time.Minute)
	}
	g.Seen(addr("2600:db8:0:1::9"), "olga's phone")
	got, err := json.Marshal(g.Explain(addr("2600:db8:0:1::7")), jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "addr": "2600:db8:0:1::7",
  "counted_as": "2600:db8:0:1::/64",
  "banned": true,
  "prefix": "2600:db8:0:1::/64",
  "since": "2026-11-24T12:04:00Z",
  "until": "2026-11-24T12:14:00Z",
  "level": 0,
  "by": "failures",
  "why": "5 failures within 10 minutes; the last was a wrong password, code or passkey at our own sign-in",
  "shared": false,
  "failures": 0,
  "long": 5,
  "threshold": 5,
  "long_limit": 20,
  "next_ban_seconds": 1200,
  "kinds": {
    "ha-login": 2,
    "scan": 1,
    "sign-in": 1
  },
  "last": [
    {
      "at": "2026-11-24T12:00:00Z",
      "addr": "2600:db8:0:1::7",
      "kind": "ha-login",
      "door": "https",
      "what": "login",
      "account": "Olga"
    },
    {
      "at": "2026-11-24T12:01:00Z",
      "addr": "2600:db8:0:1::8",
      "kind": "ha-login",
      "door": "https",
      "what": "login",
      "account": "[2Jolga` + strings.Repeat("ö", 20) + `"
    },
    {
      "at": "2026-11-24T12:02:00Z",
      "addr": "2600:db8:0:1::7",
      "kind": "scan",
      "door": "https",
      "what": "unknown",
      "account": ""
    },
    {
      "at": "2026-11-24T12:03:00Z",
      "addr": "2600:db8:0:1::8",
      "kind": "",
      "door": "lan",
      "what": "",
      "account": ""
    },
    {
      "at": "2026-11-24T12:04:00Z",
      "addr": "2600:db8:0:1::7",
      "kind": "sign-in",
      "door": "https",
      "what": "a code",
      "account": "anna"
    }
  ],
  "known": [
    {
      "device": "olga's phone",
      "seen": "2026-11-24T12:05:00Z"
    }
  ]
}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	c.pass(10 * time.Minute)
	if x := g.Explain(addr("2600:db8:0:1::7")); x.Banned || x.Why != "listened to: no failures within 10 minutes" || x.Level != 1 {
		t.Errorf("after the ban: %+v", x)
	}
	fail(g, 9, "203.0.113.7", "")
	fail(g, 3, "203.0.113.8", "")
	if x := g.Explain(addr("203.0.113.8")); x.Why != "listened to: 3 of 5 failures within 10 minutes" || x.Failures != 3 || x.Long != 3 {
		t.Errorf("listened to: %+v", x)
	}
	if x := g.Explain(addr("203.0.113.9")); x.Banned || x.CountedAs != prefix("203.0.113.9/32") || x.NextBan != 600 {
		t.Errorf("never seen: %+v", x)
	}
	if x := g.Explain(netip.Addr{}); !x.Banned || x.Why == "" {
		t.Errorf("no address: %+v", x)
	}
}

func TestStatusCountsWhatThereIs(t *testing.T) {
	g, c := newTest()
	fail(g, 5, "203.0.113.7", "olga")
	_ = g.Ban(prefix("198.51.100.0/24"), time.Time{}, "")
	_ = g.Allow(prefix("192.0.2.0/24"), "")
	s := g.Status()
	if s.Sources != 1 || s.Accounts != 1 || s.Bans != 2 || s.Allowed != 1 || s.Failures != 5 || len(s.Slowed) != 1 || len(s.Shared) != 0 || s.Window != 600 || s.LongWindow != 604800 {
		t.Errorf("status is %+v", s)
	}
	c.pass(10 * time.Minute)
	if s := g.Status(); s.Bans != 1 || s.Failures != 0 || len(s.Slowed) != 0 {
		t.Errorf("later it is %+v", s)
	}
}

func TestDurationsAreSpoken(t *testing.T) {
	for d, want := range map[time.Duration]string{10 * time.Minute: "10 minutes", time.Hour: "an hour", 24 * time.Hour: "a day", 7 * 24 * time.Hour: "7 days",
		90 * time.Minute: "90 minutes", time.Minute: "a minute", time.Second: "a second", 36 * time.Hour: "36 hours", 1500 * time.Millisecond: "1.5s"} {
		if got := spoken(d); got != want {
			t.Errorf("%v is spoken as %q, want %q", time.Duration(d), got, want)
		}
	}
}
