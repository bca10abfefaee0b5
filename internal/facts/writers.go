package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Writer is somebody beside root who may change a file or what stands under its name.
type Writer struct {
	Path string // what may be changed: the file, or a folder on the way to it
	Who  string // "user 1000", "group 100", "everybody"
	Mode fs.FileMode
}

// Writers says who beside root may change what a program's name leads to: the file
// itself, or any folder on the way to it, over symbolic links. The error wraps
// fs.ErrNotExist where there is nothing.
func (h *Host) Writers(name string) ([]Writer, error) {
	return remember(h, "writers "+name, func() ([]Writer, error) {
		var all []Writer
		at, links := path.Clean("/"+name), 0
		seen := map[string]bool{}
		for {
			target := ""
			parts := strings.Split(strings.Trim(at, "/"), "/")
			for n := range parts {
				p := "/" + strings.Join(parts[:n+1], "/")
				info, err := h.Tree.Lstat(strings.TrimPrefix(p, "/"))
				if err != nil {
					return nil, err
				}
				if info.Mode&fs.ModeSymlink != 0 {
					target = info.Target
					if !path.IsAbs(target) {
						target = path.Join(path.Dir(p), target)
					}
					target = path.Join(append([]string{"/", target}, parts[n+1:]...)...)
					break
				}
				if who := writer(info, n < len(parts)-1); who != "" && !seen[p] {
					all = append(all, Writer{p, who, info.Mode})
				}
				seen[p] = true
			}
			if target == "" {
				return all, nil
			}
			at = target
			if links++; links > maxLinks {
				return nil, fmt.Errorf("%s: %w", name, ErrLinks)
			}
		}
	})
}

// writer is who beside root may change it. In a folder with the sticky bit nobody takes
// away what is not his own.
func writer(info Info, folder bool) string {
	if folder && info.Mode&fs.ModeSticky != 0 && info.UID == 0 {
		return ""
	}
	switch {
	case info.UID != 0:
		return fmt.Sprintf("user %d", info.UID)
	case info.Mode&0o002 != 0:
		return "everybody"
	case info.Mode&0o020 != 0 && info.GID != 0:
		return fmt.Sprintf("group %d", info.GID)
	}
	return ""
}

// isMissing reports whether an error only says that something is not there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
