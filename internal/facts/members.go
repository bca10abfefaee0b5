package facts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// MembersOf returns who is in a group of /etc/group, those too whose first group it is,
// with the group's line, and whether there is such a group.
func (h *Host) MembersOf(group string) (names []string, line int, found bool, err error) {
	t, err := h.Text("/etc/group")
	if err != nil {
		return nil, 0, false, err
	}
	for n, l := range t.Lines {
		if strings.TrimSpace(l) == "" || strings.HasPrefix(l, "#") || strings.HasPrefix(l, "+") || strings.HasPrefix(l, "-") {
			continue
		}
		f := strings.Split(l, ":")
		if len(f) != 4 {
			return nil, 0, false, fmt.Errorf("/etc/group:%d: %d fields instead of 4", n+1, len(f))
		}
		if f[0] != group {
			continue
		}
		gid, err := strconv.Atoi(f[2])
		if err != nil {
			return nil, 0, false, fmt.Errorf("/etc/group:%d: no group", n+1)
		}
		line, found = n+1, true
		for name := range strings.SplitSeq(f[3], ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
		users, err := h.Users()
		if err != nil {
			return nil, 0, false, err
		}
		for _, u := range users {
			if u.GID == gid && !slices.Contains(names, u.Name) {
				names = append(names, u.Name)
			}
		}
	}
	return names, line, found, nil
}

// Addon is an app of Home Assistant, as the Supervisor remembers it.
type Addon struct {
	Slug        string
	Protected   bool
	HostNetwork bool
	FullAccess  bool
	DockerAPI   bool
	Line        int
}

// Addons reads the Supervisor's list of apps.
func (h *Host) Addons(file string) ([]Addon, error) {
	t, err := h.Text(file)
	if err != nil {
		return nil, err
	}
	var list struct {
		User map[string]struct {
			Protected *bool `json:"protected"`
		} `json:"user"`
		System map[string]struct {
			HostNetwork bool `json:"host_network"`
			FullAccess  bool `json:"full_access"`
			DockerAPI   bool `json:"docker_api"`
		} `json:"system"`
	}
	if err := json.Unmarshal(t.Bytes, &list); err != nil {
		return nil, fmt.Errorf("%s: not the Supervisor's list", file)
	}
	var all []Addon
	for slug, u := range list.User {
		s := list.System[slug]
		a := Addon{Slug: slug, Protected: u.Protected == nil || *u.Protected, HostNetwork: s.HostNetwork, FullAccess: s.FullAccess, DockerAPI: s.DockerAPI}
		a.Line = 1 + slices.IndexFunc(t.Lines, func(l string) bool { return strings.Contains(l, `"`+slug+`"`) })
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Addon) int { return strings.Compare(a.Slug, b.Slug) })
	return all, nil
}
