// Package policy decides. Decide is a pure function of what was asked, through
// which door, by whom and how sure we are of that; it reads no clock, no file
// and no global. The zero Ask is refused and so is the zero Decision: whatever
// a caller forgets to fill in counts against the one who asks.
package policy

import (
	"strings"

	"gatehouse/internal/ha"
)

// Door is one way into the house (design: "Doors, and what each trusts").
type Door string

// The doors. A door that is none of these is refused.
const (
	LAN       Door = "lan"
	HTTPS     Door = "https"
	WireGuard Door = "wireguard"
	SSH       Door = "ssh"
	Onion     Door = "onion"
)

// Role is what the owner made of a person.
type Role int

// The roles, weakest first. The zero Role belongs to nobody.
const (
	RoleNone Role = iota
	RoleGuest
	RoleMember
	RoleOwner
)

var roleNames = [...]string{"none", "guest", "member", "owner"}

// String returns the word that the command line and the ledger use.
func (r Role) String() string {
	if r < 0 || int(r) >= len(roleNames) {
		return roleNames[RoleNone]
	}
	return roleNames[r]
}

// ParseRole reads a role's word; ok is false for any other word and for "none".
func ParseRole(s string) (r Role, ok bool) {
	for i, name := range roleNames {
		if name == s && Role(i) != RoleNone {
			return Role(i), true
		}
	}
	return RoleNone, false
}

// Proof says how sure we are, now, of who is asking.
type Proof int

// The proofs, weakest first.
const (
	ProofNone   Proof = iota // nobody we know
	ProofDevice              // a known device with a live session
	ProofFresh               // and a passkey or code within minutes
)

// Who is the answer to "who is asking?". The zero Who is a stranger.
type Who struct {
	Person string // identity's id of the person
	Name   string // what the owner calls the person
	Role   Role
	Device string // identity's id of the device
	Kind   string // browser, app, program, certificate, peer, sshkey, onionkey
	Proof  Proof
	HAUser string // id of the HA user that the person is mapped to; empty before the first HA login
	// Revoked is set where the device is recognised and must not be let in any more.
	Revoked bool
}

// Key is what a door has verified that a connection holds: the private half of a device's
// key. The zero Key is none.
type Key struct {
	Kind string // of the device: certificate, peer, sshkey or onionkey
	ID   string // the public half, as that kind writes it
}

// Credential is what an HA credential (bearer, refresh token, signed path) that
// came along is worth.
type Credential int

// The credentials' worth. CredentialForeign is one that we never learned, or
// that was learned for another device than the one asking. CredentialSigned is a
// signature on this very path in the name of a known app: who it is for can be read in
// every signed path, and whether it is good only Home Assistant can tell.
const (
	CredentialNone Credential = iota
	CredentialForeign
	CredentialKnown
	CredentialSigned
)

// Ask is everything that a decision may depend on.
type Ask struct {
	Door       Door
	AtHome     bool // the source is on-link, on a door that can know it
	Closed     bool // the house is closed: HA's own login is not enough, at home neither
	Source     bool // the source is an address at home that the owner has given to somebody
	SignedByHA bool // the path is signed for none of the devices, as Home Assistant does for speakers
	Route      ha.Route
	Method     string
	Who        Who
	Credential Credential
}

// Reason says why a decision fell as it did. It is for the log and the owner; a
// stranger never sees it.
type Reason string

// The reasons.
const (
	ReasonNone       Reason = ""
	ReasonDevice     Reason = "known device"
	ReasonHome       Reason = "at home before the house is closed"
	ReasonSource     Reason = "address at home that is known"
	ReasonSigned     Reason = "signed in the name of a known device"
	ReasonDoor       Reason = "not a door"
	ReasonRoute      Reason = "path is not one of Home Assistant's"
	ReasonStranger   Reason = "device is not known"
	ReasonRevoked    Reason = "device was revoked"
	ReasonCredential Reason = "token is not one of this device"
	ReasonRole       Reason = "role does not reach this"
	ReasonNever      Reason = "never published"
)

// Decision is the answer. The zero Decision refuses.
type Decision struct {
	Allow  bool
	Reason Reason
}

// reach is what a route asks of whoever wants to use it.
type reach struct {
	role  Role
	proof Proof
	home  bool // HA's own login is enough at home while the house is open
}

