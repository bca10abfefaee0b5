// Package event is the closed set of things that happen to the security of a
// home, and their log. Whoever sees one happen emits it; nobody decides anything
// here.
//
// An event never holds a secret: no password, token, cookie, invitation, code or
// webhook id goes into any of its fields. Addresses and names of people do; the
// log belongs to the owner and stays in the house.
//
// A Log takes events down for whoever watches the service and in a Chain: lines of
// JSON in files of their own, each with the hash of all before it. Strangers cause
// events, so what they cause is limited before it is written anywhere (limit.go).
//
// # What the chain proves
//
// Every line carries SHA-256 of the line before and of itself. Once a second, where
// something happened, a seal is written: a signature (Ed25519) over all so far, which
// also names the key of the next seal. The key that signed is then forgotten. This is
// how systemd seals its journal (forward secure sealing, after Schneier and Kelsey), with
// signatures in place of keyed hashes, so that checking needs no secret. How far the
// log goes and the key of the next seal are kept beside it in the file head, encrypted
// with the ledger's key.
//
//   - Whoever changes, adds, swaps or removes lines without the service's rights is
//     found out: the seals are not theirs to make, nor is the head.
//   - Whoever takes over the service, or the machine, holds the key of the next seal and
//     no earlier one. From there on they write what they like. What was sealed before
//     cannot be changed, nor can its end be cut off: the seal that is then the last
//     names a key that is gone.
//   - They can throw all of it away and begin anew, under keys of their own. Against
//     that helps what was noted elsewhere: a line's number and hash, which the service's
//     own log gets at every start and every day, and which Verify compares.
//   - What happened within the last second before the power went, or before the process
//     was killed, may be missing or lack its seal. That is no tampering, and is told
//     apart from it. Whoever has the files in hand can use it: that second proves nothing.
//   - A key that was forgotten is overwritten by no one: it is in a file that was
//     replaced, encrypted. Whoever has the ledger's key and reads the raw disk may find it.
//   - It proves nothing about what was never emitted, nor about the clock.
package event

import (
	"net/netip"
	"time"
)

// Event is one thing that happened.
type Event struct {
	Time   time.Time `json:"time"`             // when; Log.Emit fills in the zero time
	Kind   Kind      `json:"kind"`             // what
	Person string    `json:"person,omitempty"` // name of the person, as the owner calls them
	Device string    `json:"device,omitempty"` // identity's id of the device
	Door   string    `json:"door,omitempty"`   // policy's name of the door
	Addr   string    `json:"addr,omitempty"`   // client address, without port
	Route  string    `json:"route,omitempty"`  // ha's name of the route
	Detail string    `json:"detail,omitempty"` // what else the owner needs, in a few words
	More   uint64    `json:"more,omitzero"`    // it stands for so many that were held back (limit.go)

	// Source may stand in for Addr, which is then filled in if the event is taken down at
	// all: writing an address costs more than looking at one.
	Source netip.Addr `json:"-"`
	// Owner is whether the owner did it, on the machine itself: that is never held back,
	// though the kind is one that strangers cause.
	Owner bool `json:"-"`
}

// Kind says what happened. Its text is what scripts match on and never changes.
type Kind string

