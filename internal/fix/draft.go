package fix

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

// maxEdited bounds a file that is edited, in bytes.
const maxEdited = 4 << 20

// Draft is a fix in the making, on a copy in memory of what lies there. After the first
// error its methods do nothing, and Fix returns it; so a repair is written in a straight
// line.
type Draft struct {
	// Host is the home as it would be by now.
	Host *facts.Host

	fix  finding.Fix
	tree *overlay
	err  error
}

// Begin begins a fix of a home: what it does, and what may stop working (or nothing), each
// in a sentence for its owner.
func Begin(h *facts.Host, does, breaks string) *Draft {
	d := &Draft{tree: newOverlay(h.Tree, h.Now), fix: finding.Fix{Does: does, Breaks: breaks}}
	d.Host = h.Over(d.tree)
	return d
}

// Fix is what was drafted, or the first error.
func (d *Draft) Fix() (finding.Fix, error) {
	if d.err == nil && len(d.fix.Steps) == 0 && len(d.fix.After) == 0 {
		return finding.Fix{}, errors.New("there is nothing to change")
	}
	return d.fix, d.err
}

// Err is the first error of the draft, nil as long as it is whole.
func (d *Draft) Err() error { return d.err }

// Fail ends the draft with an error; nil does nothing.
func (d *Draft) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Refuse ends the draft because the home has to be left as it is.
func (d *Draft) Refuse(hint, format string, args ...any) { d.Fail(Refuse(hint, format, args...)) }

// Guard says that the fix could lock the owner out.
func (d *Draft) Guard() { d.fix.Guarded = true }

// Text is a file's text by now, "" where there is none.
func (d *Draft) Text(name string) string {
	at, err := d.Host.Resolve(name)
	if errors.Is(err, fs.ErrNotExist) || d.err != nil {
		return ""
	}
	if err == nil {
		var text []byte
		if text, err = d.tree.ReadFile(inTree(at), maxEdited); err == nil {
			return string(text)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return ""
		}
	}
	d.Fail(err)
	return ""
}

// Edit changes the text of a file that is there; mode and owner stay. A file that says
// that it belongs to some other program is left alone, unless that program's name is among
// known: the caller knows how it lives with that.
func (d *Draft) Edit(name string, change func(text string) (string, error), known ...string) {
	at, was := d.there(name)
	if d.err != nil {
		return
	}
	if was == nil {
		d.Refuse("", "%s is not there", name)
		return
	}
	if was.Type != finding.EntryFile {
		d.Refuse("", "%s is not a file", at)
		return
	}
	text, err := d.tree.ReadFile(inTree(at), maxEdited)
	if err != nil {
		d.Fail(err)
		return
	}
	if !utf8.Valid(text) || strings.IndexByte(string(text), 0) >= 0 {
		d.Refuse("", "%s is not a text", at)
		return
	}
	if line := managed(string(text), known); line != "" {
		d.Refuse("change it where that program is told what to write", "%s belongs to another program: it says %q", at, line)
		return
	}
	before := string(text)
	after, err := change(before)
	if err != nil {
		d.Fail(fmt.Errorf("%s: %w", at, err))
		return
	}
	if after == before {
		return
	}
	next := *was
	was.Content, next.Content = &before, &after
	d.add(finding.Step{Kind: finding.StepEdit, Path: at, Before: was, After: &next})
}

// Write gives a file a text, whether it is there or not. A new one is root's and has this
// mode; directories on the way are made.
func (d *Draft) Write(name string, mode uint32, text string) {
	if at, was := d.there(name); d.err == nil && was == nil {
		d.directories(path.Dir(at))
		d.add(finding.Step{Kind: finding.StepCreate, Path: at, After: &finding.Entry{Type: finding.EntryFile, Mode: mode, Content: &text}})
		return
	}
	d.Edit(name, func(string) (string, error) { return text, nil }, "gatehouse")
}

// Directory makes a directory of root's where there is nothing.
func (d *Draft) Directory(name string, mode uint32) {
	at, was := d.there(name)
	switch {
	case d.err != nil:
	case was == nil:
		d.directories(path.Dir(at))
		d.add(finding.Step{Kind: finding.StepCreate, Path: at, After: &finding.Entry{Type: finding.EntryDirectory, Mode: mode}})
	case was.Type != finding.EntryDirectory:
		d.Refuse("", "%s is not a directory", at)
	}
}

func (d *Draft) directories(name string) {
	if there, err := d.Host.Exists(name); err != nil {
		d.Fail(err)
	} else if !there {
		d.Directory(name, 0o755)
	}
}

