package facts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is a tree on this machine's disks: the machine itself, or what is mounted
// somewhere. Nothing on the way is followed or opened that is not asked for: no link, no
// device, no pipe.
type Disk struct{ root int }

// OpenDisk opens the tree below dir.
func OpenDisk(dir string) (*Disk, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Disk{fd}, nil
}

// Close closes the tree.
func (d *Disk) Close() error { return unix.Close(d.root) }

// Open opens what has a name, without following a link anywhere, and returns its descriptor.
// A pipe is not waited for.
func (d *Disk) Open(name string, flags uint64) (int, error) {
	if flags&unix.O_PATH == 0 {
		flags |= unix.O_NONBLOCK // which O_PATH does not take (openat2(2))
	}
	for {
		fd, err := unix.Openat2(d.root, name, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC | unix.O_NOFOLLOW,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return -1, &fs.PathError{Op: "open", Path: "/" + name, Err: err}
		}
		return fd, nil
	}
}

// Lstat implements Tree.
func (d *Disk) Lstat(name string) (Info, error) {
	var s unix.Stat_t
	if err := unix.Fstatat(d.root, name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Info{}, &fs.PathError{Op: "lstat", Path: "/" + name, Err: err}
	}
	info := infoOf(&s)
	if info.Mode&fs.ModeSymlink != 0 {
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(d.root, name, buf)
		if err != nil {
			return Info{}, &fs.PathError{Op: "readlink", Path: "/" + name, Err: err}
		}
		info.Target = string(buf[:n])
	}
	return info, nil
}

func infoOf(s *unix.Stat_t) Info {
	mode := Permissions(s.Mode)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	}
	return Info{Mode: mode, UID: s.Uid, GID: s.Gid, Size: s.Size, ModTime: time.Unix(s.Mtim.Unix())}
}

// ReadFile implements Tree. The files of /proc and /sys say nothing of their size.
func (d *Disk) ReadFile(name string, most int64) ([]byte, error) {
	fd, err := d.Open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "/"+name)
	defer f.Close()
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: "/" + name, Err: err}
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("/%s: %w", name, ErrNotFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(text)) > most:
		return nil, fmt.Errorf("/%s: %w", name, ErrTooLarge)
	}
	return text, nil
}

// ReadDir implements Tree.
func (d *Disk) ReadDir(name string) ([]string, error) {
	fd, err := d.Open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "/"+name)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}
