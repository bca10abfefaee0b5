package fix

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

// Disk is a file system that is written: the machine's, or what is mounted somewhere. What
// is written is reached from its root over directories alone, never over a symbolic link,
// so that nobody who may write on the way can have it written elsewhere.
type Disk struct {
	*facts.Disk
	// wrote hears of every change of the file system, right after it; nil but in tests.
	wrote func(what string)
}

// OpenDisk opens the tree below dir for reading and writing.
func OpenDisk(dir string) (*Disk, error) {
	reads, err := facts.OpenDisk(dir)
	if err != nil {
		return nil, err
	}
	return &Disk{Disk: reads}, nil
}

func (d *Disk) did(what string) {
	if d.wrote != nil {
		d.wrote(what)
	}
}

// openAt opens a path of the host without following a link anywhere.
func (d *Disk) openAt(name string, flags uint64) (int, error) {
	return d.Open(inTree(name), flags)
}

// inTree is a path of the host as facts.Tree has it.
func inTree(name string) string { return cmp.Or(strings.Trim(name, "/"), ".") }

// dirOf opens the directory that an entry is in, and returns the entry's own name.
func (d *Disk) dirOf(name string) (*os.File, string, error) {
	fd, err := d.openAt(path.Dir(name), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), path.Dir(name)), path.Base(name), nil
}

// ready says why a step could not be taken here, before any is: a file system that is
// read-only, a file that is immutable or has several names.
func (d *Disk) ready(s finding.Step) error {
	if place(s) != finding.StepEdit {
		return nil
	}
	at := s.Path
	for at != "/" {
		if _, err := d.Lstat(inTree(at)); err == nil {
			break
		}
		at = path.Dir(at)
	}
	dir := at
	if at == s.Path {
		dir = path.Dir(at)
	}
	for _, name := range []string{dir, at} {
		fd, err := d.openAt(name, unix.O_PATH)
		if err != nil {
			if errors.Is(err, unix.ELOOP) {
				continue // a symbolic link itself; its directory was looked at
			}
			return err
		}
		err = d.writable(fd, name, name == s.Path && s.Before != nil && s.Before.Type == finding.EntryFile)
		if err == nil && name == s.Path {
			err = losesRights(fd, s)
		}
		_ = unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// losesRights refuses what would take a program's capabilities away for good: the kernel
// does that where a file gets another owner, and nothing here would bring them back.
func losesRights(fd int, s finding.Step) error {
	if s.Before == nil || s.After == nil || s.Before.Type != finding.EntryFile || s.After.Content == nil && s.Before.UID == s.After.UID && s.Before.GID == s.After.GID {
		return nil
	}
	if n, err := unix.Getxattr("/proc/self/fd/"+strconv.Itoa(fd), "security.capability", nil); err != nil || n == 0 {
		return nil // it has none, or its file system knows of none
	}
	return Refuse("setcap -r "+s.Path+", if nobody needs them", "%s has rights of its own (capabilities), which it would lose for good", s.Path)
}

func (d *Disk) writable(fd int, name string, file bool) error {
	var f unix.Statfs_t
	if err := unix.Fstatfs(fd, &f); err != nil {
		return &os.PathError{Op: "statfs", Path: name, Err: err}
	}
	if f.Flags&unix.ST_RDONLY != 0 {
		return Refuse("mount it for writing, then try again", "%s is on a file system that is mounted read-only", name)
	}
	var x unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &x); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	switch {
	case x.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		return Refuse("chattr -i "+name+" makes it changeable, if you are sure that nobody meant it", "%s is immutable (chattr +i)", name)
	case x.Attributes&unix.STATX_ATTR_APPEND != 0 && file:
		return Refuse("chattr -a "+name+" makes it changeable", "%s can only be added to (chattr +a)", name)
	case file && x.Nlink > 1:
		return Refuse("", "%s has %d names (hard links), and a change could be somebody else's file", name, x.Nlink)
	}
	return nil
}

// entry is what lies at a path now; nil where nothing does. content says whether a file's
// is read, too.
func (d *Disk) entry(name string, content bool) (*finding.Entry, error) {
	e, err := entryOf(d.Disk, name)
	if err != nil || e == nil {
		return e, err
	}
	if e.Type == finding.EntryFile && content {
		text, err := d.ReadFile(inTree(name), maxEdited)
		if err != nil {
			return nil, err
		}
		s := string(text)
		e.Content = &s
	}
	return e, nil
}

// httpOptions reads the settings of Home Assistant's web server where it keeps them.
func (d *Disk) httpOptions(name string) (*finding.Entry, error) {
	text, err := d.ReadFile(inTree(name), maxEdited)
	if err != nil {
		return nil, err
	}
	options, err := ha.StoredOptions(text)
	if err != nil {
		return nil, err
	}
	return &finding.Entry{Type: finding.EntryValue, Content: &options}, nil
}

// sysctl reads a value of the running kernel.
func (d *Disk) sysctl(key string) (*finding.Entry, error) {
	text, err := d.ReadFile(sysctlFile(key), 1<<16)
	if err != nil {
		return nil, err
	}
	value := strings.TrimSpace(string(text))
	return &finding.Entry{Type: finding.EntryValue, Mode: 0o644, Content: &value}, nil
}

func (d *Disk) setSysctl(key, value string) error {
	fd, err := d.openAt(sysctlFile(key), unix.O_WRONLY)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), key)
	_, err = f.WriteString(value + "\n")
	err = errors.Join(err, f.Close())
	d.did("sysctl " + key)
	return err
}

