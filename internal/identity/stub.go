// Package identity turns what a request carries into a policy.Who.
package identity

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
)

type Config struct {
	Ledger                  *ledger.Ledger
	RPID                    string
	Origins                 []string
	Now                     func() time.Time
	Event                   func(event.Event)
	Fail                    func(Visit, string)
	Slow                    func(account string) bool
	Log                     *slog.Logger
	SessionIdle, SessionMax time.Duration
}
type Identity struct{}

var errNotYet = errors.New("identity: not written yet")

func New(ctx context.Context, c Config) (*Identity, error)                 { return nil, errNotYet }
func (i *Identity) Run(ctx context.Context) error                          { return errNotYet }
func (i *Identity) Recognise(cookie string) Recognised                     { return Recognised{} }
func (i *Identity) Seen(session string, door policy.Door, addr netip.Addr) {}
func (i *Identity) PasskeysAt(v Visit) bool                                { return false }
func (i *Identity) People() []Person                                       { return nil }
func (i *Identity) Devices() []Device                                      { return nil }
func (i *Identity) Sessions() []SessionInfo                                { return nil }
func (i *Identity) PersonByName(name string) (Person, bool)                { return Person{}, false }
func (i *Identity) AddPerson(ctx context.Context, name string, role policy.Role, haUserID, haUserName string) (Person, error) {
	return Person{}, errNotYet
}
func (i *Identity) RemovePerson(ctx context.Context, id string) error { return errNotYet }
func (i *Identity) RevokeDevice(ctx context.Context, id string) error { return errNotYet }
func (i *Identity) EndSession(ctx context.Context, id string) error   { return errNotYet }
func (i *Identity) SignOut(ctx context.Context, cookie string) error  { return errNotYet }
func (i *Identity) Watch(f func(Ended)) (stop func())                 { return func() {} }
func (i *Identity) HasOwner() bool                                    { return false }
func (i *Identity) InviteOwner(ctx context.Context) (Invitation, error) {
	return Invitation{}, errNotYet
}
func (i *Identity) Invite(ctx context.Context, person string) (Invitation, error) {
	return Invitation{}, errNotYet
}
func (i *Identity) PeekInvitation(ctx context.Context, v Visit, code string) (Invitation, error) {
	return Invitation{}, errNotYet
}
func (i *Identity) BeginPasskey(ctx context.Context, v Visit, inviteCode, name string) (Ceremony, error) {
	return Ceremony{}, errNotYet
}
func (i *Identity) EnrolPasskey(ctx context.Context, v Visit, inviteCode, name, ceremonyID string, response []byte) (Enrolment, error) {
	return Enrolment{}, errNotYet
}
func (i *Identity) BeginTOTP(ctx context.Context, v Visit, inviteCode, name string) (ceremonyID, url, secret string, err error) {
	return "", "", "", errNotYet
}
func (i *Identity) EnrolTOTP(ctx context.Context, v Visit, inviteCode, name, ceremonyID, code string) (Enrolment, error) {
	return Enrolment{}, errNotYet
}
func (i *Identity) EnrolBrowser(ctx context.Context, v Visit, inviteCode string) (Enrolment, error) {
	return Enrolment{}, errNotYet
}
func (i *Identity) BeginSignIn(ctx context.Context, v Visit) (Ceremony, error) {
	return Ceremony{}, errNotYet
}
func (i *Identity) SignInPasskey(ctx context.Context, v Visit, ceremonyID string, response []byte) (cookie string, err error) {
	return "", errNotYet
}
func (i *Identity) SignInCode(ctx context.Context, v Visit, name, code string) (cookie string, err error) {
	return "", errNotYet
}
func (i *Identity) AskApproval(ctx context.Context, v Visit) (Approval, error) {
	return Approval{}, errNotYet
}
func (i *Identity) PollApproval(ctx context.Context, v Visit, ticket string) (ApprovalState, string, error) {
	return ApprovalGone, "", errNotYet
}
func (i *Identity) Waiting() []Waiting { return nil }
func (i *Identity) Approve(ctx context.Context, by policy.Who, id string, number int) error {
	return errNotYet
}
func (i *Identity) Deny(ctx context.Context, by policy.Who, id string) error { return errNotYet }
func (i *Identity) ApproveCode(ctx context.Context, code, person string) (Device, error) {
	return Device{}, errNotYet
}
func (i *Identity) BeginAddPasskey(ctx context.Context, v Visit) (Ceremony, error) {
	return Ceremony{}, errNotYet
}
func (i *Identity) FinishAddPasskey(ctx context.Context, v Visit, ceremonyID string, response []byte) error {
	return errNotYet
}
func (i *Identity) BeginResetTOTP(ctx context.Context, v Visit) (ceremonyID, url, secret string, err error) {
	return "", "", "", errNotYet
}
func (i *Identity) FinishResetTOTP(ctx context.Context, v Visit, ceremonyID, code string) error {
	return errNotYet
}
func (i *Identity) NewRecoveryCodes(ctx context.Context, v Visit) ([]string, error) {
	return nil, errNotYet
}
func (i *Identity) LearnCode(device, code, clientID string)                 {}
func (i *Identity) TakeCode(code string) (device, clientID string, ok bool) { return "", "", false }
func (i *Identity) LearnTokens(ctx context.Context, device, clientID, haUserID string, t ha.TokenAnswer) error {
	return errNotYet
}
func (i *Identity) LearnAccess(ctx context.Context, refreshToken string, t ha.TokenAnswer) error {
	return errNotYet
}
func (i *Identity) RefreshToken(token string) (Token, bool)                       { return Token{}, false }
func (i *Identity) AccessToken(token string) (Token, bool)                        { return Token{}, false }
func (i *Identity) Issuer(iss string) (Token, bool)                               { return Token{}, false }
func (i *Identity) ForgetRefresh(ctx context.Context, token string) error         { return errNotYet }
func (i *Identity) BindHAUser(ctx context.Context, device, id, name string) error { return errNotYet }
func (i *Identity) SetNotice(session, notice string)                              {}
func (i *Identity) ClearNotice(session string)                                    {}
