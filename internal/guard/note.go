package guard

import (
	"net/netip"
	"time"
)

// maxNotes is how many failures of a source are remembered one by one.
const maxNotes = 8

// note is one failure, as it is remembered.
type note struct {
	at                  time.Duration
	addr                netip.Addr
	kind                Kind
	door, what, account string
}

// details are what is remembered of a source beside its counts, for the owner.
type details struct {
	notes    []note
	kinds    [16]uint16 // by the place of the kind in kinds
	by       By         // what banned it last, and why
	why      string
	kind     Kind       // of the last failure before that ban
	addr     netip.Addr // where that came from
	sources  int        // of an account: from how many it was failed
	shared   string     // why it is not banned, as Config.Shared said
	sharedAt time.Duration
	forgiven time.Duration // when the long count was forgiven last
}

// note takes a failure down.
func (d *details) note(f Failure, t time.Duration) {
	n := note{t, f.Addr, "", clean(f.Door, maxNote), clean(f.What, maxNote), clean(f.Account, maxNote)}
	if k, ok := f.Kind.index(); ok {
		n.kind = kinds[k]
		d.kinds[k] = max(d.kinds[k], d.kinds[k]+1)
	}
	if len(d.notes) < maxNotes {
		d.notes = append(d.notes, n)
		return
	}
	copy(d.notes, d.notes[1:])
	d.notes[maxNotes-1] = n
}