// Link makes a symbolic link where there is nothing.
func (d *Draft) Link(name, target string) {
	at, was := d.itself(name)
	switch {
	case d.err != nil:
	case was != nil && was.Type == finding.EntryLink && was.Target == target:
	case was != nil:
		d.Refuse("", "%s is there already", at)
	default:
		d.directories(path.Dir(at))
		d.add(finding.Step{Kind: finding.StepCreate, Path: at, After: &finding.Entry{Type: finding.EntryLink, Mode: 0o777, Target: target}})
	}
}

// Mode changes the permissions of a file or directory.
func (d *Draft) Mode(name string, mode uint32) {
	d.attributes(name, func(e *finding.Entry) { e.Mode = mode })
}

// Owner changes whose a file, directory or symbolic link is. The bits for set-user-id and
// set-group-id go, as chown(2) has it.
func (d *Draft) Owner(name string, uid, gid uint32) {
	d.attributes(name, func(e *finding.Entry) {
		e.UID, e.GID = uid, gid
		if e.Type == finding.EntryFile {
			e.Mode &^= 0o6000
		}
	})
}

func (d *Draft) attributes(name string, change func(*finding.Entry)) {
	at, was := d.itself(name)
	if d.err != nil {
		return
	}
	if was != nil && was.Type == finding.EntryLink {
		old := *was
		if change(&old); old.Mode != was.Mode { // a link has no mode of its own
			at, was = d.there(name)
		}
	}
	if d.err != nil {
		return
	}
	if was == nil {
		d.Refuse("", "%s is not there", name)
		return
	}
	next := *was
	if change(&next); next == *was {
		return
	}
	d.add(finding.Step{Kind: finding.StepMode, Path: at, Before: was, After: &next})
}

// Delete takes a file, a symbolic link or an empty directory away. It is kept in the
// journal until the fix is forgotten.
func (d *Draft) Delete(name string) {
	at, was := d.itself(name)
	switch {
	case d.err != nil || was == nil:
		return
	case was.Type == finding.EntryDirectory:
		if names, err := d.tree.ReadDir(inTree(at)); err != nil || len(names) > 0 {
			d.Fail(cmp.Or(err, Refuse("", "%s is not empty", at)))
			return
		}
	case was.Type == finding.EntryFile:
		info, err := d.tree.Lstat(inTree(at))
		if err != nil {
			d.Fail(err)
			return
		}
		was.Size = info.Size
	}
	d.add(finding.Step{Kind: finding.StepDelete, Path: at, Before: was})
}

// Sysctl sets a value of the running kernel; key is written with dots or with slashes. On a
// root that does not run there is nothing to set. final: the kernel does not take it back.
func (d *Draft) Sysctl(key, value string, final bool) {
	if d.err != nil || !d.Host.Live {
		return
	}
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	if err := appliance(d.Host); err != nil {
		d.Fail(err)
		return
	}
	text, err := d.tree.ReadFile(sysctlFile(key), 1<<16)
	if errors.Is(err, fs.ErrNotExist) {
		return // the kernel has no such thing
	}
	if err != nil {
		d.Fail(err)
		return
	}
	before := strings.TrimSpace(string(text))
	if before == value {
		return
	}
	d.add(finding.Step{Kind: finding.StepSysctl, Path: key, Final: final,
		Before: &finding.Entry{Type: finding.EntryValue, Mode: 0o644, Content: &before}, After: &finding.Entry{Type: finding.EntryValue, Mode: 0o644, Content: &value}})
}

// HTTPOption sets an option of Home Assistant's web server where its release keeps them in its
// own storage, since 2026.8 (.storage/http); nil takes it away. While Home Assistant runs,
// its API does it: it restarts with the new settings, and keeps them once it is seen to work.
func (d *Draft) HTTPOption(name string, value any) {
	if d.err != nil {
		return
	}
	at, was := d.there(d.Host.HAPath(".storage/http"))
	if d.err != nil {
		return
	}
	if was == nil {
		d.Refuse("", "%s is not there", at)
		return
	}
	text, err := d.tree.ReadFile(inTree(at), maxEdited)
	if err != nil {
		d.Fail(err)
		return
	}
	before, err := ha.StoredOptions(text)
	if err != nil {
		d.Fail(err)
		return
	}
	after, err := ha.WithOption(before, name, value)
	if err != nil {
		d.Fail(err)
		return
	}
	if after == before {
		return
	}
	if !d.Host.Live {
		d.Edit(at, func(text string) (string, error) {
			changed, err := ha.WithStoredOptions([]byte(text), after)
			return string(changed), err
		})
		return
	}
	d.Guard()
	d.add(finding.Step{Kind: finding.StepHTTP, Path: at,
		Before: &finding.Entry{Type: finding.EntryValue, Content: &before}, After: &finding.Entry{Type: finding.EntryValue, Content: &after}})
}

// ByAPI reports whether Home Assistant's API does all of it, and restarts it where that is
// needed.
func (d *Draft) ByAPI() bool {
	return len(d.fix.Steps) > 0 && !slices.ContainsFunc(d.fix.Steps, func(s finding.Step) bool { return s.Kind != finding.StepHTTP })
}

