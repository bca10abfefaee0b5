package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// decoy is what is checked in the place of what does not exist, so that as much is done
// for nobody as for somebody.
type decoy struct {
	secret   []byte // of an authenticator
	recovery hash
	key      []byte // of a passkey (COSE); nobody has its other half
}

func newDecoy() (decoy, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return decoy{}, fmt.Errorf("make a key for nobody: %w", err)
	}
	point, err := key.PublicKey.Bytes() // 4, then both coordinates
	if err != nil {
		return decoy{}, fmt.Errorf("make a key for nobody: %w", err)
	}
	encoded, err := webauthncbor.Marshal(webauthncose.EC2PublicKeyData{
		PublicKeyData: webauthncose.PublicKeyData{KeyType: int64(webauthncose.EllipticKey), Algorithm: int64(webauthncose.AlgES256)},
		Curve:         int64(webauthncose.P256), XCoord: point[1:33], YCoord: point[33:],
	})
	if err != nil {
		return decoy{}, fmt.Errorf("make a key for nobody: %w", err)
	}
	return decoy{secret: newTOTPSecret(), recovery: hashOf(newCookie()), key: encoded}, nil
}
