package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// makeDir makes the state directory, or closes to others the one that is there. A
// directory that holds anything but a ledger is somebody else's and is left alone.
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &os.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	own := func(e os.DirEntry) bool { return e.Name() == Name || e.Name() == KeyName || e.Name() == lockName }
	if len(entries) > 0 && !slices.ContainsFunc(entries, own) {
		return &Error{Err: errShared, Hint: hintShared}
	}
	return os.Chmod(dir, 0o700)
}

// tighten closes a file to others, and gives it to the directory's owner where
// root has made it: the service must be able to go on with it.
func tighten(f *os.File, dir string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return nil
	}
	parent, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner, ok := parent.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		return f.Chown(int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// syncDir makes what was created in a directory survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lockName is the file whose lock says that somebody keeps state over the ledger.
const lockName = "lock"

// Lock is held by the one process that may keep state in memory over the ledger.
type Lock struct{ f *os.File }

// TryLock takes the lock of a state directory; ErrLocked if another process has
// it, which is a running server. The kernel lets go of it when the process ends,
// however it ends.
func TryLock(dir string) (*Lock, error) {
	if err := makeDir(dir); err != nil {
		return nil, explain("lock state directory", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, explain("lock state directory", dir, err)
	}
	err = tighten(f, dir)
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, explain("lock state directory", dir, err)
	}
	return &Lock{f}, nil
}

// Unlock lets go of the lock.
func (l *Lock) Unlock() error { return l.f.Close() }
