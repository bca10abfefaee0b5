package guard

import "slices"

// Kind says what somebody failed at. The set is closed: Kinds.
type Kind string

// The kinds of failures. They are written into records: never rename one.
const (
	HALogin    Kind = "ha-login"   // Home Assistant's sign-in said that a name, password or code is wrong
	HAToken    Kind = "ha-token"   // Home Assistant gave no token, or took none back, for what was shown
	HASocket   Kind = "ha-socket"  // the token in the first message of a WebSocket
	HABearer   Kind = "ha-bearer"  // the token in a request's header
	HASigned   Kind = "ha-signed"  // the signature in an address, or another secret of Home Assistant's in it
	Webhook    Kind = "webhook"    // an id of a webhook that nobody has
	SignIn     Kind = "sign-in"    // our own sign-in
	Approval   Kind = "approval"   // the number of an approval, or an approval that is none
	Invitation Kind = "invitation" // a code or link of an invitation that is none
	Recovery   Kind = "recovery"   // a recovery code
	Scan       Kind = "scan"       // asked for what only scanners ask for
	SSHKey     Kind = "ssh-key"    // no key at the door ssh that is anybody's
)

// kinds lists all kinds; the place in it is what is kept in memory.
var kinds = []Kind{HALogin, HAToken, HASocket, HABearer, HASigned, Webhook, SignIn, Approval, Invitation, Recovery, Scan, SSHKey}

// sentences say in the owner's words what a failure was.
var sentences = map[Kind]string{
	HALogin:    "a wrong name, password or code at Home Assistant's sign-in",
	HAToken:    "a token or code that Home Assistant did not take",
	HASocket:   "a WebSocket opened with a token that is not valid",
	HABearer:   "a request with a token that is not valid",
	HASigned:   "an address with a signature that is not valid",
	Webhook:    "a webhook that does not exist",
	SignIn:     "a wrong password, code or passkey at our own sign-in",
	Approval:   "a wrong number for an approval",
	Invitation: "an invitation that does not exist",
	Recovery:   "a wrong recovery code",
	Scan:       "asked for what only scanners look for",
	SSHKey:     "came with SSH and no key that is known",
}

// Kinds returns all kinds of failures, in a fixed order.
func Kinds() []Kind { return slices.Clone(kinds) }

// Sentence says in the owner's words what a failure of this kind was.
func (k Kind) Sentence() string {
	if s, ok := sentences[k]; ok {
		return s
	}
	return "something that is not known here"
}

// index returns the place of a kind in kinds; false if it is none.
func (k Kind) index() (int, bool) {
	n := slices.Index(kinds, k)
	return n, n >= 0
}
