package event

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// Verdict is what a check of the chain comes to.
type Verdict string

// The verdicts.
const (
	Whole   Verdict = "whole"   // nothing that was sealed was changed, and nothing is missing at the end
	Broken  Verdict = "broken"  // it is not what was written
	Unknown Verdict = "unknown" // it could not be judged
)

// Note is a line's number and hash, as somebody noted it elsewhere.
type Note struct {
	Seq  uint64
	Hash Hash
}

// String is the note as ParseNote reads it: 4711:5f3a….
func (n Note) String() string { return strconv.FormatUint(n.Seq, 10) + ":" + n.Hash.String() }

// ParseNote reads what String writes.
func ParseNote(s string) (n Note, err error) {
	seq, hash, _ := strings.Cut(s, ":")
	if n.Seq, err = strconv.ParseUint(seq, 10, 64); err == nil {
		n.Hash, err = ParseHash(hash)
	}
	if err != nil || n.Seq == 0 {
		return Note{}, fmt.Errorf("%q is no note of the event log: one is a number, a colon and 64 hexadecimal digits", s)
	}
	return n, nil
}

// Report is what a check found.
type Report struct {
	Verdict  Verdict
	Why      string // where it is not whole
	Segment  string // file in which it is broken, where it is in one
	Line     int    // there, from 1
	Segments int    // that were looked at
	Events   uint64 // in them
	From, To time.Time
	First    uint64 // number of the first line that is kept
	Unsealed uint64 // lines behind the last seal: of the last second before the process was killed
	Torn     bool   // likewise, what is behind them is damaged; the next start cuts it off
	Last     Note   // the last sealed line, to be noted elsewhere
	Matched  int    // notes whose line is there as it was noted
	Pruned   int    // notes whose line was removed for its age
}

// Verify checks the chain in a directory, which nobody may write to meanwhile, against
// its seals, its head and what was noted elsewhere.
func Verify(ctx context.Context, dir string, sealer Sealer, notes ...Note) Report {
	v := verifying{ctx: ctx, notes: notes}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if len(notes) > 0 {
			return v.broken("the event log is missing: %s was noted of it", dir)
		}
		return v.unknown("there is no event log yet")
	}
	if err != nil {
		return v.unknown("%v", err)
	}
	defer root.Close()
	v.root = root
	numbers, err := segments(root)
	if err != nil {
		return v.unknown("%v", err)
	}
	h, err := loadHead(root, sealer)
	if err != nil {
		return v.withoutHead(numbers, err)
	}
	return v.withHead(h, numbers)
}

// verifying is a check on its way.
type verifying struct {
	ctx    context.Context
	root   *os.Root
	notes  []Note
	sealed Note // what the head says is the last seal
	met    bool // it was there; what is wrong behind it is of the last second
	at     place
	report Report

	headless bool // there is no head to say so
}

func (v *verifying) broken(format string, args ...any) Report {
	v.report.Verdict, v.report.Why = Broken, fmt.Sprintf(format, args...)
	return v.report
}

func (v *verifying) unknown(format string, args ...any) Report {
	v.report.Verdict, v.report.Why = Unknown, fmt.Sprintf(format, args...)
	return v.report
}

// withHead judges all there is.
func (v *verifying) withHead(h *head, numbers []uint64) Report {
	begin, err := h.begin()
	end, err2 := h.end()
	if err != nil || err2 != nil {
		return v.unknown("%v", errHead)
	}
	v.at, v.sealed, v.met = begin, Note{end.seq, end.hash}, end.seq == begin.seq
	for len(numbers) > 0 && numbers[0] < h.Gone {
		numbers = numbers[1:] // removed for its age, as soon as it is opened next
	}
	if h.Gone < h.First {
		v.report.Segment, v.report.Line = segmentName(h.First), 1
		return v.broken("the log begins anew there, and what is before it proves nothing; the first event behind it says why")
	}
	if h.First == h.Segment && h.Offset == 0 && len(numbers) == 0 {
		return v.unknown("there is nothing in the event log yet")
	}
	if err := v.walk(h.First, numbers); err != nil {
		return v.failed(err)
	}
	return v.judge(end.key)
}