// lockAccounts keeps others from changing accounts, as lckpwdf(3) does, where its file is
// there; none is left behind.
func (d *Disk) lockAccounts() (unlock func(), err error) {
	fd, err := d.openAt("/etc/.pwd.lock", unix.O_WRONLY)
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &lock); err != nil {
		_ = unix.Close(fd)
		return nil, Refuse("wait until that is done, then try again", "somebody is changing accounts or passwords right now")
	}
	return func() { _ = unix.Close(fd) }, nil
}

// put makes an entry what it shall be, in one moment: whoever looks sees the old one or the
// new one whole. A file gets the extended attributes of the one in whose place it comes (its
// access control list among them). tmp is a name that nobody else uses, when the time of its
// last change, 0 for now.
func (d *Disk) put(name string, e finding.Entry, tmp string, when int64) error {
	dir, base, err := d.dirOf(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	at := int(dir.Fd())
	switch e.Type {
	case finding.EntryDirectory:
		return d.putDirectory(dir, base, tmp, e)
	case finding.EntryLink:
		if err := unix.Symlinkat(e.Target, at, tmp); err != nil {
			return &os.PathError{Op: "symlink", Path: name, Err: err}
		}
		d.did("symlink " + name)
		if err := chownLink(at, tmp, e); err != nil {
			return errors.Join(&os.PathError{Op: "chown", Path: name, Err: err}, ignoreNotThere(unix.Unlinkat(at, tmp, 0)))
		}
	case finding.EntryFile:
		if err := d.fill(dir, base, tmp, e, when); err != nil {
			return errors.Join(err, ignoreNotThere(unix.Unlinkat(at, tmp, 0)))
		}
	default:
		return fmt.Errorf("%s cannot be made a %q", name, e.Type)
	}
	d.did("temporary " + name)
	if err := unix.Renameat(at, tmp, at, base); err != nil {
		return errors.Join(&os.PathError{Op: "rename", Path: name, Err: err}, ignoreNotThere(unix.Unlinkat(at, tmp, 0)))
	}
	d.did("rename " + name)
	return syncDir(dir)
}

// chownLink says whose a new symbolic link is; nothing else that took its name meanwhile.
func chownLink(dir int, name string, e finding.Entry) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFLNK || s.Nlink > 1 {
		return unix.EEXIST
	}
	return unix.Fchownat(fd, "", int(e.UID), int(e.GID), unix.AT_EMPTY_PATH)
}

// Replace gives a file another text in one moment, with its owner, mode and attributes, if it
// says what it said before. Links are followed inside the root. It is for who keeps a journal
// of its own.
func (d *Disk) Replace(name string, before, after []byte) error {
	at, err := (&facts.Host{Tree: d.Disk}).Resolve(name)
	if err != nil {
		return err
	}
	e, err := d.entry(at, true)
	switch {
	case err != nil:
		return err
	case e == nil || e.Type != finding.EntryFile:
		return fmt.Errorf("%s is no file", at)
	case *e.Content != string(before):
		return fmt.Errorf("%s was changed in this very moment", at)
	}
	text := string(after)
	if err := d.ready(finding.Step{Kind: finding.StepEdit, Path: at, Before: e}); err != nil {
		return err
	}
	next := *e
	next.Content = &text
	return d.put(at, next, ".gatehouse-"+path.Base(at), 0)
}

