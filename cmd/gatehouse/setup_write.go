package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
)

// serviceUser is the user that the packages run the gateway as.
const serviceUser = "gatehouse"

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func ledgerFile(dir string) string { return filepath.Join(dir, ledger.Name) }

// mayWrite makes sure, before anybody is asked anything, that there will be a file
// to write the answers to, and begins with what is in it.
func (s *setup) mayWrite(ctx context.Context) error {
	s.path, _ = s.app.configPath()
	path, err := filepath.Abs(s.path)
	if err != nil {
		return fmt.Errorf("find the configuration file: %w", err)
	}
	s.path = path
	s.cfg = config.Default()
	if err := writable(path); err != nil {
		return &problem{status: statusCannot, err: fmt.Errorf("write %s: %w", path, err), hint: "run this as root, or choose another file with --config"}
	}
	s.old, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &problem{status: statusCannot, err: fmt.Errorf("read %s: %w", path, plainPath(err)), hint: "run this as root"}
	}
	if !s.force {
		if !s.ask.terminal() {
			return &problem{status: statusUsage, err: fmt.Errorf("%s is there already", path), hint: "say --force to write over it"}
		}
		over, err := s.ask.yes(ctx, path+" is there already. Write a new one, which begins with what it says?", "--force")
		if err != nil {
			return unanswered(err)
		}
		if !over {
			return &problem{status: statusNo, err: errors.New("nothing was changed")}
		}
	}
	if c, err := config.Parse(path, s.old); err == nil {
		s.cfg = c
	} else {
		s.remark("%s has mistakes, and nothing of it is taken over", path)
	}
	return nil
}

// writable reports whether a file can be made or replaced, without making anything:
// the nearest directory above it that is there must let us.
func writable(path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		err := syscall.Access(dir, 0x2|0x1) // W_OK|X_OK
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			continue
		}
		return err
	}
}

// checkCertificate makes sure that the files are what the door needs. A missing
// certificate is no error: the door stays closed until there is one.
func (s *setup) checkCertificate() error {
	c := s.cfg
	file, name := c.Certificates.Certificate, c.Home.Name
	if c.Doors.HTTPS == nil || name == "" {
		return nil
	}
	if file == "" {
		if !pki.IsHomeName(name) {
			s.remark("the door https stays closed until there is a certificate for %s: see [certificates] in the configuration", name)
		}
		return nil
	}
	if c.Certificates.Key == "" {
		return nil // what is written is checked, and says so
	}
	loaded, err := pki.LoadFile(file, c.Certificates.Key, time.Now())
	if err == nil {
		err = loaded.Leaf.VerifyHostname(name)
	}
	if err != nil {
		return &problem{status: statusUsage, err: fmt.Errorf("--certificate: %w", err), hint: "it must be for " + name + ", with its key in --key"}
	}
	return nil
}

// agree shows everything that will be changed and asks for it.
func (s *setup) agree(ctx context.Context) error {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, "  - "+format+"\n", args...) }
	if dir := s.cfg.State.Dir; exists(dir) {
		add("use the state directory %s", dir)
	} else {
		add("make the state directory %s, readable by nobody else", dir)
	}
	switch {
	case s.signIn != nil:
		add("make the user %q in Home Assistant: administrator, from home only, without a password", gatehouseUser)
		if len(s.before) > 0 {
			add("remove the user %q of an earlier setup; its token ends", gatehouseUser)
		}
		add("keep that user's token, sealed, in the state directory; end the sign-in that was just made")
	case s.token != "":
		add("keep the token of Home Assistant that is there")
	default:
		add("keep no token of Home Assistant: whatever needs its API is missing, and says so")
	}
	switch {
	case s.old == nil:
		add("write %s:", s.path)
	case bytes.Equal(s.old, s.text):
		add("leave %s as it is:", s.path)
	default:
		add("write over %s:", s.path)
	}
	s.describe(&b)
	switch {
	case s.proxy.trusted:
	case s.proxy.onTrial:
		add("confirm the settings that Home Assistant's web server has on trial, which trust us: use_x_forwarded_for on, trusted_proxies %s", s.proxy.options["trusted_proxies"])
	case s.proxy.options != nil:
		add("change the settings of Home Assistant's web server: use_x_forwarded_for on, trusted_proxies %s", s.proxy.options["trusted_proxies"])
		add("restart Home Assistant for it, wait until it is back, and confirm the settings; without that it takes them back by itself after five minutes")
	default:
		add("change nothing in Home Assistant's own settings: it does not trust %s as a proxy yet, and you are shown what to change", s.proxy.addr)
	}
	if s.app.yes {
		s.app.note("\nSetup is going to\n\n%s", b.String())
		return nil
	}
	fmt.Fprintf(s.app.err, "\nSetup is going to\n\n%s\n", b.String())
	ok, err := s.ask.yes(ctx, "Go on?", "--yes")
	if err != nil {
		return unanswered(err)
	}
	if !ok {
		return &problem{status: statusNo, err: errors.New("nothing was changed")}
	}
	return nil
}

