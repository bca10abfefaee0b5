package fix

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"gatehouse/internal/finding"
)

// journalVersion is the form of what a journal holds.
const journalVersion = 1

// Journal is what was done to one root, and how it is undone. Of each transaction it holds
// the whole plan (N.json), written before the first step; what came of it, a line each
// (N.log); and what was taken away (N.kept). Everything in it is on the disk before what it
// is about is done. It is root's alone: it holds what files said.
type Journal struct {
	dir   *os.Root
	wrote func(what string) // nil but in tests
}

// MakeJournal opens the journal in a directory, which is made where there is none.
func MakeJournal(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	return OpenJournal(dir)
}

// OpenJournal opens the journal in a directory. What is in it is reached from the opened
// directory alone: whoever may put another in its place does not get root to do what that
// one says.
func OpenJournal(dir string) (*Journal, error) {
	itself, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	info, err := root.Stat(".")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the journal: %w", err), root.Close())
	}
	if !os.SameFile(itself, info) {
		return nil, errors.Join(Refuse("once you know who made it, take it away", "the journal %s is a symbolic link, and what stands elsewhere is no journal of this system", dir), root.Close())
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return nil, errors.Join(Refuse("once you know who wrote there, move it away, and a new one is made", "the journal %s is not ours alone, and what stands in it would be done as root", dir), root.Close())
	}
	return &Journal{dir: root}, nil
}

// Close closes it.
func (j *Journal) Close() error { return j.dir.Close() }

func (j *Journal) did(what string) {
	if j.wrote != nil {
		j.wrote(what)
	}
}

// State is how far a transaction is.
type State string

// The states. What is not one of the last four is gone on with by whoever comes next.
const (
	Applying  State = "applying"  // in the middle of it, or killed there
	Trial     State = "trial"     // done, and taken back unless it is confirmed
	Undoing   State = "undoing"   // in the middle of taking it back
	Applied   State = "applied"   // done, and it stays
	Confirmed State = "confirmed" // likewise, after a trial
	Undone    State = "undone"    // the owner took it back
	Reverted  State = "reverted"  // it failed, or nobody confirmed it; all is as before
)

// Stays reports whether what a transaction did is there.
func (s State) Stays() bool { return s == Applied || s == Confirmed || s == Trial }

// Transaction is one run of fixes.
type Transaction struct {
	SchemaVersion int           `json:"schema_version"`
	N             int           `json:"n"`
	At            time.Time     `json:"at"`
	Root          string        `json:"root"`
	From          string        `json:"from,omitzero"` // the login from which it was done
	Fixes         []finding.Fix `json:"fixes"`
	// Scaffold are steps that hold a trial up, and go with it.
	Scaffold []finding.Step `json:"scaffold,omitzero"`
	// Times are when files were changed last, by path, in nanoseconds since 1970.
	Times map[string]int64 `json:"times,omitzero"`

	Log []Line `json:"-"`
}

// Line is what came of a transaction.
type Line struct {
	At       time.Time `json:"at"`
	State    State     `json:"state,omitzero"`
	Deadline time.Time `json:"deadline,omitzero"` // of a trial
	Acted    string    `json:"acted,omitzero"`    // a unit was started or stopped that was not so before
	Note     string    `json:"note,omitzero"`     // why
}

// State is how far it is.
func (t *Transaction) State() State {
	s := Applying
	for _, l := range t.Log {
		s = cmp.Or(l.State, s)
	}
	return s
}

// Deadline is when a trial ends.
func (t *Transaction) Deadline() (d time.Time) {
	for _, l := range t.Log {
		if !l.Deadline.IsZero() {
			d = l.Deadline
		}
	}
	return d
}

// TrialBegan is when a trial began: all was done and felt by then.
func (t *Transaction) TrialBegan() (at time.Time) {
	for _, l := range t.Log {
		if l.State == Trial {
			at = l.At
		}
	}
	return at
}

// Note is the last reason that was written down.
func (t *Transaction) Note() (note string) {
	for _, l := range t.Log {
		note = cmp.Or(l.Note, note)
	}
	return note
}

// Guarded reports whether one of its fixes could lock the owner out.
func (t *Transaction) Guarded() bool {
	return slices.ContainsFunc(t.Fixes, func(f finding.Fix) bool { return f.Guarded })
}

// IDs are the checks whose findings it repairs.
func (t *Transaction) IDs() (ids []string) {
	for _, f := range t.Fixes {
		ids = append(ids, f.ID)
	}
	return ids
}

// steps are all steps in the order in which they are taken.
func (t *Transaction) steps() []finding.Step {
	all := slices.Clone(t.Scaffold)
	for _, f := range t.Fixes {
		all = append(all, f.Steps...)
	}
	return all
}

