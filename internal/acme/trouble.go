package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"gatehouse/internal/ledger"
)

// Error says why there is no certificate, in the owner's words, and what to do.
type Error struct {
	What  string
	Hint  string    // may be empty
	After time.Time // the issuer wants not to be asked before; zero if it said nothing
	Err   error     // what it comes from; may be nil
}

func (e *Error) Error() string { return e.What }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The hints that are said in more than one place.
const (
	hintClock   = `set this machine's clock ("timedatectl" shows it); certificates are judged by it`
	hintForward = "the router must forward port 443 of this house to the door https, and the name's address must be this house's"
	hintAgain   = "it is tried again by itself"
)

// explain puts an error into the owner's words.
func explain(err error) *Error {
	var own *Error
	var problem acme.Problem
	var expired x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var disk *ledger.Error
	var network net.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &problem):
		return explainProblem(problem, err)
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return &Error{What: "the issuer's own certificate is not good by this machine's clock", Hint: hintClock, Err: err}
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &expired):
		return &Error{What: "who answers at the issuer's address is not the issuer: " + clean(last(err)), Hint: "for an authority of your own, name its root: certificates.issuer_root", Err: err}
	case errors.As(err, &disk):
		return &Error{What: disk.Error(), Hint: disk.Hint, Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network):
		return &Error{What: "the issuer cannot be reached: " + clean(last(err)), Hint: "is this machine on the Internet? " + hintAgain, Err: err}
	}
	return &Error{What: clean(err.Error()), Err: err}
}

// last is the innermost of an error's causes, in words.
func last(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// explainProblem puts what an issuer answered (RFC 8555 section 6.7) into words. Its own
// are appended: they name addresses and limits.
func explainProblem(p acme.Problem, err error) *Error {
	e := &Error{Err: err}
	detail := p.Detail
	for _, sub := range p.Subproblems {
		detail += "; " + sub.Detail
	}
	said := func(what, hint string) *Error {
		e.What, e.Hint = what, hint
		if detail = clean(detail); detail != "" {
			e.What += " (it says: " + detail + ")"
		}
		return e
	}
	switch p.Type {
	case acme.ProblemTypeConnection, acme.ProblemTypeTLS, acme.ProblemTypeIncorrectResponse:
		return said("the issuer does not reach this house", hintForward)
	case acme.ProblemTypeUnauthorized:
		return said("the issuer reaches something else than this house, or finds no proof", hintForward+"; with dns, the text in the zone must be seen from outside")
	case acme.ProblemTypeDNS:
		return said("the issuer cannot look the name up", "does the name exist, and do its name servers answer?")
	case acme.ProblemTypeCAA:
		return said("the zone's CAA records do not allow the issuer", "add a CAA record for it, or choose another issuer")
	case acme.ProblemTypeRateLimited:
		return said("the issuer wants to be asked less often", "nothing to do: "+hintAgain)
	case acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeUnsupportedIdentifier:
		return said("the issuer issues nothing for this name", "choose another name (home.name) or another issuer")
	case acme.ProblemTypeExternalAccountRequired:
		return said("the issuer wants an account of its own to be named", `make one there, and keep its key: "gatehouse certificates token ISSUER"`)
	case acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact:
		return said("the issuer does not take the address for mail", "see certificates.contact")
	case acme.ProblemTypeServerInternal, acme.ProblemTypeBadNonce:
		return said("the issuer has trouble of its own", hintAgain)
	case acme.ProblemTypeUserActionRequired:
		return said("the issuer has new terms that somebody has to agree to", "see its own pages")
	}
	return said("the issuer refuses: "+clean(strings.TrimPrefix(p.Type, acme.ProblemTypeNamespace)), "")
}

// clean makes what a stranger wrote fit for a line of a terminal.
func clean(s string) string {
	const most = 300
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.TrimSpace(s)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// errClock says that this machine's clock is wrong, as the issuer's has it.
func errClock(ours, theirs time.Time) *Error {
	return &Error{What: fmt.Sprintf("this machine's clock says %s, and the issuer's %s", day(ours), day(theirs)), Hint: hintClock}
}
