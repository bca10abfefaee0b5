package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/config"
	"gatehouse/internal/door/onion"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// onionSecret is under which name the secret of an onion service is kept, sealed. A copy of
// the ledger with its key is its backup.
func onionSecret(address string) string { return onionSecrets + address }

const onionSecrets = "onion/"

// onionData is what is kept of an onion service's device beside the address.
type onionData struct {
	Client string `json:"client"` // the public half of its key
}

// openOnion opens the door over Tor. What is wrong with it stops no other door.
func (s *server) openOnion(d *config.Onion) {
	c := onion.Config{Control: d.Control, Log: s.parts.log, Refused: s.turnedAway(policy.Onion, wire.Proxies{}), Dir: onionDir(s.cfg),
		Seed: func(ctx context.Context, address string) ([]byte, error) {
			return s.parts.ledger.Secret(ctx, onionSecret(address))
		}}
	if d.Control == "" {
		c.Start = torStarter{d.Program, s.parts.log}.start
	}
	open := openDoor{name: policy.Onion, listen: "tor", keys: identity.KindOnionKey}
	door, err := onion.New(c)
	if err != nil {
		open.why, open.hint = err.Error(), "see doors.onion and state.dir in the configuration"
		s.doors = append(s.doors, open)
		return
	}
	open.listener, open.door, open.run, open.notYet, open.health = door, door, door.Run, door.Why, door.Health
	open.setKeys = func(keys []identity.KeyInfo) {
		door.Set(onionDevices(keys, s.parts.log))
		s.dropOnions(keys)
	}
	s.doors = append(s.doors, open)
}

// onionDir is where the door keeps its sockets, and a tor of its own what that knows. A tor of
// another user's cannot look into the state directory: its sockets lie beside the verbs'.
func onionDir(c *config.Config) string {
	if c.Doors.Onion.Control != "" {
		return filepath.Join(filepath.Dir(c.State.Socket), "onion")
	}
	return filepath.Join(c.State.Dir, "onion")
}

// onionDevices are the devices that have an onion service.
func onionDevices(keys []identity.KeyInfo, log *slog.Logger) []onion.Device {
	var all []onion.Device
	for _, k := range keys {
		var data onionData
		if err := json.Unmarshal([]byte(k.Data), &data); err != nil || !onion.IsAddress(k.Key.ID) {
			log.Error("what is kept of an onion service cannot be read", "device", k.Device.ID, "error", err)
			continue
		}
		all = append(all, onion.Device{Address: k.Key.ID, Client: data.Client})
	}
	return all
}

// dropOnions forgets the secrets of onion services whose devices are gone.
func (s *server) dropOnions(keys []identity.KeyInfo) {
	if !s.onions.TryLock() {
		return // one is being made: the next change finds what is left
	}
	defer s.onions.Unlock()
	wanted := make(map[string]bool)
	for _, k := range keys {
		wanted[onionSecret(k.Key.ID)] = true
	}
	if err := dropSecrets(context.Background(), s.parts.ledger, onionSecrets, wanted); err != nil {
		s.parts.log.Error("the secret of an onion service that is gone could not be forgotten", "error", err)
	}
}

// dropSecrets forgets what is kept under names that begin so, and are not wanted.
func dropSecrets(ctx context.Context, l *ledger.Ledger, prefix string, wanted map[string]bool) error {
	return l.Update(ctx, func(tx *ledger.Tx) error {
		var gone []string
		err := tx.Query(func(scan func(...any) error) error {
			var name string
			if err := scan(&name); err != nil {
				return err
			}
			if strings.HasPrefix(name, prefix) && !wanted[name] {
				gone = append(gone, name)
			}
			return nil
		}, `SELECT name FROM secrets`)
		for _, name := range gone {
			if err == nil {
				_, err = tx.Exec(`DELETE FROM secrets WHERE name = $1`, name)
			}
		}
		return err
	})
}

// torStarter starts the system's tor: with no shell, nothing of our environment, and a
// configuration on its standard input alone.
type torStarter struct {
	program string // empty: where Debian and others have it
	log     *slog.Logger
}

// torEnds is how long a tor may take to end before it is killed.
const torEnds = 5 * time.Second

func (t torStarter) start(ctx context.Context, torrc string) (pid int, ended <-chan error, err error) {
	program, err := t.find()
	if err != nil {
		return 0, nil, err
	}
	// Nothing else is read: not the system's torrc, nor its defaults.
	cmd := exec.CommandContext(ctx, program, "--hush", "--defaults-torrc", os.DevNull, "-f", "-")
	cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{"LANG=C"}, strings.NewReader(torrc)
	// It dies with us even if we are killed; see also __OwningControllerProcess.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = torEnds
	said := &torLog{log: t.log}
	cmd.Stdout, cmd.Stderr = said, said
	started, over := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // a Pdeathsig comes when the thread ends that started it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		if err = cmd.Wait(); err == nil {
			err = errors.New("exit status 0")
		}
		over <- fmt.Errorf("%w: %s", err, said)
	}()
	if err := <-started; err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %s", onion.ErrMissing, program)
		}
		return 0, nil, err
	}
	return cmd.Process.Pid, over, nil
}

// find is the program's path.
func (t torStarter) find() (string, error) {
	if t.program != "" {
		return t.program, nil
	}
	for _, name := range []string{"tor", "/usr/sbin/tor", "/usr/bin/tor", "/usr/local/bin/tor"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", onion.ErrMissing
}

// torLog takes what tor says into our log, a line each, and keeps its end. A tor without a
// network says the same many times a second: what was said is said again after an hour.
type torLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	line bytes.Buffer
	end  tail
	said map[string]time.Time
}

// torSays bounds how many different lines are remembered.
const (
	torSays      = 64
	torSaysAgain = time.Hour
)

func (t *torLog) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.end.Write(p)
	for _, b := range p {
		if b != '\n' {
			if t.line.Len() < tailSize {
				t.line.WriteByte(b)
			}
			continue
		}
		t.say(strings.ToValidUTF8(t.line.String(), "?"), time.Now())
		t.line.Reset()
	}
	return len(p), nil
}

// say says a line, unless it has just been said. Its time, which is tor's, is left out.
func (t *torLog) say(line string, now time.Time) {
	if _, text, ok := strings.Cut(line, "] "); ok {
		line = text
	}
	if last, again := t.said[line]; again && now.Sub(last) < torSaysAgain {
		return
	}
	if t.said == nil || len(t.said) >= torSays {
		t.said = make(map[string]time.Time)
	}
	t.said[line] = now
	t.log.Warn("tor says: " + line)
}

func (t *torLog) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end.String()
}
