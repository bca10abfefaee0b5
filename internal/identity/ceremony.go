package identity

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"gatehouse/internal/ledger"
)

// ceremony is the state of a passkey or authenticator ceremony between its
// beginning and its end. It is not remembered: the browser carries it, sealed.
type ceremony struct {
	Until     int64  `json:"u"`           // ms
	Challenge string `json:"c,omitempty"` // of a passkey
	Person    string `json:"p,omitempty"` // id of who it is for; of a person to be if they are not known yet
	Invite    []byte `json:"i,omitempty"` // hash of the invitation
	Secret    []byte `json:"s,omitempty"` // of an authenticator
}

// The kinds of ceremony. A ceremony of one kind does not open as another.
const (
	enrolPasskey = "enrol passkey"
	enrolTOTP    = "enrol totp"
	signIn       = "sign in"
	addPasskey   = "add passkey"
	resetTOTP    = "reset totp"
)

// maxCeremony bounds what is taken for a ceremony's id, in bytes.
const maxCeremony = 2048

// newSealer returns what seals ceremonies: with a key that nobody has, so that what
// was begun before a restart is over.
func newSealer() cipher.AEAD {
	var key [chacha20poly1305.KeySize]byte
	rand.Read(key[:]) // never fails (crypto/rand)
	sealer, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic(err) // the key has the right length
	}
	return sealer
}

// seal returns the id of a ceremony that begins now.
func (i *Identity) seal(kind string, c ceremony) (string, error) {
	c.Until = ledger.Millis(i.cfg.Now().Add(ceremonyFor))
	plain, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, i.sealer.NonceSize(), i.sealer.NonceSize()+len(plain)+i.sealer.Overhead())
	rand.Read(nonce) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(i.sealer.Seal(nonce, nonce, plain, []byte(kind))), nil
}

// unseal returns the ceremony that an id stands for; ErrCeremony where it stands
// for none of this kind, or for one that ran out.
func (i *Identity) unseal(kind, id string) (ceremony, error) {
	if len(id) > maxCeremony {
		return ceremony{}, ErrCeremony
	}
	sealed, err := base64.RawURLEncoding.DecodeString(id)
	n := i.sealer.NonceSize()
	if err != nil || len(sealed) < n {
		return ceremony{}, ErrCeremony
	}
	plain, err := i.sealer.Open(nil, sealed[:n], sealed[n:], []byte(kind))
	if err != nil {
		return ceremony{}, ErrCeremony
	}
	var c ceremony
	if json.Unmarshal(plain, &c) != nil || ledger.Millis(i.cfg.Now()) >= c.Until {
		return ceremony{}, ErrCeremony
	}
	return c, nil
}

// spentChallenges remembers the challenges that were answered rightly until they
// would have run out: each counts once. Only people who are known can add to it.
type spentChallenges struct {
	mu  sync.Mutex
	all map[string]int64 // until when, ms
}

// spend marks a challenge as answered; false where it was already.
func (s *spentChallenges) spend(c ceremony) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[string]int64)
	}
	if _, ok := s.all[c.Challenge]; ok {
		return false
	}
	s.all[c.Challenge] = c.Until
	return true
}

func (s *spentChallenges) tidy(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, until := range s.all {
		if ledger.Millis(now) >= until {
			delete(s.all, c)
		}
	}
}
