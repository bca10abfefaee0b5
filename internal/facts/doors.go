package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// GatehouseConfig is where Gatehouse's own configuration is.
const GatehouseConfig = "/etc/gatehouse/gatehouse.toml"

// Door is a way in that Gatehouse itself keeps, as its configuration says.
type Door struct {
	Name     string // "https", "lan", "wireguard", "ssh"
	Proto    string // "tcp" or "udp"
	Port     int
	Loopback bool // nobody but this machine reaches it
}

// Doors reads the doors of Gatehouse's configuration; none where there is none. A door is
// open if its table is there. An onion service needs no port.
func (h *Host) Doors() ([]Door, error) {
	t, err := h.Text(GatehouseConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var c struct {
		Doors map[string]struct {
			Listen string `toml:"listen"`
		} `toml:"doors"`
	}
	if err := toml.Unmarshal(t.Bytes, &c); err != nil {
		return nil, fmt.Errorf("%s: not a configuration of Gatehouse's", t.Path)
	}
	usual := map[string]Door{
		"https": {Proto: "tcp", Port: 443}, "lan": {Proto: "tcp", Port: 8443}, "wireguard": {Proto: "udp", Port: 51820}, "ssh": {Proto: "tcp", Port: 2222},
	}
	var all []Door
	for name, said := range c.Doors {
		d, known := usual[name]
		if !known {
			continue
		}
		if d.Name = name; said.Listen != "" {
			host, port, err := net.SplitHostPort(said.Listen)
			if err != nil {
				return nil, fmt.Errorf("%s: the door %s listens on no address", t.Path, name)
			}
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil || n == 0 {
				return nil, fmt.Errorf("%s: the door %s listens on no port", t.Path, name)
			}
			addr, err := netip.ParseAddr(host)
			d.Port, d.Loopback = int(n), host == "localhost" || err == nil && addr.IsLoopback()
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Door) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
