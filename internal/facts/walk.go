package facts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Walked is what one walk of the file system found, for all checks that need one.
type Walked struct {
	SetID         Sighted         // files that run as their owner or group
	Capable       Sighted         // files with capabilities
	WritableFiles Sighted         // regular files that everybody may write to
	WritableDirs  Sighted         // directories in which everybody may rename and remove what is others'
	Owners        map[uint32]Held // by user id
	Groups        map[uint32]Held // by group id
	Entries       int             // that were looked at
	LeftOut       []LeftOut       // mounts that are too large, in which nothing was looked at
	Closed        int             // directories that could not be read
	ClosedFirst   error           // why the first of them could not
	Capless       error           // why capabilities could not be read, nil if they could
}

// Sighted are the things of a sort, the first of them by name.
type Sighted struct {
	First []Sighting
	Count int
}

// Sighting is a file that a walk found.
type Sighting struct {
	Path string
	Info Info
}

// Held is what belongs to somebody.
type Held struct {
	First string
	Count int
}

// LeftOut is a mount that was not looked into.
type LeftOut struct{ Path, Why string }

// The bounds of a walk. Whoever has more of anything is told so.
const (
	maxFound  = 2000
	maxOwners = 4096
	maxWalk   = 30 << 20 // entries
	hugeMount = 3 << 20  // used inodes of a mount that is not the root's
)

// ErrNoWalk is why a check that needs the walk cannot judge.
var ErrNoWalk = errors.New("the walk of the file system was left out")

func (f *Sighted) add(name string, info Info) {
	f.Count++
	if len(f.First) < maxFound {
		f.First = append(f.First, Sighting{"/" + name, info})
	}
}

func hold(m map[uint32]Held, id uint32, name string) {
	held, ok := m[id]
	if !ok {
		if len(m) >= maxOwners {
			return
		}
		held.First = "/" + name
	}
	held.Count++
	m[id] = held
}

// elsewhere reports whether a directory belongs to something else: the kernel, this
// boot, or containers, whose files are judged by nothing that holds outside of them.
func elsewhere(name string) bool {
	switch name {
	case "proc", "sys", "dev", "run", "var/run",
		"var/lib/docker", "var/lib/containers", "var/lib/containerd", "var/lib/lxc", "var/lib/lxd", "var/lib/incus",
		"var/lib/machines", "var/lib/kubelet", "var/lib/rancher", "snap", "var/lib/snapd", "var/lib/flatpak",
		"mnt/data/docker", "var/lib/schroot":
		return true
	}
	if strings.HasPrefix(name, "home/") {
		parts := strings.Split(name, "/")
		return len(parts) == 6 && parts[2] == ".local" && parts[3] == "share" && parts[4] == "containers" && parts[5] == "storage" ||
			len(parts) == 5 && parts[2] == ".local" && parts[3] == "share" && parts[4] == "docker"
	}
	return false
}

// Walk goes through the file system once. What is mounted over a network or made up by
// the kernel, containers' file systems, and huge mounts beside the root's are left out;
// so is everything that links lead to. Where root alone may enter, only owners are noted.
func (h *Host) Walk() (*Walked, error) {
	if h.NoWalk {
		return nil, ErrNoWalk
	}
	return remember(h, "walk", func() (*Walked, error) {
		if info, err := h.Stat("/etc"); err == nil && !info.Mode.IsDir() {
			return nil, errors.New("/etc: not a directory")
		}
		w := &Walked{Owners: map[uint32]Held{}, Groups: map[uint32]Held{}}
		stack := []pending{{".", false}}
		for len(stack) > 0 && w.Entries < maxWalk {
			dir := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			from := len(stack)
			err := w.list(h.Tree, dir, func(name string, info Info) {
				full := name
				if dir.name != "." {
					full = dir.name + "/" + name
				}
				if w.look(full, info, dir.sheltered) {
					stack = append(stack, pending{full, dir.sheltered || info.UID == 0 && info.Mode.Perm()&0o011 == 0})
				}
			})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				if w.Closed++; w.Closed == 1 {
					w.ClosedFirst = err
				}
			}
			slices.SortFunc(stack[from:], func(a, b pending) int { return strings.Compare(b.name, a.name) })
		}
		if len(stack) > 0 {
			return nil, errors.New("there are more than " + strconv.Itoa(maxWalk) + " files")
		}
		for _, f := range []*Sighted{&w.SetID, &w.Capable, &w.WritableFiles, &w.WritableDirs} {
			slices.SortFunc(f.First, func(a, b Sighting) int { return strings.Compare(a.Path, b.Path) })
		}
		return w, nil
	})
}

