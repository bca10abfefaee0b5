package onion

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How long is waited. A tor that went away is tried again, less and less often.
const (
	firstPause  = time.Second
	longestWait = time.Minute
	steady      = time.Minute // a tor that lived so long starts the pauses anew
	lookEvery   = 15 * time.Second
	startTime   = 30 * time.Second // until a tor of our own can be commanded
	knockEvery  = 50 * time.Millisecond
)

// maxStreams is how many connections one visit of a device may have at one time. A browser
// opens six, and a socket or two.
const maxStreams = 64

// Run finds tor and follows it, until ctx is done; then it ends every connection and
// returns nil. What goes wrong is said by Why, and tried again.
func (d *Door) Run(ctx context.Context) error {
	pause := firstPause
	for {
		began := time.Now()
		err := d.session(ctx)
		d.withdraw()
		if ctx.Err() != nil {
			return nil
		}
		d.fail(err)
		if time.Since(began) > steady {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, longestWait)
	}
}

// withdraw closes all services on our side.
func (d *Door) withdraw() {
	d.mu.Lock()
	all := d.up
	d.up = make(map[string]*service)
	d.mu.Unlock()
	for _, s := range all {
		s.close()
	}
}

// session is one life of a tor: from its start, or our coming to it, to its end.
func (d *Door) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := d.makeDir(); err != nil {
		return err
	}
	t := &torSession{d: d, sockets: 0o600, added: make(map[string]Device)}
	if d.cfg.Control == "" {
		return d.ownSession(ctx, cancel, t)
	}
	network, address, err := cutControl(d.cfg.Control)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: answerTime}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	t.sockets = 0o666 // another user's; the kernel says whose they are (isPeer)
	return t.live(ctx, conn)
}

// makeDir makes the door's directory, with nothing in it of a gateway that was killed.
func (d *Door) makeDir() error {
	mode := os.FileMode(0o700)
	if d.cfg.Control != "" {
		mode = 0o711 // names in it cannot be listed, and are drawn by lot
	}
	err := os.MkdirAll(d.cfg.Dir, mode)
	if err == nil {
		err = os.Chmod(d.cfg.Dir, mode)
	}
	var left []os.DirEntry
	if err == nil {
		left, err = os.ReadDir(d.cfg.Dir)
	}
	for _, e := range left {
		if err == nil && e.Type()&os.ModeSocket != 0 {
			err = os.Remove(filepath.Join(d.cfg.Dir, e.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("make the directory of the door onion: %w", err)
	}
	return nil
}

// closedTo names the directory on the way to another through which other users do not get;
// empty if there is none.
func closedTo(dir string) string {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&1 == 0 {
			return dir
		}
		if dir == "/" {
			return ""
		}
	}
}

// ownSession starts a tor of our own, lives with it, and waits for its end.
func (d *Door) ownSession(ctx context.Context, cancel context.CancelFunc, t *torSession) error {
	data, socket := filepath.Join(d.cfg.Dir, "tor"), filepath.Join(d.cfg.Dir, "control")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("make tor's directory: %w", err)
	}
	pid, ended, err := d.cfg.Start(ctx, torrc(data, socket))
	if err != nil {
		return err
	}
	t.pid, t.cookie = pid, filepath.Join(data, "control_auth_cookie")
	inner, stop := context.WithCancel(ctx)
	gone := make(chan struct{})
	var end error
	go func() {
		defer close(gone)
		end = <-ended
		stop()
	}()
	conn, err := knock(inner, socket)
	if err == nil {
		err = t.live(inner, conn)
	}
	died := inner.Err() != nil && ctx.Err() == nil
	stop()
	cancel()
	<-gone
	if died && end != nil {
		return fmt.Errorf("tor has ended: %w", end)
	}
	return err
}

// torrc is the configuration of a tor of our own: a client with no port of its own, which
// starts no program, and ends with us.
func torrc(data, socket string) string {
	return strings.Join([]string{
		"DataDirectory " + data,
		"ControlSocket " + socket,
		"CookieAuthentication 1",
		"CookieAuthFile " + filepath.Join(data, "control_auth_cookie"),
		"ControlPort 0",
		"SocksPort 0",
		"ClientOnly 1",
		"NoExec 1",
		"Log warn stdout",
		"__OwningControllerProcess " + strconv.Itoa(os.Getpid()),
		"",
	}, "\n")
}

// knock waits for a socket that is about to be made.
func knock(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("tor cannot be commanded: %w", err)
		case <-time.After(knockEvery):
		}
	}
}