// The kinds.
const (
	Started           Kind = "started"            // the gateway began to serve
	Stopped           Kind = "stopped"            // the gateway stopped
	SignedIn          Kind = "signed-in"          // a browser got a session
	Confirmed         Kind = "confirmed"          // a live session proved itself again
	SignInFailed      Kind = "sign-in-failed"     // wrong passkey, code, name or invitation
	SignedOut         Kind = "signed-out"         // a session ended because its person said so
	SessionEnded      Kind = "session-ended"      // a session was ended by the owner
	SessionExpired    Kind = "session-expired"    // a session ran out
	PersonAdded       Kind = "person-added"       // the owner named a person
	PersonRemoved     Kind = "person-removed"     // a person and all that is theirs was shut out
	Invited           Kind = "invited"            // an invitation was made
	DeviceEnrolled    Kind = "device-enrolled"    // a device became known
	DeviceRevoked     Kind = "device-revoked"     // a device is shut out for good
	AppRegistered     Kind = "app-registered"     // a companion app got its webhook from Home Assistant
	AppTakenOut       Kind = "app-taken-out"      // a revoked device's registration was taken out of Home Assistant
	ApprovalAsked     Kind = "approval-asked"     // a browser asks to be approved
	ApprovalGranted   Kind = "approval-granted"   // a known device approved it
	ApprovalDenied    Kind = "approval-denied"    // a known device denied it, or gave the wrong number
	PasskeyAdded      Kind = "passkey-added"      // a person has another passkey
	PasskeyCloned     Kind = "passkey-cloned"     // a passkey's counter went backwards: there may be two of it
	TOTPChanged       Kind = "totp-changed"       // a person has a new authenticator secret
	RecoveryUsed      Kind = "recovery-used"      // a printed recovery code was used
	RecoveryRenewed   Kind = "recovery-renewed"   // new recovery codes were made
	HALogin           Kind = "ha-login"           // Home Assistant accepted a login
	HALoginFailed     Kind = "ha-login-failed"    // Home Assistant refused a login
	HAUserBound       Kind = "ha-user-bound"      // a person's Home Assistant user became known
	OtherHAUser       Kind = "other-ha-user"      // a device signed in to Home Assistant as somebody else
	TokenLearned      Kind = "token-learned"      // a device got tokens from Home Assistant
	TokenRevoked      Kind = "token-revoked"      // Home Assistant was told to revoke a token
	Refused           Kind = "refused"            // a request was refused
	BadRequest        Kind = "bad-request"        // bytes arrived that no honest client sends
	Banned            Kind = "banned"             // a source is not listened to for a while
	Unbanned          Kind = "unbanned"           // a source is listened to again
	AccountSlowed     Kind = "account-slowed"     // codes for an account are refused to unknown devices for a while
	SocketEnded       Kind = "socket-ended"       // a live connection was closed because its session ended
	HADown            Kind = "ha-down"            // Home Assistant does not answer
	HAUp              Kind = "ha-up"              // Home Assistant answers again
	CertificateMade   Kind = "certificate-made"   // the local authority issued a certificate
	AuthorityChanged  Kind = "authority-changed"  // the local authority's root was rotated, or a step towards it was taken
	CertificateGot    Kind = "certificate-got"    // a public authority issued a certificate
	CertificateFailed Kind = "certificate-failed" // no certificate could be had from a public authority, or of files
	CertificateEnds   Kind = "certificate-ends"   // a certificate ends soon, and there is no other
	AddressChanged    Kind = "address-changed"    // the home's name leads to another address
	AddressFailed     Kind = "address-failed"     // the home's name does not follow the home, for a while now
	PublishingStarted Kind = "publishing-started" // Home Assistant's onboarding is finished, the doors open
	HouseOnTrial      Kind = "house-on-trial"     // Home Assistant listens behind us, or the house is closed, until somebody confirms it
	HouseClosed       Kind = "house-closed"       // only what is known comes in, at home too
	HouseOpened       Kind = "house-opened"       // nothing is refused at home
	HouseReverted     Kind = "house-reverted"     // a trial is taken back
	Wary              Kind = "wary"               // the guard forgives less for a while
	Spraying          Kind = "spraying"           // one account is tried from many addresses
	BansOff           Kind = "bans-off"           // an address is not banned any more, whatever it does: many seem to share it
	BansOn            Kind = "bans-on"            // it is again
	Allowed           Kind = "allowed"            // the owner said that an address is never to be banned
	Disallowed        Kind = "disallowed"         // the owner took that back
	RulesFailed       Kind = "rules-failed"       // a list of addresses cannot be used; the one before holds
	EventsLost        Kind = "events-lost"        // lines of the event log could not be written
	LogRepaired       Kind = "log-repaired"       // the event log ended in half a line, which was cut off
	LogBegun          Kind = "log-begun"          // the event log begins, for the first time or anew
)