// Secret says that the content of a file is not shown to everybody.
func (d *Draft) Secret(name string) {
	at, _ := d.there(name)
	for n := range d.fix.Steps {
		if d.fix.Steps[n].Path == at {
			d.fix.Steps[n].Secret = true
		}
	}
}

// Validate has a program of the closed list look at its configuration, Unit has systemd do
// something with a unit ("reload", "ssh.service"), and Run runs a program of the closed list.
func (d *Draft) Validate(what string) { d.after(finding.ActionValidate, what) }
func (d *Draft) Unit(verb, unit string) {
	d.after(finding.ActionUnit, strings.TrimSpace(verb+" "+unit))
}
func (d *Draft) Run(what string) { d.after(finding.ActionRun, what) }

func (d *Draft) after(kind finding.ActionKind, of string) {
	a := finding.Action{Kind: kind, Of: of}
	if _, err := argvOf(a); err != nil {
		d.Fail(err)
		return
	}
	if kind == finding.ActionUnit || kind == finding.ActionRun && !strings.HasPrefix(of, "homeassistant") {
		if err := appliance(d.Host); err != nil {
			d.Fail(err)
			return
		}
	}
	if !slices.Contains(d.fix.After, a) {
		d.fix.After = append(d.fix.After, a)
	}
}

// there is what a name leads to, over symbolic links inside the root: its path without
// links, and its entry, nil where there is none yet.
func (d *Draft) there(name string) (string, *finding.Entry) {
	return d.look(name, d.Host.Resolve)
}

// itself is a name's own entry.
func (d *Draft) itself(name string) (string, *finding.Entry) {
	return d.look(name, func(name string) (string, error) {
		dir, err := d.Host.Resolve(path.Dir(path.Clean("/" + name)))
		return path.Join(dir, path.Base(name)), err
	})
}

func (d *Draft) look(name string, resolve func(string) (string, error)) (string, *finding.Entry) {
	if d.err != nil {
		return "", nil
	}
	name = path.Clean("/" + name)
	at, err := resolve(name)
	if errors.Is(err, fs.ErrNotExist) {
		// What is not there is made where its nearest directory that is there really is.
		if info, linkErr := d.Host.Lstat(name); linkErr == nil && info.Mode&fs.ModeSymlink != 0 {
			d.Refuse("", "%s is a symbolic link that leads nowhere", name)
			return "", nil
		}
		if dir := path.Dir(name); dir != name {
			above, _ := d.look(dir, d.Host.Resolve)
			if d.err != nil {
				return "", nil
			}
			return path.Join(above, path.Base(name)), nil
		}
	}
	if err != nil {
		d.Fail(err)
		return "", nil
	}
	e, err := entryOf(d.tree, at)
	if err == nil && e != nil && at != name {
		err = d.honest(name, e.UID)
	}
	if err != nil {
		d.Fail(err)
	}
	return at, e
}

// honest makes sure that no symbolic link of somebody's leads to what is not theirs: root
// would write, by their wish, where they may not.
func (d *Draft) honest(name string, owner uint32) error {
	next, rest := "/", strings.Split(strings.Trim(name, "/"), "/")
	const most = 1000 // as many as a path can have; resolve has found an end before
	for range most {
		if len(rest) == 0 {
			return nil
		}
		next = path.Join(next, rest[0])
		rest = rest[1:]
		info, err := d.tree.Lstat(inTree(next))
		if err != nil {
			return err
		}
		if info.Mode&fs.ModeSymlink == 0 {
			continue
		}
		if info.UID != 0 && info.UID != owner {
			return Refuse("put the file itself there, or have root make the link", "%s is a symbolic link of user %d to what belongs to user %d", next, info.UID, owner)
		}
		if next = path.Dir(next); path.IsAbs(info.Target) {
			next = "/"
		}
		rest = append(strings.Split(strings.Trim(info.Target, "/"), "/"), rest...)
	}
	return nil
}

// entryOf is the entry at a path without links, without content; nil where there is none.
func entryOf(t facts.Tree, at string) (*finding.Entry, error) {
	info, err := t.Lstat(inTree(at))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := &finding.Entry{Mode: facts.ModeBits(info.Mode), UID: info.UID, GID: info.GID}
	switch {
	case info.Mode.IsRegular():
		e.Type = finding.EntryFile
	case info.Mode.IsDir():
		e.Type = finding.EntryDirectory
	case info.Mode&fs.ModeSymlink != 0:
		e.Type, e.Target = finding.EntryLink, info.Target
	default:
		return nil, Refuse("", "%s is neither a file, a directory nor a symbolic link", at)
	}
	return e, nil
}

