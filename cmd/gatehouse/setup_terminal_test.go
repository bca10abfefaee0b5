package main

import (
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal and the end where somebody sits (pts(4)).
func openTerminal(t *testing.T) (terminal, keys *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	raw, err := keys.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if outer := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); outer != nil || err != nil {
		t.Fatal(outer, err)
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal, keys
}

// awaitNoEcho waits until a terminal does not show what is typed, for five seconds.
func awaitNoEcho(terminal *os.File) {
	raw, err := terminal.SyscallConn()
	if err != nil {
		return
	}
	for range 5000 {
		hidden := false
		_ = raw.Control(func(fd uintptr) {
			state, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
			hidden = err == nil && state.Lflag&unix.ECHO == 0
		})
		if hidden {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
