package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"gatehouse/internal/ha"
	"gatehouse/internal/ledger"
)

// maxResponse bounds a browser's answer in a passkey ceremony, in bytes.
const maxResponse = 64 << 10

// algorithms are the signatures that are accepted, the best liked first.
func algorithms() []protocol.CredentialParameter {
	all := []protocol.CredentialParameter{}
	for _, a := range []webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256} {
		all = append(all, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: a})
	}
	return all
}

// user is a person as the passkey library sees one.
type user struct {
	id, name string
	keys     []webauthn.Credential
}

func (u user) WebAuthnID() []byte                         { return []byte(u.id) }
func (u user) WebAuthnName() string                       { return u.name }
func (u user) WebAuthnDisplayName() string                { return u.name }
func (u user) WebAuthnCredentials() []webauthn.Credential { return u.keys }

// PasskeysAt reports whether passkeys work where a visit is. In the web views of the
// companion apps they do not.
func (i *Identity) PasskeysAt(v Visit) bool {
	return i.webauthn != nil && slices.Contains(i.cfg.Origins, v.Origin) && ha.CompanionApp(v.UserAgent) == ha.AppNone
}

// begin begins the making of a passkey: kept by the authenticator so that no name
// need be typed, and used with PIN or body.
func (i *Identity) begin(kind string, u user, c ceremony) (Ceremony, error) {
	exclude := make([]protocol.CredentialDescriptor, 0, len(u.keys))
	for _, k := range u.keys {
		exclude = append(exclude, k.Descriptor())
	}
	creation, _, err := i.webauthn.BeginRegistration(u,
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey:        protocol.ResidentKeyRequirementRequired,
			RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification:   protocol.VerificationRequired,
		}),
		webauthn.WithConveyancePreference(protocol.PreferNoAttestation),
		webauthn.WithCredentialParameters(algorithms()),
		webauthn.WithExclusions(exclude))
	if err != nil {
		return Ceremony{}, fmt.Errorf("begin a passkey: %w", err)
	}
	c.Person, c.Challenge = u.id, creation.Response.Challenge.String()
	return i.ceremony(kind, c, creation.Response)
}

// ceremony seals the state and writes the options as browsers'
// parseCreationOptionsFromJSON and parseRequestOptionsFromJSON take them.
func (i *Identity) ceremony(kind string, c ceremony, options any) (Ceremony, error) {
	id, err := i.seal(kind, c)
	if err != nil {
		return Ceremony{}, err
	}
	written, err := json.Marshal(options)
	if err != nil {
		return Ceremony{}, err
	}
	return Ceremony{ID: id, Options: written}, nil
}

// errPasskey is the cause of everything that is wrong with a browser's answer. It
// is for tests and never shown.
var errPasskey = errors.New("passkey not accepted")

// finish checks the answer to begin and returns the passkey.
func (i *Identity) finish(v Visit, u user, c ceremony, response []byte) (*webauthn.Credential, error) {
	if len(response) > maxResponse {
		return nil, errPasskey
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return nil, errors.Join(errPasskey, err)
	}
	if !i.madeHere(v, parsed.Response.CollectedClientData) {
		return nil, fmt.Errorf("%w: made elsewhere", errPasskey)
	}
	made, err := i.webauthn.CreateCredential(u, webauthn.SessionData{
		Challenge: c.Challenge, RelyingPartyID: i.cfg.RPID, Origin: v.Origin, UserID: []byte(u.id),
		UserVerification: protocol.VerificationRequired, CredParams: algorithms(),
	}, parsed)
	if err != nil {
		return nil, errors.Join(errPasskey, err)
	}
	made.Attestation = webauthn.CredentialAttestation{} // not asked for, and not kept
	return made, nil
}

// madeHere reports whether an answer was made on the very origin that the visit is
// on: the library takes any of the origins, and compares without regard to case.
func (i *Identity) madeHere(v Visit, c protocol.CollectedClientData) bool {
	return i.PasskeysAt(v) && c.Origin == v.Origin && !c.CrossOrigin && c.TopOrigin == ""
}

// check checks the answer to a sign-in and returns whose passkey it is, and the
// passkey as it is after.
func (i *Identity) check(v Visit, c ceremony, response []byte) (*passkey, *webauthn.Credential, error) {
	if len(response) > maxResponse {
		return nil, nil, errPasskey
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return nil, nil, errors.Join(errPasskey, err)
	}
	if !i.madeHere(v, parsed.Response.CollectedClientData) {
		return nil, nil, fmt.Errorf("%w: made elsewhere", errPasskey)
	}
	var k *passkey
	_, used, err := i.webauthn.ValidatePasskeyLogin(func(id, handle []byte) (webauthn.User, error) {
		i.mu.RLock()
		defer i.mu.RUnlock()
		i.effort.signatures.Add(1)
		if k = i.passkeys[string(id)]; k == nil || k.person.id != string(handle) || k.rpID != i.cfg.RPID {
			// Its signature is checked all the same, against a key that nobody has.
			k = nil
			return user{id: string(handle), keys: []webauthn.Credential{{ID: id, PublicKey: i.decoy.key}}}, nil
		}
		return user{id: k.person.id, name: k.person.name, keys: []webauthn.Credential{k.record}}, nil
	}, webauthn.SessionData{
		Challenge: c.Challenge, RelyingPartyID: i.cfg.RPID, Origin: v.Origin, UserVerification: protocol.VerificationRequired,
	}, parsed)
	if err != nil || k == nil {
		return nil, nil, errors.Join(errPasskey, err)
	}
	return k, used, nil
}

// newPasskey returns a passkey to be kept. The caller holds writing.
func (i *Identity) newPasskey(p *person, device string, made *webauthn.Credential, now time.Time) (*passkey, error) {
	if _, taken := i.passkeys[string(made.ID)]; taken {
		return nil, fmt.Errorf("%w: it is known already", errPasskey)
	}
	if len(p.passkeys) >= maxPasskeys {
		return nil, ErrTooMany
	}
	return &passkey{person: p, device: device, rpID: i.cfg.RPID, record: *made, created: now, lastUsed: now}, nil
}

func insertPasskey(tx *ledger.Tx, k *passkey) error {
	record, err := json.Marshal(k.record)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO passkeys (id, person_id, device_id, rp_id, record, created, last_used) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		k.record.ID, k.person.id, nullable(k.device), k.rpID, record, ledger.Millis(k.created), ledger.Millis(k.lastUsed))
	return err
}

// updatePasskey writes down a use. It fails with ErrRefused where the passkey is gone.
func updatePasskey(tx *ledger.Tx, used *webauthn.Credential, now time.Time) error {
	record, err := json.Marshal(used)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE passkeys SET record = $1, last_used = $2 WHERE id = $3`, record, ledger.Millis(now), used.ID)
	if err == nil && n != 1 {
		err = ErrRefused
	}
	return err
}

func deletePasskey(tx *ledger.Tx, k *passkey) error {
	_, err := tx.Exec(`DELETE FROM passkeys WHERE id = $1`, k.record.ID)
	return err
}