// pending is a directory that the walk has still to go into. A sheltered one lies in one
// that root alone may enter.
type pending struct {
	name      string
	sheltered bool
}

// look takes note of an entry, and says whether it is to be gone into.
func (w *Walked) look(name string, info Info, sheltered bool) bool {
	w.Entries++
	dir := info.Mode.IsDir()
	if !dir && !info.Mode.IsRegular() || dir && elsewhere(name) {
		return false
	}
	hold(w.Owners, info.UID, name)
	hold(w.Groups, info.GID, name)
	if sheltered {
		return dir
	}
	open := info.Mode.Perm()&0o002 != 0
	switch {
	case dir && open && info.Mode&fs.ModeSticky == 0:
		w.WritableDirs.add(name, info)
	case !dir && open:
		w.WritableFiles.add(name, info)
	}
	if !dir && (info.Mode&fs.ModeSetuid != 0 && info.Mode&0o111 != 0 || info.Mode&fs.ModeSetgid != 0 && info.Mode&0o010 != 0) {
		w.SetID.add(name, info)
	}
	if !dir && info.Caps != 0 {
		w.Capable.add(name, info)
	}
	return dir
}

// list tells of every entry of a directory, in no order; of links and devices perhaps not.
func (w *Walked) list(t Tree, at pending, each func(string, Info)) error {
	if d, ok := t.(*Disk); ok {
		return w.listDisk(d, at, each)
	}
	dir := at.name
	names, err := t.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		info, err := t.Lstat(path.Join(dir, n))
		if err != nil {
			return err
		}
		each(n, info)
	}
	return nil
}

// listDisk is list of a disk. It opens directories only, and none that something is
// mounted on before it is known what: an automount is not woken up.
func (w *Walked) listDisk(d *Disk, at pending, each func(string, Info)) error {
	dir := at.name
	fd, err := d.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOATIME)
	if errors.Is(err, fs.ErrPermission) {
		fd, err = d.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "/"+dir)
	defer f.Close()
	var here, s unix.Stat_t
	if err := unix.Fstat(fd, &here); err != nil {
		return &fs.PathError{Op: "stat", Path: "/" + dir, Err: err}
	}
	self := "/proc/self/fd/" + strconv.Itoa(fd) + "/"
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			if t := e.Type(); !t.IsDir() && !t.IsRegular() && t != fs.ModeIrregular {
				w.Entries++
				continue
			}
			if err := unix.Fstatat(fd, e.Name(), &s, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT); err != nil {
				continue // it is gone
			}
			dir := s.Mode&unix.S_IFMT == unix.S_IFDIR
			if dir && s.Dev != here.Dev && !w.enters(fd, f.Name(), e.Name()) {
				continue
			}
			info := Info{Mode: modeOf(s.Mode), UID: s.Uid, GID: s.Gid, Size: s.Size, ModTime: time.Unix(s.Mtim.Unix())}
			if info.Mode.IsRegular() && s.Mode&0o111 != 0 && !at.sheltered && w.Capless == nil {
				info.Caps, w.Capless = capsOf(self + e.Name())
			}
			each(e.Name(), info)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// modeOf is as much of a mode as a walk asks for.
func modeOf(m uint32) fs.FileMode {
	mode := Permissions(m)
	switch m & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}

// enters reports whether the walk goes into a directory that something is mounted on.
func (w *Walked) enters(parent int, dir, name string) bool {
	fd, err := unix.Openat(parent, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return false
	}
	switch int64(s.Type) & 0xffffffff {
	case 0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0xca451a4e, // ext, XFS, Btrfs, F2FS, ZFS, bcachefs
		0x3434, 0x52654973, 0x3153464a, 0x01021994, 0x858458f6: // NILFS, ReiserFS, JFS, tmpfs, ramfs
	default:
		return false // a network's, the kernel's own, FUSE, read-only images, what knows no owners
	}
	if s.Files-s.Ffree > hugeMount && s.Files >= s.Ffree {
		w.LeftOut = append(w.LeftOut, LeftOut{path.Join("/", dir, name), "it holds " + strconv.FormatUint(s.Files-s.Ffree, 10) + " files"})
		return false
	}
	return true
}

