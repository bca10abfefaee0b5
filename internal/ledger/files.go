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

// openOwn opens a file of ours, which it makes if there is none. What has our name
// and is a link, or has another name besides, is somebody's trap or mistake and is
// neither changed nor used.
func openOwn(dir, name string) (*os.File, error) {
	path := filepath.Join(dir, name)
	// Without O_NONBLOCK a named pipe could keep us waiting.
	const how = os.O_RDWR | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	for range 10 {
		f, err := os.OpenFile(path, how|os.O_CREATE|os.O_EXCL, 0o600)
		made := err == nil
		if errors.Is(err, os.ErrExist) {
			f, err = os.OpenFile(path, how, 0)
		}
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue // it went away in between
		case errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENXIO): // a link; a socket
			return nil, &Error{Path: path, Err: errOdd, Hint: hintOdd}
		case err != nil:
			return nil, err
		}
		if made {
			err = give(f, dir)
		} else {
			err = tighten(f)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
}

// tighten closes a file that was there already to others, if it is nothing but ours.
func tighten(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || !ok || stat.Nlink != 1 {
		return &Error{Path: f.Name(), Err: errOdd, Hint: hintOdd}
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return f.Chmod(0o600)
}

// give gives a file that we have just made ourselves, mode 0600, to the directory's
// owner where root has made it: the service must be able to go on with it.
func give(f *os.File, dir string) error {
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

// besideOK makes sure that what SQLite will open beside the ledger is no link.
func besideOK(path string) error {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		info, err := os.Lstat(path + suffix)
		if err == nil && !info.Mode().IsRegular() {
			return &Error{Path: path + suffix, Err: errOdd, Hint: hintOdd}
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
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
	f, err := openOwn(dir, lockName)
	if err != nil {
		return nil, explain("lock state directory", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
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