func ignoreNotThere(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func syncDir(dir *os.File) error {
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("write %s to the disk: %w", dir.Name(), err)
	}
	return nil
}

// fill writes a new file, durably, under a temporary name.
func (d *Disk) fill(dir *os.File, base, tmp string, e finding.Entry, when int64) (err error) {
	at := int(dir.Fd())
	_ = unix.Unlinkat(at, tmp, 0) // of a run that was killed
	fd, err := unix.Openat(at, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: path.Join(dir.Name(), tmp), Err: err}
	}
	f := os.NewFile(uintptr(fd), path.Join(dir.Name(), base))
	defer func() { err = errors.Join(err, f.Close()) }()
	d.did("create " + f.Name())
	if e.Content != nil {
		if _, err := f.WriteString(*e.Content); err != nil {
			return err
		}
		d.did("write " + f.Name())
	}
	if err := unix.Fchown(fd, int(e.UID), int(e.GID)); err != nil {
		return &os.PathError{Op: "chown", Path: f.Name(), Err: err}
	}
	if old, err := unix.Openat(at, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err == nil {
		err = copyAttributes(old, fd, f.Name(), false)
		_ = unix.Close(old)
		if err != nil {
			return err
		}
	}
	// The mode comes last: an access control list sets its group's part, too.
	if err := unix.Fchmod(fd, e.Mode); err != nil {
		return &os.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	if when != 0 {
		if err := setTime(fd, when); err != nil {
			return &os.PathError{Op: "utimes", Path: f.Name(), Err: err}
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s to the disk: %w", f.Name(), err)
	}
	return nil
}

// setTime says when a file was changed last, in nanoseconds since 1970.
func setTime(fd int, when int64) error {
	t := unix.NsecToTimespec(when)
	return unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), []unix.Timespec{t, t}, 0)
}

// copyAttributes gives a file the extended attributes of another. What vouches for the
// content goes along only where that is the same.
func copyAttributes(from, to int, name string, same bool) error {
	size, err := unix.Flistxattr(from, nil)
	if errors.Is(err, unix.ENOTSUP) || size == 0 {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "listxattr", Path: name, Err: err}
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(from, list); err != nil {
		return &os.PathError{Op: "listxattr", Path: name, Err: err}
	}
	for _, attr := range strings.Split(strings.TrimRight(string(list[:size]), "\x00"), "\x00") {
		if !same && (attr == "security.capability" || strings.HasPrefix(attr, "security.ima") || strings.HasPrefix(attr, "security.evm")) {
			continue
		}
		n, err := unix.Fgetxattr(from, attr, nil)
		if err != nil {
			return &os.PathError{Op: "getxattr " + attr, Path: name, Err: err}
		}
		value := make([]byte, n)
		if n > 0 {
			if n, err = unix.Fgetxattr(from, attr, value); err != nil {
				return &os.PathError{Op: "getxattr " + attr, Path: name, Err: err}
			}
		}
		if err := unix.Fsetxattr(to, attr, value[:n], 0); err != nil {
			return &os.PathError{Op: "setxattr " + attr, Path: name, Err: err}
		}
	}
	return nil
}