// describe says in short what the file will say.
func (s *setup) describe(b *strings.Builder) {
	c := s.cfg
	line := func(what, value string) {
		if value != "" {
			fmt.Fprintf(b, "      %-12s %s\n", what, value)
		}
	}
	line("ha_url", c.Home.HAURL)
	line("ha_dir", c.Home.HADir)
	line("name", c.Home.Name)
	if d := c.Doors.HTTPS; d != nil {
		line("door https", d.Listen)
	}
	if d := c.Doors.LAN; d != nil {
		line("door lan", d.Listen)
	}
	line("certificate", c.Certificates.Certificate)
	line("key", c.Certificates.Key)
}

// openState opens the state directory, and says what is wrong in the owner's words.
func (s *setup) openState(ctx context.Context) (*state, error) {
	st, err := openState(ctx, s.cfg.State.Dir)
	if errors.Is(err, ledger.ErrLocked) {
		return nil, &problem{status: statusCannot, err: fmt.Errorf("a Gatehouse is running on %s", s.cfg.State.Dir), hint: "stop it first; start it again when this is done"}
	}
	return st, err
}

// makeState makes the state directory and, if somebody signed in, the token in it.
func (s *setup) makeState(ctx context.Context) (err error) {
	if err := s.makeStateDir(); err != nil {
		return err
	}
	err = s.asOwner(func() (err error) {
		st, err := s.openState(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.close()) }()
		if s.signIn == nil {
			return nil
		}
		return s.makeToken(ctx, func(token string) error { return saveHAToken(ctx, st.ledger, token) })
	})
	if err != nil || s.signIn == nil {
		return err
	}
	s.done.Token = tokenMade
	s.app.note("Home Assistant has a user %q, whose token is kept sealed", gatehouseUser)
	return nil
}

// makeStateDir makes the state directory if there is none: the service's, or that of
// whoever owns what it is to lie in.
func (s *setup) makeStateDir() error {
	dir := s.cfg.State.Dir
	if exists(dir) {
		return nil
	}
	fail := func(err error) error {
		return &problem{status: statusCannot, err: fmt.Errorf("make the state directory: %w", err), hint: "run this as root, or choose another with --state-dir"}
	}
	r, err := actFor(dir, "")
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.Mkdir(dir, 0o700), r.takeUp()); err != nil {
		return fail(err)
	}
	s.done.Written = append(s.done.Written, dir)
	if uid, gid, ok := serviceIDs(); ok && r == nil {
		if err := os.Lchown(dir, uid, gid); err != nil {
			return fmt.Errorf("give the state directory to the service: %w", err)
		}
	}
	return nil
}

// asOwner does something in the state directory as the user whose it is, if we are
// root and that is another.
func (s *setup) asOwner(do func() error) (err error) {
	r, err := actFor(s.cfg.State.Dir, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.takeUp()) }()
	return do()
}

// serviceIDs are those of the user that the service runs as, if we are root and
// there is one.
func serviceIDs() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	u, err := user.Lookup(serviceUser)
	if err != nil {
		return 0, 0, false
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return uid, gid, err1 == nil && err2 == nil
}

// writeConfig writes the configuration file: whole or not at all, readable by the
// one who runs the gateway, who owns the state directory.
func (s *setup) writeConfig(context.Context) error {
	if bytes.Equal(s.old, s.text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return &problem{status: statusCannot, err: fmt.Errorf("make the configuration's directory: %w", err), hint: "run this as root"}
	}
	info, err := os.Stat(s.cfg.State.Dir)
	if err != nil {
		return fmt.Errorf("look at the state directory: %w", err)
	}
	uid, gid := -1, -1
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 && owner.Uid != 0 {
		uid, gid = int(owner.Uid), int(owner.Gid)
	}
	if err := writeFileFor(s.path, s.text, 0o600, uid, gid); err != nil {
		return err
	}
	s.done.Written = append(s.done.Written, s.path)
	return nil
}
