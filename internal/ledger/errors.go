package ledger

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrLocked is returned by TryLock while another process holds the lock.
var ErrLocked = errors.New("ledger: the state directory is in use by another Gatehouse")

var (
	errDamaged = errors.New("the file is damaged")
	errShared  = errors.New("others may read the directory, and it holds other things than Gatehouse's")
	errOdd     = errors.New("this is no plain file of Gatehouse's alone: it is a link, or has a second name")
	errNewer   = errors.New("the file was written by a newer Gatehouse")
)

// Error is a failure of the disk or of the file, with what to do about it.
type Error struct {
	Op   string // what was tried
	Path string // where; empty if nowhere in particular
	Err  error
	Hint string // what the owner can do; may be empty
}

// Error says what was tried, where, and what came of it, in one line; the hint is
// left to whoever shows it.
func (e *Error) Error() string {
	s := "ledger: "
	if e.Op != "" {
		s += e.Op + ": "
	}
	if e.Path != "" {
		s += e.Path + ": "
	}
	return s + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// explain names a failure and says what to do about it. What it does not know it
// passes on with the action alone.
func explain(op, path string, err error) error {
	var own *Error
	if errors.As(err, &own) {
		if own.Op == "" {
			own.Op = op
		}
		if own.Path == "" {
			own.Path = path
		}
		return own
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Op: op, Err: err}
	}
	return &Error{Op: op, Path: path, Err: err, Hint: hint(err)}
}

// The hints, by what went wrong.
const (
	hintDamaged  = "stop Gatehouse, move gatehouse.db, gatehouse.db-wal and gatehouse.db-shm away together, and put back the newest copy (gatehouse.db.before-* or your own backup); without a copy, everybody has to be invited again"
	hintFull     = "the disk is full: free some space; nothing that was confirmed is lost"
	hintReadOnly = "the directory cannot be written to: check its owner and mode, and whether the disk is mounted read-only"
	hintBusy     = "another program holds the file: close it"
	hintShared   = "give Gatehouse a directory of its own ([state] dir), or close this one to others: chmod 700"
	hintOdd      = "somebody has put it there: see who (ls -li), and move it away"
	hintNewer    = "install that version again, or put back the copy from before it (gatehouse.db.before-*)"
	hintDisk     = "the disk answered with an error: look at the kernel's log; SD cards end like this"
)

func hint(err error) string {
	switch {
	case errors.Is(err, errDamaged):
		return hintDamaged
	case errors.Is(err, errNewer):
		return hintNewer
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return hintFull
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return hintReadOnly
	}
	var coded *sqlite.Error
	if !errors.As(err, &coded) {
		return ""
	}
	switch coded.Code() & 0xff { // the low byte is the kind, the rest says more
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return hintDamaged
	case sqlite3.SQLITE_FULL:
		return hintFull
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return hintReadOnly
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return hintBusy
	case sqlite3.SQLITE_IOERR:
		return hintDisk
	}
	return ""
}
