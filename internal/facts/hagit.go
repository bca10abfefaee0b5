package facts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"
)

// HAGit is what git keeps of the configuration directory.
type HAGit struct {
	Tracked []string // names below it
	Ignored func(name string) bool
	History []string // names that any commit has ever held
	Unread  error    // why the history could not be looked through
}

// HAGit reads the index, the history and .gitignore of the configuration directory; the error wraps
// fs.ErrNotExist where it is not kept in git.
func (h *Host) HAGit() (HAGit, error) {
	return remember(h, "ha git", func() (HAGit, error) {
		info, err := h.Stat(h.HAPath(".git"))
		if err != nil {
			return HAGit{}, err
		}
		if !info.Mode.IsDir() {
			return HAGit{}, errors.New(h.HAPath(".git") + ": leads to another place")
		}
		var g HAGit
		at, err := resolve(h.Tree, h.HAPath(".git/index"), true)
		switch {
		case haAbsent(err): // nothing was ever added
		case err != nil:
			return g, err
		default:
			data, err := h.Tree.ReadFile(at, maxStored)
			if err != nil {
				return g, err
			}
			if g.Tracked, err = gitIndex(data); err != nil {
				return g, fmt.Errorf("%s: %w", h.HAPath(".git/index"), err)
			}
		}
		var lines []string
		for _, name := range []string{".git/info/exclude", ".gitignore"} {
			t, err := h.Text(h.HAPath(name))
			if err != nil && !haAbsent(err) {
				return g, err
			}
			lines = append(lines, t.Lines...)
		}
		g.Ignored = func(name string) bool { return gitIgnored(lines, name) }
		g.History, g.Unread = h.gitHistory(h.HAPath(".git/objects"))
		return g, nil
	})
}

// gitIndex reads the names in an index of git (gitformat-index(5)).
func gitIndex(data []byte) ([]string, error) {
	bad := errors.New("not an index of git")
	if len(data) < 12 || string(data[:4]) != "DIRC" {
		return nil, bad
	}
	version, count := binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])
	if version < 2 || version > 4 {
		return nil, fmt.Errorf("version %d is not known", version)
	}
	rest, last := data[12:], ""
	var names []string
	for range count {
		const fixed = 62
		if len(rest) < fixed {
			return nil, bad
		}
		head := fixed
		if version >= 3 && rest[60]&0x40 != 0 {
			head += 2
		}
		if len(rest) < head {
			return nil, bad
		}
		if version == 4 {
			strip, n := gitNumber(rest[head:], 5)
			if n == 0 || strip > int64(len(last)) {
				return nil, bad
			}
			end := bytes.IndexByte(rest[head+n:], 0)
			if end < 0 {
				return nil, bad
			}
			last = last[:len(last)-int(strip)] + string(rest[head+n:head+n+end])
			if len(last) > 1<<14 {
				return nil, bad
			}
			rest = rest[head+n+end+1:]
		} else {
			end := bytes.IndexByte(rest[head:], 0)
			if end < 0 {
				return nil, bad
			}
			last = string(rest[head : head+end])
			size := (head + end + 8) / 8 * 8
			if len(rest) < size {
				return nil, bad
			}
			rest = rest[size:]
		}
		names = append(names, last)
	}
	return names, nil
}

// gitNumber is git's number of a variable length, of at most most bytes; n is how many it
// has, 0 if it is none.
func gitNumber(b []byte, most int) (value int64, n int) {
	for i, c := range b[:min(most, len(b))] {
		if i > 0 {
			value++
		}
		value = value<<7 | int64(c&0x7f)
		if c&0x80 == 0 {
			return value, i + 1
		}
	}
	return 0, 0
}

// gitIgnored reports whether git leaves a file out (gitignore(5)): the last pattern that
// fits it or a folder above it decides.
func gitIgnored(lines []string, name string) bool {
	parts := strings.Split(name, "/")
	for i := range parts {
		part, isDir := strings.Join(parts[:i+1], "/"), i < len(parts)-1
		ignored := false
		for _, line := range lines {
			line = strings.TrimRight(line, " \t")
			if line == "" || line[0] == '#' {
				continue
			}
			pattern, negated := strings.CutPrefix(line, "!")
			pattern, dirOnly := strings.CutSuffix(pattern, "/")
			pattern = strings.TrimPrefix(pattern, "**/")
			if dirOnly && !isDir {
				continue
			}
			subject := path.Base(part)
			if strings.Contains(pattern, "/") {
				pattern, subject = strings.TrimPrefix(pattern, "/"), part
			}
			if under, all := strings.CutSuffix(pattern, "/**"); all && strings.HasPrefix(part, under+"/") {
				ignored = !negated
				continue
			}
			if ok, err := path.Match(pattern, subject); err == nil && ok {
				ignored = !negated
			}
		}
		if ignored {
			return true
		}
	}
	return false
}
