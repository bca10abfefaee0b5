package facts

import (
	"errors"

	"golang.org/x/sys/unix"
)

// ClockSynced reports whether the running host's clock goes by a server's, and what says
// so: the kernel, or where it cannot be asked the mark that systemd-timesyncd leaves.
func (h *Host) ClockSynced() (synced bool, from string, err error) {
	if _, ok := h.Tree.(*Disk); ok && h.Live {
		var t unix.Timex // it asks only: no mode is set
		if _, err := unix.Adjtimex(&t); err != nil {
			return false, "", errors.Join(errors.New("the kernel does not say whether its clock is right"), err)
		}
		return t.Status&unix.STA_UNSYNC == 0, "adjtimex", nil
	}
	const dir = "/run/systemd/timesync"
	runs, err := h.Exists(dir)
	if err != nil {
		return false, "", err
	}
	if !runs {
		return false, "", errors.New("nothing says whether the clock is right")
	}
	synced, err = h.Exists(dir + "/synchronized")
	return synced, dir, err
}

// FullPercent is how much of the file system that a directory lies on is used; 0 where
// there is none to ask, as of a host that does not run.
func (h *Host) FullPercent(dir string) (int, error) {
	d, ok := h.Tree.(*Disk)
	if !ok || !h.Live {
		return 0, nil
	}
	at, err := resolve(h.Tree, dir, true)
	if err != nil {
		return 0, err
	}
	fd, err := d.Open(at, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return 0, err
	}
	if s.Blocks == 0 {
		return 0, nil
	}
	used := s.Blocks - s.Bfree
	return int(used * 100 / max(1, used+s.Bavail)), nil
}
