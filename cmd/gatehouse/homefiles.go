package main

import (
	"io/fs"
	"os"
	"syscall"
)

// homeFiles are the files below Home Assistant's configuration directory, as root reads them.
// Home Assistant's user owns that directory, and may be anybody: a link leads nowhere out of
// it, and a named pipe in a file's place keeps nobody waiting.
type homeFiles struct{ root *os.Root }

// Open implements fs.FS.
func (h homeFiles) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := h.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err // a nil *os.File in an fs.File is not nil
	}
	return f, nil
}

// ReadDir implements fs.ReadDirFS.
func (h homeFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(h.root.FS(), name)
}

// Stat implements fs.StatFS.
func (h homeFiles) Stat(name string) (fs.FileInfo, error) { return h.root.Stat(name) }
