package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Drawn is a tree that is drawn in a text, for tests: where it takes root and a whole
// disk to show what a check looks at, a few lines do.
//
//	-- etc/shadow 0640 0:42 --
//	root:*:20000:0:99999:7:::
//	-- etc/mtab -> ../proc/self/mounts --
//	-- var/log dir 0755 0:0 --
//	-- root/.ssh/id_ed25519 0600 0:0 closed --      cannot be read
//
// Mode and owner may be left out: 0644 (0755 of a directory) and 0:0. Directories on the
// way are made. A size may be given as size=N, a time as time=RFC3339, and a
// file's capabilities as caps=NAME,NAME.
type Drawn struct{ all map[string]*drawn }

type drawn struct {
	info   Info
	text   string
	closed bool
}

// Draw reads a drawing.
func Draw(text string) (*Drawn, error) {
	d := &Drawn{all: map[string]*drawn{".": {info: Info{Mode: fs.ModeDir | 0o755}}}}
	var now *drawn
	for n, line := range strings.SplitAfter(text, "\n") {
		header, ok := strings.CutPrefix(strings.TrimSpace(line), "-- ")
		if !ok || !strings.HasSuffix(header, " --") {
			if now != nil {
				now.text += line
			} else if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
				return nil, fmt.Errorf("line %d stands in no file", n+1)
			}
			continue
		}
		words := strings.Fields(strings.TrimSuffix(header, " --"))
		e := &drawn{info: Info{Mode: 0o644, ModTime: time.Unix(1700000000, 0)}}
		size := int64(-1)
		for k := 1; k < len(words); k++ {
			w := words[k]
			uid, gid, owner := strings.Cut(w, ":")
			switch {
			case w == "->" && k+1 < len(words):
				e.info.Mode, e.info.Target = fs.ModeSymlink|0o777, words[k+1]
				k++
			case w == "dir":
				e.info.Mode = fs.ModeDir | 0o755
			case w == "closed":
				e.closed = true
			case w == "socket":
				e.info.Mode = fs.ModeSocket | e.info.Mode.Perm()
			case strings.HasPrefix(w, "size="):
				v, err := strconv.ParseInt(w[5:], 10, 64)
				if err != nil {
					return nil, fmt.Errorf("line %d: %q", n+1, w)
				}
				size = v
			case strings.HasPrefix(w, "caps="):
				for _, name := range strings.Split(w[5:], ",") {
					bit := slices.Index(Capabilities(), name)
					if bit < 0 {
						return nil, fmt.Errorf("line %d: %q", n+1, w)
					}
					e.info.Caps |= 1 << bit
				}
			case strings.HasPrefix(w, "time="):
				at, err := time.Parse(time.RFC3339, w[5:])
				if err != nil {
					return nil, fmt.Errorf("line %d: %q", n+1, w)
				}
				e.info.ModTime = at
			case owner && isNumber(uid) && isNumber(gid):
				u, _ := strconv.ParseUint(uid, 10, 32)
				g, _ := strconv.ParseUint(gid, 10, 32)
				e.info.UID, e.info.GID = uint32(u), uint32(g)
			case isNumber(w):
				m, err := strconv.ParseUint(w, 8, 32)
				if err != nil {
					return nil, fmt.Errorf("line %d: mode %q", n+1, w)
				}
				e.info.Mode = e.info.Mode&fs.ModeType | Permissions(uint32(m))
			default:
				return nil, fmt.Errorf("line %d: %q means nothing", n+1, w)
			}
		}
		name := path.Clean(strings.Trim(words[0], "/"))
		for dir := path.Dir(name); d.all[dir] == nil; dir = path.Dir(dir) {
			d.all[dir] = &drawn{info: Info{Mode: fs.ModeDir | 0o755}}
		}
		d.all[name], now = e, e
		if size >= 0 {
			e.info.Size = size
		}
	}
	for _, e := range d.all {
		if e.info.Size == 0 {
			e.info.Size = int64(len(e.text))
		}
	}
	return d, nil
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (d *Drawn) find(op, name string) (*drawn, error) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		switch e := d.all[dir]; {
		case e == nil:
		case e.closed:
			return nil, &fs.PathError{Op: op, Path: "/" + name, Err: fs.ErrPermission}
		case !e.info.Mode.IsDir():
			return nil, &fs.PathError{Op: op, Path: "/" + name, Err: syscall.ENOTDIR}
		}
	}
	e, ok := d.all[name]
	if !ok {
		return nil, &fs.PathError{Op: op, Path: "/" + name, Err: fs.ErrNotExist}
	}
	return e, nil
}

// Lstat implements Tree.
func (d *Drawn) Lstat(name string) (Info, error) {
	e, err := d.find("lstat", name)
	if err != nil {
		return Info{}, err
	}
	return e.info, nil
}

// ReadFile implements Tree.
func (d *Drawn) ReadFile(name string, most int64) ([]byte, error) {
	e, err := d.find("open", name)
	switch {
	case err != nil:
		return nil, err
	case e.closed:
		return nil, &fs.PathError{Op: "open", Path: "/" + name, Err: fs.ErrPermission}
	case !e.info.Mode.IsRegular():
		return nil, fmt.Errorf("/%s: %w", name, ErrNotFile)
	case int64(len(e.text)) > most:
		return nil, fmt.Errorf("/%s: %w", name, ErrTooLarge)
	}
	return []byte(e.text), nil
}

// ReadDir implements Tree.
func (d *Drawn) ReadDir(name string) ([]string, error) {
	e, err := d.find("open", name)
	switch {
	case err != nil:
		return nil, err
	case e.closed:
		return nil, &fs.PathError{Op: "open", Path: "/" + name, Err: fs.ErrPermission}
	case !e.info.Mode.IsDir():
		return nil, errors.New("/" + name + ": not a directory")
	}
	var names []string
	for n := range d.all {
		if n != "." && path.Dir(n) == name {
			names = append(names, path.Base(n))
		}
	}
	slices.Sort(names)
	return names, nil
}
