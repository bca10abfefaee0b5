package facts

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Package is one that dpkg knows.
type Package struct {
	Name      string
	Arch      string
	Version   string
	Source    string
	Installed bool
	Held      bool
	Line      int // in the status file
}

// DpkgStatus is where dpkg says what is installed.
const DpkgStatus = "/var/lib/dpkg/status"

// maxLists bounds a file of packages, in bytes.
const maxLists = 96 << 20

// ErrRPM: the system's packages are of rpm, whose data bases are not read.
var ErrRPM = errors.New("the packages are rpm's, whose data base is not read")

// large is a file of text that may be larger than others.
func (h *Host) large(name string) (string, error) {
	at, err := resolve(h.Tree, name, true)
	if err != nil {
		return "", err
	}
	data, err := h.Tree.ReadFile(at, maxLists)
	return string(data), err
}

// Packages returns what is installed, by dpkg.
func (h *Host) Packages() ([]Package, error) {
	return remember(h, "packages", func() ([]Package, error) {
		text, err := h.large(DpkgStatus)
		if errors.Is(err, fs.ErrNotExist) {
			for _, rpm := range []string{"/var/lib/rpm", "/usr/lib/sysimage/rpm"} {
				if there, err := h.Exists(rpm); err == nil && there {
					return nil, ErrRPM
				}
			}
		}
		if err != nil {
			return nil, err
		}
		all, err := parsePackages(DpkgStatus, text)
		if err == nil && len(all) == 0 {
			err = fmt.Errorf("%s: no packages", DpkgStatus)
		}
		return all, err
	})
}

// Package returns an installed package, whether it is, and an error where that cannot be
// told.
func (h *Host) Package(name string) (Package, bool, error) {
	byName, err := remember(h, "packages by name", func() (map[string]Package, error) {
		all, err := h.Packages()
		if err != nil {
			return nil, err
		}
		m := map[string]Package{}
		for _, p := range all {
			if p.Installed {
				m[p.Name] = p
			}
		}
		return m, nil
	})
	p, ok := byName[name]
	return p, ok, err
}

// AsShipped reports whether a configuration file is as its package brought it: its sum is
// the one that dpkg noted.
func (h *Host) AsShipped(file string) (bool, error) {
	sums, err := remember(h, "conffiles", func() (map[string]string, error) {
		text, err := h.large(DpkgStatus)
		return conffiles(text), err
	})
	if err != nil || sums[file] == "" {
		return false, err
	}
	t, err := h.Text(file)
	if err != nil {
		return false, err
	}
	return fmt.Sprintf("%x", md5.Sum(t.Bytes)) == sums[file], nil
}

// conffiles reads the sums of configuration files out of the paragraphs of dpkg's status.
func conffiles(text string) map[string]string {
	sums, inside := map[string]string{}, false
	for l := range strings.Lines(text) {
		if !strings.HasPrefix(l, " ") {
			inside = strings.HasPrefix(l, "Conffiles:")
			continue
		}
		if f := strings.Fields(l); inside && len(f) == 2 {
			sums[f[0]] = f[1]
		}
	}
	return sums
}

// parsePackages reads the paragraphs of a file of packages (deb-control(5)).
func parsePackages(file, text string) ([]Package, error) {
	var all []Package
	var p Package
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, "\r\n")
		if l == "" {
			if p.Name != "" {
				all = append(all, p)
			}
			p = Package{}
			continue
		}
		if l[0] == ' ' || l[0] == '\t' {
			continue
		}
		name, value, ok := strings.Cut(l, ":")
		if !ok {
			return nil, fmt.Errorf("%s:%d: no field", file, line)
		}
		value = strings.TrimSpace(value)
		switch name {
		case "Package":
			p.Name, p.Line = value, line
		case "Architecture":
			p.Arch = value
		case "Version":
			p.Version = value
		case "Source":
			p.Source = value
		case "Status":
			f := strings.Fields(value)
			if len(f) != 3 {
				return nil, fmt.Errorf("%s:%d: no status", file, line)
			}
			p.Held = f[0] == "hold"
			p.Installed = f[2] == "installed" || f[2] == "unpacked" || f[2] == "half-configured" || strings.HasPrefix(f[2], "triggers-")
		}
	}
	if p.Name != "" {
		all = append(all, p)
	}
	return all, nil
}

// PendingUpdate is an installed package that the lists of apt know a newer version of.
type PendingUpdate struct {
	Package Package
	Newer   string
	List    string // the file that says so
}

// AptLists is what apt last heard.
type AptLists struct {
	Files  []string  // of packages of the security archives
	All    []string  // Release files
	Latest time.Time // when they were last changed
}

// AptListsDir is where apt keeps what it heard.
const AptListsDir = "/var/lib/apt/lists"

