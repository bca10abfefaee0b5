package event

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Reader reads the events of a log's directory, oldest first, and goes on where it
// stopped: beside a process that writes, too. It proves nothing; Verify does.
type Reader struct {
	dir     string
	root    *os.Root
	segment uint64 // that is read; 0 before the first
	offset  int64  // in it
	odd     uint64
}

// OpenReader opens a log for reading what happened since a time, or all that is kept
// for the zero time; a little of what was before may come, too. fs.ErrNotExist if there
// is none.
func OpenReader(dir string, since time.Time) (*Reader, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read the event log: %w", err)
	}
	r := &Reader{dir: dir, root: root}
	if r.segment, err = firstSince(root, since); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return r, nil
}

// firstSince is the first segment in which something of a time, or later, may be: one that the
// next one was begun after, or in which the clock was set back. 0 if there is none.
func firstSince(root *os.Root, since time.Time) (uint64, error) {
	numbers, err := segments(root)
	if err != nil || len(numbers) == 0 {
		return 0, err
	}
	began, err := firstLine(root, numbers[0])
	for i, n := range numbers[:len(numbers)-1] {
		next, err2 := firstLine(root, numbers[i+1])
		if err != nil || err2 != nil || !next.Time.Before(since) || next.Time.Before(began.Time) {
			return n, nil
		}
		began = next
	}
	return numbers[len(numbers)-1], nil
}

// Close closes the log.
func (r *Reader) Close() error { return r.root.Close() }

// Odd is how many lines could not be read, of those that were passed.
func (r *Reader) Odd() uint64 { return r.odd }

// Read hands on each event that there is behind those read before, until yield says
// that it is enough.
func (r *Reader) Read(yield func(Event) bool) error {
	for {
		if r.segment != 0 {
			more, err := r.readSegment(yield)
			if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && !more {
				return err
			}
		}
		numbers, err := segments(r.root)
		if err != nil {
			return err
		}
		next := uint64(0)
		for _, n := range numbers {
			if n > r.segment {
				next = n
				break
			}
		}
		if next == 0 {
			moved, err := r.reopen()
			if !moved {
				return err
			}
			continue
		}
		if r.segment != 0 {
			// What was added after we came to its end, and before the next one was begun.
			if more, err := r.readSegment(yield); err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && !more {
				return err
			}
		}
		r.segment, r.offset = next, 0
	}
}

// reopen goes on in the directory that has the log's name now, if it is another one: see
// Chain.open. It is no error if there is none, until there is.
func (r *Reader) reopen() (moved bool, err error) {
	named, err := os.Stat(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	open, err2 := r.root.Stat(".")
	if err = errors.Join(err, err2); err != nil {
		return false, fmt.Errorf("read the event log: %w", err)
	}
	if os.SameFile(named, open) {
		return false, nil
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return false, fmt.Errorf("read the event log: %w", err)
	}
	err = r.root.Close()
	r.root, r.segment, r.offset = root, 0, 0
	return err == nil, err
}

// readSegment reads on in a segment; more is false where it was enough.
func (r *Reader) readSegment(yield func(Event) bool) (more bool, err error) {
	f, err := openSegment(r.root, r.segment)
	if err != nil {
		return false, fmt.Errorf("read the event log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("read the event log: %w", err)
	}
	r.offset = min(r.offset, info.Size()) // a damaged end was cut off
	lines := newLines(io.NewSectionReader(f, r.offset, info.Size()-r.offset))
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case errors.Is(err, errTorn):
			skipped, whole, err := lines.skip()
			if !whole || err != nil {
				return true, err // it is being written
			}
			r.offset += skipped
			r.odd++
			continue
		case err != nil:
			return false, fmt.Errorf("read the event log: %w", err)
		}
		r.offset += int64(len(line)) + 1
		record, err := readRecord(line)
		if err != nil {
			r.odd++
			continue
		}
		if record.Kind != "" && !yield(record.Event) {
			return false, nil
		}
	}
}
