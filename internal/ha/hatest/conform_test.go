package hatest_test

// Does the small home speak as Home Assistant does? One script of requests runs
// against both. What real releases answered is in testdata, one file a release:
//
//	lab/ha run 2026.11.0 8199                                 # in another terminal
//	GATEHOUSE_LIVE_HA=http://127.0.0.1:8199 GATEHOUSE_LIVE_VERSION=2026.11.0 \
//	GATEHOUSE_LIVE_USERNAME=owner GATEHOUSE_LIVE_PASSWORD='correct horse battery' \
//	go test ./internal/ha/hatest -run TestLiveConformance -record
//
// Without -record the same command compares that Home Assistant with what is
// recorded. What differs by nature (ids, times, tokens, addresses) is replaced
// by its kind before anything is compared.

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/ha/hatest"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

var record = flag.Bool("record", false, "TestLiveConformance writes down what the live Home Assistant answers")

// recorded is what one step of the script saw.
type recorded struct {
	Step string `json:"step"`
	Saw  any    `json:"saw"`
}

// end is the other end of the script.
type end struct {
	url, version, username, password string
}

// small serves a home of a release to the script.
func small(t *testing.T, version string) end {
	t.Helper()
	owner := hatest.User{Name: "Owner", Username: "owner", Password: "correct horse battery", Owner: true}
	home := hatest.New(hatest.Options{Version: version, Users: []hatest.User{owner}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	server := httptest.NewServer(home)
	t.Cleanup(func() {
		home.Hangup()
		server.Close()
	})
	return end{server.URL, version, owner.Username, owner.Password}
}

// live is the Home Assistant that the environment names; without one, a small
// home stands in.
func live(t *testing.T) (end, bool) {
	t.Helper()
	e := end{os.Getenv("GATEHOUSE_LIVE_HA"), os.Getenv("GATEHOUSE_LIVE_VERSION"), os.Getenv("GATEHOUSE_LIVE_USERNAME"), os.Getenv("GATEHOUSE_LIVE_PASSWORD")}
	if e.url == "" {
		return small(t, hatest.Latest), false
	}
	if e.version == "" || e.username == "" {
		t.Fatal("GATEHOUSE_LIVE_VERSION, GATEHOUSE_LIVE_USERNAME and GATEHOUSE_LIVE_PASSWORD belong to GATEHOUSE_LIVE_HA")
	}
	return e, true
}

func recording(version string) string { return filepath.Join("testdata", version+".json") }

// releases are those that are recorded, oldest first.
func releases(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(recording("*"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, name := range names {
		list = append(list, strings.TrimSuffix(filepath.Base(name), ".json"))
	}
	slices.SortFunc(list, func(a, b string) int { return month(a) - month(b) })
	return list
}

// month makes 202611 of 2026.11.0.
func month(version string) int {
	var y, m int
	if _, err := fmt.Sscanf(version, "%d.%d", &y, &m); err != nil {
		return 0
	}
	return y*100 + m
}

func readRecording(t *testing.T, version string) []recorded {
	t.Helper()
	data, err := os.ReadFile(recording(version))
	if err != nil {
		t.Fatalf("%v: record it, as the head of this file says", err)
	}
	var list []recorded
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// compare reports each step that saw something else than is recorded.
func compare(t *testing.T, want, got []recorded) {
	t.Helper()
	byName := map[string]any{}
	for _, r := range want {
		byName[r.Step] = r.Saw
	}
	for _, r := range got {
		saw, ok := byName[r.Step]
		if !ok {
			t.Errorf("%s: is not recorded", r.Step)
			continue
		}
		delete(byName, r.Step)
		if d := cmp.Diff(saw, r.Saw); d != "" {
			t.Errorf("%s: recorded (-), seen (+):\n%s", r.Step, d)
		}
	}
	for name := range byName {
		t.Errorf("%s: is recorded and was not seen", name)
	}
}

// plain brings what was seen into the form that JSON gives back.
func plain(t *testing.T, list []recorded) []recorded {
	t.Helper()
	data, err := json.Marshal(list, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		t.Fatal(err)
	}
	var back []recorded
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

func TestConformance(t *testing.T) {
	list := releases(t)
	for _, must := range []string{"2026.2.3", hatest.Latest} {
		if !slices.Contains(list, must) {
			t.Errorf("%s is not recorded", must)
		}
	}
	for _, version := range list {
		t.Run(version, func(t *testing.T) {
			got := plain(t, script(t, small(t, version)))
			if len(got) < 80 {
				t.Errorf("only %d steps", len(got))
			}
			compare(t, readRecording(t, version), got)
		})
	}
}

// TestLiveConformance holds the recordings to a real Home Assistant.
func TestLiveConformance(t *testing.T) {
	other, real := live(t)
	got := plain(t, script(t, other))
	if *record {
		if !real {
			t.Fatal("GATEHOUSE_LIVE_HA names no Home Assistant: nothing to record")
		}
		data, err := json.Marshal(got, json.Deterministic(true), jsontext.WithIndent(" "))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(recording(other.version), append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	// A release that is not recorded is compared with the newest before it.
	nearest := ""
	for _, version := range releases(t) {
		if month(version) <= month(other.version) {
			nearest = version
		}
	}
	if nearest == "" {
		t.Fatalf("nothing as old as %s is recorded", other.version)
	}
	if nearest != other.version {
		t.Logf("%s is not recorded; compared with %s", other.version, nearest)
	}
	compare(t, readRecording(t, nearest), got)
}
