package facts

import (
	"errors"
	"fmt"
	"strings"
)

// SecurityUpdate is a package for which the security archive has a newer version.
type SecurityUpdate struct {
	Name, Installed string
	Line            int    // in dpkg's list
	Newer           string // empty where there is none
	List            string // the list of apt that names it
}

// dpkgStatus is where dpkg says what is installed; maxPackages bounds it, and the lists of
// apt, in bytes.
const (
	dpkgStatus  = "/var/lib/dpkg/status"
	maxPackages = 64 << 20
)

// SecurityUpdates says of these packages, as far as they are installed, what apt last
// heard of them from the security archives.
func (h *Host) SecurityUpdates(names []string) ([]SecurityUpdate, error) {
	read := func(name string) (string, error) {
		at, err := resolve(h.Tree, name, true)
		if err != nil {
			return "", err
		}
		text, err := h.Tree.ReadFile(at, maxPackages)
		return string(text), err
	}
	status, err := read(dpkgStatus)
	if err != nil {
		return nil, err
	}
	var all []SecurityUpdate
	for _, name := range names {
		if version, line := paragraphVersion(status, name, true); version != "" {
			all = append(all, SecurityUpdate{Name: name, Installed: version, Line: line})
		}
	}
	if len(all) == 0 {
		if !strings.Contains(status, "Package: ") {
			return nil, fmt.Errorf("%s: no packages", dpkgStatus)
		}
		return nil, nil
	}
	lists, err := h.Glob("/var/lib/apt/lists/*ecurity*_Packages")
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 {
		return nil, errors.New("/var/lib/apt/lists: no list of a security archive, so what is newer is not known (apt-get update)")
	}
	for _, list := range lists {
		text, err := read(list)
		if err != nil {
			return nil, err
		}
		for n := range all {
			version, _ := paragraphVersion(text, all[n].Name, false)
			if version != "" && comparePackageVersions(version, all[n].Installed) > 0 && (all[n].Newer == "" || comparePackageVersions(version, all[n].Newer) > 0) {
				all[n].Newer, all[n].List = version, list
			}
		}
	}
	return all, nil
}

// paragraphVersion finds the version of a package in a list of paragraphs (deb-control(5));
// installed asks for those that are.
func paragraphVersion(text, name string, installed bool) (version string, line int) {
	in, there := false, false
	for n := 1; text != ""; n++ {
		var l string
		l, text, _ = strings.Cut(text, "\n")
		switch {
		case l == "":
			in, there = false, false
		case l == "Package: "+name:
			in = true
		case in && strings.HasPrefix(l, "Status: "):
			there = strings.HasSuffix(l, " installed")
		case in && (there || !installed) && strings.HasPrefix(l, "Version: "):
			return strings.TrimPrefix(l, "Version: "), n
		}
	}
	return "", 0
}
