package facts

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const tcpHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// tcpLine is one line as the kernel writes it.
func tcpLine(local, state, inode string) string {
	return "   0: " + local + " " + strings.Repeat("0", len(local)-5) + ":0000 " + state + " 00000000:00000000 00:00000000 00000000  1000        0 " + inode + " 1 00000000d3649b18 100 0 0 10 0\n"
}

func link(target string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
}

// The addresses are those of a machine that keeps the lowest byte first.
func TestListener(t *testing.T) {
	machine := fstest.MapFS{
		"proc/net/tcp": file(tcpHead + tcpLine("0100007F:1FBB", "0A", "100") + tcpLine("00000000:1FBC", "0A", "101") + tcpLine("0100007F:1FBD", "01", "102") +
			tcpLine("0A01A8C0:1FBE", "0A", "103") + tcpLine("0100007F:1FBE", "0A", "104") + tcpLine("0100007F:0050", "0A", "105") + "broken\n" + tcpLine("xx00007F:1FBB", "0A", "9") + tcpLine("0100:1FBB", "0A", "9")),
		"proc/net/tcp6": file(tcpHead + tcpLine("00000000000000000000000000000000:1FBC", "0A", "201") + tcpLine("00000000000000000000000001000000:1FBB", "0A", "202") + tcpLine("B80D0120000000000000000001000000:1FBF", "0A", "203")),
		"proc/9/fd/0":   link("/dev/null"),
		"proc/9/fd/3":   link("socket:[101]"),
		"proc/10/fd/4":  link("socket:[100]"),
		"proc/10/fd/5":  link("socket:[202]"),
		"proc/11/fd/4":  link("socket:[100]"),
		"proc/12/fd/1":  link("socket:[104]"),
		"proc/13/fd/1":  link("socket:[1203]"),
		"proc/14/comm":  file("gone\n"),
		"proc/sys/fd/1": link("socket:[105]"),
	}
	for _, c := range []struct {
		port    int
		process int
		addrs   string
	}{
		{8123, 10, "127.0.0.1 ::1"},
		{8124, 9, "0.0.0.0 ::"},
		{8125, 0, ""}, // a connection
		{8126, 12, "127.0.0.1 192.168.1.10"},
		{8127, 0, "2001:db8::1"}, // nobody whom we see
		{80, 0, "127.0.0.1"},
		{1, 0, ""},
		{0, 0, ""},
		{70000, 0, ""},
	} {
		process, addrs, err := Listener(machine, c.port)
		if process != c.process || netText(addrs) != c.addrs || err != nil {
			t.Errorf("port %d: %d, %v, %v; want %d, %s", c.port, process, addrs, err, c.process, c.addrs)
		}
	}

	// What is closed matters only where nothing else is found.
	private := closedLinksFS{closedFS{machine, []string{"proc/13/fd", "proc/12/fd"}}}
	if process, _, err := Listener(private, 8123); process != 10 || err != nil {
		t.Errorf("found before what is closed: %d, %v", process, err)
	}
	if process, addrs, err := Listener(private, 8126); process != 0 || len(addrs) != 2 || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("closed: %d, %v, %v", process, addrs, err)
	}
	if _, _, err := Listener(closedFS{machine, []string{"proc/net"}}, 8123); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the list is closed: %v", err)
	}
	if _, _, err := Listener(fstest.MapFS{}, 8123); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no /proc: %v", err)
	}
	delete(machine, "proc/net/tcp6")
	if process, addrs, err := Listener(machine, 8124); process != 9 || len(addrs) != 1 || err != nil {
		t.Errorf("without IPv6: %d, %v, %v", process, addrs, err)
	}
}

// closedLinksFS is a closedFS that has links.
type closedLinksFS struct{ closedFS }

func (c closedLinksFS) ReadLink(name string) (string, error)   { return fs.ReadLink(c.FS, name) }
func (c closedLinksFS) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(c.FS, name) }

func netText(addrs []netip.Addr) string {
	var words []string
	for _, a := range addrs {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

// A listener of our own is found on this machine.
func TestListenerOfThisMachine(t *testing.T) {
	root := os.DirFS("/")
	if _, err := fs.Stat(root, "proc/net/tcp"); errors.Is(err, fs.ErrNotExist) {
		if _, _, err := Listener(root, 80); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without /proc: %v", err)
		}
		return
	}
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Logf("listen on %s: %v", at, err)
			continue
		}
		addr := l.Addr().(*net.TCPAddr).AddrPort()
		process, addrs, err := Listener(root, int(addr.Port()))
		if process != os.Getpid() || !slices.Equal(addrs, []netip.Addr{addr.Addr()}) || err != nil {
			t.Errorf("%s: %d, %v, %v; we are %d", addr, process, addrs, err, os.Getpid())
		}
		l.Close()
		if process, addrs, err := Listener(root, int(addr.Port())); process != 0 || len(addrs) != 0 || err != nil {
			t.Errorf("%s, closed: %d, %v, %v", addr, process, addrs, err)
		}
	}
}

func FuzzListeners(f *testing.F) {
	f.Add([]byte(tcpHead + tcpLine("0100007F:1FBB", "0A", "100")))
	f.Add([]byte(tcpLine("00000000000000000000000001000000:1FBB", "0A", "202")))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, l := range listeners(text) {
			if !l.at.IsValid() {
				t.Fatalf("%q: %v", text, l)
			}
		}
	})
}
