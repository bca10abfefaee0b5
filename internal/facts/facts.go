// Package facts reads what is so on the host, and is the only code that looks at
// it. Nothing here judges or changes anything; what cannot be read is said to be
// unknown, never taken for absent.
//
// For now it answers one question: where Home Assistant is ([FindHomes]).
package facts

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Kind is how Home Assistant was installed.
type Kind string

// The kinds.
const (
	Core       Kind = "core"       // as a program, usually in a virtual environment of Python
	Container  Kind = "container"  // in a container that somebody starts by hand or with compose
	Supervised Kind = "supervised" // under its Supervisor, on Home Assistant OS or Debian
)

// A Home is one installation of Home Assistant on this host.
type Home struct {
	Dir     string `json:"dir"`     // configuration directory, as a path of the host
	Kind    Kind   `json:"kind"`    // how it was installed
	Release string `json:"release"` // "2026.11.0"; empty if it does not say
	Process int    `json:"process"` // its process id; 0 where none was seen
	// URL is where it should answer, by its settings; empty if they cannot be read.
	URL string `json:"url"`
	// Trusts are the networks whose forwarded headers it believes, by its settings.
	Trusts []string `json:"trusts"`
	// Onboarded says whether its own onboarding is finished.
	Onboarded Answer `json:"onboarded"`
	// Unread is why some of the above is unknown; nil if all was read.
	Unread error `json:"-"`
}

// An Answer is yes, no, or not known because it could not be read.
type Answer string

// The answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// A Search is what FindHomes found.
type Search struct {
	Homes []Home
	// Closed are places that may hold a home and could not be looked into.
	Closed []string
}

// An Outcome sums a search up.
type Outcome int

// The outcomes.
const (
	NotFound    Outcome = iota // everything was looked at and there is none
	Found                      // at least one was found
	CannotJudge                // none was found, and not everything could be looked at
)

// Outcome sums the search up.
func (s Search) Outcome() Outcome {
	switch {
	case len(s.Homes) > 0:
		return Found
	case len(s.Closed) > 0:
		return CannotJudge
	}
	return NotFound
}

// usual are the patterns of directories where installations keep their configuration.
var usual = []struct {
	pattern string
	kind    Kind
}{
	{"usr/share/hassio/homeassistant", Supervised},            // Supervised on Debian
	{"mnt/data/supervisor/homeassistant", Supervised},         // Home Assistant OS, from its host
	{"homeassistant", Supervised},                             // an app of Home Assistant OS
	{"config", Container},                                     // beside it in a container
	{"home/*/.homeassistant", Core},                           // the default of a Core installation
	{"root/.homeassistant", Core},                             // the same, as root
	{"home/*/homeassistant", Container},                       // a usual volume of compose
	{"home/*/homeassistant/config", Container},                //
	{"var/lib/homeassistant", Core},                           // packages of distributions
	{"var/lib/hass", Core},                                    // NixOS
	{"srv/homeassistant", Core},                               //
	{"opt/homeassistant", Container},                          //
	{"opt/homeassistant/config", Container},                   //
	{"var/lib/docker/volumes/*/_data", Container},             // named volumes
	{"var/lib/containers/storage/volumes/*/_data", Container}, // the same with podman
}

// FindHomes looks for Home Assistant on the host whose file system begins at root:
// first what runs, then the directories where installations usually are.
func FindHomes(root fs.FS) Search {
	l := &looking{root: root, seen: map[string]bool{}}
	l.processes()
	for _, u := range usual {
		l.directories(u.pattern, u.kind)
	}
	slices.Sort(l.found.Closed)
	l.found.Closed = slices.Compact(l.found.Closed)
	slices.SortStableFunc(l.found.Homes, func(a, b Home) int { return cmp.Compare(b2i(a.Process == 0), b2i(b.Process == 0)) })
	return l.found
}

// HomeAt reads the home whose configuration directory is dir, a path of the host.
// The error says that there is none, or wraps fs.ErrPermission.
func HomeAt(root fs.FS, dir string) (Home, error) {
	name, err := inRoot(dir)
	if err != nil {
		return Home{}, err
	}
	if err := isHome(root, name); err != nil {
		return Home{}, err
	}
	for _, h := range FindHomes(root).Homes {
		if h.Dir == "/"+name {
			return h, nil
		}
	}
	return read(root, name, Core, 0), nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// inRoot makes an absolute path one of an fs.FS.
func inRoot(dir string) (string, error) {
	if !path.IsAbs(dir) {
		return "", &fs.PathError{Op: "open", Path: dir, Err: errors.New("the path must begin with /")}
	}
	if name := strings.TrimPrefix(path.Clean(dir), "/"); name != "" {
		return name, nil
	}
	return ".", nil
}

// looking is one search.
type looking struct {
	root  fs.FS
	seen  map[string]bool // directories of homes that were found
	found Search
}

// directories looks at all directories that match a pattern with at most one *.
func (l *looking) directories(pattern string, kind Kind) {
	before, after, many := strings.Cut(pattern, "*")
	if !many {
		l.directory(pattern, kind, 0)
		return
	}
	dir := strings.TrimSuffix(before, "/")
	entries, err := fs.ReadDir(l.root, dir)
	if err != nil {
		l.closed(dir, err)
		return
	}
	for _, e := range entries {
		l.directory(before+e.Name()+after, kind, 0)
	}
}

// directory takes up the home in a directory, if there is one.
func (l *looking) directory(name string, kind Kind, process int) {
	if l.seen[name] {
		return
	}
	if err := isHome(l.root, name); err != nil {
		l.closed(name, err)
		return
	}
	l.seen[name] = true
	l.found.Homes = append(l.found.Homes, read(l.root, name, kind, process))
}

func (l *looking) closed(name string, err error) {
	if errors.Is(err, fs.ErrPermission) {
		l.found.Closed = append(l.found.Closed, "/"+name)
	}
}

// versionName is the file in which Home Assistant notes the release that ran last.
const versionName = ".HA_VERSION"

// isHome returns nil if a directory is a configuration directory of Home Assistant
// that has run there: it keeps its release and its storage in it.
func isHome(root fs.FS, name string) error {
	_, err := fs.Stat(root, path.Join(name, versionName))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err = fs.Stat(root, path.Join(name, "configuration.yaml")); err == nil {
			_, err = fs.Stat(root, path.Join(name, ".storage"))
		}
	}
	return err
}

