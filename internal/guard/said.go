package guard

import (
	"net/netip"
	"time"
)

// Failure is one failure of somebody who is not known. The caller has sorted out
// the known devices.
type Failure struct {
	Addr    netip.Addr // where it came from; the zero Addr counts for the account and overall alone
	Kind    Kind
	Account string // as it was typed, "" if none; never a secret
	Door    string // the door's name
	What    string // the route, or a few words; never a secret; it is shortened
}

// By says what made a ban or an allowance.
type By string

// What bans.
const (
	ByFailures By = "failures" // the source's own failures
	ByPrefix   By = "prefix"   // those of its neighbors: a prefix kept trying
	ByOwner    By = "owner"
)

// Ban is a prefix that is not listened to.
type Ban struct {
	Prefix netip.Prefix `json:"prefix"`         // one IPv4 address, an IPv6 /64, /56 or /48, or what the owner said
	Addr   netip.Addr   `json:"addr,omitzero"`  // from which the last failure came; none where the owner banned
	Since  time.Time    `json:"since"`          //
	Until  time.Time    `json:"until,omitzero"` // zero: until the owner lifts it
	Level  int          `json:"level"`          // how often it was banned before, less its quiet days
	By     By           `json:"by"`
	Kind   Kind         `json:"kind,omitzero"` // of the last failure
	Why    string       `json:"why"`           // a sentence, or the owner's words
}

// Slowing is an account for which codes are refused to unknown devices.
type Slowing struct {
	Account string    `json:"account"` // in lower case, shortened
	Until   time.Time `json:"until"`
	Level   int       `json:"level"`
	Sources int       `json:"sources"` // from how many sources the failures came that were one too many
	Why     string    `json:"why"`
}

// Wariness says that too many failures came from all over.
type Wariness struct {
	Until    time.Time `json:"until"`    // it ends then, unless there are more
	Failures int       `json:"failures"` // within the window
	Why      string    `json:"why"`
}

// Sharing is an address behind which there are many: banning it would ban them all.
type Sharing struct {
	Addr   netip.Addr `json:"addr"`
	Since  time.Time  `json:"since"`
	Why    string     `json:"why"`
	Over   bool       `json:"over"`             // it is an address like others again
	Lifted []Ban      `json:"lifted,omitempty"` // bans that ended by this
}

// Allowance is a prefix that is never banned for what its addresses do.
type Allowance struct {
	Prefix netip.Prefix `json:"prefix"`
	Since  time.Time    `json:"since"`
	Why    string       `json:"why"`
}

// Note is one failure, as it is remembered.
type Note struct {
	At      time.Time  `json:"at"`
	Addr    netip.Addr `json:"addr"`
	Kind    Kind       `json:"kind"`
	Door    string     `json:"door"`
	What    string     `json:"what"`
	Account string     `json:"account"`
}

// Device is a known device that was seen at a source.
type Device struct {
	Device string    `json:"device"`
	Seen   time.Time `json:"seen"`
}

// Explanation says why an address is, or is not, listened to.
type Explanation struct {
	Addr      netip.Addr   `json:"addr"`
	CountedAs netip.Prefix `json:"counted_as"`

	Banned bool         `json:"banned"`
	Prefix netip.Prefix `json:"prefix,omitzero"` // which is banned: this source or one that covers it
	Since  time.Time    `json:"since,omitzero"`
	Until  time.Time    `json:"until,omitzero"` // zero where banned until the owner lifts it
	Level  int          `json:"level"`
	By     By           `json:"by,omitzero"`
	Why    string       `json:"why"` // a sentence, also where it is not banned

	Allowed   netip.Prefix `json:"allowed,omitzero"` // the prefix by which the owner allowed it
	AllowWhy  string       `json:"allow_why,omitzero"`
	Shared    bool         `json:"shared"` // never banned, because many are behind it
	SharedWhy string       `json:"shared_why,omitzero"`

	Failures  int          `json:"failures"`  // within the window
	Long      int          `json:"long"`      // in the long count
	Threshold int          `json:"threshold"` // that holds for it now
	LongLimit int          `json:"long_limit"`
	NextBan   Seconds      `json:"next_ban_seconds"`
	Kinds     map[Kind]int `json:"kinds"` // since it is remembered
	Last      []Note       `json:"last"`  // newest last
	Known     []Device     `json:"known"` // newest first
}

// Status is how the guard stands.
type Status struct {
	Sources  int       `json:"sources"` // remembered
	Accounts int       `json:"accounts"`
	Bans     int       `json:"bans"` // in force, the owner's too
	Slowed   []Slowing `json:"slowed"`
	Allowed  int       `json:"allowed"`
	Wary     time.Time `json:"wary_until,omitzero"`
	Failures int       `json:"failures"` // overall within the window; counted up to the overall threshold
	Shared   []Sharing `json:"shared"`

	Threshold     int     `json:"threshold"`
	Window        Seconds `json:"window_seconds"`
	Ban           Seconds `json:"ban_seconds"`
	MaxBan        Seconds `json:"max_ban_seconds"`
	LongThreshold int     `json:"long_threshold"`
	LongWindow    Seconds `json:"long_window_seconds"`
	Overall       int     `json:"overall"`
	MaxSources    int     `json:"max_sources"`
}

// Seconds is a duration, written into JSON as seconds.
type Seconds int64

func seconds(d time.Duration) Seconds { return Seconds(d / time.Second) }

// Duration returns it as Go counts.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }
