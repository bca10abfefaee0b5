package facts

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// What a history may be at most: a pack in bytes, one object of it, all in number, and
// what is unpacked of them.
const (
	maxGitPack    = 128 << 20
	maxGitObject  = 16 << 20
	maxGitObjects = 1 << 20
	maxGitWork    = 2 << 30
)

// gitObject is an object as git keeps it.
type gitObject struct {
	kind string // "commit", "tree", "blob", "tag"
	data []byte
}

// gitPack is a file of many objects, with where each begins.
type gitPack struct {
	data    []byte
	offsets map[string]int64
}

// gitStore are the objects of a repository.
type gitStore struct {
	h     *Host
	dir   string // ".git/objects", as the host sees it
	packs []gitPack
	left  int64 // bytes that may still be unpacked
}

// gitHistory names all files that any commit of a repository has ever held, whether a
// branch still leads there or not.
func (h *Host) gitHistory(dir string) ([]string, error) {
	s := gitStore{h: h, dir: dir, left: maxGitWork}
	if there, err := h.Exists(dir + "/info/alternates"); err != nil || there {
		return nil, errors.Join(err, errors.New(dir+": some of its objects are kept elsewhere"))
	}
	ids, err := s.open()
	if err != nil {
		return nil, err
	}
	files, seen := map[string]bool{}, map[string]bool{}
	for _, id := range ids {
		o, err := s.object(id, true)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", dir, id, err)
		}
		if o.kind != "commit" {
			continue
		}
		line, _, _ := bytes.Cut(o.data, []byte("\n"))
		tree, ok := bytes.CutPrefix(line, []byte("tree "))
		if !ok {
			return nil, fmt.Errorf("%s: %s: a commit without a tree", dir, id)
		}
		if err := s.walk(string(tree), "", files, seen); err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	var all []string
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all, nil
}

// open reads the packs, and returns the names of all objects.
func (s *gitStore) open() ([]string, error) {
	var ids []string
	folders, err := s.h.Dir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		if len(f) != 2 || strings.Trim(f, "0123456789abcdef") != "" {
			continue
		}
		names, err := s.h.Dir(s.dir + "/" + f)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if len(n) == 38 && strings.Trim(n, "0123456789abcdef") == "" {
				ids = append(ids, f+n)
			} else if len(n) == 62 {
				return nil, errors.New(s.dir + ": names of SHA-256, which are not read")
			}
		}
	}
	indexes, err := s.h.Glob(s.dir + "/pack/*.idx")
	if err != nil {
		return nil, err
	}
	for _, name := range indexes {
		index, err := s.h.HAHead(name, maxGitPack)
		if err != nil {
			return nil, err
		}
		offsets, err := gitPackIndex(index)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		pack := strings.TrimSuffix(name, ".idx") + ".pack"
		data, err := s.h.HAHead(pack, maxGitPack)
		switch {
		case err != nil:
			return nil, err
		case len(data) >= maxGitPack:
			return nil, fmt.Errorf("%s: too large to look through", pack)
		}
		s.packs = append(s.packs, gitPack{data, offsets})
		for id := range offsets {
			ids = append(ids, id)
		}
	}
	if len(ids) > maxGitObjects {
		return nil, errors.New(s.dir + ": too many objects to look through")
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// walk collects the files of a tree and of the trees in it, each tree once at a place.
func (s *gitStore) walk(id, at string, files, seen map[string]bool) error {
	if key := id + at; seen[key] {
		return nil
	} else {
		seen[key] = true
	}
	const deepest = 64
	if len(seen) > maxGitObjects || len(files) > maxGitObjects || strings.Count(at, "/") > deepest {
		return errors.New("too much to look through")
	}
	o, err := s.object(id, false)
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	if o.kind != "tree" {
		return fmt.Errorf("%s: not a tree", id)
	}
	entries, err := gitTree(o.data)
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	for _, e := range entries {
		switch e.mode {
		case "40000":
			if err := s.walk(e.id, at+e.name+"/", files, seen); err != nil {
				return err
			}
		case "160000": // another repository
		default:
			files[at+e.name] = true
		}
	}
	return nil
}

type gitEntry struct{ mode, name, id string }

// gitTree reads a tree: mode, name and twenty bytes, again and again.
func gitTree(data []byte) (all []gitEntry, err error) {
	for len(data) > 0 {
		mode, rest, ok := bytes.Cut(data, []byte(" "))
		name, rest, ok2 := bytes.Cut(rest, []byte("\x00"))
		if !ok || !ok2 || len(rest) < 20 || len(name) == 0 {
			return nil, errors.New("not a tree of git")
		}
		all = append(all, gitEntry{string(mode), string(name), hex.EncodeToString(rest[:20])})
		data = rest[20:]
	}
	return all, nil
}

// object reads an object; of one that is no commit, where only commits are wanted, the
// kind alone.
func (s *gitStore) object(id string, commits bool) (gitObject, error) {
	for _, p := range s.packs {
		if offset, ok := p.offsets[id]; ok {
			return s.packed(p, offset, commits, 0)
		}
	}
	if len(id) != 40 {
		return gitObject{}, errors.New("no name of an object")
	}
	data, err := s.h.HAHead(s.dir+"/"+id[:2]+"/"+id[2:], maxGitObject)
	if err != nil {
		return gitObject{}, err
	}
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return gitObject{}, err
	}
	head := make([]byte, 0, 32)
	for one := make([]byte, 1); len(head) < cap(head); {
		if _, err := io.ReadFull(z, one); err != nil {
			return gitObject{}, err
		}
		if one[0] == 0 {
			break
		}
		head = append(head, one[0])
	}
	kind, size, ok := strings.Cut(string(head), " ")
	n, err := strconv.Atoi(size)
	if !ok || err != nil {
		return gitObject{}, errors.New("not an object of git")
	}
	if kind == "blob" || commits && kind != "commit" {
		return gitObject{kind: kind}, nil
	}
	if s.left -= int64(n); n < 0 || n > maxGitObject || s.left < 0 {
		return gitObject{}, errors.New("too large")
	}
	o := gitObject{kind, make([]byte, n)}
	_, err = io.ReadFull(z, o.data)
	return o, err
}

