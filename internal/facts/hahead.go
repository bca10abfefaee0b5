package facts

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// HAHead is the beginning of a file that may be large, at most most bytes of it.
func (h *Host) HAHead(name string, most int) ([]byte, error) {
	at, err := resolve(h.Tree, name, true)
	if err != nil {
		return nil, err
	}
	if t, ok := h.Tree.(interface {
		haHead(string, int) ([]byte, error)
	}); ok {
		return t.haHead(at, most)
	}
	return h.Tree.ReadFile(at, int64(most))
}

func (d *Disk) haHead(name string, most int) ([]byte, error) {
	fd, err := d.Open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "/"+name)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("/%s: %w", name, ErrNotFile)
	}
	return io.ReadAll(io.LimitReader(f, int64(most)))
}

func (d *Drawn) haHead(name string, most int) ([]byte, error) {
	text, err := d.ReadFile(name, maxStored)
	if err == nil && len(text) > most {
		text = text[:most]
	}
	return text, err
}