// torSession is one control connection and what hangs on it.
type torSession struct {
	d       *Door
	c       *control
	pid     int    // of a tor of our own; 0 of another
	cookie  string // likewise; empty
	sockets os.FileMode
	tor     process
	version version
	power   bool              // proof of work may be asked for
	added   map[string]Device // what tor has of ours, by address
}

// live commands tor over a connection until that ends or ctx does.
func (t *torSession) live(ctx context.Context, conn net.Conn) error {
	t.c = newControl(conn)
	defer t.c.close()
	if err := t.greet(ctx); err != nil {
		return err
	}
	if err := t.look(ctx); err != nil {
		return err
	}
	t.d.change(func(s *state) { s.trouble, s.version = nil, t.version })
	if err := t.publish(ctx); err != nil {
		return err
	}
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for {
		if err := t.heed(ctx); err != nil {
			return err
		}
		select {
		case m, ok := <-t.c.in:
			if !ok {
				return t.c.err
			}
			if m.code != codeEvent {
				return errMalformed
			}
			t.c.pending = append(t.c.pending, m)
		case <-t.d.wake:
			if err := t.publish(ctx); err != nil {
				return err
			}
		case <-again.C:
			if err := errors.Join(t.look(ctx), t.publish(ctx)); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// greet proves who we are and finds out whom we speak to.
func (t *torSession) greet(ctx context.Context) error {
	if err := t.c.authenticate(ctx, t.cookie); err != nil {
		return err
	}
	if t.pid != 0 {
		if _, err := t.c.do(ctx, "TAKEOWNERSHIP"); err != nil {
			return err
		}
	}
	said, err := t.c.info(ctx, "version")
	if err != nil {
		return err
	}
	if t.version, err = parseVersion(said); err != nil {
		return err
	}
	if t.version.before(oldest()) {
		return &trouble{fmt.Sprintf("this tor is too old: it is %s, and %s is the first that will do", t.version, oldest()),
			"install a newer one: deb.torproject.org has it for every Debian"}
	}
	uid, err := t.c.info(ctx, "process/uid")
	if err != nil {
		return err
	}
	if t.tor.uid, err = strconv.Atoi(uid); err != nil || t.tor.uid < 0 {
		return fmt.Errorf("tor does not say whose process it is: %q", shown(uid))
	}
	if t.tor.pid = t.pid; t.pid == 0 && t.tor.uid != 0 && t.tor.uid != os.Geteuid() {
		if where := closedTo(t.d.cfg.Dir); where != "" {
			return &trouble{fmt.Sprintf("tor is another user's (%d), who cannot reach a socket in %s: %s is closed to others", t.tor.uid, t.d.cfg.Dir, where),
				"let the socket of the verbs, beside which they are, lie in a directory of its own: state.socket"}
		}
	}
	t.power = true
	_, err = t.c.do(ctx, "SETEVENTS", "HS_DESC", "STATUS_GENERAL", "STATUS_CLIENT")
	return err
}

// look asks how far tor is on the way to its network.
func (t *torSession) look(ctx context.Context) error {
	phase, err := t.c.info(ctx, "status/bootstrap-phase")
	if err != nil {
		return err
	}
	args, err := arguments(phase)
	if err != nil {
		return err
	}
	live, err := t.c.info(ctx, "network-liveness")
	if err != nil {
		return err
	}
	t.d.change(func(s *state) {
		s.progress, s.warning = "", shown(args["WARNING"])
		switch {
		case args["PROGRESS"] != "100":
			s.progress = fmt.Sprintf("%s %% (%s)", shown(args["PROGRESS"]), shown(args["SUMMARY"]))
		case live != "up":
			s.progress = "it was there, and hears nothing of it now"
		default:
			s.skew = 0
		}
	})
	return nil
}

// heed acts on the events that have come.
func (t *torSession) heed(ctx context.Context) error {
	for len(t.c.pending) > 0 {
		asked := false
		for _, m := range t.c.pending {
			asked = t.happened(m.lines[0].text) || asked
		}
		t.c.pending = nil
		if asked {
			if err := t.look(ctx); err != nil { // which may bring more
				return err
			}
		}
	}
	return nil
}

// happened takes an event down, and reports whether tor has to be asked how it is.
func (t *torSession) happened(text string) bool {
	words := strings.Fields(text)
	switch {
	case len(words) > 2 && words[0] == "HS_DESC" && words[1] == "UPLOADED":
		t.uploaded(words[2])
	case len(words) > 2 && words[0] == "STATUS_GENERAL" && words[2] == "CLOCK_SKEW":
		t.skewed(text)
		return true
	case len(words) > 0:
		return strings.HasPrefix(words[0], "STATUS_")
	}
	return false
}

// uploaded takes down that a service can be found.
func (t *torSession) uploaded(address string) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	if s := t.d.up[address]; s != nil && !s.published {
		s.published = true
		t.d.cfg.Log.Info("door onion: an onion service is published", "service", address[:8]+"….onion")
	}
}

// skewed takes down by how much tor finds the clock to be wrong; it does not always know.
func (t *torSession) skewed(text string) {
	args, err := arguments(text)
	if err != nil {
		return
	}
	if n, err := strconv.ParseInt(args["SKEW"], 10, 32); err == nil {
		t.d.change(func(s *state) { s.skew = time.Duration(n) * time.Second })
	}
}

// publish makes tor's services those that are wanted. One that cannot be published does
// not hold up the others.
func (t *torSession) publish(ctx context.Context) error {
	wanted := t.d.devices()
	for address, device := range t.added {
		if slices.Contains(wanted, device) {
			continue
		}
		if _, err := t.c.do(ctx, "DEL_ONION", address); err != nil {
			return err
		}
		delete(t.added, address)
	}
	failed := make(map[string]string)
	for _, device := range wanted {
		if _, there := t.added[device.Address]; there {
			continue
		}
		err := t.add(ctx, device)
		var no *refusal
		var own *keyError
		switch {
		case errors.As(err, &no), errors.As(err, &own):
			failed[device.Address] = shown(err.Error())
		case err != nil:
			return err
		}
	}
	t.d.change(func(s *state) { s.failed = failed })
	return nil
}

// devices are those that are wanted.
func (d *Door) devices() []Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.wanted)
}