// capsOf reads what a file's capabilities permit.
func capsOf(name string) (uint64, error) {
	var buf [64]byte
	n, err := unix.Lgetxattr(name, "security.capability", buf[:])
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return 0, nil
	case errors.Is(err, unix.ENOENT):
		if _, err := os.Lstat("/proc/self/fd"); err != nil {
			return 0, errors.New("capabilities of files cannot be read without /proc")
		}
		return 0, nil
	case errors.Is(err, unix.ERANGE):
		return 0, nil // no such thing is that long
	case err != nil:
		return 0, &fs.PathError{Op: "getxattr", Path: name, Err: err}
	}
	return parseCaps(buf[:n]), nil
}

// parseCaps reads the value of security.capability (capabilities(7)).
func parseCaps(b []byte) uint64 {
	switch {
	case len(b) >= 20:
		return uint64(binary.LittleEndian.Uint32(b[4:])) | uint64(binary.LittleEndian.Uint32(b[12:]))<<32
	case len(b) >= 12:
		return uint64(binary.LittleEndian.Uint32(b[4:]))
	}
	return 0
}

// Capabilities are the names of capabilities by their numbers.
func Capabilities() []string {
	return []string{"cap_chown", "cap_dac_override", "cap_dac_read_search", "cap_fowner", "cap_fsetid", "cap_kill", "cap_setgid", "cap_setuid",
		"cap_setpcap", "cap_linux_immutable", "cap_net_bind_service", "cap_net_broadcast", "cap_net_admin", "cap_net_raw", "cap_ipc_lock",
		"cap_ipc_owner", "cap_sys_module", "cap_sys_rawio", "cap_sys_chroot", "cap_sys_ptrace", "cap_sys_pacct", "cap_sys_admin", "cap_sys_boot",
		"cap_sys_nice", "cap_sys_resource", "cap_sys_time", "cap_sys_tty_config", "cap_mknod", "cap_lease", "cap_audit_write", "cap_audit_control",
		"cap_setfcap", "cap_mac_override", "cap_mac_admin", "cap_syslog", "cap_wake_alarm", "cap_block_suspend", "cap_audit_read", "cap_perfmon",
		"cap_bpf", "cap_checkpoint_restore"}
}

// CapNames are the names of the capabilities in a mask.
func CapNames(mask uint64) []string {
	var all []string
	for n, name := range Capabilities() {
		if mask>>n&1 != 0 {
			all = append(all, name)
		}
	}
	return all
}

// Packaged returns the packages of dpkg that some files belong to. known is false where
// there is no dpkg. A file below /usr may be listed as it was before the directories of
// the root moved there.
func (h *Host) Packaged(files []string) (owner map[string]string, known bool, err error) {
	names, err := h.Dir("/var/lib/dpkg/info")
	if err != nil || len(names) == 0 {
		return nil, false, err
	}
	want := map[string]string{}
	for _, f := range files {
		want[f] = f
		if rest, ok := strings.CutPrefix(f, "/usr"); ok {
			want[rest] = f
		}
	}
	owner = map[string]string{}
	const maxList = 64 << 20
	for _, n := range names {
		pkg, ok := strings.CutSuffix(n, ".list")
		if !ok {
			continue
		}
		at, err := resolve(h.Tree, "/var/lib/dpkg/info/"+n, true)
		if err != nil {
			return nil, true, err
		}
		text, err := h.Tree.ReadFile(at, maxList)
		if err != nil {
			return nil, true, err
		}
		for len(text) > 0 {
			end := bytes.IndexByte(text, '\n')
			if end < 0 {
				end = len(text)
			}
			if f, ok := want[string(text[:end])]; ok {
				owner[f] = strings.Split(pkg, ":")[0]
			}
			text = text[min(end+1, len(text)):]
		}
	}
	return owner, true, nil
}
