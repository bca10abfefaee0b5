package policy_test

import (
	"testing"

	"pgregory.net/rapid"

	"gatehouse/internal/ha"
	. "gatehouse/internal/policy"
)

var doors = []Door{LAN, HTTPS, WireGuard, SSH, Onion}

// member is a known device of a family member on the door that faces the Internet.
func member(route ha.Route) Ask {
	return Ask{Door: HTTPS, Route: route, Method: "GET",
		Who: Who{Person: "p", Device: "d", Role: RoleMember, Proof: ProofDevice}, Credential: CredentialNone}
}

func TestZeroIsRefused(t *testing.T) {
	if Decide(Ask{}).Allow {
		t.Error("the zero Ask is let in")
	}
	if (Decision{}).Allow {
		t.Error("the zero Decision lets in")
	}
	if Command(Who{}, "", "").Allow {
		t.Error("a command without a type is let in")
	}
}

// TestEveryRouteDecided holds that each member of the closed set has a policy of
// its own: the owner's known device reaches it, or it is never published.
func TestEveryRouteDecided(t *testing.T) {
	for _, route := range ha.Routes() {
		a := member(route)
		a.Who.Role = RoleOwner
		switch d := Decide(a); {
		case d.Allow && route == ha.RouteOnboarding:
			t.Errorf("%s is published", route)
		case !d.Allow && d.Reason == ReasonRoute:
			t.Errorf("%s has no policy", route)
		case !d.Allow && route != ha.RouteOnboarding:
			t.Errorf("the owner does not reach %s: %s", route, d.Reason)
		}
	}
}

func TestStrangerReachesNothing(t *testing.T) {
	for _, door := range doors {
		for _, route := range append(ha.Routes(), ha.RouteNone, "invented") {
			for _, credential := range []Credential{CredentialNone, CredentialForeign, CredentialKnown, CredentialSigned} {
				for _, home := range []bool{false, true} {
					a := Ask{Door: door, AtHome: home, Route: route, Method: "GET", Credential: credential}
					atHome := door == LAN && home
					if Decide(a).Allow && !atHome {
						t.Errorf("door %s, route %q, credential %d: a stranger is let in", door, route, credential)
					}
					a.Closed = true
					if Decide(a).Allow {
						t.Errorf("door %s, route %q: a stranger is let into the closed house", door, route)
					}
				}
			}
		}
	}
}

func TestDecide(t *testing.T) {
	with := func(a Ask, change func(*Ask)) Ask { change(&a); return a }
	rest := member(ha.RouteREST)
	for _, c := range []struct {
		name string
		ask  Ask
		want Reason
	}{
		{"known device", rest, ReasonDevice},
		{"token of its own", with(rest, func(a *Ask) { a.Credential = CredentialKnown }), ReasonDevice},
		{"token of another", with(rest, func(a *Ask) { a.Credential = CredentialForeign }), ReasonCredential},
		{"revoked", with(rest, func(a *Ask) { a.Who.Revoked = true }), ReasonRevoked},
		{"revoked at home", with(rest, func(a *Ask) { a.Who.Revoked, a.Door, a.AtHome = true, LAN, true }), ReasonRevoked},
		{"no device", with(rest, func(a *Ask) { a.Who.Device = "" }), ReasonStranger},
		{"no proof", with(rest, func(a *Ask) { a.Who.Proof = ProofNone }), ReasonStranger},
		{"no role", with(rest, func(a *Ask) { a.Who.Role = RoleNone }), ReasonRole},
		{"add-on page by a member", member(ha.RouteIngress), ReasonRole},
		{"backup by a member", member(ha.RouteBackup), ReasonRole},
		{"unclassified path", member(ha.RouteNone), ReasonRoute},
		{"unknown door", with(rest, func(a *Ask) { a.Door = "window" }), ReasonDoor},
		{"at home", Ask{Door: LAN, AtHome: true, Route: ha.RouteREST}, ReasonHome},
		{"at home on https", Ask{Door: HTTPS, AtHome: true, Route: ha.RouteREST}, ReasonStranger},
		{"onboarding at home", Ask{Door: LAN, AtHome: true, Route: ha.RouteOnboarding}, ReasonNever},
	} {
		if got := Decide(c.ask); got.Reason != c.want || got.Allow != (c.want == ReasonDevice || c.want == ReasonHome) {
			t.Errorf("%s: %+v, want reason %q", c.name, got, c.want)
		}
	}
}

