package facts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/ha"
)

// HAPath is a name in Home Assistant's configuration directory as a path of the host.
func (h *Host) HAPath(name string) string { return path.Join("/", h.HADir, name) }

// HAFiles is Home Assistant's configuration directory. Links are followed inside the
// root of the host, as Home Assistant does.
func (h *Host) HAFiles() fs.FS { return haFiles{h} }

// HASettings is what ha.ReadSettings says of the configuration directory.
func (h *Host) HASettings() (ha.Settings, error) {
	return remember(h, "ha settings", func() (ha.Settings, error) { return ha.ReadSettings(h.HAFiles()) })
}

// HAConfiguration is configuration.yaml with all that it includes. What cannot be read of
// it is an error in the tree.
func (h *Host) HAConfiguration() (*ha.Node, error) {
	return remember(h, "ha configuration", func() (*ha.Node, error) { return ha.ReadConfiguration(h.HAFiles()) })
}

type haFiles struct{ h *Host }

func (f haFiles) at(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return resolve(f.h.Tree, f.h.HAPath(name), true)
}

// Open implements fs.FS.
func (f haFiles) Open(name string) (fs.File, error) {
	at, err := f.at("open", name)
	if err != nil {
		return nil, err
	}
	info, err := f.h.Tree.Lstat(at)
	if err != nil {
		return nil, err
	}
	if info.Mode.IsDir() {
		return &haFile{haInfo{path.Base(name), info}, nil}, nil
	}
	text, err := f.h.Tree.ReadFile(at, maxStored)
	if err != nil {
		return nil, err
	}
	return &haFile{haInfo{path.Base(name), info}, strings.NewReader(string(text))}, nil
}

// ReadDir implements fs.ReadDirFS.
func (f haFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	at, err := f.at("open", name)
	if err != nil {
		return nil, err
	}
	names, err := f.h.Tree.ReadDir(at)
	if err != nil {
		return nil, err
	}
	var all []fs.DirEntry
	for _, n := range names {
		info, err := f.h.Tree.Lstat(path.Join(at, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, fs.FileInfoToDirEntry(haInfo{n, info}))
	}
	return all, nil
}

type haFile struct {
	info haInfo
	text *strings.Reader
}

func (f *haFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *haFile) Close() error               { return nil }
func (f *haFile) Read(p []byte) (int, error) {
	if f.text == nil {
		return 0, io.EOF
	}
	return f.text.Read(p)
}

type haInfo struct {
	name string
	info Info
}

func (i haInfo) Name() string       { return i.name }
func (i haInfo) Size() int64        { return i.info.Size }
func (i haInfo) Mode() fs.FileMode  { return i.info.Mode }
func (i haInfo) ModTime() time.Time { return i.info.ModTime }
func (i haInfo) IsDir() bool        { return i.info.Mode.IsDir() }
func (i haInfo) Sys() any           { return nil }

// haAbsent reports whether a file is not there at all.
func haAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// HAFile is an entry below the configuration directory.
type HAFile struct {
	Name string // below it
	Info Info
}

// HAWalk is every entry below the configuration directory, without what programs keep
// there for themselves. The error says what could not be looked into.
func (h *Host) HAWalk() ([]HAFile, error) {
	return remember(h, "ha walk", func() ([]HAFile, error) {
		const most, deepest = 200_000, 40
		var all []HAFile
		var errs []error
		root, err := resolve(h.Tree, h.HADir, true)
		if err != nil {
			return nil, err
		}
		var walk func(name string, deep int)
		walk = func(name string, deep int) {
			names, err := h.Tree.ReadDir(path.Join(root, name))
			if err != nil {
				errs = append(errs, err)
				return
			}
			for _, n := range names {
				if len(all) >= most || deep > deepest {
					if len(errs) == 0 {
						errs = append(errs, fmt.Errorf("%s: more than can be looked at", h.HAPath(name)))
					}
					return
				}
				full := path.Join(name, n)
				info, err := h.Tree.Lstat(path.Join(root, full))
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					errs = append(errs, err)
					continue
				}
				all = append(all, HAFile{full, info})
				if info.Mode.IsDir() && !slices.Contains([]string{"deps", ".venv", "venv", "node_modules", "tts", ".git", "__pycache__"}, n) {
					walk(full, deep+1)
				}
			}
		}
		walk(".", 0)
		return all, errors.Join(errs...)
	})
}
