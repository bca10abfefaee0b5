package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/ledger"
)

// newServeCommand makes the verb that is the gateway.
func (a *app) newServeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Opens the doors of the configuration and stands in front of Home Assistant until
it is told to stop (SIGTERM, Ctrl-C). What happens is written to standard error.

A door whose certificate is missing stays closed and says why; the others open.

Run by root with a state directory of another user, it opens its doors, reads its
certificates and then becomes that user for good.`,
		Example: "  gatehouse serve --config /etc/gatehouse/gatehouse.toml",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, path, err := a.loadConfig()
			if err != nil {
				return err
			}
			r, err := actFor(c.State.Dir, path)
			if err != nil {
				return err
			}
			return a.serve(cmd.Context(), c, r)
		},
	}
}

// serve runs the gateway of a configuration until ctx ends. r are root's rights, if it
// has laid them down.
func (a *app) serve(ctx context.Context, c *config.Config, r *rights) (err error) {
	store, err := openState(ctx, c.State.Dir)
	for tries := 0; errors.Is(err, ledger.ErrLocked) && tries < verbTries && !answersControl(ctx, c.State.Socket); tries++ {
		// A verb has the ledger for a moment, as no server answers it.
		if err := pause(ctx, verbEvery); err != nil {
			return err
		}
		store, err = openState(ctx, c.State.Dir)
	}
	if errors.Is(err, ledger.ErrLocked) {
		return &problem{status: statusCannot, err: fmt.Errorf("a Gatehouse is running on %s already", c.State.Dir),
			hint: `"gatehouse status" says more about it`}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	log := a.logger()
	lines, err := openEvents(c.Events.File)
	if err != nil {
		log.Warn("the second copy of the event log is not written", "error", err, "hint", asProblem(err).hint)
	}
	if lines != nil {
		defer func() { err = errors.Join(err, lines.Close()) }()
	}
	events, err := keepEvents(c, c.State.Dir, store.ledger, log, writer(lines))
	if err != nil {
		return err
	}
	defer func() {
		if err := closeEvents(events, store.ledger); err != nil {
			log.Error("the last events are in this log only", "error", err)
		}
	}()
	s, err := newServer(ctx, c, parts{ledger: store.ledger, events: events, log: log, rights: r})
	if err != nil {
		return err
	}
	defer s.close()
	if err := a.giveUp(r, c); err != nil {
		return err
	}
	for _, d := range s.doors {
		if why, _ := d.closed(); why == "" {
			a.note("door %s is open: %s", d.label(), cmp.Or(strings.Join(d.origins, " "), d.listen))
		} else {
			a.note("door %s is closed: %s", d.label(), why)
		}
	}
	if !s.identity.HasOwner() {
		a.note(`there is no owner yet: "gatehouse invite --owner" makes the link for it`)
	}
	return s.run(ctx)
}

// How long a server waits for a verb to be done with the ledger.
const (
	verbTries = 100
	verbEvery = 50 * time.Millisecond
)

// answersControl reports whether a server answers verbs.
func answersControl(ctx context.Context, socket string) bool {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// giveUp ends root's rights, before anybody is answered, and says so.
func (a *app) giveUp(r *rights, c *config.Config) error {
	if r == nil {
		return nil
	}
	if err := r.giveUp(); err != nil {
		return err
	}
	a.note("the state directory %s belongs to %s: the gateway runs as that user from here on", c.State.Dir, r.user.name)
	for _, name := range []string{c.Certificates.Certificate, c.Certificates.Key} {
		if name == "" {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			a.note("%s may not read %s: when it is renewed, restart the gateway", r.user.name, name)
			continue
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("look at the certificate: %w", err)
		}
	}
	return nil
}

// logger writes for whoever watches the service.
func (a *app) logger() *slog.Logger {
	level := slog.LevelInfo
	if a.quiet {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
}

// state is an open state directory that nobody else writes to.
type state struct {
	ledger *ledger.Ledger
	lock   *ledger.Lock
}

// openState opens a state directory; ledger.ErrLocked while a server runs on it.
func openState(ctx context.Context, dir string) (*state, error) {
	lock, err := ledger.TryLock(dir)
	if err != nil {
		return nil, err
	}
	key, err := ledger.LoadKey(filepath.Join(dir, ledger.KeyName))
	if err == nil {
		var l *ledger.Ledger
		if l, err = ledger.Open(ctx, dir, key); err == nil {
			return &state{l, lock}, nil
		}
	}
	return nil, errors.Join(err, lock.Unlock())
}

func (s *state) close() error { return errors.Join(s.ledger.Close(), s.lock.Unlock()) }

// openEvents opens the file of events; nil if there is to be none. Its error is a
// *problem, and no reason to stop: the house must not depend on its log.
func openEvents(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	// A pipe that nobody reads must not keep us waiting.
	how := os.O_WRONLY | os.O_APPEND | os.O_CREATE | syscall.O_NONBLOCK
	if os.Geteuid() == 0 {
		if _, _, others := othersOnTheWay(filepath.Dir(path)); others {
			how |= syscall.O_NOFOLLOW // its owner could lead root anywhere
		}
	}
	f, err := os.OpenFile(path, how, 0o600)
	if err != nil {
		return nil, &problem{status: statusCannot, err: fmt.Errorf("open the event log: %w", err), hint: "see events.file in the configuration"}
	}
	return f, nil
}

// writer is a file as a writer, and a nil one as none.
func writer(f *os.File) io.Writer {
	if f == nil {
		return nil
	}
	return unhurried{f}
}

// unhurried writes what there is room for and waits for nobody: behind a pipe may be a program
// that does not read, and everybody in the house would wait for it.
type unhurried struct{ file *os.File }

func (u unhurried) Write(line []byte) (n int, err error) {
	raw, err := u.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Write(func(fd uintptr) bool {
		for {
			if n, err = syscall.Write(int(fd), line); !errors.Is(err, syscall.EINTR) {
				return true
			}
		}
	})
	n = max(n, 0)
	if err = errors.Join(failed, err); err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return n, err
}
