package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Socket is a door of the running machine: a TCP socket that takes connections, or a UDP
// socket that takes what anybody sends.
type Socket struct {
	Proto   string // "tcp" or "udp"
	At      netip.AddrPort
	UID     int
	PID     int    // 0 where no process was seen
	Process string // its name, as "mosquitto"
	Unit    string // the systemd unit that it belongs to, "ssh.service"; empty where there is none
	Where   string // the process's control group
	File    string // "/proc/net/tcp"
	Line    int
}

// String is as people write it: "tcp 0.0.0.0:8123 (hass)".
func (s Socket) String() string {
	who := s.Process
	if who == "" {
		who = "process unknown"
	}
	return fmt.Sprintf("%s %s (%s)", s.Proto, s.At, who)
}

// Loopback reports whether only this machine reaches it.
func (s Socket) Loopback() bool { return s.At.Addr().Unmap().IsLoopback() }

// AnyAddress reports whether it is on every address of the machine, of IPv4 or IPv6.
func (s Socket) AnyAddress() bool { return s.At.Addr().Unmap().IsUnspecified() }

// IPv6 reports whether it takes what comes over IPv6.
func (s Socket) IPv6() bool { return s.At.Addr().Is6() && !s.At.Addr().Is4In6() }

// Scope says who can reach it as far as its address tells.
func (s Socket) Scope() string {
	switch a := s.At.Addr().Unmap(); {
	case a.IsLoopback():
		return "this machine"
	case a.IsUnspecified():
		return "every network"
	case a.IsPrivate(), a.IsLinkLocalUnicast(), a.IsMulticast(), netip.MustParsePrefix("100.64.0.0/10").Contains(a):
		return "the home network"
	default:
		return "the Internet"
	}
}

// Ports beyond which a UDP socket is most likely one that asks, not one that answers:
// the kernel's own range (ip(7), ip_local_port_range).
const firstEphemeral, lastEphemeral = 32768, 60999

// maxSockets bounds how many are looked at.
const maxSockets = 1 << 16

// Sockets returns the listening sockets of our network namespace with their processes.
// What asks from an ephemeral UDP port is left out. Where a process may hold one that we
// may not look into, the error wraps fs.ErrPermission, beside what was found.
func (h *Host) Sockets() ([]Socket, error) {
	type found struct{ all []Socket }
	f, err := remember(h, "sockets", func() (found, error) {
		var all []Socket
		var inodes []string
		for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
			t, err := h.Text("/proc/net/" + file)
			if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(file, "6") {
				continue // a kernel without IPv6
			}
			if err != nil {
				return found{}, fmt.Errorf("see who listens: %w", err)
			}
			s, i, err := socketLines(t, strings.TrimSuffix(file, "6"))
			if err != nil {
				return found{}, err
			}
			all, inodes = append(all, s...), append(inodes, i...)
		}
		owners, err := h.socketOwners(inodes)
		for n := range all {
			if pid := owners[inodes[n]]; pid != 0 {
				all[n].PID = pid
				h.nameProcess(&all[n])
			}
		}
		slices.SortStableFunc(all, func(a, b Socket) int {
			if c := strings.Compare(a.Proto, b.Proto); c != 0 {
				return c
			}
			return int(a.At.Port()) - int(b.At.Port())
		})
		return found{all}, err
	})
	return f.all, err
}

// stateUnconnected is TCP_CLOSE, as the kernel writes it of a UDP socket with no peer.
const stateUnconnected = "07"

func socketLines(t Text, proto string) (all []Socket, inodes []string, err error) {
	state := stateListen
	if proto == "udp" {
		state = stateUnconnected
	}
	for n, line := range t.Lines {
		f := strings.Fields(line)
		if n == 0 || len(f) == 0 {
			continue // its headline
		}
		if len(f) < 10 {
			return nil, nil, fmt.Errorf("%s:%d: no socket", t.Path, n+1)
		}
		if f[3] != state {
			continue
		}
		at, ok := kernelAddress(f[1])
		uid, err := strconv.Atoi(f[7])
		if !ok || err != nil {
			return nil, nil, fmt.Errorf("%s:%d: no socket", t.Path, n+1)
		}
		if proto == "udp" && (at.Port() >= firstEphemeral && at.Port() <= lastEphemeral || at.Port() == 0) {
			continue
		}
		if len(all) >= maxSockets {
			return nil, nil, fmt.Errorf("%s: %w", t.Path, ErrTooLarge)
		}
		all = append(all, Socket{Proto: proto, At: at, UID: uid, File: t.Path, Line: n + 1})
		inodes = append(inodes, f[9])
	}
	return all, inodes, nil
}