// actions are what makes the steps felt: first every validator, then the rest; each once.
func (t *Transaction) actions() (all []finding.Action) {
	for _, validate := range []bool{true, false} {
		for _, f := range t.Fixes {
			for _, a := range f.After {
				if (a.Kind == finding.ActionValidate) == validate && !slices.Contains(all, a) {
					all = append(all, a)
				}
			}
		}
	}
	return all
}

func (t *Transaction) acted(a finding.Action) bool {
	return slices.ContainsFunc(t.Log, func(l Line) bool { return l.Acted == a.Of })
}

// Lock keeps everybody else from changing anything until the file is closed, or the process
// ends. wait: until the other is done; otherwise ErrBusy after a moment.
func (j *Journal) Lock(wait bool) (*os.File, error) {
	if wait {
		return j.flock("lock", unix.LOCK_EX)
	}
	const moment = 2 * time.Second // the keeper of a trial looks in every second, and is gone at once
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		f, err := j.flock("lock", unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, ErrBusy) || time.Since(began) > moment {
			return f, err
		}
	}
}

func (j *Journal) flock(name string, how int) (*os.File, error) {
	f, err := j.dir.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrBusy
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// keep says that a keeper waits, until the file is closed or the process ends.
func (j *Journal) keep() (*os.File, error) { return j.flock("keeper", unix.LOCK_SH) }

// kept reports whether a keeper waits.
func (j *Journal) kept() (bool, error) {
	f, err := j.flock("keeper", unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, ErrBusy) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, f.Close()
}

// ErrBusy says that somebody else is changing this root right now.
var ErrBusy = errors.New("another gatehouse is changing this system right now")

func (j *Journal) name(n int, what string) string {
	return fmt.Sprintf("%04d.%s", n, what)
}

// begin writes a transaction down and gives it its number.
func (j *Journal) begin(t *Transaction) error {
	names, err := j.numbers()
	if err != nil {
		return err
	}
	t.SchemaVersion, t.N = journalVersion, 1
	if len(names) > 0 {
		t.N = names[len(names)-1] + 1
	}
	text, err := json.Marshal(t, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := j.write(j.name(t.N, "json"), text); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	j.did("journal begin")
	return nil
}

// write writes a file durably.
func (j *Journal) write(name string, text []byte) error {
	f, err := j.dir.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := j.dir.Rename(name+".new", name); err != nil {
		return err
	}
	return j.sync()
}

func (j *Journal) sync() error {
	dir, err := j.dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), dir.Close())
}

// add writes a line down.
func (j *Journal) add(t *Transaction, l Line) error {
	l.At = time.Now().UTC()
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := j.append(j.name(t.N, "log"), append(text, '\n')); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	t.Log = append(t.Log, l)
	j.did("journal " + string(l.State) + l.Acted)
	return nil
}

// append adds a line to a file, durably. Half of a line before it is of a machine that lost
// its power, and goes.
func (j *Journal) append(name string, line []byte) error {
	f, err := j.dir.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = func() error {
		text, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		whole := int64(bytes.LastIndexByte(text, '\n') + 1)
		if err := f.Truncate(whole); err != nil {
			return err
		}
		if _, err := f.WriteAt(line, whole); err != nil {
			return err
		}
		return f.Sync()
	}()
	return errors.Join(err, f.Close(), j.sync())
}

func (j *Journal) numbers() (all []int, err error) {
	entries, err := fs.ReadDir(j.dir.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if n, err := strconv.Atoi(name); ok && err == nil && n > 0 {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

// All returns every transaction, the first one first; beside an error those that can be read.
func (j *Journal) All() ([]*Transaction, error) {
	numbers, err := j.numbers()
	if err != nil {
		return nil, err
	}
	var all []*Transaction
	var errs []error
	for _, n := range numbers {
		t, err := j.Read(n)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, t)
	}
	return all, errors.Join(errs...)
}

// ErrNoTransaction says that there is no transaction of that number.
var ErrNoTransaction = errors.New("there is no such fix in the journal")

// Read reads a transaction.
func (j *Journal) Read(n int) (*Transaction, error) {
	text, err := j.dir.ReadFile(j.name(n, "json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoTransaction
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	var t Transaction
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("read the journal: %s: %w", j.name(n, "json"), err)
	}
	if t.SchemaVersion != journalVersion || t.N != n {
		return nil, fmt.Errorf("read the journal: %s: of another release of gatehouse", j.name(n, "json"))
	}
	text, err = j.dir.ReadFile(j.name(n, "log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // half of a line, of a machine that lost its power: it says nothing
		}
		var l Line
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, fmt.Errorf("read the journal: %s: %w", j.name(n, "log"), err)
		}
		t.Log = append(t.Log, l)
	}
	return &t, nil
}

// openKept opens the place for what a transaction takes away.
func (j *Journal) openKept(n int) (*os.File, error) {
	dir := j.name(n, "kept")
	if err := j.dir.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := j.sync(); err != nil {
		return nil, err
	}
	return j.dir.Open(dir)
}
