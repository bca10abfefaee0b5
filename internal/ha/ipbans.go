package ha

import (
	"fmt"
	"io/fs"
	"net/netip"
)

// IPBansFile is where Home Assistant keeps the addresses that it has shut out for good, in its
// configuration folder. It reads it when it starts, and appends to it.
const IPBansFile = "ip_bans.yaml"

// IPBan is an address that Home Assistant has shut out.
type IPBan struct {
	Addr netip.Addr // never IPv4 in IPv6 clothes, never with a zone
	At   string     // since when, as it stands there: Python's isoformat, without a zone before 2020; may be empty
	Place
}

// IPBans is a list of addresses as Home Assistant keeps it, in the order of the file. Where an
// address stands there twice, as after a ban that was written while somebody edited the file,
// the last counts, as it does for Home Assistant.
type IPBans struct {
	Bans []IPBan
	// Wrong are the entries that are no address, in words. Home Assistant leaves them out.
	Wrong []string
}

// ReadIPBans reads a file of the form of ip_bans.yaml. The error wraps fs.ErrNotExist where
// there is none: then Home Assistant has shut out nobody.
func ReadIPBans(fsys fs.FS, name string) (list IPBans, err error) {
	root, err := ReadYAML(fsys, name)
	if err != nil {
		return list, err
	}
	if root.Kind != MappingNode && root.Kind != NullNode {
		return list, fmt.Errorf("read %s: not a list of addresses", root.Place)
	}
	at := map[netip.Addr]int{}
	for _, f := range root.Fields {
		addr, err := netip.ParseAddr(f.Key)
		if err != nil {
			list.Wrong = append(list.Wrong, fmt.Sprintf("%s: %.60q is no address", f.At, f.Key))
			continue
		}
		ban := IPBan{Addr: addr.Unmap().WithZone(""), At: f.Value.Get("banned_at").Value(), Place: f.At}
		if k, twice := at[ban.Addr]; twice {
			list.Bans[k] = ban
			continue
		}
		at[ban.Addr] = len(list.Bans)
		list.Bans = append(list.Bans, ban)
	}
	return list, nil
}
