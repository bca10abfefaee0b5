package facts

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"gatehouse/internal/router"
)

// Host is a machine and the Home Assistant on it, as far as they can be read. What was
// read once is remembered, the errors too; it is for one goroutine after another or for
// several at once.
type Host struct {
	Tree Tree
	Live bool      // it is the machine that we run on: /proc and /sys are its own
	Root bool      // we may read everything
	Now  time.Time // for what runs out
	// HADir is the configuration directory of Home Assistant, as a path of the host; empty
	// if there is none, or it is not known.
	HADir string
	// HAClosed are places that may hold that directory and could not be looked into, where
	// none was found.
	HAClosed []string
	// HAOnly: there is nothing but that directory.
	HAOnly bool
	// NoWalk: the file system is not walked.
	NoWalk bool
	// Endpoints are what was observed of the addresses that the owner has named.
	Endpoints []Endpoint
	// Router is what the local router said; nil where it was not asked.
	Router *router.Answers

	mu   sync.Mutex
	memo map[string]any
}

// Over is the same home with another tree in place of its own, as it would be after a
// change; nothing of it has been read yet.
func (h *Host) Over(t Tree) *Host {
	return &Host{Tree: t, Live: h.Live, Root: h.Root, Now: h.Now, HADir: h.HADir, HAClosed: h.HAClosed, HAOnly: h.HAOnly, NoWalk: h.NoWalk, Endpoints: h.Endpoints, Router: h.Router}
}

// Resolve is the path of what a name leads to, with no symbolic link in it, inside the root.
// The error wraps fs.ErrNotExist where it leads to nothing.
func (h *Host) Resolve(name string) (string, error) {
	at, err := resolve(h.Tree, name, true)
	if err != nil {
		return "", err
	}
	return path.Join("/", at), nil
}

// HAUnseen says that there may be a Home Assistant that could not be looked for; nil where
// there is none, or it was found.
func (h *Host) HAUnseen() error {
	if h.HADir != "" || len(h.HAClosed) == 0 {
		return nil
	}
	return fmt.Errorf("no Home Assistant was found, and these may hold it and could not be looked into: %s", strings.Join(h.HAClosed, ", "))
}

type remembered[T any] struct {
	value T
	err   error
}

// remember returns what f says, which is asked once. f may ask for other facts.
func remember[T any](h *Host, key string, f func() (T, error)) (T, error) {
	h.mu.Lock()
	if r, ok := h.memo[key].(remembered[T]); ok {
		h.mu.Unlock()
		return r.value, r.err
	}
	h.mu.Unlock()
	value, err := f()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.memo == nil {
		h.memo = make(map[string]any)
	}
	h.memo[key] = remembered[T]{value, err}
	return value, err
}

// maxText bounds a file that is read whole, in bytes.
const maxText = 4 << 20

// Text is a file of lines.
type Text struct {
	Path  string // as a path of the host
	Bytes []byte
	Lines []string // without their ends
}

// Text reads a file of text, over symbolic links inside the root. The error wraps
// fs.ErrNotExist or fs.ErrPermission, or says what the file is instead of text.
func (h *Host) Text(name string) (Text, error) {
	return remember(h, "text "+name, func() (Text, error) {
		at, err := resolve(h.Tree, name, true)
		if err != nil {
			return Text{}, err
		}
		data, err := h.Tree.ReadFile(at, maxText)
		if err != nil {
			return Text{}, err
		}
		if bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) {
			return Text{}, fmt.Errorf("%s: not a text", name)
		}
		t := Text{Path: "/" + strings.Trim(name, "/"), Bytes: data}
		text := strings.TrimSuffix(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
		if text != "" {
			t.Lines = strings.Split(text, "\n")
		}
		return t, nil
	})
}

// Stat is what a name leads to, over symbolic links; Lstat is the name itself.
func (h *Host) Stat(name string) (Info, error) {
	at, err := resolve(h.Tree, name, true)
	if err != nil {
		return Info{}, err
	}
	return h.Tree.Lstat(at)
}

// Lstat is an entry itself, also where it is a symbolic link.
func (h *Host) Lstat(name string) (Info, error) {
	at, err := resolve(h.Tree, name, false)
	if err != nil {
		return Info{}, err
	}
	return h.Tree.Lstat(at)
}

// Exists reports whether something has a name. An error means that this cannot be told.
func (h *Host) Exists(name string) (bool, error) {
	_, err := h.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Dir returns the names in a directory, sorted; none where there is no such directory.
func (h *Host) Dir(name string) ([]string, error) {
	at, err := resolve(h.Tree, name, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := h.Tree.ReadDir(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}

// folders is what of a folder may have something in it, folders and links: of a million
// files none is asked again and again what it holds.
func (h *Host) folders(dir string) ([]string, error) {
	return remember(h, "folders "+dir, func() ([]string, error) {
		names, err := h.Dir(dir)
		if err != nil {
			return nil, err
		}
		at, err := resolve(h.Tree, dir, true)
		if err != nil {
			return nil, err
		}
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
			info, err := h.Tree.Lstat(path.Join(at, n))
			return err == nil && !info.Mode.IsDir() && info.Mode&fs.ModeSymlink == 0
		}), nil
	})
}

// Glob returns the paths that match a pattern (path.Match), sorted, each part followed
// over symbolic links. What cannot be looked into is an error beside what was found.
func (h *Host) Glob(pattern string) ([]string, error) {
	found, parts := []string{""}, strings.Split(strings.Trim(pattern, "/"), "/")
	var errs []error
	for n, part := range parts {
		last := n == len(parts)-1
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, `*?[\`) {
				name := dir + "/" + part
				if _, err := h.Lstat(name); err == nil {
					next = append(next, name)
				} else if !errors.Is(err, fs.ErrNotExist) {
					errs = append(errs, err)
				}
				continue
			}
			list := h.Dir
			if !last {
				list = h.folders
			}
			names, err := list(cmp.Or(dir, "/"))
			if err != nil {
				if info, statErr := h.Stat(cmp.Or(dir, "/")); statErr == nil && !info.Mode.IsDir() {
					continue
				}
				errs = append(errs, err)
				continue
			}
			for _, n := range names {
				if ok, err := path.Match(part, n); err != nil {
					return nil, err
				} else if !ok || strings.HasPrefix(n, ".") && !strings.HasPrefix(part, ".") {
					continue
				}
				next = append(next, dir+"/"+n)
			}
		}
		found = next
	}
	slices.Sort(found)
	return found, errors.Join(errs...)
}
