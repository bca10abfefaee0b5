package fix

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

// overlay is a tree with steps taken on it in memory. What lies below is only read.
type overlay struct {
	under facts.Tree
	now   time.Time
	all   map[string]*laid // by name, as facts.Tree has them
}

// laid is an entry that a step has changed; gone where it took it away.
type laid struct {
	gone bool
	info facts.Info
	text *string // nil where the content is what it was
}

func newOverlay(under facts.Tree, now time.Time) *overlay {
	return &overlay{under, now, map[string]*laid{}}
}

// find is the entry with a name, or nil where no step has touched it. What is below
// something that is gone is gone.
func (o *overlay) find(name string) *laid {
	for at := name; ; at = path.Dir(at) {
		if e := o.all[at]; e != nil && (at == name || e.gone) {
			return e
		}
		if at == "." || at == "/" {
			return nil
		}
	}
}

func notThere(op, name string) error {
	return &fs.PathError{Op: op, Path: "/" + name, Err: fs.ErrNotExist}
}

// Lstat implements facts.Tree.
func (o *overlay) Lstat(name string) (facts.Info, error) {
	e := o.find(name)
	switch {
	case e == nil:
		return o.under.Lstat(name)
	case e.gone:
		return facts.Info{}, notThere("lstat", name)
	}
	return e.info, nil
}

// ReadFile implements facts.Tree.
func (o *overlay) ReadFile(name string, most int64) ([]byte, error) {
	e := o.find(name)
	switch {
	case e == nil || !e.gone && e.text == nil && e.info.Mode.IsRegular():
		return o.under.ReadFile(name, most)
	case e.gone:
		return nil, notThere("open", name)
	case !e.info.Mode.IsRegular():
		return nil, fmt.Errorf("/%s: %w", name, facts.ErrNotFile)
	case int64(len(*e.text)) > most:
		return nil, fmt.Errorf("/%s: %w", name, facts.ErrTooLarge)
	}
	return []byte(*e.text), nil
}

// ReadDir implements facts.Tree.
func (o *overlay) ReadDir(name string) ([]string, error) {
	var names []string
	if e := o.find(name); e == nil || !e.gone {
		under, err := o.under.ReadDir(name)
		if err != nil && (e == nil || e.text == nil && !e.info.Mode.IsDir()) {
			return nil, err
		}
		names = under
	} else {
		return nil, notThere("open", name)
	}
	for at, e := range o.all {
		if path.Dir(at) != name || at == "." {
			continue
		}
		base := path.Base(at)
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == base })
		if !e.gone {
			names = append(names, base)
		}
	}
	slices.Sort(names)
	return names, nil
}

// take takes a step.
func (o *overlay) take(s finding.Step) {
	name := inTree(s.Path)
	if s.Kind == finding.StepSysctl {
		name = sysctlFile(s.Path)
	}
	if s.Kind == finding.StepHTTP {
		o.takeHTTP(name, s)
		return
	}
	if s.After == nil {
		o.all[name] = &laid{gone: true}
		return
	}
	e := &laid{info: facts.Info{Mode: facts.Permissions(s.After.Mode), UID: s.After.UID, GID: s.After.GID, ModTime: o.now, Target: s.After.Target}}
	if old := o.all[name]; old != nil && !old.gone {
		e.text = old.text
	}
	if was, err := o.Lstat(name); err == nil {
		e.info.Size, e.info.ModTime = was.Size, was.ModTime
		if s.Kind == finding.StepMode {
			e.info.Caps = was.Caps
		}
	}
	switch s.After.Type {
	case finding.EntryDirectory:
		e.info.Mode |= fs.ModeDir
	case finding.EntryLink:
		e.info.Mode |= fs.ModeSymlink
	}
	if s.After.Content != nil {
		text := *s.After.Content
		e.text, e.info.Size, e.info.ModTime = &text, int64(len(text)), o.now
	}
	o.all[name] = e
}

// takeHTTP lays Home Assistant's file with other settings in it over its own. Where that
// cannot be, the file stays as it is, and the finding with it.
func (o *overlay) takeHTTP(name string, s finding.Step) {
	info, err := o.Lstat(name)
	if err != nil {
		return
	}
	text, err := o.ReadFile(name, maxEdited)
	if err != nil {
		return
	}
	after, err := ha.WithStoredOptions(text, *s.After.Content)
	if err != nil {
		return
	}
	says := string(after)
	info.Size, info.ModTime = int64(len(after)), o.now
	o.all[name] = &laid{info: info, text: &says}
}

// sysctlFile is the file of a sysctl in a tree.
func sysctlFile(key string) string { return "proc/sys/" + key }