// TestStrongerProofNeverLoses holds that knowing more about who asks never costs a route.
func TestStrongerProofNeverLoses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Ask{
			Door:       rapid.SampledFrom(doors).Draw(t, "door"),
			AtHome:     rapid.Bool().Draw(t, "home"),
			Closed:     rapid.Bool().Draw(t, "closed"),
			Source:     rapid.Bool().Draw(t, "source"),
			Route:      rapid.SampledFrom(ha.Routes()).Draw(t, "route"),
			Method:     rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method"),
			Who:        Who{Role: Role(rapid.IntRange(0, 3).Draw(t, "role")), Proof: Proof(rapid.IntRange(0, 2).Draw(t, "proof"))},
			Credential: Credential(rapid.IntRange(0, 2).Draw(t, "credential")),
		}
		if rapid.Bool().Draw(t, "device") {
			a.Who.Person, a.Who.Device = "p", "d"
		}
		if !Decide(a).Allow {
			return
		}
		stronger := a
		stronger.Who.Person, stronger.Who.Device = "p", "d"
		stronger.Who.Role = max(a.Who.Role, RoleMember)
		for _, change := range []func(*Ask){
			func(a *Ask) { a.Who.Proof = max(a.Who.Proof, ProofDevice) },
			func(a *Ask) { a.Who.Proof = ProofFresh },
			func(a *Ask) { a.Who.Role = RoleOwner },
		} {
			change(&stronger)
			if d := Decide(stronger); !d.Allow {
				t.Fatalf("%+v is let in, %+v is not: %s", a, stronger, d.Reason)
			}
		}
	})
}

func TestMemberOpensNoAddOnSession(t *testing.T) {
	anna := Who{Person: "p", Device: "d", Role: RoleMember, Proof: ProofDevice}
	owner := anna
	owner.Role = RoleOwner
	for _, c := range []struct{ kind, endpoint string }{
		{"supervisor/ingress/session", ""},
		{"supervisor/api", "/ingress/session"},
		{"supervisor/api", "/ingress/validate_session"},
	} {
		if Command(anna, c.kind, c.endpoint).Allow {
			t.Errorf("a member may give %s %s", c.kind, c.endpoint)
		}
		if !Command(owner, c.kind, c.endpoint).Allow {
			t.Errorf("the owner may not give %s %s", c.kind, c.endpoint)
		}
	}
	if !Command(anna, "call_service", "").Allow {
		t.Error("a member may not call a service")
	}
}

func TestParseRole(t *testing.T) {
	for _, r := range []Role{RoleGuest, RoleMember, RoleOwner} {
		if got, ok := ParseRole(r.String()); !ok || got != r {
			t.Errorf("%v reads back as %v", r, got)
		}
	}
	for _, s := range []string{"", "none", "Owner", "admin"} {
		if _, ok := ParseRole(s); ok {
			t.Errorf("%q is a role", s)
		}
	}
}

// TestSource holds what an address at home that was given lets in: pages and pictures, and
// what Home Assistant has signed for no device of ours, to look at, at home alone.
func TestSource(t *testing.T) {
	fetches := map[ha.Route]bool{ha.RouteShell: true, ha.RouteStatic: true, ha.RouteManifest: true, ha.RouteWorker: true, ha.RouteUserFiles: true,
		ha.RouteCapability: true, ha.RouteMedia: true}
	for _, door := range doors {
		for _, route := range append(ha.Routes(), ha.RouteNone, "invented") {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", ""} {
				for _, home := range []bool{false, true} {
					looks := door == LAN && home && (method == "GET" || method == "HEAD")
					a := Ask{Door: door, AtHome: home, Closed: true, Source: true, Route: route, Method: method}
					if d := Decide(a); d.Allow != (looks && fetches[route]) || d.Allow && d.Reason != ReasonSource {
						t.Errorf("%+v: %+v", a, d)
					}
					a.Credential = CredentialForeign
					if d := Decide(a); d.Allow {
						t.Errorf("beside a foreign token: %+v: %+v", a, d)
					}
					a.SignedByHA = true
					if d := Decide(a); d.Allow != (looks && (route == ha.RouteCapability || route == ha.RouteMedia)) {
						t.Errorf("signed by Home Assistant: %+v: %+v", a, d)
					}
					a.Source = false
					if d := Decide(a); d.Allow {
						t.Errorf("signed by Home Assistant, from an address that nobody knows: %+v: %+v", a, d)
					}
					a.Source, a.Who.Revoked = true, true
					if d := Decide(a); d.Allow {
						t.Errorf("revoked: %+v: %+v", a, d)
					}
				}
			}
		}
	}
	// A device that is known is judged by what it is, wherever it is.
	foreign := Ask{Door: LAN, AtHome: true, Closed: true, Source: true, Route: ha.RouteMedia, Method: "GET", Who: Who{Device: "d", Role: RoleGuest, Proof: ProofDevice}}
	if d := Decide(foreign); d.Allow {
		t.Errorf("a guest's device: %+v", d)
	}
}
