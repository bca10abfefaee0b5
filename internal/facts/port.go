package facts

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Listener says who listens on a TCP port in our own network namespace, and on which
// addresses; root is where the machine's file system begins. Of several processes that
// share a port it is the one with the lowest id.
//
// Nobody listens where there are no addresses. The process is 0 where none was seen: it
// is in another process namespace, or the kernel itself. Where a process might hold the
// port that we may not look into, the error wraps fs.ErrPermission, beside the addresses.
func Listener(root fs.FS, port int) (process int, addrs []netip.Addr, err error) {
	sockets := map[string]bool{}
	for _, name := range []string{"proc/net/tcp", "proc/net/tcp6"} {
		text, err := fs.ReadFile(root, name)
		if errors.Is(err, fs.ErrNotExist) && name == "proc/net/tcp6" {
			continue // a kernel without IPv6
		}
		if err != nil {
			return 0, nil, fmt.Errorf("see who listens on port %d: %w", port, err)
		}
		for _, l := range listeners(text) {
			if int(l.at.Port()) == port {
				addrs = append(addrs, l.at.Addr())
				sockets["socket:["+l.inode+"]"] = true
			}
		}
	}
	if len(addrs) == 0 {
		return 0, nil, nil
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	process, err = holder(root, sockets)
	if err != nil {
		err = fmt.Errorf("see who listens on port %d: %w", port, err)
	}
	return process, slices.Compact(addrs), err
}

// listening is a socket of /proc/net/tcp or tcp6 (proc_net(5)) that takes connections.
type listening struct {
	at    netip.AddrPort
	inode string
}

// stateListen is TCP_LISTEN as the kernel writes it (include/net/tcp_states.h).
const stateListen = "0A"

func listeners(text []byte) (list []listening) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != stateListen {
			continue
		}
		if at, ok := kernelAddress(f[1]); ok {
			list = append(list, listening{at, f[9]})
		}
	}
	return list
}

// kernelAddress reads "0100007F:1FBB": 32-bit words in the machine's own byte order, and
// the port as it is said.
func kernelAddress(s string) (netip.AddrPort, bool) {
	words, after, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(words)
	port, err2 := strconv.ParseUint(after, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, uint16(port)), ok
}

// holder is the process with the lowest id that has one of the sockets open.
func holder(root fs.FS, sockets map[string]bool) (process int, err error) {
	entries, err := fs.ReadDir(root, "proc")
	if err != nil {
		return 0, err
	}
	var ids []int
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil && id > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var closed error
	for _, id := range ids {
		dir := path.Join("proc", strconv.Itoa(id), "fd")
		open, err := fs.ReadDir(root, dir)
		if errors.Is(err, fs.ErrPermission) {
			closed = err
		}
		for _, e := range open {
			target, err := fs.ReadLink(root, path.Join(dir, e.Name()))
			if errors.Is(err, fs.ErrPermission) {
				closed = err
			}
			if err == nil && sockets[target] {
				return id, nil
			}
		}
	}
	return 0, closed
}
