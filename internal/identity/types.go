package identity

import (
	"encoding/json"
	"errors"
	"time"

	"gatehouse/internal/policy"
)

// Standing says what a cookie is worth.
type Standing int

// The standings.
const (
	StandingNone  Standing = iota // no cookie, or one that we never gave
	StandingLive                  // a live session of a known device
	StandingEnded                 // a session that ran out, was ended, or whose device was revoked
)

// Recognised is who a cookie belongs to. Where Standing is StandingEnded, Who says
// who it was, with ProofNone.
type Recognised struct {
	Who      policy.Who
	Standing Standing
	Session  string // id of the session; empty where Standing is StandingNone
	Notice   string // what SetNotice left for it
}

// Person is somebody the owner named.
type Person struct {
	ID           string
	Name         string
	Role         policy.Role
	HAUserID     string // empty before the first login to Home Assistant
	HAUserName   string // as given by the owner, later as Home Assistant shows it
	Created      time.Time
	Passkeys     int
	TOTP         bool
	RecoveryLeft int
}

// Device is something that is recognised again and belongs to a person.
type Device struct {
	ID         string
	PersonID   string
	PersonName string
	Kind       string
	Name       string
	Created    time.Time
	LastSeen   time.Time
	LastAddr   string
	LastDoor   string
	RevokedAt  time.Time // zero while it is known
	Expires    time.Time // when its key does; zero where it has none, or that does not
}

// SessionInfo is a browser's session.
type SessionInfo struct {
	ID         string
	DeviceID   string
	DeviceName string
	PersonName string
	Created    time.Time
	LastSeen   time.Time
	Expires    time.Time // when it ends if it is not used again
	Ended      time.Time // zero while it lives
}

// Ended says what ended: a session, one of several keys of a device, or with neither a whole
// device.
type Ended struct {
	Device, Session string
	Key             policy.Key
}

// Invitation lets one browser become known, once.
type Invitation struct {
	Code    string      // secret; only where the invitation was just made
	Person  string      // name of who is invited; empty for the first owner
	Role    policy.Role // what the person is or will be
	Expires time.Time
}

// Ceremony is a passkey ceremony that was begun. Options is what the browser is
// given, ID is handed back with its answer.
type Ceremony struct {
	ID      string
	Options json.RawMessage
}

// Enrolment is what a browser and its person get when they become known. Cookie
// and the rest are secrets, shown once.
type Enrolment struct {
	Cookie     string
	Recovery   []string // ten recovery codes; only for an owner's first enrolment
	TOTPURL    string   // otpauth: URL of an authenticator secret; likewise
	TOTPSecret string   // the same secret to type; likewise
	Person     Person
}

// Approval is a question to the known devices: may this browser in?
type Approval struct {
	Ticket  string // secret of the browser that asks
	Code    string // for "gatehouse devices approve" on the machine
	Number  int    // 10 to 99, shown by the browser that asks, given by the one that approves
	Expires time.Time
}

// ApprovalState is how far a question is.
type ApprovalState int

// The states. An unknown, expired or collected ticket is gone.
const (
	ApprovalGone ApprovalState = iota
	ApprovalWaiting
	ApprovalApproved
	ApprovalDenied
)

// Waiting is a question as the known devices see it.
type Waiting struct {
	ID        string
	Addr      string
	Door      string
	UserAgent string // as the browser says, cleaned and shortened
	Name      string // the same in a few words
	Asked     time.Time
	Expires   time.Time
}

// Token is what a token of Home Assistant's is known as.
type Token struct {
	Device   string
	Kind     string   // of the device
	Webhook  bool     // it is no token but a webhook's id
	Program  *Program // what it may be used for; nil where that is not bounded
	Person   string   // id
	HAUserID string
	ClientID string
	Issuer   string
	Given    bool   // while moving in: it counts at home without a cookie
	Calls    *Calls // how an automation's webhook may be called; nil where it is none
	Revoked  bool   // the device was revoked
}

// The errors that a caller tells apart.
var (
	// ErrRefused is every failed sign-in, whatever the reason.
	ErrRefused = errors.New("identity: refused")
	// ErrNoInvitation is an invitation that does not exist, was used or ran out.
	ErrNoInvitation = errors.New("identity: no such invitation")
	// ErrCeremony is a ceremony that ran out or was not begun here: begin again.
	ErrCeremony = errors.New("identity: the ceremony ran out")
	// ErrWrongCode is a wrong code while an authenticator is set up: try again.
	ErrWrongCode = errors.New("identity: wrong code")
	// ErrNotFresh is returned where the person must confirm first that it is them.
	ErrNotFresh = errors.New("identity: confirm that it is you first")
	// ErrHasOwner is returned by InviteOwner where there is an owner already.
	ErrHasOwner = errors.New("identity: there is an owner already")
	// ErrLastOwner is returned where the house would be left without an owner.
	ErrLastOwner = errors.New("identity: this is the only owner")
	// ErrNotFound is returned for a person, device, session or question that does not exist.
	ErrNotFound = errors.New("identity: not found")
	// ErrRevoked is returned where a device was revoked in the meantime.
	ErrRevoked = errors.New("identity: the device was revoked")
	// ErrName is a name that cannot be used.
	ErrName = errors.New("identity: a name has 1 to 64 characters, none of them invisible")
	// ErrNameTaken is a name that another person has.
	ErrNameTaken = errors.New("identity: somebody else has this name")
	// ErrWhose is returned where the machine must say whose browser it approves.
	ErrWhose = errors.New("identity: say whose browser it is")
	// ErrBusy is returned where too many questions are open, or too many sign-ins are to be checked.
	ErrBusy = errors.New("identity: too many browsers are asking; try again in a few minutes")
	// ErrWrongNumber is a wrong number: the question is denied.
	ErrWrongNumber = errors.New("identity: wrong number; denied")
	// ErrMembersOnly is returned where an invitation alone would make an owner's browser known.
	ErrMembersOnly = errors.New("identity: an owner needs a passkey or an authenticator app")
	// ErrNoPasskeyHere is returned where passkeys do not work at the name that was asked for.
	ErrNoPasskeyHere = errors.New("identity: passkeys do not work at this address")
	// ErrTooMany is returned where a person has as many passkeys, devices or invitations as one may have.
	ErrTooMany = errors.New("identity: too many")
)

// OtherHAUserError is a login to Home Assistant as somebody else than the person's
// own user.
type OtherHAUserError struct {
	Want string // name of the person's own Home Assistant user; empty if not known yet
	Got  string // name of the one signed in as
}

func (e *OtherHAUserError) Error() string {
	return "identity: signed in to Home Assistant as " + e.Got + ", which is somebody else's user"
}
