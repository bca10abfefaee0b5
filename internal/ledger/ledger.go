// Package ledger keeps everything durable, in one SQLite file.
//
// An Update that returned nil is on the disk: the file is in WAL mode with
// synchronous=FULL, so a power cut or a killed process loses nothing that was
// acknowledged, and nothing of a transaction that was not. Statements are kept to
// what SQLite and PostgreSQL both speak ($1 parameters, ON CONFLICT, RETURNING).
//
// Decisions taken here:
//   - One connection writes, so transactions follow one another and none fails
//     because of another. Several read.
//   - A transaction that has begun is not torn by its caller's context: whether it
//     holds must not depend on a browser hanging up. Waiting for the turn does.
//   - Secrets are sealed with XChaCha20-Poly1305 under a key that is in another
//     file, with the name of what they belong to as associated data: a sealed value
//     moved to another row does not open.
//   - The file is 0600 in a directory that is made 0700. Links are not followed. Run
//     by root in a directory of another user, what is created is given to that user;
//     but SQLite opens files by their names, so root does better to act as that user
//     from the start (cmd/gatehouse does).
//   - An existing file is copied before a migration, beside it, as
//     gatehouse.db.before-N where N is the version migrated to. A file that a newer
//     Gatehouse has written is refused.
//   - Open reads the whole file once (quick_check): damage is found at the start and
//     not in the middle of a night. For a house's few hundred kilobytes this costs
//     about a millisecond.
//   - Open takes no lock beyond SQLite's own. Whoever keeps state in memory over the
//     file (serve) must hold TryLock's lock; so must a verb that writes to it directly.
package ledger

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// Name is the file's name in the state directory.
const Name = "gatehouse.db"

// readers is how many connections read. A home asks little of them.
const readers = 2

//go:embed migrations/*.sql
var embedded embed.FS

// Ledger is an open ledger. It is safe for use by several goroutines.
type Ledger struct {
	path  string // empty in memory
	write *sql.DB
	read  *sql.DB // the same as write in memory
	aead  cipher.AEAD
	mac   []byte // the key of Fingerprint

	failed atomic.Uint64
}

// Failures is how many transactions failed for the disk's or the file's sake since it
// was opened.
func (l *Ledger) Failures() uint64 { return l.failed.Load() }

// Open opens the ledger in dir, which it creates if need be, and brings its schema
// up to date. With dir "" the ledger is in memory and ends with Close. The error,
// if any, is an *Error that says what to do.
func Open(ctx context.Context, dir string, key Key) (*Ledger, error) {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, err
	}
	return open(ctx, dir, key, sub)
}

func open(ctx context.Context, dir string, key Key, migrations fs.FS) (*Ledger, error) {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, err
	}
	mac, err := hkdf.Key(sha256.New, key[:], nil, "gatehouse fingerprints", sha256.Size)
	if err != nil {
		return nil, err
	}
	l := &Ledger{aead: aead, mac: mac}
	if dir == "" {
		err = l.openMemory()
	} else {
		l.path = filepath.Join(dir, Name)
		err = l.openFile(ctx, dir)
	}
	if err == nil {
		err = l.migrate(ctx, migrations)
	}
	if err != nil {
		l.Close()
		return nil, explain("open ledger", dir, err)
	}
	return l, nil
}

// openMemory opens a database that belongs to one connection and lives as long as that.
func (l *Ledger) openMemory() (err error) {
	if l.write, err = sql.Open("sqlite", "file::memory:?"+pragmas(false)); err != nil {
		return err
	}
	l.write.SetMaxOpenConns(1)
	l.read = l.write
	return l.write.Ping()
}

func (l *Ledger) openFile(ctx context.Context, dir string) (err error) {
	if err := makeDir(dir); err != nil {
		return err
	}
	f, err := openOwn(dir, Name)
	if err == nil {
		err = errors.Join(f.Close(), besideOK(l.path))
	}
	if err != nil {
		return err
	}
	name := "file:" + (&url.URL{Path: l.path}).EscapedPath()
	if l.write, err = sql.Open("sqlite", name+"?"+pragmas(false)); err != nil {
		return err
	}
	l.write.SetMaxOpenConns(1)
	var verdict string
	if err := l.write.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, verdict)
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	if l.read, err = sql.Open("sqlite", name+"?"+pragmas(true)); err != nil {
		return err
	}
	l.read.SetMaxOpenConns(readers)
	return nil
}

// pragmas returns what every connection is set to.
func pragmas(readOnly bool) string {
	v := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "trusted_schema(0)",
	}}
	if readOnly {
		v.Set("_txlock", "deferred")
		v.Add("_pragma", "query_only(1)")
	}
	return v.Encode()
}

// Close closes the ledger. Everything acknowledged is on the disk already.
func (l *Ledger) Close() error {
	var errs []error
	if l.read != nil && l.read != l.write {
		errs = append(errs, l.read.Close())
	}
	if l.write != nil {
		errs = append(errs, l.write.Close())
	}
	return errors.Join(errs...)
}

// Update runs f in a transaction that is durable when Update returns nil. Where f
// or the disk fails, nothing of it holds. The caller's context counts until the
// transaction's turn has come. f must not use l.
func (l *Ledger) Update(ctx context.Context, f func(*Tx) error) error {
	return l.transact(ctx, l.write, f)
}

// View runs f on one consistent state of the ledger. f must not use l.
func (l *Ledger) View(ctx context.Context, f func(*Tx) error) error {
	return l.transact(ctx, l.read, f)
}

func (l *Ledger) transact(ctx context.Context, db *sql.DB, f func(*Tx) error) (err error) {
	defer func() {
		var wrong *Error
		if errors.As(err, &wrong) && ctx.Err() == nil {
			l.failed.Add(1)
		}
	}()
	conn, err := db.Conn(ctx)
	if err != nil {
		return explain("begin", l.path, err)
	}
	defer conn.Close()
	begun := context.WithoutCancel(ctx)
	tx, err := conn.BeginTx(begun, nil)
	if err != nil {
		return explain("begin", l.path, err)
	}
	defer func() {
		// After Commit this does nothing; after an error or a panic it is what undoes.
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
	}()
	if err := f(&Tx{ctx: begun, tx: tx, ledger: l}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return explain("commit", l.path, err)
	}
	return nil
}
