package filter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// LookEvery is how often the files are looked at. One that changed is read when it is found
// unchanged at the next look, so that a download in progress is left alone.
const LookEvery = 5 * time.Second

// Config is what a Filter is made of.
type Config struct {
	Rules     []Rule
	Countries string // path of a MaxMind DB that tells countries; may be empty
	Networks  string // path of one that tells network operators; may be the same, or empty
	// Home, where set, reports whether an address is a neighbour's on the house's own link.
	Home func(netip.Addr) bool
	// Told, where set, is told of a file whenever something about it changed.
	Told func(File)
}

// Filter judges by rules whose files may be replaced while it runs. It is safe for use by
// several goroutines.
//
// A file that is damaged or gone changes nothing: what was read of it last stays in force.
// One that could not be read from the beginning matches nobody, and State says so.
type Filter struct {
	cfg   Config
	table atomic.Pointer[Table]

	mu    sync.Mutex
	files []*file
}

// The states of a file.
const (
	Good    = "good"    // all of it is in force
	Flawed  = "flawed"  // in force but for lines that cannot be read
	Stale   = "stale"   // it cannot be read now; what was read of it before is in force
	Missing = "missing" // it cannot be read and never could: nothing of it is in force
)

// File is how a file stands.
type File struct {
	Path       string    `json:"path"`
	Of         string    `json:"of"`    // list, countries, networks, or both of these
	Rules      []int     `json:"rules"` // that it is needed for, from 1
	State      string    `json:"state"`
	Trouble    string    `json:"trouble,omitempty"`    // what is wrong with it as it is now
	Entries    int       `json:"entries,omitempty"`    // prefixes of a list in force
	Unreadable int       `json:"unreadable,omitempty"` // lines of it that are left out
	Read       time.Time `json:"read,omitzero"`        // when what is in force was read
	Built      time.Time `json:"built,omitzero"`       // when a MaxMind DB was made, as it says
	Kind       string    `json:"kind,omitempty"`       // what a MaxMind DB calls itself
}

// New reads the files and makes a Filter. It is an error if Check has something to say of
// the rules; a file that cannot be read is none.
func New(cfg Config) (*Filter, error) {
	if wrong := Check(cfg.Rules, cfg.Countries != "", cfg.Networks != ""); len(wrong) > 0 {
		return nil, fmt.Errorf("filter: %w", wrong[0])
	}
	f := &Filter{cfg: cfg, files: filesOf(cfg)}
	for _, x := range f.files {
		x.begin()
		f.tell(x)
	}
	f.table.Store(compile(cfg.Rules, f.data(), nil))
	return f, nil
}

// Run looks at the files until ctx is done.
func (f *Filter) Run(ctx context.Context) error {
	if len(f.files) == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(LookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.look()
		}
	}
}

// Judge says what the rules mean for a request.
func (f *Filter) Judge(addr netip.Addr, door, route string, known bool) Verdict {
	return f.table.Load().Judge(Ask{addr, door, route, known, f.cfg.Home})
}

// Admit says what the rules mean for somebody at a door who has said nothing yet.
func (f *Filter) Admit(addr netip.Addr, door string) Verdict {
	return f.table.Load().Admit(Ask{Addr: addr, Door: door, Home: f.cfg.Home})
}

// Files returns how each file stands, lists first.
func (f *Filter) Files() []File {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]File, len(f.files))
	for i, x := range f.files {
		all[i] = x.said
	}
	return all
}

// look reads what has changed and puts it in force.
func (f *Filter) look() {
	fresh := false
	for _, x := range f.files {
		before := x.said
		took := x.look()
		fresh = fresh || took
		if took || before.State != x.next.State || before.Trouble != x.next.Trouble {
			f.tell(x)
		}
	}
	if fresh {
		f.table.Store(compile(f.cfg.Rules, f.data(), f.table.Load()))
	}
}

// tell makes known how a file stands.
func (f *Filter) tell(x *file) {
	f.mu.Lock()
	x.said = x.next
	f.mu.Unlock()
	if f.cfg.Told != nil {
		f.cfg.Told(x.said)
	}
}

// data is what is in force of the files.
func (f *Filter) data() data {
	d := data{lists: map[string]*list{}}
	for _, x := range f.files {
		switch {
		case x.list != nil:
			d.lists[x.next.Path] = x.list
		case x.geo != nil:
			if slices.Contains(x.wanted, forCountries) {
				d.countries = x.geo
			}
			if slices.Contains(x.wanted, forNetworks) {
				d.networks = x.geo
			}
		}
	}
	return d
}

// file is a file that rules need. Only said is looked at by others than whoever calls look.
type file struct {
	wanted []string // of a MaxMind DB; empty for a list
	next   File     // how it stands
	said   File     // the same, as far as it was made known; Filter.mu guards it

	took stamp // of the file that was read last, with or without success
	err  error // why without
	saw  stamp // when it was looked at last
	list *list // in force
	geo  *geo  // in force
}

