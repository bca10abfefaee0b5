package main

import (
	"strings"
	"testing"

	"gatehouse/internal/ha"
)

// What a fix asks of Home Assistant, it does through the house: settings are tried, kept once
// it is seen to work, and never written over those that somebody else has made meanwhile.
func TestHTTPSettingsAreChangedByTheAPI(t *testing.T) {
	home := newMovingHome(t)
	g := newGate(t, home)
	look := func(w homeWish) (homeState, error) { return askHome(t.Context(), g.house, w) }
	now := func() string {
		t.Helper()
		c, err := home.api(home.first).HTTPConfig(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.Active != "stable" {
			t.Errorf("it runs on %s settings", c.Active)
		}
		says, err := optionsOf(c.Stable)
		if err != nil {
			t.Fatal(err)
		}
		return says
	}
	before := now()
	after, err := ha.WithOption(before, "login_attempts_threshold", 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := changeHTTP(t.Context(), look, before, after); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(now(), `"login_attempts_threshold":7`) {
		t.Errorf("not kept: %s", now())
	}
	if err := changeHTTP(t.Context(), look, before, after); err == nil || !strings.Contains(err.Error(), "have changed since") {
		t.Errorf("it says %v", err)
	}
	if err := changeHTTP(t.Context(), look, now(), before); err != nil || now() != before {
		t.Errorf("not as before: %s, %v", now(), err)
	}
	if err := changeHTTP(t.Context(), look, "junk", before); err == nil {
		t.Error("junk is taken for settings")
	}
	if _, err := askHome(t.Context(), g.house, homeWish{Do: "reboot"}); err == nil {
		t.Error("anything may be asked")
	}
	if _, err := askHome(t.Context(), g.house, homeWish{Do: "check"}); err != nil {
		t.Error(err)
	}
}