// AptLists says what apt last heard of the archives.
func (h *Host) AptLists() (AptLists, error) {
	return remember(h, "apt lists", func() (AptLists, error) {
		names, err := h.Dir(AptListsDir)
		if err != nil {
			return AptLists{}, err
		}
		r, err := h.Release()
		if err != nil {
			return AptLists{}, err
		}
		var l AptLists
		for _, n := range names {
			file := AptListsDir + "/" + n
			release := strings.HasSuffix(n, "_InRelease") || strings.HasSuffix(n, "_Release")
			packages := strings.HasSuffix(n, "_Packages")
			if !release && !packages {
				continue
			}
			info, err := h.Stat(file)
			if err != nil {
				return AptLists{}, err
			}
			if release {
				l.All = append(l.All, file)
				if info.ModTime.After(l.Latest) {
					l.Latest = info.ModTime
				}
			}
			// Raspbian mixes what is for safety with everything else.
			if packages && (strings.Contains(n, "security") || r.ID == "raspbian") {
				l.Files = append(l.Files, file)
			}
		}
		// The lists keep the times that they have at their mirror. Debian's timer touches the
		// first of these where it could ask, Ubuntu's and PackageKit's hooks the other.
		for _, stamp := range []string{"update-stamp", "update-success-stamp"} {
			if info, err := h.Stat("/var/lib/apt/periodic/" + stamp); err == nil && info.ModTime.After(l.Latest) {
				l.Latest = info.ModTime
			}
		}
		return l, nil
	})
}

// PendingUpdates compares what is installed with what apt heard of the security archives.
func (h *Host) PendingUpdates() ([]PendingUpdate, error) {
	return remember(h, "pending updates", func() ([]PendingUpdate, error) {
		installed, err := h.Packages()
		if err != nil {
			return nil, err
		}
		l, err := h.AptLists()
		if err != nil {
			return nil, err
		}
		if len(l.Files) == 0 {
			return nil, fmt.Errorf("%s: apt has heard nothing of a security archive yet (apt-get update)", AptListsDir)
		}
		newest := map[string]PendingUpdate{}
		for _, file := range l.Files {
			text, err := h.large(file)
			if err != nil {
				return nil, err
			}
			offered, err := parsePackages(file, text)
			if err != nil {
				return nil, err
			}
			for _, p := range offered {
				key := p.Name + " " + p.Arch
				if old, ok := newest[key]; !ok || comparePackageVersions(p.Version, old.Newer) > 0 {
					newest[key] = PendingUpdate{Newer: p.Version, List: file}
				}
			}
		}
		var all []PendingUpdate
		for _, p := range installed {
			u, ok := newest[p.Name+" "+p.Arch]
			if !ok {
				u, ok = newest[p.Name+" all"]
			}
			if p.Installed && ok && comparePackageVersions(p.Version, u.Newer) < 0 {
				u.Package = p
				all = append(all, u)
			}
		}
		return all, nil
	})
}

// comparePackageVersions orders versions of Debian packages (deb-version(7)).
func comparePackageVersions(a, b string) int {
	epochA, a := versionEpoch(a)
	epochB, b := versionEpoch(b)
	if c := comparePackagePart(epochA, epochB); c != 0 {
		return c
	}
	upA, revA := versionRevision(a)
	upB, revB := versionRevision(b)
	if c := comparePackagePart(upA, upB); c != 0 {
		return c
	}
	return comparePackagePart(revA, revB)
}

func versionEpoch(v string) (epoch, rest string) {
	if e, r, ok := strings.Cut(v, ":"); ok {
		return e, r
	}
	return "0", v
}

func versionRevision(v string) (upstream, revision string) {
	if n := strings.LastIndexByte(v, '-'); n >= 0 {
		return v[:n], v[n+1:]
	}
	return v, "0"
}