// filesOf returns the files that rules need.
func filesOf(cfg Config) []*file {
	var all []*file
	need := func(path, of string, rule int, wanted ...string) {
		i := slices.IndexFunc(all, func(x *file) bool { return x.next.Path == path && (len(x.wanted) > 0) == (len(wanted) > 0) })
		if i < 0 {
			i, all = len(all), append(all, &file{next: File{Path: path, Of: of}})
		}
		x := all[i]
		for _, what := range wanted {
			if !slices.Contains(x.wanted, what) {
				if x.wanted = append(x.wanted, what); len(x.wanted) > 1 {
					x.next.Of = forCountries + ", " + forNetworks
				}
			}
		}
		if !slices.Contains(x.next.Rules, rule) {
			x.next.Rules = append(x.next.Rules, rule)
		}
	}
	for i, r := range cfg.Rules {
		for _, word := range r.From {
			switch from, _ := ParseFrom(word); {
			case from.List != "":
				need(from.List, fromList, i+1)
			case from.Country != "":
				need(cfg.Countries, forCountries, i+1, forCountries)
			case from.ASN != 0:
				need(cfg.Networks, forNetworks, i+1, forNetworks)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *file) int { return len(a.wanted) - len(b.wanted) })
	return all
}

// begin reads the file for the first time, as it is.
func (x *file) begin() {
	if at, err := stampOf(x.next.Path); err != nil {
		x.stand(err)
	} else {
		x.saw = at
		x.read(at)
	}
}

// look reads the file if it was replaced, and reports whether something else is in force now.
func (x *file) look() bool {
	at, err := stampOf(x.next.Path)
	switch {
	case err != nil:
		x.saw = stamp{}
		x.stand(err)
		return false
	case at == x.took:
		x.stand(x.err)
		return false
	case at != x.saw:
		x.saw = at
		return false
	}
	return x.read(at)
}

// errWritten says that a file was written to while it was read.
var errWritten = errors.New("is being written to")

// read reads the file and reports whether it can be used.
func (x *file) read(at stamp) bool {
	l, g, err := load(x.next.Path, at, x.wanted)
	if errors.Is(err, errWritten) {
		x.saw = stamp{}
	} else {
		x.took, x.err = at, err
	}
	if err != nil {
		x.stand(err)
		return false
	}
	x.list, x.geo = l, g
	x.next.Read = time.Now()
	if g != nil {
		x.next.Built, x.next.Kind = g.built, g.kind
	} else {
		x.next.Entries, x.next.Unreadable = l.len(), l.bad
	}
	x.stand(nil)
	return true
}

// stand says how the file stands, where it cannot be read because of err.
func (x *file) stand(err error) {
	x.next.State, x.next.Trouble = Good, ""
	switch inForce := x.list != nil || x.geo != nil; {
	case err != nil && inForce:
		x.next.State, x.next.Trouble = Stale, err.Error()
	case err != nil:
		x.next.State, x.next.Trouble = Missing, err.Error()
	case x.list != nil && x.list.bad > 0:
		x.next.State, x.next.Trouble = Flawed, x.list.first.Error()
	}
}

// load reads a file: a list, or a MaxMind DB that tells what is wanted.
func load(path string, at stamp, wanted []string) (l *list, g *geo, err error) {
	// Opening a pipe for reading waits for somebody who writes, but not so.
	in, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, plain(path, err)
	}
	defer in.Close()
	if err := same(in, path, at); err != nil {
		return nil, nil, err
	}
	if len(wanted) == 0 {
		l, err = readList(path, in)
	} else {
		g, err = readGeo(path, in, at.size, wanted)
	}
	if changed := same(in, path, at); changed != nil {
		return nil, nil, changed
	}
	return l, g, err
}

// readGeo reads a MaxMind DB of a size into memory, if it looks like one.
func readGeo(path string, in *os.File, size int64, wanted []string) (*geo, error) {
	if size > maxGeo {
		return nil, fmt.Errorf("%s: %w", path, errSize)
	}
	end := make([]byte, min(size, geoEnd))
	if _, err := in.ReadAt(end, size-int64(len(end))); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", path, errWritten)
	}
	if !bytes.Contains(end, []byte(geoMark)) {
		return nil, fmt.Errorf("%s: is damaged or no MaxMind DB: it does not end like one", path)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, errWritten)
	}
	return openGeo(path, data, wanted...)
}

// same makes sure that an open file is the one that was looked at.
func same(in *os.File, path string, at stamp) error {
	info, err := in.Stat()
	if err != nil {
		return plain(path, err)
	}
	now, err := stampIn(path, info)
	if err == nil && now != at {
		err = fmt.Errorf("%s: %w", path, errWritten)
	}
	return err
}

// stamp is by what a file is known to be the one that was read. The time of change tells
// of a chmod as well.
type stamp struct {
	device, inode   uint64
	size            int64
	written, change int64 // nanoseconds
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, plain(path, err)
	}
	return stampIn(path, info)
}

func stampIn(path string, info fs.FileInfo) (stamp, error) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("%s: is no file", path)
	}
	return stamp{uint64(s.Dev), s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()}, nil
}

// plain is an error of the file system, with the path in front.
func plain(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
