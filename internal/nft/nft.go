// Package nft drops, in the kernel, new connections to the doors from networks that are not
// listened to. It owns one table of the packet filter, inet gatehouse_guard, and touches no
// other: set up anew if it is damaged, removed whole, and left alone if somebody else made
// something in a table of that name.
//
// Decisions taken here:
//   - Only the first packet of a TCP connection to a door's port is dropped (SYN without ACK).
//     What is open already goes on: the gateway, which knows who is there, ends that itself.
//   - What comes over the loopback interface is never dropped.
//   - The networks lie in hash sets with timeouts, one for each length of prefix, and an
//     address is cut to that length before it is looked up. Sets of intervals would hold
//     prefixes of any length in one, but refuse one that overlaps with another, and take
//     timeouts only since recent kernels without surprises.
//   - Each entry ends by its own timeout, in the kernel: when whoever made it is gone, too.
//   - A set is full at a fixed number of entries, which the kernel counts.
package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Longest is the longest time for which a network is dropped at once.
const Longest = 7 * 24 * time.Hour

// answerIn bounds how long the kernel may take to answer one question: a kernel without
// nftables can leave some unanswered.
const answerIn = 10 * time.Second

// atOnce is how many entries are changed in one transaction. The kernel takes what fits into
// the buffer of one netlink message, 64 KiB for one list of entries.
const atOnce = 500

// Ban is a network whose new connections are dropped, and for how long from now.
type Ban struct {
	Prefix netip.Prefix
	Left   time.Duration
}

// Table is the packet filter's table. It is safe for use by several goroutines.
type Table struct {
	mu   sync.Mutex
	conn *nftables.Conn
	want form
}

// New returns the table for the TCP ports of the doors. Nothing is changed yet.
func New(ports []uint16) (*Table, error) {
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error { return c.SetDeadline(time.Now().Add(answerIn)) }))
	if err != nil {
		return nil, fmt.Errorf("reach the packet filter: %w", err)
	}
	return &Table{conn: conn, want: formOf(ports)}, nil
}

// Takes reports whether the table has a set for prefixes of this kind: an IPv4 address, or a
// /48, /56, /64 or an address of IPv6.
func Takes(p netip.Prefix) bool {
	_, ok := setOf(p)
	return ok && p == p.Masked()
}

// Ban drops networks from now on for as long as each says, which replaces what was said of the
// same network before. Where it fails in the middle, some are dropped.
func (t *Table) Ban(bans []Ban) error {
	elements := map[string][]nftables.SetElement{}
	for _, b := range bans {
		if !Takes(b.Prefix) || b.Left < time.Second || b.Left > Longest {
			return fmt.Errorf("drop %s for %s: there is no place for that", b.Prefix, b.Left)
		}
		s, _ := setOf(b.Prefix)
		elements[s.name] = append(elements[s.name], nftables.SetElement{Key: b.Prefix.Addr().AsSlice(), Timeout: b.Left})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ensure(); err != nil {
		return plain("drop in the kernel", err)
	}
	return plain("drop in the kernel", t.change(elements, t.renew))
}

// Unban listens to networks again; those that are not dropped are no error.
func (t *Table) Unban(prefixes []netip.Prefix) error {
	elements := map[string][]nftables.SetElement{}
	for _, p := range prefixes {
		if s, ok := setOf(p); ok {
			elements[s.name] = append(elements[s.name], nftables.SetElement{Key: p.Masked().Addr().AsSlice()})
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch found, err := t.look(); {
	case err != nil:
		return plain("listen again in the kernel", err)
	case found == absent:
		return nil
	}
	return plain("listen again in the kernel", t.change(elements, t.remove))
}

// Bans returns what is dropped now, in no order.
func (t *Table) Bans() ([]Ban, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch found, err := t.look(); {
	case err != nil:
		return nil, plain("read what the kernel drops", err)
	case found != whole:
		return nil, nil // it drops nothing that we know of; the next ban sets it up
	}
	var bans []Ban
	for _, s := range sets {
		elements, err := t.conn.GetSetElements(t.want.set(s.name))
		if err != nil {
			return nil, plain("read what the kernel drops", err)
		}
		for _, e := range elements {
			if addr, ok := netip.AddrFromSlice(e.Key); ok && e.Expires > 0 {
				bans = append(bans, Ban{Prefix: netip.PrefixFrom(addr, s.bits), Left: e.Expires})
			}
		}
	}
	return bans, nil
}

// Ensure sets the table up, empty, unless it is there as it should be.
func (t *Table) Ensure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return plain("set the packet filter up", t.ensure())
}

// Remove takes the table away with all that is in it. Where there is none, or somebody else's,
// nothing is done.
func (t *Table) Remove() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch found, err := t.look(); {
	case err != nil:
		return plain("take the packet filter's table away", err)
	case found == absent || found == foreign:
		return nil
	}
	t.conn.DelTable(t.want.table)
	return plain("take the packet filter's table away", t.conn.Flush())
}

// ensure is Ensure under the lock.
func (t *Table) ensure() error {
	found, err := t.look()
	switch {
	case err != nil:
		return err
	case found == whole:
		return nil
	case found == foreign:
		return fmt.Errorf("there is a table inet %s with something in it that is not ours: it is left alone", t.want.table.Name)
	case found == damaged:
		t.conn.DelTable(t.want.table)
	}
	if err := t.want.make(t.conn); err != nil {
		return err
	}
	return t.conn.Flush()
}

// change does something to the entries of each set, a bounded number in one transaction.
func (t *Table) change(elements map[string][]nftables.SetElement, do func(*nftables.Set, []nftables.SetElement) error) error {
	for _, s := range sets {
		all := elements[s.name]
		for len(all) > 0 {
			n := min(len(all), atOnce)
			if err := do(t.want.set(s.name), all[:n]); err != nil {
				return err
			}
			all = all[n:]
		}
	}
	return nil
}

// renew adds entries. The kernel keeps the old timeout of one that is there (before Linux 6.12),
// and refuses to remove one that is not: so each is added, removed and added in one transaction.
func (t *Table) renew(s *nftables.Set, elements []nftables.SetElement) error {
	again := func() error {
		err := errors.Join(t.conn.SetAddElements(s, elements), t.conn.SetDeleteElements(s, bare(elements)), t.conn.SetAddElements(s, elements))
		return errors.Join(err, t.conn.Flush())
	}
	err := again()
	if errors.Is(err, unix.ENOENT) {
		err = again() // one ended in between
	}
	return err
}

// bare are entries without their timeouts, as they are named for removal.
func bare(elements []nftables.SetElement) []nftables.SetElement {
	keys := make([]nftables.SetElement, len(elements))
	for i, e := range elements {
		keys[i].Key = e.Key
	}
	return keys
}

// remove takes entries away: together, or where one is not there any more, one by one.
func (t *Table) remove(s *nftables.Set, elements []nftables.SetElement) error {
	err := errors.Join(t.conn.SetDeleteElements(s, elements), t.conn.Flush())
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	for i := range elements {
		err := errors.Join(t.conn.SetDeleteElements(s, elements[i:i+1]), t.conn.Flush())
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// plain says what an error of the kernel's means here.
func plain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: this process may not change the packet filter; it needs root with CAP_NET_ADMIN", doing)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s: this kernel has no nftables, or not all that it takes: %w", doing, err)
	case errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%s: the set is full", doing)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