// keyError says that a service's secret cannot be had.
type keyError struct{ err error }

func (k *keyError) Error() string { return k.err.Error() }

// add publishes a device's service.
func (t *torSession) add(ctx context.Context, device Device) error {
	if !isClient(device.Client) {
		return &keyError{errors.New("its client key is none")}
	}
	seed, err := t.d.cfg.Seed(ctx, device.Address)
	if err != nil {
		return &keyError{err}
	}
	if address, err := Address(seed); err != nil || address != device.Address {
		return &keyError{errors.New("its secret belongs to another address")}
	}
	s, err := newService(t.d, device, t.tor, t.sockets)
	if err != nil {
		return err
	}
	if err := t.order(ctx, s, blob(seed)); err != nil {
		s.close()
		return err
	}
	return t.keep(ctx, s)
}

// order has tor make the service, with proof of work where it can.
func (t *torSession) order(ctx context.Context, s *service, key string) error {
	command := []string{"ADD_ONION", "ED25519-V3:" + key, "Flags=V3Auth", "MaxStreams=" + strconv.Itoa(maxStreams),
		"Port=80,unix:" + s.path, "ClientAuthV3=" + s.device.Client}
	var no *refusal
	if t.power {
		said, err := t.c.do(ctx, append(slices.Clone(command), "PoWDefensesEnabled=1")...)
		if err == nil {
			return s.isMade(said)
		}
		if !errors.As(err, &no) || no.code != 512 && no.code != 513 {
			return err
		}
	}
	said, err := t.c.do(ctx, command...)
	if err != nil {
		return err
	}
	if t.power {
		t.power = false
		t.d.change(func(s *state) { s.power = noPower })
	}
	return s.isMade(said)
}

const noPower = "this tor asks for no proof of work here: 0.4.9.2 and newer can, if they are built with it"

// isMade makes sure that tor speaks of this service, and knows its device's key.
func (s *service) isMade(said []line) error {
	id := slices.ContainsFunc(said, func(l line) bool { return l.text == "ServiceID="+s.device.Address })
	client := slices.ContainsFunc(said, func(l line) bool { return l.text == "ClientAuthV3="+s.device.Client })
	if !id || !client {
		return errors.New("tor made another service than it was told to")
	}
	return nil
}

// keep takes a service up, unless its device went while tor made it.
func (t *torSession) keep(ctx context.Context, s *service) error {
	d := t.d
	d.mu.Lock()
	stays := slices.Contains(d.wanted, s.device)
	if stays {
		d.up[s.device.Address] = s
	}
	d.mu.Unlock()
	if stays {
		t.added[s.device.Address] = s.device
		return nil
	}
	s.close()
	_, err := t.c.do(ctx, "DEL_ONION", s.device.Address)
	return err
}