// sentences says each kind in words for the owner, who reads them after the time
// and before the details.
var sentences = map[Kind]string{
	Started:           "Gatehouse started",
	Stopped:           "Gatehouse stopped",
	SignedIn:          "Signed in",
	Confirmed:         "Confirmed it is them",
	SignInFailed:      "Sign-in failed",
	SignedOut:         "Signed out",
	SessionEnded:      "Session ended by the owner",
	SessionExpired:    "Session ran out",
	PersonAdded:       "Person added",
	PersonRemoved:     "Person removed",
	Invited:           "Invitation made",
	DeviceEnrolled:    "Device became known",
	DeviceRevoked:     "Device revoked",
	AppRegistered:     "Companion app registered",
	AppTakenOut:       "Companion app taken out of Home Assistant",
	ApprovalAsked:     "A browser asks to be approved",
	ApprovalGranted:   "Browser approved",
	ApprovalDenied:    "Browser denied",
	PasskeyAdded:      "Passkey added",
	PasskeyCloned:     "Passkey may have been copied: its counter went backwards",
	TOTPChanged:       "Authenticator app changed",
	RecoveryUsed:      "Recovery code used",
	RecoveryRenewed:   "Recovery codes renewed",
	HALogin:           "Logged in to Home Assistant",
	HALoginFailed:     "Wrong password or code for Home Assistant",
	HAUserBound:       "Home Assistant user is now known",
	OtherHAUser:       "Logged in to Home Assistant as somebody else; refused",
	TokenLearned:      "Device got tokens from Home Assistant",
	TokenRevoked:      "Token revoked at Home Assistant",
	Refused:           "Request refused",
	BadRequest:        "Malformed request refused",
	Banned:            "Address is not listened to for a while",
	Unbanned:          "Address is listened to again",
	AccountSlowed:     "Too many wrong codes: unknown devices have to wait",
	SocketEnded:       "Live connection closed",
	HADown:            "Home Assistant does not answer",
	HAUp:              "Home Assistant answers again",
	CertificateMade:   "Certificate made",
	AuthorityChanged:  "The local authority",
	CertificateGot:    "Certificate got from a public authority",
	CertificateFailed: "No certificate could be got",
	CertificateEnds:   "A certificate ends and was not renewed",
	AddressChanged:    "The home's name leads elsewhere now",
	AddressFailed:     "The home's name does not follow the home",
	PublishingStarted: "Home Assistant is set up: the doors are open",
	HouseOnTrial:      "The house is closed on trial",
	HouseClosed:       "The house is closed",
	HouseOpened:       "The house is open to everybody at home",
	HouseReverted:     "The trial is taken back",
	Wary:              "The guard forgives less for a while",
	Spraying:          "One account is tried from many addresses",
	BansOff:           "Address is never banned, because many are behind it",
	BansOn:            "Address can be banned like others again",
	Allowed:           "Address is never banned from now on",
	Disallowed:        "Address may be banned again",
	RulesFailed:       "A list of addresses cannot be used; the one before holds",
	EventsLost:        "Events are missing here: they could not be written",
	LogRepaired:       "The end of the event log was damaged and is cut off",
	LogBegun:          "The event log begins",
}

// Kinds returns every kind, in the order in which they are declared.
func Kinds() []Kind {
	return []Kind{
		Started, Stopped, SignedIn, Confirmed, SignInFailed, SignedOut, SessionEnded, SessionExpired,
		PersonAdded, PersonRemoved, Invited, DeviceEnrolled, DeviceRevoked, AppRegistered, AppTakenOut,
		ApprovalAsked, ApprovalGranted, ApprovalDenied,
		PasskeyAdded, PasskeyCloned, TOTPChanged, RecoveryUsed, RecoveryRenewed,
		HALogin, HALoginFailed, HAUserBound, OtherHAUser, TokenLearned, TokenRevoked,
		Refused, BadRequest, Banned, Unbanned, AccountSlowed, SocketEnded,
		HADown, HAUp, CertificateMade, AuthorityChanged, CertificateGot, CertificateFailed, CertificateEnds, AddressChanged, AddressFailed, PublishingStarted,
		HouseOnTrial, HouseClosed, HouseOpened, HouseReverted,
		Wary, Spraying, BansOff, BansOn, Allowed, Disallowed, RulesFailed, EventsLost, LogRepaired, LogBegun,
	}
}

// Sentence returns the words of a kind; for a kind that is not one of the set it
// returns the kind itself.
func (k Kind) Sentence() string {
	if s, ok := sentences[k]; ok {
		return s
	}
	return string(k)
}

// Severe reports whether the owner should hear of it at once.
func (k Kind) Severe() bool {
	switch k {
	case PasskeyCloned, RecoveryUsed, OtherHAUser, DeviceRevoked, AccountSlowed, PersonRemoved, HouseOpened, HouseReverted,
		Spraying, BansOff, RulesFailed, EventsLost, CertificateFailed, CertificateEnds, AddressFailed:
		return true
	}
	return false
}

// ByStrangers reports whether anybody on the Internet can make it happen as often as
// they like.
func (k Kind) ByStrangers() bool {
	switch k {
	case Refused, BadRequest, HALoginFailed, SignInFailed, ApprovalAsked, ApprovalDenied,
		Banned, Unbanned, AccountSlowed, Wary, Spraying, TokenRevoked:
		return true
	}
	return false
}