// processes looks at what runs. On another system than Linux there is no /proc, and
// then this finds nothing.
func (l *looking) processes() {
	entries, err := fs.ReadDir(l.root, "proc")
	if err != nil {
		l.closed("proc", err)
		return
	}
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil || id <= 0 {
			continue
		}
		// A process that has ended meanwhile is none.
		text, err := fs.ReadFile(l.root, path.Join("proc", e.Name(), "cmdline"))
		if err != nil {
			continue
		}
		if dir, ok := configDir(strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")); ok {
			l.process(id, dir)
		}
	}
}

// configDir reads the configuration directory out of the command line of a Home
// Assistant; "" where it says none, and false if it is another program.
func configDir(args []string) (dir string, ok bool) {
	at := -1 // where Home Assistant's own arguments begin
	for i, a := range args {
		if i > 4 {
			break
		}
		if path.Base(a) == "hass" || a == "homeassistant" && i > 0 && args[i-1] == "-m" {
			at = i + 1
			break
		}
	}
	if at < 0 {
		return "", false
	}
	for i, a := range args[at:] {
		if value, found := strings.CutPrefix(a, "--config="); found {
			return value, true
		}
		if (a == "-c" || a == "--config") && at+i+1 < len(args) {
			return args[at+i+1], true
		}
	}
	return "", true
}

// process takes up the home of a running Home Assistant: dir is what its command
// line says, seen from its own root, which in a container is not ours.
func (l *looking) process(id int, dir string) {
	proc := path.Join("proc", strconv.Itoa(id))
	if dir == "" {
		return // its user's ~/.homeassistant, which is among the usual ones
	}
	if !path.IsAbs(dir) {
		cwd, err := fs.ReadLink(l.root, path.Join(proc, "cwd"))
		if err != nil {
			l.closed(proc, err)
			return
		}
		dir = path.Join(cwd, dir)
	}
	name, err := inRoot(dir)
	if err != nil {
		return
	}
	theirs := path.Join(proc, "root", name)
	if err := isHome(l.root, theirs); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			// Its root is closed to us. The directory itself may be there all the same.
			if isHome(l.root, name) == nil {
				l.directory(name, l.kindOf(name, Core), id)
			} else {
				l.closed(proc, err)
			}
		}
		return
	}
	if l.same(theirs, name) {
		l.directory(name, l.kindOf(name, Core), id)
		return
	}
	// In a container: the directory's name on the host is what lasts.
	if host, ok := l.onHost(proc, dir); ok && isHome(l.root, host) == nil {
		l.directory(host, l.kindOf(host, Container), id)
		return
	}
	l.directory(theirs, Container, id)
}

// same reports whether two names are one directory.
func (l *looking) same(a, b string) bool {
	x, err := fs.Stat(l.root, a)
	if err != nil {
		return false
	}
	y, err := fs.Stat(l.root, b)
	return err == nil && os.SameFile(x, y)
}

// kindOf knows the Supervisor's directories by their names.
func (l *looking) kindOf(name string, otherwise Kind) Kind {
	for _, u := range usual {
		if u.pattern == name && u.kind == Supervised {
			return Supervised
		}
	}
	return otherwise
}

// A mount is one line of mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	device string // major:minor
	inside string // the directory of that file system that is mounted
	at     string // where
}

func mounts(root fs.FS, name string) (list []mount) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return nil
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 4 {
			list = append(list, mount{f[2], unescape.Replace(f[3]), unescape.Replace(f[4])})
		}
	}
	return list
}

// onHost finds which directory of the host a directory in a container is: the file
// system that is mounted there is mounted here as well.
func (l *looking) onHost(proc, dir string) (name string, ok bool) {
	theirs, below, ok := covering(mounts(l.root, path.Join(proc, "mountinfo")), dir)
	if !ok {
		return "", false
	}
	inside, best := path.Join(theirs.inside, below), -1
	for _, ours := range mounts(l.root, "proc/self/mountinfo") {
		rest, found := beneath(inside, ours.inside)
		if found && ours.device == theirs.device && len(ours.inside) > best {
			name, best = strings.TrimPrefix(path.Join(ours.at, rest), "/"), len(ours.inside)
		}
	}
	return name, best >= 0
}

// covering returns the mount that a directory is on, and the rest of its path.
func covering(list []mount, dir string) (m mount, rest string, ok bool) {
	best := -1
	for _, candidate := range list {
		// Of two mounts at one place the later one is seen.
		if r, found := beneath(dir, candidate.at); found && len(candidate.at) >= best {
			m, rest, best = candidate, r, len(candidate.at)
		}
	}
	return m, rest, best >= 0
}

// beneath returns what is left of a path below another.
func beneath(name, above string) (rest string, ok bool) {
	if above == "/" || name == above {
		return strings.TrimPrefix(strings.TrimPrefix(name, above), "/"), true
	}
	rest, ok = strings.CutPrefix(name, above+"/")
	return rest, ok
}
