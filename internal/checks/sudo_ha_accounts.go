package checks

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/facts"
)

// errRootRunsIt says that Home Assistant has no account of its own here.
var errRootRunsIt = errors.New("no account of its own: Home Assistant runs as root or in a container")

// accountsOfHA returns the accounts that Home Assistant runs as: by its process, by its
// unit, or by name and by whose its directory is.
func accountsOfHA(h *facts.Host) ([]facts.User, error) {
	users, err := h.Users()
	if err != nil {
		return nil, err
	}
	names, contained, err := accountsThatRunHA(h, users)
	if err != nil {
		return nil, err
	}
	byName := func(u facts.User) bool {
		return slices.Contains([]string{"homeassistant", "home-assistant", "hass"}, u.Name)
	}
	var all []facts.User
	for _, u := range users {
		if slices.Contains(names, u.Name) || len(names) == 0 && byName(u) {
			all = append(all, u)
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	if contained {
		return nil, errRootRunsIt
	}
	info, err := h.Stat(h.HADir)
	if err != nil {
		return nil, err
	}
	if info.UID == 0 {
		return nil, errRootRunsIt
	}
	least, err := h.UIDMin()
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		if u.UID == int(info.UID) && (u.UID < least || path.Base(h.HADir) == ".homeassistant") {
			return []facts.User{u}, nil
		}
	}
	return nil, fmt.Errorf("%s belongs to number %d, and nothing says as whom Home Assistant runs", h.HADir, info.UID)
}

// accountsThatRunHA are those whose process, or whose unit of systemd, is Home Assistant;
// contained is whether it runs in a container of its own.
func accountsThatRunHA(h *facts.Host, users []facts.User) (names []string, contained bool, err error) {
	if h.Live {
		all, err := h.HAProcesses()
		if err != nil && len(all) == 0 {
			return nil, false, err
		}
		for _, p := range all {
			contained = contained || p.Container
			for _, u := range users {
				if u.UID == p.UID && !p.Container {
					names = append(names, u.Name)
				}
			}
		}
	}
	units, err := h.HAUnits()
	if err != nil {
		return nil, false, err
	}
	for _, unit := range units {
		who, _ := unit.Last("Service", "User")
		name := who.Value
		if _, instance, ok := strings.Cut(strings.TrimSuffix(unit.Name, ".service"), "@"); ok && (name == "%i" || name == "%I") {
			name = instance
		}
		for _, u := range users {
			if u.Name == name || strconv.Itoa(u.UID) == name {
				names = append(names, u.Name)
			}
		}
	}
	return names, contained, nil
}
