package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gatehouse/internal/ledger"
)

// Time-based codes (RFC 6238) with what every authenticator app understands:
// SHA-1, six digits, 30 seconds.
const (
	totpStep   = 30 * time.Second
	totpDigits = 6
)

func newTOTPSecret() []byte {
	secret := make([]byte, sha1.Size) // as long as the hash (RFC 4226 section 4, R6)
	rand.Read(secret)                 // never fails (crypto/rand)
	return secret
}

// totpName is what a person's secret is sealed for.
func totpName(person string) string { return "people/" + person + "/totp" }

// totpURL returns what an authenticator app reads from a QR code, and the secret to type.
func (i *Identity) totpURL(person string, secret []byte) (link, typed string) {
	typed = base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	issuer := "Gatehouse"
	if i.cfg.RPID != "" {
		issuer += " " + i.cfg.RPID
	}
	q := url.Values{"secret": {typed}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + person,
		RawQuery: strings.ReplaceAll(q.Encode(), "+", "%20")} // several apps show a plus sign as it is
	return u.String(), typed
}

// hotp returns the code of a counter (RFC 4226 section 5.3).
func hotp(secret []byte, counter uint64) string {
	mac := hmac.New(sha1.New, secret)
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], counter)
	mac.Write(b[:])
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, n%1_000_000)
}

// matchTOTP returns the step that a code belongs to: this one or a neighbour
// (RFC 6238 section 5.2), later than after. The work does not depend on the code.
func matchTOTP(secret []byte, code string, now time.Time, after int64) (step int64, ok bool) {
	current := now.Unix() / int64(totpStep/time.Second)
	for s := current - 1; s <= current+1; s++ {
		same := subtle.ConstantTimeCompare([]byte(hotp(secret, uint64(s))), []byte(code)) == 1
		if same && s > after {
			step, ok = s, true
		}
	}
	return step, ok
}

// isTOTP reports whether what was typed has the form of a code, and returns it
// without the spaces that apps show.
func isTOTP(typed string) (code string, ok bool) {
	b := make([]byte, 0, totpDigits)
	for k := range len(typed) {
		c := typed[k]
		if c == ' ' {
			continue
		}
		if c < '0' || c > '9' || len(b) == totpDigits {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), len(b) == totpDigits
}

// writeTOTP gives a person a secret whose codes up to step are spent.
func (i *Identity) writeTOTP(tx *ledger.Tx, person string, secret []byte, step int64) error {
	_, err := tx.Exec(`UPDATE people SET totp_sealed = $1, totp_step = $2 WHERE id = $3`,
		i.cfg.Ledger.Seal(totpName(person), secret), step, person)
	return err
}

// spendTOTP takes a step, so that no code of it or before counts again; ErrRefused
// where somebody else took it first.
func spendTOTP(tx *ledger.Tx, person string, step int64) error {
	n, err := tx.Exec(`UPDATE people SET totp_step = $1 WHERE id = $2 AND totp_step < $1`, step, person)
	if err == nil && n != 1 {
		err = ErrRefused
	}
	return err
}

// recoveryCount is how many recovery codes are made at once.
const recoveryCount = 10

// newRecovery returns new recovery codes as they are printed, and what is kept of them.
func newRecovery(person string) (codes []string, kept map[hash]struct{}) {
	kept = make(map[hash]struct{}, recoveryCount)
	for range recoveryCount {
		code := randomText(recoveryLen)
		codes = append(codes, grouped(code))
		kept[recoveryHash(person, code)] = struct{}{}
	}
	return codes, kept
}

// recoveryHash is what is kept of a recovery code: the same code of another person is another.
func recoveryHash(person, code string) hash { return hashOf("recovery/" + person + "/" + code) }

// writeRecovery replaces a person's recovery codes.
func writeRecovery(tx *ledger.Tx, person string, kept map[hash]struct{}) error {
	if _, err := tx.Exec(`DELETE FROM recovery_codes WHERE person_id = $1`, person); err != nil {
		return err
	}
	for h := range kept {
		if _, err := tx.Exec(`INSERT INTO recovery_codes (hash, person_id) VALUES ($1, $2)`, h[:], person); err != nil {
			return err
		}
	}
	return nil
}