// packed reads an object out of a pack (gitformat-pack(5)).
func (s *gitStore) packed(p gitPack, offset int64, commits bool, depth int) (gitObject, error) {
	bad := errors.New("not a pack of git")
	const deepest = 4096 // as git itself at most
	if offset < 12 || offset >= int64(len(p.data)) || depth > deepest {
		return gitObject{}, bad
	}
	rest := p.data[offset:]
	kind, size, shift, n := int(rest[0]>>4&7), uint64(rest[0]&15), 4, 1
	for rest[n-1]&0x80 != 0 {
		if n >= len(rest) || n > 9 {
			return gitObject{}, bad
		}
		size |= uint64(rest[n]&0x7f) << shift
		shift, n = shift+7, n+1
	}
	rest = rest[n:]
	const offsetDelta, nameDelta = 6, 7
	var base gitObject
	switch kind {
	case 1, 2, 3, 4:
		base.kind = []string{"commit", "tree", "blob", "tag"}[kind-1]
		if base.kind == "blob" || commits && base.kind != "commit" {
			return base, nil
		}
	case offsetDelta:
		back, n := gitNumber(rest, 9) // how far back the object lies that the delta starts from
		if n == 0 {
			return gitObject{}, bad
		}
		rest = rest[n:]
		var err error
		if base, err = s.packed(p, offset-back, commits, depth+1); err != nil {
			return base, err
		}
	case nameDelta:
		if len(rest) < 20 {
			return gitObject{}, bad
		}
		at, ok := p.offsets[hex.EncodeToString(rest[:20])]
		if !ok || at == offset {
			return gitObject{}, bad
		}
		rest = rest[20:]
		var err error
		if base, err = s.packed(p, at, commits, depth+1); err != nil {
			return base, err
		}
	default:
		return gitObject{}, bad
	}
	if base.kind == "blob" || commits && base.kind != "commit" {
		return base, nil
	}
	if s.left -= int64(min(size, maxGitObject)) + int64(len(base.data)); size > maxGitObject || s.left < 0 {
		return gitObject{}, errors.New("too large")
	}
	z, err := zlib.NewReader(bytes.NewReader(rest))
	if err != nil {
		return gitObject{}, err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(z, data); err != nil {
		return gitObject{}, err
	}
	if kind == offsetDelta || kind == nameDelta {
		if data, err = gitDelta(base.data, data); err != nil {
			return gitObject{}, err
		}
	}
	return gitObject{base.kind, data}, nil
}

// gitDelta makes an object of another one and what is different.
func gitDelta(base, delta []byte) ([]byte, error) {
	bad := errors.New("not a delta of git")
	size := func() (n uint64, ok bool) {
		for shift := 0; len(delta) > 0 && shift < 64; shift += 7 {
			c := delta[0]
			delta = delta[1:]
			n |= uint64(c&0x7f) << shift
			if c&0x80 == 0 {
				return n, true
			}
		}
		return 0, false
	}
	from, ok := size()
	to, ok2 := size()
	if !ok || !ok2 || from != uint64(len(base)) || to > maxGitObject {
		return nil, bad
	}
	out := make([]byte, 0, to)
	for len(delta) > 0 {
		c := delta[0]
		delta = delta[1:]
		if c&0x80 == 0 {
			if c == 0 || int(c) > len(delta) {
				return nil, bad
			}
			out = append(out, delta[:c]...)
			delta = delta[c:]
		} else {
			var at, many uint64
			for bit := range 7 {
				if c&(1<<bit) == 0 {
					continue
				}
				if len(delta) == 0 {
					return nil, bad
				}
				if bit < 4 {
					at |= uint64(delta[0]) << (8 * bit)
				} else {
					many |= uint64(delta[0]) << (8 * (bit - 4))
				}
				delta = delta[1:]
			}
			if many == 0 {
				many = 1 << 16
			}
			if at+many > uint64(len(base)) {
				return nil, bad
			}
			out = append(out, base[at:at+many]...)
		}
		if uint64(len(out)) > to {
			return nil, bad
		}
	}
	if uint64(len(out)) != to {
		return nil, bad
	}
	return out, nil
}

// gitPackIndex reads where the objects of a pack begin, by their names (gitformat-pack(5)).
func gitPackIndex(data []byte) (map[string]int64, error) {
	bad := errors.New("not an index of a pack of version 2")
	const head = 8 + 256*4
	if len(data) < head || !bytes.HasPrefix(data, []byte("\xfftOc\x00\x00\x00\x02")) {
		return nil, bad
	}
	count := int(binary.BigEndian.Uint32(data[head-4:]))
	if count > maxGitObjects || len(data) < head+count*28 {
		return nil, bad
	}
	names, offsets := data[head:], data[head+count*24:]
	large := offsets[count*4:]
	all := make(map[string]int64, count)
	for n := range count {
		at := int64(binary.BigEndian.Uint32(offsets[n*4:]))
		if at&(1<<31) != 0 {
			place := int(at&(1<<31-1)) * 8
			if place+8 > len(large) {
				return nil, bad
			}
			at = int64(binary.BigEndian.Uint64(large[place:]) & (1<<63 - 1))
		}
		all[hex.EncodeToString(names[n*20:n*20+20])] = at
	}
	return all, nil
}