// reaches is the policy of every route. A route that is missing here is
// refused; TestEveryRouteDecided keeps the table and ha.Routes together.
var reaches = map[ha.Route]reach{
	ha.RouteShell:            {RoleMember, ProofDevice, true},
	ha.RouteAuthorize:        {RoleMember, ProofDevice, true},
	ha.RouteStatic:           {RoleMember, ProofDevice, true},
	ha.RouteManifest:         {RoleMember, ProofDevice, true},
	ha.RouteWorker:           {RoleMember, ProofDevice, true},
	ha.RouteUserFiles:        {RoleMember, ProofDevice, true},
	ha.RouteProviders:        {RoleMember, ProofDevice, true},
	ha.RouteLoginFlow:        {RoleMember, ProofDevice, true},
	ha.RouteToken:            {RoleMember, ProofDevice, true},
	ha.RouteRevoke:           {RoleMember, ProofDevice, true},
	ha.RouteOAuthMetadata:    {RoleMember, ProofDevice, true},
	ha.RouteExternalCallback: {RoleMember, ProofDevice, true},
	ha.RouteLinkUser:         {RoleMember, ProofDevice, true},
	ha.RouteWebSocket:        {RoleMember, ProofDevice, true},
	ha.RouteWebhook:          {RoleMember, ProofDevice, true},
	ha.RouteCapability:       {RoleMember, ProofDevice, true},
	ha.RouteMedia:            {RoleMember, ProofDevice, true},
	ha.RouteREST:             {RoleMember, ProofDevice, true},
	ha.RouteAdminREST:        {RoleMember, ProofDevice, true}, // HA checks the admin itself
	ha.RouteStream:           {RoleMember, ProofDevice, true},
	ha.RouteRegistration:     {RoleMember, ProofDevice, true},
	ha.RouteUpload:           {RoleMember, ProofDevice, true},
	ha.RouteBackup:           {RoleOwner, ProofDevice, true},
	ha.RouteSupervisor:       {RoleMember, ProofDevice, true},
	ha.RouteIngress:          {RoleOwner, ProofDevice, true}, // HA and the Supervisor let any user in (ha-protocol 1.2)
	ha.RouteVoice:            {RoleMember, ProofDevice, true},
	ha.RouteCallback:         {RoleMember, ProofDevice, true},
	ha.RouteIntegration:      {RoleMember, ProofDevice, true},
	ha.RouteOnboarding:       {}, // nobody, on no door
}

// signed reports whether Home Assistant itself asks for a token or a signature at a
// route. Only there does a signature stand for itself.
func signed(route ha.Route) bool {
	switch route {
	case ha.RouteCapability, ha.RouteMedia, ha.RouteREST, ha.RouteAdminREST, ha.RouteBackup:
		return true
	}
	return false
}

// fetched reports whether a route is one that a speaker, a screen or a browser's own
// loading of a page uses without any credential: pages and pictures, and what has its
// secret in the address.
func fetched(route ha.Route) bool {
	switch route {
	case ha.RouteShell, ha.RouteStatic, ha.RouteManifest, ha.RouteWorker, ha.RouteUserFiles, ha.RouteCapability, ha.RouteMedia:
		return true
	}
	return false
}

// Decide answers an Ask. The order is the argument: what is never published,
// then who is shut out, then what home allows to anybody who is there, then
// whether the device is known, its token its own and its person's role enough.
func Decide(a Ask) Decision {
	switch a.Door {
	case LAN, HTTPS, WireGuard, SSH, Onion:
	default:
		return Decision{Reason: ReasonDoor}
	}
	need, ok := reaches[a.Route]
	switch {
	case !ok:
		return Decision{Reason: ReasonRoute}
	case need.role == RoleNone:
		return Decision{Reason: ReasonNever}
	case a.Who.Revoked:
		return Decision{Reason: ReasonRevoked}
	}
	if a.Door == LAN && a.AtHome && !a.Closed && need.home {
		return Decision{Allow: true, Reason: ReasonHome}
	}
	if a.Door == LAN && a.AtHome && a.Source && a.Who.Device == "" && (a.Method == "GET" || a.Method == "HEAD") &&
		(a.Credential == CredentialNone && fetched(a.Route) || a.SignedByHA && fetched(a.Route) && signed(a.Route)) {
		return Decision{Allow: true, Reason: ReasonSource}
	}
	switch {
	case a.Credential == CredentialSigned && a.Who.Device != "" && a.Who.Role >= need.role &&
		signed(a.Route) && (a.Method == "GET" || a.Method == "HEAD"):
		return Decision{Allow: true, Reason: ReasonSigned}
	case a.Who.Device == "" || a.Who.Proof < need.proof:
		return Decision{Reason: ReasonStranger}
	case a.Credential == CredentialForeign || a.Credential == CredentialSigned:
		return Decision{Reason: ReasonCredential}
	case a.Who.Role < need.role:
		return Decision{Reason: ReasonRole}
	}
	return Decision{Allow: true, Reason: ReasonDevice}
}

// Command answers whether a person may give a WebSocket command, by its type and,
// for supervisor/api, its endpoint. Home Assistant checks administrators itself;
// what stands here is what it leaves open to everybody (ha-protocol 1.2): a
// session for an add-on's page, which reaches a terminal and every file.
func Command(w Who, kind, endpoint string) Decision {
	switch {
	case w.Revoked:
		return Decision{Reason: ReasonRevoked}
	case kind == "":
		return Decision{Reason: ReasonRoute}
	case kind == "webhook/handle":
		// Calls any webhook, past what is asked of whoever calls it from outside. No client of
		// a home uses it.
		return Decision{Reason: ReasonNever}
	case kind == "supervisor/ingress/session", kind == "supervisor/api" && strings.HasPrefix(endpoint, "/ingress/"):
		if w.Device != "" && w.Role < RoleOwner {
			return Decision{Reason: ReasonRole}
		}
	}
	return Decision{Allow: true, Reason: ReasonDevice}
}
