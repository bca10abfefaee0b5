package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/config"
	"gatehouse/internal/door/ssh"
	"gatehouse/internal/guard"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// sshDoor is the door ssh: what it needs before it opens, and the door itself.
type sshDoor struct {
	s    *server
	keys ssh.HostKeys
	door *ssh.Door // nil while it is closed
}

// newSSHDoor gets what the door needs of the ledger; nil where the configuration has none.
func newSSHDoor(ctx context.Context, s *server) (*sshDoor, error) {
	if s.cfg.Doors.SSH == nil {
		return nil, nil
	}
	keys, err := loadHostKeys(ctx, s.parts.ledger)
	if err != nil {
		return nil, err
	}
	return &sshDoor{s: s, keys: keys}, nil
}

// hostKeysSecret is the name under which the ledger keeps the host's keys.
const hostKeysSecret = "doors/ssh/host-keys"

// loadHostKeys returns the host's keys, and makes them the first time.
func loadHostKeys(ctx context.Context, l *ledger.Ledger) (ssh.HostKeys, error) {
	secret, err := l.Secret(ctx, hostKeysSecret)
	if err == nil {
		return ssh.ParseHostKeys(secret)
	}
	if !errors.Is(err, ledger.ErrNotFound) {
		return ssh.HostKeys{}, err
	}
	keys, err := ssh.NewHostKeys()
	if err == nil {
		err = l.PutSecret(ctx, hostKeysSecret, keys.Secret())
	}
	return keys, err
}

// open opens the door, or says why not: the others must not suffer from it.
func (o *sshDoor) open(d *config.SSH) openDoor {
	s := o.s
	open := openDoor{name: policy.SSH, listen: d.Listen}
	authorities, err := readAuthorities(d.CA)
	if err != nil {
		open.why, open.hint = err.Error(), "see doors.ssh.ca in the configuration"
		return open
	}
	how := ssh.Config{Listen: d.Listen, Keys: o.keys, Ports: s.innerPorts(), Authorities: authorities, Person: o.person, Certify: o.certify,
		Allow: o.allows, Favoured: s.favoured, Tight: s.tight, Refused: o.refused()}
	if name := s.cfg.Home.Name; name != "" {
		how.Names = []string{name}
		if get, why := s.certificate(name); why == "" {
			how.TLS = s.tlsOf(get)
		}
	}
	if o.door, err = ssh.Listen(how); err != nil {
		p := asProblem(cannotListen(err, "doors.ssh.listen"))
		open.why, open.hint = p.Error(), p.hint
		return open
	}
	open.listener, open.door, open.run, open.health = o.door, o.door, o.door.Run, o.health
	open.keys, open.setKeys = identity.KindSSHKey, o.setKeys
	return open
}

// readAuthorities reads the file of the owner's authorities.
func readAuthorities(file string) ([]ssh.Key, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the authorities' keys: %w", err)
	}
	keys, err := ssh.ParseKeys(text)
	if err == nil && len(keys) == 0 {
		err = ssh.ErrNoKey
	}
	if err != nil {
		return nil, fmt.Errorf("read the authorities' keys in %s: %w", file, err)
	}
	return keys, nil
}

// innerPorts are the ports at which the house is found here, besides the usual ones.
func (s *server) innerPorts() (ports []int) {
	for _, d := range s.doors {
		if d.listener == nil {
			continue
		}
		if at, ok := d.listener.Addr().(*net.TCPAddr); ok {
			ports = append(ports, at.Port)
		}
	}
	if ha, err := url.Parse(s.cfg.Home.HAURL); err == nil && ha.Port() != "" {
		ports = append(ports, portOf(":"+ha.Port()))
	}
	return ports
}

func (o *sshDoor) person(name string) (string, bool) {
	p, ok := o.s.identity.PersonByName(name)
	return p.Name, ok
}

// allows says who may come to the door at all: nobody who is banned, but for where a known
// device was lately.
func (o *sshDoor) allows(addr netip.Addr) bool {
	return o.s.admits(policy.SSH, wire.Proxies{})(addr) && (o.s.guard.Listens(addr) || o.s.favoured(addr))
}

// refused counts what did not come through. A key that is nobody's is a failure.
func (o *sshDoor) refused() func(net.Addr, string) {
	turnedAway := o.s.turnedAway(policy.SSH, wire.Proxies{})
	return func(remote net.Addr, why string) {
		turnedAway(remote, why)
		if at, err := netip.ParseAddrPort(remote.String()); err == nil && wire.Reason(why) == wire.ReasonKey {
			o.s.fail(guard.Failure{Addr: at.Addr().Unmap().WithZone(""), Kind: guard.SSHKey, Door: string(policy.SSH)})
		}
	}
}

// sshData is what the ledger keeps beside a key.
type sshData struct {
	Certified bool `json:"certified"` // a certificate made it known, and must come with it
}

func (d sshData) text() string {
	text, err := json.Marshal(d)
	if err != nil {
		return "" // a bool is always written
	}
	return string(text)
}

// setKeys tells the door which keys are whose.
func (o *sshDoor) setKeys(keys []identity.KeyInfo) {
	var known []ssh.Known
	for _, k := range keys {
		var d sshData
		if json.Unmarshal([]byte(k.Data), &d) != nil {
			continue // not what we wrote: it opens nothing
		}
		known = append(known, ssh.Known{ID: k.Key.ID, Person: k.Device.PersonName, Certified: d.Certified, Expires: k.Expires})
	}
	o.door.SetKeys(known)
}

// certify makes the key of a certificate a device of its person for as long as it is good.
// A key whose device was revoked stays out, whatever is signed for it.
func (o *sshDoor) certify(ctx context.Context, c ssh.Certified) error {
	key := policy.Key{Kind: identity.KindSSHKey, ID: c.ID}
	made := identity.NewKey{Key: key, Data: sshData{Certified: true}.text(), Expires: c.Expires}
	switch who, _ := o.s.identity.KeyHolder(key); {
	case who.Revoked:
		return identity.ErrRevoked
	case who.Device == "":
		_, err := o.s.identity.AddKey(ctx, c.Person, labelOf(c.Label, "SSH certificate"), made)
		return err
	case who.Name != c.Person:
		return identity.ErrKeyTaken
	default:
		return o.s.identity.ReplaceKey(ctx, who.Device, made, time.Now())
	}
}

// labelOf is what somebody wrote beside a key, as the name of a device; usual if that is none.
func labelOf(written, usual string) string {
	written = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(written, ""))
	return cmp.Or(strings.TrimSpace(written), usual)
}

func (o *sshDoor) health() []string {
	now, _ := o.door.HostKeys().Public()
	return []string{"host key " + now.Fingerprint, count(o.door.Clients(), "client is", "clients are") + " there"}
}
