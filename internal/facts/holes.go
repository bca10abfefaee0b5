package facts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// TrackerFile is where the owner may put Debian's list of known holes, which the security
// tracker gives to everybody at /tracker/data/json; docs/audit.md says how.
const TrackerFile = "/var/cache/gatehouse/debian-security-tracker.json"

// maxTracker bounds that list, in bytes; trackerFresh is how long it is good for.
const (
	maxTracker   = 256 << 20
	trackerFresh = 14 * 24 * time.Hour
)

// OpenHole is a known hole in an installed package that the release has closed.
type OpenHole struct {
	ID      string // "CVE-2025-9230"
	Package Package
	FixedBy string
}

type trackerHole struct {
	Releases map[string]struct {
		Status  string `json:"status"`
		FixedBy string `json:"fixed_version"`
	} `json:"releases"`
}

// OpenHoles compares what is installed with Debian's list of known holes. It says only
// those that an update closes. The error wraps fs.ErrNotExist where there is no list.
func (h *Host) OpenHoles() ([]OpenHole, error) {
	return remember(h, "open holes", func() ([]OpenHole, error) {
		installed, err := h.Packages()
		if err != nil {
			return nil, err
		}
		at, err := resolve(h.Tree, TrackerFile, true)
		if err != nil {
			return nil, err
		}
		info, err := h.Tree.Lstat(at)
		if err != nil {
			return nil, err
		}
		if age := h.Now.Sub(info.ModTime); age > trackerFresh {
			return nil, fmt.Errorf("%s: %d days old", TrackerFile, int(age.Hours()/24))
		}
		r, err := h.Release()
		if err != nil {
			return nil, err
		}
		suite := debianSuite(r.Version)
		if suite == "" || !r.Is("debian") {
			return nil, fmt.Errorf("the list is Debian's, the system is %s %s", r.ID, r.Version)
		}
		data, err := h.Tree.ReadFile(at, maxTracker)
		if err != nil {
			return nil, err
		}
		return openHoles(string(data), suite, installed)
	})
}

func debianSuite(version string) string {
	switch version {
	case "11":
		return "bullseye"
	case "12":
		return "bookworm"
	case "13":
		return "trixie"
	}
	return ""
}

func openHoles(data, suite string, installed []Package) ([]OpenHole, error) {
	bySource := map[string][]Package{}
	for _, p := range installed {
		if !p.Installed {
			continue
		}
		source, version, _ := strings.Cut(p.Source, " (")
		if source == "" {
			source = p.Name
		}
		if version != "" { // of the source; a binary may be built again
			p.Version = strings.TrimSuffix(version, ")")
		}
		if n := strings.LastIndex(p.Version, "+b"); n > 0 && isNumber(p.Version[n+2:]) {
			p.Version = p.Version[:n]
		}
		if strings.HasPrefix(source, "linux-signed-") { // the kernel with a signature: 6.1.170+3 for 6.1.170-3
			if n := strings.LastIndexByte(p.Version, '+'); n > 0 {
				p.Version = p.Version[:n] + "-" + p.Version[n+1:]
			}
			source = "linux"
		}
		bySource[source] = append(bySource[source], p)
	}
	// Kernels stand beside each other, and the newest is started; of everything else the
	// oldest part counts.
	for source, all := range bySource {
		slices.SortStableFunc(all, func(a, b Package) int { return comparePackageVersions(a.Version, b.Version) })
		if source == "linux" {
			slices.Reverse(all)
		}
	}
	var all []OpenHole
	d := jsontext.NewDecoder(strings.NewReader(data))
	if k := d.PeekKind(); k != '{' {
		return nil, fmt.Errorf("%s: not the tracker's list", TrackerFile)
	}
	bad := func(err error) error { return fmt.Errorf("%s: not the tracker's list: %w", TrackerFile, err) }
	if _, err := d.ReadToken(); err != nil {
		return nil, bad(err)
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, bad(err)
		}
		packages := bySource[name.String()]
		if len(packages) == 0 {
			if err := d.SkipValue(); err != nil {
				return nil, bad(err)
			}
			continue
		}
		holes := map[string]trackerHole{}
		if err := json.UnmarshalDecode(d, &holes); err != nil {
			return nil, bad(err)
		}
		var ids []string
		for id := range holes {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			r, ok := holes[id].Releases[suite]
			if !ok || r.Status != "resolved" || r.FixedBy == "" || r.FixedBy == "0" {
				continue
			}
			if p := packages[0]; comparePackageVersions(p.Version, r.FixedBy) < 0 {
				all = append(all, OpenHole{id, p, r.FixedBy})
			}
		}
	}
	return all, nil
}

// StaleProcesses returns processes that run what is no longer on the disk: a program or a
// library that was replaced. The error says what could not be looked at, beside what was
// found.
func (h *Host) StaleProcesses() ([]RootCommand, error) {
	type found struct{ all []RootCommand }
	f, err := remember(h, "stale processes", func() (found, error) {
		ids, err := h.processes()
		if err != nil {
			return found{}, err
		}
		var all []RootCommand
		var closed error
		for _, id := range ids {
			file := fmt.Sprintf("/proc/%d/maps", id)
			data, err := h.large(file)
			if err != nil {
				if !isMissing(err) && !strings.Contains(err.Error(), "no such process") {
					closed = err
				}
				continue
			}
			n := 0
			for line := range strings.Lines(data) {
				n++
				f := strings.Fields(line)
				if len(f) < 7 || f[len(f)-1] != "(deleted)" || !strings.Contains(f[1], "x") {
					continue
				}
				if !strings.HasPrefix(f[5], "/usr/") && !strings.HasPrefix(f[5], "/lib") && !strings.HasPrefix(f[5], "/bin/") && !strings.HasPrefix(f[5], "/sbin/") {
					continue
				}
				s := Socket{PID: id}
				h.nameProcess(&s)
				all = append(all, RootCommand{s.Process + " runs " + f[5] + ", which was replaced", file, n})
				break
			}
		}
		return found{all}, closed
	})
	return f.all, err
}
