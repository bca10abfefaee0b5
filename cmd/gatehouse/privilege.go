package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"gatehouse/internal/config"
)

// Where root runs this and the state directory is another user's, as the service's is,
// that user decides what lies in it: a link that leads elsewhere, for example. So the
// process acts as that user before it looks inside. Verbs do so for good. The server
// and setup come back to root's rights for the few things that need them, each of them
// away from that directory; before the server answers anybody, it gives them up.

// account is a user of this machine, as far as the kernel knows one.
type account struct {
	uid, gid int
	groups   []int // all of theirs
	name     string
}

// nogroup stands in for the group of a user of whom nothing but the number is known.
const nogroup = 65534

// accountOf is the user with a number, with the groups that they have by the system's
// files. What is not found there has no group but the directory's.
func accountOf(owner *syscall.Stat_t) account {
	u := account{uid: int(owner.Uid), gid: int(owner.Gid), name: userName(owner.Uid)}
	if known, err := user.LookupId(strconv.Itoa(u.uid)); err == nil {
		if gid, err := strconv.Atoi(known.Gid); err == nil {
			u.gid = gid
		}
		if ids, err := known.GroupIds(); err == nil {
			for _, id := range ids {
				if gid, err := strconv.Atoi(id); err == nil && gid != 0 {
					u.groups = append(u.groups, gid)
				}
			}
		}
	}
	if u.gid == 0 {
		u.gid = nogroup // root's group is no part of acting as somebody else
	}
	if !slices.Contains(u.groups, u.gid) {
		u.groups = append(u.groups, u.gid)
	}
	return u
}

// userName is what people call a user.
func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}

// rights are root's, which this process has laid down to act as another user. nil
// where there is nothing that could be laid down.
type rights struct {
	user   account
	gid    int
	groups []int
}

// actFor makes the process act as the user whose the state is, if it is root and that
// is another. file is the configuration that names the directory; "" if nobody else
// could have written it.
func actFor(dir, file string) (*rights, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	owner, err := stateOwner(dir, file)
	if err != nil || owner == nil {
		return nil, err
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return nil, fmt.Errorf("act as another user: %w", err)
	}
	r := &rights{user: accountOf(owner), gid: os.Getegid(), groups: groups}
	if err := r.layDown(); err != nil {
		return nil, &problem{status: statusCannot, err: fmt.Errorf("the state directory %s belongs to %s: %w", dir, r.user.name, err),
			hint: "run this as that user"}
	}
	return r, nil
}

// layDown is the way from root to the user; takeUp is the way back.
func (r *rights) layDown() error {
	if err := syscall.Setgroups(r.user.groups); err != nil {
		return fmt.Errorf("act as %s: %w", r.user.name, err)
	}
	if err := syscall.Setegid(r.user.gid); err != nil {
		return fmt.Errorf("act as %s: %w", r.user.name, err)
	}
	if err := syscall.Seteuid(r.user.uid); err != nil {
		return fmt.Errorf("act as %s: %w", r.user.name, err)
	}
	return nil
}

func (r *rights) takeUp() error {
	if r == nil {
		return nil
	}
	if err := errors.Join(syscall.Seteuid(0), syscall.Setegid(r.gid), syscall.Setgroups(r.groups)); err != nil {
		return fmt.Errorf("act as root again: %w", err)
	}
	return nil
}

// asRoot does something with root's rights. It must not touch what is the user's.
func (r *rights) asRoot(do func() error) (err error) {
	if r == nil {
		return do()
	}
	if err := r.takeUp(); err != nil {
		return err
	}
	defer func() {
		if down := r.layDown(); down != nil {
			err = errors.Join(err, down)
		}
	}()
	return do()
}

// giveUp makes laying down final: from here on there is no way back.
func (r *rights) giveUp() error {
	if r == nil {
		return nil
	}
	u := r.user
	if err := syscall.Seteuid(0); err != nil {
		return fmt.Errorf("become %s: %w", u.name, err)
	}
	for _, step := range []func() error{
		func() error { return syscall.Setgroups(u.groups) },
		func() error { return syscall.Setresgid(u.gid, u.gid, u.gid) },
		func() error { return syscall.Setresuid(u.uid, u.uid, u.uid) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("become %s: %w", u.name, err)
		}
	}
	if syscall.Seteuid(0) == nil {
		return fmt.Errorf("become %s: the system gives root's rights back", u.name)
	}
	return nil
}

// become makes the process that of the user whose the state is, for good.
func become(c *config.Config, file string) error {
	r, err := actFor(c.State.Dir, file)
	if err != nil {
		return err
	}
	return r.giveUp()
}

// stateOwner is whom to act as in a state directory, which may not be there yet; nil
// where it is root's, and nobody else's to exchange or to name.
func stateOwner(dir, file string) (*syscall.Stat_t, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("look at the state directory: %w", err)
	}
	owner, err := nearest(dir)
	if err != nil || owner.Uid != 0 {
		return owner, err
	}
	if file != "" {
		if info, err := os.Stat(file); err == nil {
			if by, ok := info.Sys().(*syscall.Stat_t); ok && by.Uid != 0 {
				name := userName(by.Uid)
				return nil, &problem{status: statusCannot,
					err:  fmt.Errorf("the configuration %s belongs to %s, and the state directory %s, which it names, to root", file, name, dir),
					hint: fmt.Sprintf("both must be one user's: chown root %s, or make the directory and give it to %s", file, name)}
			}
		}
	}
	if link, uid, ok := othersOnTheWay(dir); ok {
		name := userName(uid)
		return nil, &problem{status: statusCannot,
			err:  fmt.Errorf("the state directory %s is root's, but %s belongs to %s, who could put another in its place", dir, link, name),
			hint: fmt.Sprintf("give it to %s (chown -R), or keep it elsewhere: [state] dir", name)}
	}
	return nil, nil
}

// nearest is who owns a path, or what is there of it.
func nearest(path string) (*syscall.Stat_t, error) {
	for ; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) && path != "/" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at the state directory: %w", err)
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil, fmt.Errorf("look at the state directory: nobody owns %s", path)
		}
		return owner, nil
	}
}

// othersOnTheWay finds the first thing on the way to a path, links included, that is
// not root's: its owner decides where the way leads.
func othersOnTheWay(path string) (where string, uid uint32, found bool) {
	at, rest := "/", strings.Split(path, "/")
	for range 1000 { // more than the longest path has, and an end to links in a circle
		if len(rest) == 0 {
			break
		}
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if err != nil {
			break // the rest is not there: whoever owns what is makes it
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
			return next, owner.Uid, true
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		to, err := os.Readlink(next)
		if err != nil {
			break
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return "", 0, false
}
