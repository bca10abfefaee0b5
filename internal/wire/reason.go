package wire

// Reason says why a request or a connection was refused. It is for counting and
// for the owner; a client never sees it. The set is closed: see Reasons.
type Reason string

// What is wrong with the bytes.
const (
	ReasonLineEnd        Reason = "bare carriage return or line feed"
	ReasonLine           Reason = "malformed request line"
	ReasonMethod         Reason = "method not served"
	ReasonVersion        Reason = "version other than HTTP/1.1"
	ReasonTarget         Reason = "target is not a path"
	ReasonFold           Reason = "folded header line"
	ReasonHeaderName     Reason = "malformed header name"
	ReasonHeaderValue    Reason = "malformed header value"
	ReasonUnderscore     Reason = "underscore in the name of a header that frames, names or authenticates"
	ReasonRepeated       Reason = "header repeated"
	ReasonHost           Reason = "host missing, repeated or malformed"
	ReasonLength         Reason = "malformed content length"
	ReasonCoding         Reason = "transfer encoding other than chunked"
	ReasonFraming        Reason = "content length beside transfer encoding"
	ReasonBody           Reason = "body where none belongs"
	ReasonConnection     Reason = "connection option not known"
	ReasonUpgrade        Reason = "malformed upgrade"
	ReasonExpect         Reason = "expectation not known"
	ReasonTrailer        Reason = "trailer"
	ReasonChunk          Reason = "malformed chunk"
	ReasonTruncated      Reason = "ended in the middle"
	ReasonPseudoHeader   Reason = "odd pseudo-header"
	ReasonHTTP2          Reason = "HTTP/2 used against its rules"
	ReasonHello          Reason = "malformed ClientHello"
	ReasonPlain          Reason = "HTTP without TLS"
	ReasonName           Reason = "name not served"
	ReasonHandshake      Reason = "handshake failed"
	ReasonOldTLS         Reason = "TLS older than is spoken here"
	ReasonDifferentHello Reason = "handshake differs from its ClientHello"
	ReasonProxy          Reason = "not from a trusted proxy"
	ReasonProxyHeader    Reason = "malformed PROXY header"
	ReasonNotSSH         Reason = "not SSH"
	ReasonKey            Reason = "no known key"
	ReasonUser           Reason = "key of somebody else, or not used"
)

// What is too much or too slow.
const (
	ReasonLongLine     Reason = "line too long"
	ReasonLongHead     Reason = "headers too long"
	ReasonManyHeaders  Reason = "too many headers"
	ReasonSlowHead     Reason = "headers too slow"
	ReasonSlowBody     Reason = "body too slow"
	ReasonSlowReader   Reason = "client does not read"
	ReasonSlowHello    Reason = "ClientHello too slow"
	ReasonSlowProxy    Reason = "PROXY header too slow"
	ReasonTooMany      Reason = "too many connections"
	ReasonTooManyOfOne Reason = "too many connections of one address"
	ReasonTooFast      Reason = "connections of one address too fast"
)

// ReasonNotAllowed is a rule's doing: nothing is wrong with what was sent.
const ReasonNotAllowed Reason = "address not allowed"

// Reasons lists the whole set.
func Reasons() []Reason {
	return []Reason{
		ReasonLineEnd, ReasonLine, ReasonMethod, ReasonVersion, ReasonTarget, ReasonFold, ReasonHeaderName,
		ReasonHeaderValue, ReasonUnderscore, ReasonRepeated, ReasonHost, ReasonLength, ReasonCoding, ReasonFraming,
		ReasonBody, ReasonConnection, ReasonUpgrade, ReasonExpect, ReasonTrailer, ReasonChunk, ReasonTruncated,
		ReasonPseudoHeader, ReasonHTTP2, ReasonHello, ReasonName, ReasonHandshake, ReasonOldTLS, ReasonDifferentHello, ReasonLongLine,
		ReasonLongHead, ReasonManyHeaders, ReasonSlowHead, ReasonSlowBody, ReasonSlowReader, ReasonSlowHello,
		ReasonTooMany, ReasonTooManyOfOne, ReasonProxy, ReasonProxyHeader, ReasonSlowProxy,
		ReasonTooFast, ReasonNotAllowed, ReasonPlain, ReasonNotSSH, ReasonKey, ReasonUser,
	}
}

// Hostile reports whether nobody is refused for this reason but those who look for holes,
// or for a house that they do not know the name of: bytes that no browser, app or proxy
// sends, and names that are not served. What befalls people does not count: http typed for
// https, a root that is not trusted, a line that breaks or is slow, cookies that have grown
// too large, many who share an address. What a proxy in front of us gets wrong is not its
// client's doing.
func (r Reason) Hostile() bool {
	switch r {
	case ReasonLineEnd, ReasonLine, ReasonMethod, ReasonVersion, ReasonTarget, ReasonFold, ReasonHeaderName, ReasonHeaderValue,
		ReasonUnderscore, ReasonRepeated, ReasonHost, ReasonLength, ReasonCoding, ReasonFraming, ReasonBody, ReasonConnection,
		ReasonUpgrade, ReasonExpect, ReasonTrailer, ReasonChunk, ReasonPseudoHeader, ReasonHello, ReasonName, ReasonDifferentHello, ReasonNotSSH:
		return true
	}
	return false
}

// RefusedError is a refusal as an error: what a handler gets from reading a body
// that turned out malformed, and what CheckHTTP2 and ReadClientHello return.
type RefusedError struct{ Reason Reason }

// Error says the reason.
func (e *RefusedError) Error() string { return "wire: " + string(e.Reason) }

func refuse(r Reason) error { return &RefusedError{r} }