// socketOwners finds the processes with the lowest ids that hold sockets.
func (h *Host) socketOwners(inodes []string) (map[string]int, error) {
	wanted, owners := map[string]bool{}, map[string]int{}
	for _, i := range inodes {
		wanted["socket:["+i+"]"] = i != "0"
	}
	if len(wanted) == 0 {
		return owners, nil
	}
	ids, err := h.processes()
	if err != nil {
		return owners, err
	}
	var closed error
	for _, id := range ids {
		dir := "proc/" + strconv.Itoa(id) + "/fd"
		open, err := h.Tree.ReadDir(dir)
		if errors.Is(err, fs.ErrPermission) {
			closed = err
		}
		for _, fd := range open {
			info, err := h.Tree.Lstat(dir + "/" + fd)
			if errors.Is(err, fs.ErrPermission) {
				closed = err
			}
			if err != nil || !wanted[info.Target] {
				continue
			}
			inode := strings.TrimSuffix(strings.TrimPrefix(info.Target, "socket:["), "]")
			if owners[inode] == 0 {
				owners[inode] = id
			}
		}
	}
	if closed != nil && len(owners) < len(wanted) {
		return owners, closed
	}
	return owners, nil
}

func (h *Host) processes() ([]int, error) {
	return remember(h, "processes", func() ([]int, error) {
		names, err := h.Dir("/proc")
		if err != nil {
			return nil, err
		}
		var ids []int
		for _, n := range names {
			if id, err := strconv.Atoi(n); err == nil && id > 0 {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids, nil
	})
}

// nameProcess fills in what a socket's process is, as far as it can be seen.
func (h *Host) nameProcess(s *Socket) {
	dir := "/proc/" + strconv.Itoa(s.PID)
	if t, err := h.Text(dir + "/comm"); err == nil && len(t.Lines) > 0 {
		s.Process = t.Lines[0]
	}
	t, err := h.Text(dir + "/cgroup")
	if err != nil {
		return
	}
	for _, line := range t.Lines {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 || f[0] != "0" && f[1] != "name=systemd" {
			continue
		}
		s.Where = f[2]
		for part := range strings.SplitSeq(f[2], "/") {
			if path.Ext(part) == ".service" {
				s.Unit = part
			}
		}
	}
}

// GlobalIPv6 returns the machine's addresses that the whole Internet can reach
// (/proc/net/if_inet6): global, and not of a home's own range (fc00::/7).
func (h *Host) GlobalIPv6() ([]netip.Addr, error) {
	return remember(h, "global ipv6", func() ([]netip.Addr, error) {
		t, err := h.Text("/proc/net/if_inet6")
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := h.Dir("/proc/net"); err != nil {
				return nil, err
			}
			return nil, nil // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		var all []netip.Addr
		for n, line := range t.Lines {
			f := strings.Fields(line)
			if len(f) < 6 || len(f[0]) != 32 {
				return nil, fmt.Errorf("%s:%d: no address", t.Path, n+1)
			}
			var groups []string
			for i := 0; i < 32; i += 4 {
				groups = append(groups, f[0][i:i+4])
			}
			a, err := netip.ParseAddr(strings.Join(groups, ":"))
			if err != nil {
				return nil, fmt.Errorf("%s:%d: no address", t.Path, n+1)
			}
			if netip.MustParsePrefix("2000::/3").Contains(a) {
				all = append(all, a)
			}
		}
		return all, nil
	})
}

// PacketSockets returns the processes that see all that passes an interface
// (/proc/net/packet); At is empty.
func (h *Host) PacketSockets() ([]Socket, error) {
	type found struct{ all []Socket }
	f, err := remember(h, "packet sockets", func() (found, error) {
		t, err := h.Text("/proc/net/packet")
		if err != nil {
			return found{}, err
		}
		var all []Socket
		var inodes []string
		for n, line := range t.Lines {
			f := strings.Fields(line)
			if n == 0 || len(f) == 0 {
				continue
			}
			if len(f) < 9 || len(all) >= maxSockets {
				return found{}, fmt.Errorf("%s:%d: no socket", t.Path, n+1)
			}
			all = append(all, Socket{Proto: "packet", File: t.Path, Line: n + 1})
			inodes = append(inodes, f[8])
		}
		owners, err := h.socketOwners(inodes)
		for n := range all {
			if pid := owners[inodes[n]]; pid != 0 {
				all[n].PID = pid
				h.nameProcess(&all[n])
			}
		}
		return found{all}, err
	})
	return f.all, err
}
