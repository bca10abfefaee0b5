package identity

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"gatehouse/internal/ha"
	"gatehouse/internal/policy"
)

func TestProgram(t *testing.T) {
	h, ctx := newHouse(t), t.Context()
	_, err := h.AddPerson(ctx, "Anna", policy.RoleMember, "", "")
	h.must(err)
	may := Program{Routes: []ha.Route{ha.RouteREST, ha.RouteStream}, From: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}}
	made := ProgramToken{Token: "llat", HAUserID: "user-llat", Expires: h.now.AddDate(1, 0, 0)}
	d, err := h.AddProgram(ctx, "anna", "Backup", made, may)
	h.must(err)
	check := func(when string) {
		t.Helper()
		tok, ok := h.AccessToken("llat")
		if !ok || tok.Device != d.ID || tok.Kind != KindProgram || tok.Program == nil || !tok.WithoutCookie() || tok.HAUserID != "user-llat" {
			t.Fatalf("%s: %+v, %t", when, tok, ok)
		}
		for _, c := range []struct {
			route ha.Route
			addr  string
			want  bool
		}{
			{ha.RouteREST, "192.168.1.7", true}, {ha.RouteStream, "::ffff:192.168.1.7", true},
			{ha.RouteREST, "192.168.2.7", false}, {ha.RouteAdminREST, "192.168.1.7", false}, {ha.RouteNone, "192.168.1.7", false},
		} {
			if got := tok.Program.Allows(c.route, netip.MustParseAddr(c.addr)); got != c.want {
				t.Errorf("%s: %s from %s: %t", when, c.route, c.addr, got)
			}
		}
	}
	check("at once")
	h.restart()
	check("after a restart")
	if h.ExpectsSocket(netip.MustParseAddr("192.168.1.7")) {
		t.Error("a socket is expected of a program that may have none")
	}
	_, err = h.AddProgram(ctx, "Anna", "Panel", ProgramToken{Token: "llat-2", HAUserID: "u2", Expires: made.Expires},
		Program{Routes: []ha.Route{ha.RouteWebSocket}, From: may.From})
	h.must(err)
	if !h.ExpectsSocket(netip.MustParseAddr("192.168.1.7")) || h.ExpectsSocket(netip.MustParseAddr("192.168.2.7")) {
		t.Error("sockets are expected from elsewhere")
	}

	h.must(h.RevokeDevice(ctx, d.ID))
	if tok, ok := h.AccessToken("llat"); !ok || !tok.Revoked {
		t.Errorf("revoked: %+v, %t", tok, ok)
	}
	left := h.ProgramLeftovers()
	if len(left) != 1 || left[0].HAUserID != "user-llat" {
		t.Fatalf("left over: %+v", left)
	}
	h.must(h.TookProgramOut(ctx, left[0]))
	h.restart()
	if len(h.ProgramLeftovers()) != 0 {
		t.Error("it is to be taken out again")
	}
	h.pass(366 * 24 * time.Hour)
	if _, ok := h.AccessToken("llat-2"); ok {
		t.Error("an expired token counts")
	}
	if _, err := h.AddProgram(ctx, "Zoe", "x", made, may); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's program: %v", err)
	}
	if _, err := h.AddProgram(ctx, "Anna", "", made, may); !errors.Is(err, ErrName) {
		t.Errorf("a program without a name: %v", err)
	}
	if _, err := h.AddProgram(ctx, "Anna", "x", made, Program{}); err == nil {
		t.Error("a program that may do nothing")
	}
}