// add takes a step. What is done to one path stays one step.
func (d *Draft) add(s finding.Step) {
	if place(s) == finding.StepEdit {
		if why := forbidden(d.Host, s.Path); why != nil {
			d.Fail(why)
			return
		}
	}
	d.tree.take(s)
	d.Host = d.Host.Over(d.tree)
	n := slices.IndexFunc(d.fix.Steps, func(o finding.Step) bool { return o.Path == s.Path && place(o) == place(s) })
	if n < 0 {
		d.fix.Steps = append(d.fix.Steps, s)
		return
	}
	if d.fix.Steps[n].Kind == finding.StepDelete {
		d.Fail(fmt.Errorf("%s was taken away by this fix already", s.Path))
		return
	}
	merged, gone := merge(d.fix.Steps[n], s)
	if gone {
		d.fix.Steps = slices.Delete(d.fix.Steps, n, n+1)
		return
	}
	d.fix.Steps[n] = merged
}

// place is where a step's path leads: among the files, the sysctls, or the settings of Home
// Assistant.
func place(s finding.Step) finding.StepKind {
	switch s.Kind {
	case finding.StepSysctl, finding.StepHTTP:
		return s.Kind
	}
	return finding.StepEdit
}

// merge is one step instead of two of the same path; gone where they come to nothing.
func merge(a, b finding.Step) (finding.Step, bool) {
	s := finding.Step{Kind: b.Kind, Path: a.Path, Before: a.Before, After: b.After, Secret: a.Secret || b.Secret, Final: a.Final || b.Final}
	switch {
	case s.Before == nil && s.After == nil:
		return s, true
	case s.Before == nil:
		s.Kind = finding.StepCreate
	case s.After == nil:
		s.Kind = finding.StepDelete
		// What is deleted is kept as it was; an edit before it has no part in that.
		if s.Before.Content != nil {
			old := *s.Before
			old.Size, old.Content = int64(len(*old.Content)), nil
			s.Before = &old
		}
		return s, false
	case a.Kind == finding.StepEdit && b.Kind == finding.StepMode:
		s.Kind = finding.StepEdit
	}
	before, after := s.Before, *s.After
	if a.After != nil && a.After.Content != nil && after.Content == nil {
		after.Content = a.After.Content
	}
	if before != nil && before.Content == nil && b.Before != nil && b.Before.Content != nil && s.Kind == finding.StepEdit {
		old := *before
		old.Content = b.Before.Content
		before = &old
	}
	s.Before, s.After = before, &after
	return s, false
}

// managed is the line by which a file says that it belongs to some other program.
func managed(text string, known []string) string {
	if slices.ContainsFunc(known, func(k string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(k)) }) {
		return ""
	}
	const top = 40 // lines in which such a thing stands
	n := 0
	for line := range strings.Lines(text) {
		if n++; n > top {
			break
		}
		small := strings.ToLower(line)
		if !strings.ContainsAny(small, "#;/!<*\"") {
			continue // no comment of any kind
		}
		for _, mark := range []string{"ansible managed", "managed by puppet", "managed by chef", "managed by salt", "managed by ansible", "managed by cfengine", "managed by nix",
			"managed by terraform", "managed by cloud-init", "this file is managed by", "file is maintained by", "do not edit", "do not modify", "don't edit", "automatically generated", "autogenerated", "auto-generated", "generated by"} {
			if strings.Contains(small, mark) && !strings.Contains(small, "gatehouse") {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// appliance says why nothing of the machine is changed here; nil where it is the owner's.
func appliance(h *facts.Host) error {
	kind, err := h.Kind()
	if err != nil {
		return err
	}
	if kind == facts.KindHAOS {
		return Refuse("change it in Home Assistant's own pages", "Home Assistant OS looks after its own files")
	}
	return nil
}

// forbidden says why a path is nobody's to change here.
func forbidden(h *facts.Host, name string) error {
	if err := appliance(h); err != nil {
		return err
	}
	supervised, err := h.Supervised()
	if err != nil {
		return err
	}
	if supervised {
		for _, theirs := range []string{"/etc/docker", "/etc/NetworkManager", "/etc/systemd/journald.conf", "/etc/systemd/resolved.conf", "/etc/apparmor", "/etc/apparmor.d", "/etc/resolv.conf", "/etc/default/grub", "/boot", "/etc/hassio.json"} {
			if name == theirs || strings.HasPrefix(name, theirs+"/") || strings.HasPrefix(name, theirs+".d/") {
				return Refuse("", "%s is looked at by Home Assistant's Supervisor, which calls a home unsupported where it is changed", name)
			}
		}
	}
	for _, no := range []string{"/proc", "/sys", "/dev"} {
		if name == no || strings.HasPrefix(name, no+"/") {
			return fmt.Errorf("%s is no file", name)
		}
	}
	return nil
}