// putDirectory makes a directory, whole, where there is none.
func (d *Disk) putDirectory(dir *os.File, base, tmp string, e finding.Entry) error {
	at, name := int(dir.Fd()), path.Join(dir.Name(), base)
	_ = unix.Unlinkat(at, tmp, unix.AT_REMOVEDIR)
	if err := unix.Mkdirat(at, tmp, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	d.did("mkdir " + name)
	err := func() error {
		fd, err := unix.Openat(at, tmp, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Fchown(fd, int(e.UID), int(e.GID)); err != nil {
			return err
		}
		if err := unix.Fchmod(fd, e.Mode); err != nil {
			return err
		}
		return unix.Renameat2(at, tmp, at, base, unix.RENAME_NOREPLACE)
	}()
	if err != nil {
		return errors.Join(&os.PathError{Op: "mkdir", Path: name, Err: err}, ignoreNotThere(unix.Unlinkat(at, tmp, unix.AT_REMOVEDIR)))
	}
	d.did("rename " + name)
	return syncDir(dir)
}

// attributes changes mode and owner of what is there, if that has those it was seen with:
// whoever may write to its directory may put another file in its place at any moment, and
// must not have that one made root's, or more.
func (d *Disk) attributes(name string, e, seen finding.Entry) error {
	dir, base, err := d.dirOf(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	kinds := map[finding.EntryType]uint32{finding.EntryFile: unix.S_IFREG, finding.EntryDirectory: unix.S_IFDIR, finding.EntryLink: unix.S_IFLNK}
	link := e.Type == finding.EntryLink
	if s.Mode&unix.S_IFMT != kinds[e.Type] || s.Nlink > 1 && e.Type != finding.EntryDirectory ||
		s.Uid != seen.UID || s.Gid != seen.GID || !link && s.Mode&0o7777 != seen.Mode {
		return Refuse("", "%s is something else by now", name)
	}
	if s.Uid != e.UID || s.Gid != e.GID {
		if err := unix.Fchownat(fd, "", int(e.UID), int(e.GID), unix.AT_EMPTY_PATH); err != nil {
			return &os.PathError{Op: "chown", Path: name, Err: err}
		}
		d.did("chown " + name)
	}
	if link {
		return nil // it has no mode of its own
	}
	// An O_PATH descriptor takes no fchmod(2); its name below /proc leads to what it is of.
	if err := unix.Fchmodat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), e.Mode, 0); err != nil {
		return &os.PathError{Op: "chmod", Path: name, Err: err}
	}
	d.did("chmod " + name)
	return nil
}

// remove takes away what a step has created: a file, a link, or a directory that is empty.
func (d *Disk) remove(name string, e finding.Entry) error {
	dir, base, err := d.dirOf(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	flags := 0
	if e.Type == finding.EntryDirectory {
		flags = unix.AT_REMOVEDIR
	}
	if err := unix.Unlinkat(int(dir.Fd()), base, flags); err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	d.did("remove " + name)
	return syncDir(dir)
}

// sweep takes away what a step that was killed has left under its temporary name.
func (d *Disk) sweep(name, tmp string) error {
	dir, _, err := d.dirOf(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Unlinkat(int(dir.Fd()), tmp, 0)
	if errors.Is(err, unix.EISDIR) {
		err = unix.Unlinkat(int(dir.Fd()), tmp, unix.AT_REMOVEDIR)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: path.Join(path.Dir(name), tmp), Err: err}
	}
	return nil
}

// keep copies a file with all its attributes out of the tree, durably, and releases it the
// other way round: what is deleted is copied first and taken away afterwards.
func (d *Disk) keep(name string, to *os.File, as string) error {
	fd, err := d.openAt(name, unix.O_RDONLY)
	if err != nil {
		return err
	}
	from := os.NewFile(uintptr(fd), name)
	defer from.Close()
	return copyFile(from, to, as)
}

// release brings a kept file back to where it was, as it was.
func (d *Disk) release(from *os.File, name, tmp string) error {
	dir, base, err := d.dirOf(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	at := int(dir.Fd())
	if err := copyFile(from, dir, tmp); err != nil {
		return errors.Join(err, ignoreNotThere(unix.Unlinkat(at, tmp, 0)))
	}
	d.did("temporary " + name)
	if err := unix.Renameat2(at, tmp, at, base, unix.RENAME_NOREPLACE); err != nil {
		return errors.Join(&os.PathError{Op: "rename", Path: name, Err: err}, ignoreNotThere(unix.Unlinkat(at, tmp, 0)))
	}
	d.did("rename " + name)
	return syncDir(dir)
}

// copyFile copies a regular file with owner, mode, attributes and time into a directory.
func copyFile(from, dir *os.File, as string) (err error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &s); err != nil {
		return &os.PathError{Op: "stat", Path: from.Name(), Err: err}
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is no file any more", from.Name())
	}
	_ = unix.Unlinkat(int(dir.Fd()), as, 0) // of a run that was killed
	// Nobody else's file is written to, whoever plants one here: what was kept may be secret,
	// and gets the rights that it had.
	fd, err := unix.Openat(int(dir.Fd()), as, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: path.Join(dir.Name(), as), Err: err}
	}
	to := os.NewFile(uintptr(fd), path.Join(dir.Name(), as))
	defer func() { err = errors.Join(err, to.Close()) }()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if err := unix.Fchown(fd, int(s.Uid), int(s.Gid)); err != nil {
		return &os.PathError{Op: "chown", Path: to.Name(), Err: err}
	}
	if err := copyAttributes(int(from.Fd()), fd, to.Name(), true); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, s.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: to.Name(), Err: err}
	}
	if err := setTime(fd, s.Mtim.Nano()); err != nil {
		return &os.PathError{Op: "utimes", Path: to.Name(), Err: err}
	}
	return errors.Join(to.Sync(), syncDir(dir))
}
