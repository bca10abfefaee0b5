package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"gatehouse/internal/ha/client"
)

func TestBannedAt(t *testing.T) {
	for text, want := range map[string]string{
		"2024-03-01T04:05:06.789012+00:00": "2024-03-01T04:05:06Z",
		"2025-01-01T00:00:00+02:00":        "2024-12-31T22:00:00Z",
		"2016-11-16T19:20:03.000001":       "2016-11-16T19:20:03Z",
		"2023-05-06 07:08:09":              "2023-05-06T07:08:09Z",
		"2023-05-06 07:08:09+01:00":        "2023-05-06T06:08:09Z",
		"2023-05-06":                       "2023-05-06T00:00:00Z",
		"0000-01-01":                       "", "soon": "", "": "", "99999-01-01": "",
	} {
		if got := stamp(bannedAt(text)); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// What the doctor needs of Home Assistant's files is found there, and what cannot be read is
// said.
func TestHomeBans(t *testing.T) {
	home := func(config, bans string) fstest.MapFS {
		f := fstest.MapFS{".HA_VERSION": {Data: []byte("2026.2.3")}, "configuration.yaml": {Data: []byte(config)}}
		if bans != "" {
			f["ip_bans.yaml"] = &fstest.MapFile{Data: []byte(bans)}
		}
		return f
	}
	b := homeBansIn(home("http:\n  login_attempts_threshold: 3\n", "127.0.0.1: {}\n203.0.113.7: {}\n203.0.113.8: {}\n"))
	if b.Banning != (banning{true, true, 3}) || b.Listed != 3 || len(b.Ours) != 1 || b.Ours[0] != "127.0.0.1" || b.Unread != "" {
		t.Errorf("%+v", b)
	}
	if !strings.Contains(b.remark(), "2 addresses for good") {
		t.Error(b.remark())
	}
	if b := homeBansIn(home("", "")); b.Banning != (banning{true, true, -1}) || b.Listed != 0 || b.Unread != "" || b.remark() != "" {
		t.Errorf("without a list: %+v", b)
	}
	if b := homeBansIn(home("http: [", "- x\n")); b.Banning.Known || !strings.Contains(b.Unread, "ip_bans.yaml") {
		t.Errorf("what cannot be read: %+v", b)
	}
	if d := examineOwnBan(b); d.Result != bad || !strings.Contains(d.Detail, "127.0.0.1") || !strings.Contains(d.Hint, "hahttp.ip-bans-file") {
		t.Errorf("%+v", d)
	}
	if d := examineOwnBan(homeBans{Listed: 2}); d.Result != good || !strings.Contains(d.Detail, "guard import") {
		t.Errorf("%+v", d)
	}
}

// Whether Home Assistant's own ban comes after the guard's is good, bad, or cannot be judged.
func TestExamineSecondLine(t *testing.T) {
	h := newGate(t, newMovingHome(t)).house
	for _, c := range []struct {
		banning banning
		trust   string
		want    string
		says    string
	}{
		{banning{}, good, unknown, "cannot be read"},
		{banning{true, true, -1}, good, good, "never bans"},
		{banning{true, false, 3}, bad, good, "never bans"},
		{banning{true, true, 10}, good, good, "after 10 wrong passwords"},
		{banning{true, true, 10}, bad, bad, "bans this gateway after 10"},
		{banning{true, true, 5}, good, bad, "for good; the guard after 5"},
		{banning{true, true, 1}, good, bad, "after 1 wrong password, for good"},
	} {
		d := h.examineSecondLine(t.Context(), nil, "2026.2.3", diagnosis{Result: c.trust}, homeBans{Banning: c.banning})
		if d.Result != c.want || !strings.Contains(d.Detail, c.says) || c.want == bad && d.Hint == "" {
			t.Errorf("%+v, trust %s: %+v", c.banning, c.trust, d)
		}
	}
}

// A Home Assistant that has banned the gateway answers 403 to all that it asks, and the doctor
// says what to do.
func TestDoctorKnowsABannedGateway(t *testing.T) {
	ha := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer ha.Close()
	h := newGate(t, newMovingHome(t)).house
	h.cfg.Home.HAURL = ha.URL
	all := h.examineHome(t.Context(), homeBans{})
	if len(all) != 1 || all[0].Result != bad || !strings.Contains(all[0].Detail, "banned this gateway") || all[0].Hint != hintOwnBan {
		t.Errorf("%+v", all)
	}
}

// A token that Home Assistant does not accept is shown once: each time counts there as a wrong
// login of this machine, and the tenth would have it banned.
func TestSpurnedTokenIsNotShownAgain(t *testing.T) {
	home := newMovingHome(t)
	g := newGate(t, home)
	u, err := url.Parse("http://" + home.first)
	if err != nil {
		t.Fatal(err)
	}
	api, err := client.New(client.Config{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	token := "not.a.token"
	w := newHomeWatch(api, func(context.Context) (string, error) { return token, nil }, g.identity, g.emit, g.parts.log)
	if c, spurn := w.api(t.Context()); c == nil {
		t.Fatal("the token is not shown at all")
	} else if err := w.askAccounts(t.Context(), c); err == nil {
		t.Fatal("it was accepted")
	} else {
		spurn()
	}
	for range 3 {
		w.running(t.Context())
	}
	if c, _ := w.api(t.Context()); c != nil {
		t.Error("it is shown again")
	}
	token = fmt.Sprint("another.", time.Now().UnixNano())
	if c, _ := w.api(t.Context()); c == nil {
		t.Error("another token is not shown")
	}
}
