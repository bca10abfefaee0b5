package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Info is what a directory says of an entry in it.
type Info struct {
	Mode    fs.FileMode
	UID     uint32
	GID     uint32
	Size    int64
	ModTime time.Time
	Target  string // of a symbolic link
	Caps    uint64 // what the file's capabilities permit; only a walk asks for them
}

// ModeBits is the permissions of a mode with the bits for set-user-id, set-group-id and
// sticky, as chmod(2) has them.
func ModeBits(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}

// Permissions is the way back; what else is in bits has no part in it.
func Permissions(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	if bits&0o4000 != 0 {
		m |= fs.ModeSetuid
	}
	if bits&0o2000 != 0 {
		m |= fs.ModeSetgid
	}
	if bits&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// Tree is a file system as it lies there, from a root that nothing leads out of. Names
// are relative to it, cleaned, with slashes, "." being the root; no part of a name that
// these methods are given is a symbolic link but the last of Lstat's.
type Tree interface {
	Lstat(name string) (Info, error)
	// ReadFile reads a regular file of at most most bytes.
	ReadFile(name string, most int64) ([]byte, error)
	// ReadDir returns the names of a directory's entries, sorted.
	ReadDir(name string) ([]string, error)
}

// What reading a tree may come to beside fs.ErrNotExist and fs.ErrPermission.
var (
	ErrTooLarge = errors.New("larger than anything that belongs there")
	ErrLinks    = errors.New("symbolic links that lead in a circle")
	ErrNotFile  = errors.New("not a regular file")
)

// maxLinks is how many links one name may lead over; the kernel's own bound.
const maxLinks = 40

// resolve follows the symbolic links in a name, all of them inside the root: an absolute
// one begins there, and ".." ends there. last is whether the last part is followed, too.
func resolve(t Tree, name string, last bool) (string, error) {
	rest := strings.Split(strings.Trim(name, "/"), "/")
	at, links := []string{}, 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = at[:max(0, len(at)-1)]
			continue
		}
		next := strings.Join(append(slices.Clone(at), part), "/")
		info, err := t.Lstat(next)
		if errors.Is(err, syscall.ENOTDIR) { // nothing is below a file
			err = &fs.PathError{Op: "lstat", Path: "/" + next, Err: fs.ErrNotExist}
		}
		if err != nil {
			return "", err
		}
		if info.Mode&fs.ModeSymlink == 0 || len(rest) == 0 && !last {
			at = append(at, part)
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: %w", name, ErrLinks)
		}
		if path.IsAbs(info.Target) {
			at = at[:0]
		}
		rest = append(strings.Split(info.Target, "/"), rest...)
	}
	if len(at) == 0 {
		return ".", nil
	}
	return strings.Join(at, "/"), nil
}