func comparePackagePart(a, b string) int {
	isDigit := func(c byte) bool { return c >= '0' && c <= '9' }
	weight := func(s string) int {
		switch {
		case s == "" || isDigit(s[0]):
			return 0
		case s[0] == '~':
			return -1
		case s[0] >= 'A' && s[0] <= 'Z' || s[0] >= 'a' && s[0] <= 'z':
			return int(s[0])
		}
		return int(s[0]) + 256
	}
	number := func(s string) (digits, rest string) {
		n := 0
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		return strings.TrimLeft(s[:n], "0"), s[n:]
	}
	for a != "" || b != "" {
		for a != "" && !isDigit(a[0]) || b != "" && !isDigit(b[0]) {
			if c := weight(a) - weight(b); c != 0 {
				return c
			}
			a, b = a[1:], b[1:]
		}
		var x, y string
		x, a = number(a)
		y, b = number(b)
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// AptSetting is a setting of apt.conf.
type AptSetting struct {
	Name  string // lower case, "apt::periodic::unattended-upgrade"; of a list "…::"
	Value string
	File  string
	Line  int
}

// AptConf is apt's configuration as it is in force, in its order.
type AptConf []AptSetting

// Last returns a setting, and whether it is written down.
func (c AptConf) Last(name string) (AptSetting, bool) {
	for _, s := range slices.Backward(c) {
		if s.Name == strings.ToLower(name) {
			return s, true
		}
	}
	return AptSetting{}, false
}

// List returns the members of a list.
func (c AptConf) List(name string) []AptSetting {
	var all []AptSetting
	for _, s := range c {
		if s.Name == strings.ToLower(name)+"::" {
			all = append(all, s)
		}
	}
	return all
}

// AptConf reads apt's configuration: the folder, then the main file (apt.conf(5)).
func (h *Host) AptConf() (AptConf, error) {
	return remember(h, "apt conf", func() (AptConf, error) {
		names, err := h.Dir("/etc/apt/apt.conf.d")
		if err != nil {
			return nil, err
		}
		var c AptConf
		for _, n := range names {
			if ext := path.Ext(n); ext != "" && ext != ".conf" || strings.Trim(n, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
				continue // apt does not read it
			}
			if c, err = h.aptConfFile(c, "/etc/apt/apt.conf.d/"+n); err != nil {
				return nil, err
			}
		}
		c, err = h.aptConfFile(c, "/etc/apt/apt.conf")
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return c, err
	})
}

func (h *Host) aptConfFile(c AptConf, name string) (AptConf, error) {
	t, err := h.Text(name)
	if err != nil {
		return c, err
	}
	return parseAptConf(c, t)
}

type aptToken struct {
	text   string
	quoted bool
	line   int
}

func aptTokens(t Text) ([]aptToken, error) {
	var all []aptToken
	s, line := string(t.Bytes), 1
	for s != "" {
		switch {
		case s[0] == '\n':
			line++
			s = s[1:]
		case s[0] == ' ' || s[0] == '\t' || s[0] == '\r':
			s = s[1:]
		case strings.HasPrefix(s, "//"), s[0] == '#' && !strings.HasPrefix(s, "#clear") && !strings.HasPrefix(s, "#include"):
			_, s, _ = strings.Cut(s, "\n")
			line++
		case strings.HasPrefix(s, "/*"):
			n := strings.Index(s, "*/")
			if n < 0 {
				return nil, fmt.Errorf("%s:%d: a remark without end", t.Path, line)
			}
			line += strings.Count(s[:n], "\n")
			s = s[n+2:]
		case s[0] == '"':
			n := strings.IndexByte(s[1:], '"')
			if n < 0 {
				return nil, fmt.Errorf("%s:%d: a quote without end", t.Path, line)
			}
			all = append(all, aptToken{s[1 : n+1], true, line})
			line += strings.Count(s[1:n+1], "\n")
			s = s[n+2:]
		case strings.IndexByte("{};", s[0]) >= 0:
			all = append(all, aptToken{s[:1], false, line})
			s = s[1:]
		default:
			n := strings.IndexAny(s, " \t\r\n{};\"")
			if n < 0 {
				n = len(s)
			}
			all = append(all, aptToken{s[:n], false, line})
			s = s[n:]
		}
	}
	return all, nil
}

func parseAptConf(c AptConf, t Text) (AptConf, error) {
	tokens, err := aptTokens(t)
	if err != nil {
		return c, err
	}
	var scope []string
	var words []aptToken
	full := func(name string) string {
		return strings.ToLower(strings.TrimPrefix(strings.Join(append(slices.Clone(scope), name), "::"), "::"))
	}
	set := func() error {
		switch {
		case len(words) == 0:
		case words[0].text == "#clear" && !words[0].quoted:
			for _, w := range words[1:] {
				name := full(w.text)
				c = slices.DeleteFunc(c, func(s AptSetting) bool { return s.Name == name || strings.HasPrefix(s.Name, name+"::") })
			}
		case words[0].text == "#include" && !words[0].quoted:
			return fmt.Errorf("%s:%d: includes another file", t.Path, words[0].line)
		case words[0].quoted:
			c = append(c, AptSetting{full(""), words[0].text, t.Path, words[0].line})
		default:
			value := ""
			if len(words) > 1 {
				value = words[1].text
			}
			c = append(c, AptSetting{full(words[0].text), value, t.Path, words[0].line})
		}
		words = nil
		return nil
	}
	const deepest = 32
	for _, k := range tokens {
		switch {
		case k.quoted:
			words = append(words, k)
		case k.text == "{":
			if len(words) == 0 || len(scope) >= deepest {
				return c, fmt.Errorf("%s:%d: a block without a name", t.Path, k.line)
			}
			scope = append(scope, words[0].text)
			words = nil
		case k.text == "}":
			if err := set(); err != nil {
				return c, err
			}
			if len(scope) == 0 {
				return c, fmt.Errorf("%s:%d: closes nothing", t.Path, k.line)
			}
			scope = scope[:len(scope)-1]
		case k.text == ";":
			if err := set(); err != nil {
				return c, err
			}
		default:
			words = append(words, k)
		}
	}
	if len(scope) > 0 {
		return c, fmt.Errorf("%s: a block without end", t.Path)
	}
	return c, set()
}

// AptSource is an archive that apt takes packages from.
type AptSource struct {
	URI      string
	Suite    string
	Trusted  bool // nobody has to sign for it
	SignedBy bool
	File     string
	Line     int
}

// AptSources reads the archives that apt takes packages from (sources.list(5)).
func (h *Host) AptSources() ([]AptSource, error) {
	return remember(h, "apt sources", func() ([]AptSource, error) {
		names, err := h.Dir("/etc/apt/sources.list.d")
		if err != nil {
			return nil, err
		}
		files := []string{"/etc/apt/sources.list"}
		for _, n := range names {
			if ext := path.Ext(n); ext == ".list" || ext == ".sources" {
				files = append(files, "/etc/apt/sources.list.d/"+n)
			}
		}
		var all []AptSource
		for _, file := range files {
			t, err := h.Text(file)
			if errors.Is(err, fs.ErrNotExist) && file == "/etc/apt/sources.list" {
				continue
			}
			if err != nil {
				return nil, err
			}
			parse := parseSourcesList
			if path.Ext(file) == ".sources" {
				parse = parseSourcesParagraphs
			}
			found, err := parse(t)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		return all, nil
	})
}

func parseSourcesList(t Text) ([]AptSource, error) {
	var all []AptSource
	for n, line := range t.Lines {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "deb" && kind != "deb-src" {
			return nil, fmt.Errorf("%s:%d: no source", t.Path, n+1)
		}
		s := AptSource{File: t.Path, Line: n + 1}
		rest = strings.TrimSpace(rest)
		if options, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]"); strings.HasPrefix(rest, "[") {
			if !ok {
				return nil, fmt.Errorf("%s:%d: options without end", t.Path, n+1)
			}
			for _, o := range strings.Fields(options) {
				name, value, _ := strings.Cut(o, "=")
				s.option(name, value)
			}
			rest = after
		}
		f := strings.Fields(rest)
		if strings.HasPrefix(rest, "cdrom:") {
			continue
		}
		if len(f) < 2 {
			return nil, fmt.Errorf("%s:%d: no source", t.Path, n+1)
		}
		s.URI, s.Suite = f[0], f[1]
		if kind == "deb" {
			all = append(all, s)
		}
	}
	return all, nil
}

func (s *AptSource) option(name, value string) {
	yes := strings.EqualFold(value, "yes") || value == "1" || strings.EqualFold(value, "true")
	switch strings.ToLower(name) {
	case "trusted", "allow-insecure":
		s.Trusted = s.Trusted || yes
	case "signed-by":
		s.SignedBy = value != ""
	}
}

func parseSourcesParagraphs(t Text) ([]AptSource, error) {
	var all []AptSource
	fields, at := map[string]string{}, 0
	last := ""
	end := func() {
		s := AptSource{File: t.Path, Line: at}
		s.option("trusted", fields["trusted"])
		s.option("allow-insecure", fields["allow-insecure"])
		s.option("signed-by", fields["signed-by"])
		if strings.EqualFold(fields["enabled"], "no") || !slices.Contains(strings.Fields(fields["types"]), "deb") {
			return
		}
		const most = 256
		for _, uri := range strings.Fields(fields["uris"]) {
			for _, suite := range strings.Fields(fields["suites"]) {
				if len(all) < most {
					s.URI, s.Suite = uri, suite
					all = append(all, s)
				}
			}
		}
	}
	for n, line := range append(slices.Clone(t.Lines), "") {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			if len(fields) > 0 {
				end()
			}
			fields, last = map[string]string{}, ""
		case line[0] == ' ' || line[0] == '\t':
			if last == "" {
				return nil, fmt.Errorf("%s:%d: continues nothing", t.Path, n+1)
			}
			fields[last] += " " + strings.TrimSpace(line)
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return nil, fmt.Errorf("%s:%d: no field", t.Path, n+1)
			}
			last = strings.ToLower(name)
			fields[last] = strings.TrimSpace(value)
			if last == "uris" || at == 0 {
				at = n + 1
			}
		}
	}
	return all, nil
}