// withoutHead looks at what can be checked without it: whether the lines follow each
// other, but not whether there were more.
func (v *verifying) withoutHead(numbers []uint64, trouble error) Report {
	if errors.Is(trouble, fs.ErrNotExist) {
		if len(numbers) == 0 && len(v.notes) == 0 {
			return v.unknown("there is no event log yet")
		}
		trouble = errors.New("the event log's head is missing")
	}
	if len(numbers) == 0 {
		return v.unknown("%v", trouble)
	}
	v.headless = true
	first, err := firstLine(v.root, numbers[0])
	if err != nil {
		v.report.Segment, v.report.Line = segmentName(numbers[0]), 1
		return v.broken("%v", err)
	}
	hash, err := ParseHash(first.After)
	key, err2 := readKey(first.Key)
	if err = errors.Join(err, err2); err == nil {
		v.at, v.met = place{seq: first.Seq - 1, hash: hash, key: key}, true
		err = v.walk(numbers[0], numbers)
	}
	if err != nil {
		return v.failed(err)
	}
	if r := v.judge(v.at.key); r.Verdict == Broken {
		return r
	}
	return v.unknown("%v; the lines that are there follow each other", trouble)
}

// failed is the verdict where the walk did not come through.
func (v *verifying) failed(err error) Report {
	var read *unreadError
	if errors.As(err, &read) {
		return v.unknown("%v", read.err)
	}
	return v.broken("%v", err)
}

// unreadError is about the disk and not about the log.
type unreadError struct{ err error }

func (e *unreadError) Error() string { return e.err.Error() }

// otherError is about a line that follows, and is another than the one known of. No power cut
// makes that, not in the last second either.
type otherError struct{ what string }

func (e *otherError) Error() string { return e.what }

// judge looks at the end of the walk. key is what the head holds for the next seal.
func (v *verifying) judge(key ed25519.PublicKey) Report {
	r := &v.report
	r.Unsealed = v.at.seq - max(v.at.seal, r.First-1)
	switch {
	case !v.met:
		return v.broken("lines are missing at the end: it goes to %d, and %d was sealed", v.at.seq, v.sealed.Seq)
	case !key.Equal(v.at.key) && (v.at.again == nil || !key.Equal(v.at.again)):
		return v.broken("lines are missing at the end: the key that would seal next is not the one that the last seal names")
	}
	for _, n := range v.notes {
		switch {
		case n.Seq < r.First:
			r.Pruned++
		case n.Seq > v.at.seq:
			return v.broken("lines are missing at the end: it goes to %d, and %d was noted elsewhere", v.at.seq, n.Seq)
		}
	}
	r.Verdict = Whole
	return *r
}

// walk follows the chain through its segments, which must be there from the first to
// the last. An error is what is wrong; where, is in the report.
func (v *verifying) walk(first uint64, numbers []uint64) error {
	v.report.First = v.at.seq + 1
	for i, n := range numbers {
		if want := first + uint64(i); n != want {
			v.report.Segment, v.report.Line = segmentName(want), 0
			return errors.New("this segment is missing")
		}
		v.report.Segment, v.report.Line = segmentName(n), 0
		if err := v.follow(n, i == len(numbers)-1); err != nil {
			return err
		}
		v.report.Segments++
	}
	v.report.Segment, v.report.Line = "", 0
	return nil
}

// follow follows the chain through one segment.
func (v *verifying) follow(number uint64, last bool) error {
	f, err := openSegment(v.root, number)
	if err != nil {
		return &unreadError{err}
	}
	defer f.Close()
	lines := newLines(f)
	for first := true; ; first = false {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			if first && !last {
				return errors.New("this segment is empty")
			}
			return nil
		}
		v.report.Line++
		if err != nil && !errors.Is(err, errTorn) {
			return &unreadError{err}
		}
		if err == nil {
			err = v.one(line, number, first)
		}
		var other *otherError
		if err != nil && last && v.met && !errors.As(err, &other) && (!v.headless || errors.Is(err, errTorn)) {
			v.report.Torn = true
			return nil
		}
		if err != nil {
			return err
		}
		if v.report.Line%4096 == 0 && v.ctx.Err() != nil {
			return &unreadError{v.ctx.Err()}
		}
	}
}

// one checks one line.
func (v *verifying) one(line []byte, number uint64, first bool) error {
	r, err := v.at.step(line)
	switch {
	case err != nil:
		return err
	case first != (r.Segment != 0) || first && r.Segment != number:
		return errors.New("a segment begins with its head line, and has one")
	}
	if r.Kind != "" {
		v.report.Events++
		if v.report.From.IsZero() {
			v.report.From = r.Time
		}
		v.report.To = r.Time
	}
	if r.Seal != "" {
		v.report.Last = Note{v.at.seq, v.at.hash}
	}
	if v.at.seq == v.sealed.Seq {
		if v.at.hash != v.sealed.Hash {
			return &otherError{"it is not the line that was sealed there"}
		}
		v.met = true
	}
	for _, n := range v.notes {
		if n.Seq == v.at.seq {
			if n.Hash != v.at.hash {
				return &otherError{"it is not the line that was noted elsewhere"}
			}
			v.report.Matched++
		}
	}
	return nil
}
