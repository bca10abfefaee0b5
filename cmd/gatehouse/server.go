package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/internal/acme"
	"gatehouse/internal/config"
	"gatehouse/internal/ddns"
	"gatehouse/internal/door/https"
	"gatehouse/internal/door/lan"
	"gatehouse/internal/event"
	"gatehouse/internal/gateway"
	"gatehouse/internal/guard"
	"gatehouse/internal/guard/filter"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
	"gatehouse/internal/web"
	"gatehouse/internal/wire"
)

// parts are what a server is given beside its configuration.
type parts struct {
	ledger *ledger.Ledger
	events *event.Log
	log    *slog.Logger
	rights *rights // root's, if they have been laid down
}

// server is one gateway with its doors open: what serve and demo have in common.
type server struct {
	cfg   *config.Config
	parts parts

	started   time.Time
	guard     *guard.Guard
	kept      *guardKeeper
	filter    *filter.Filter
	offload   *offload // nil where the kernel does not help
	authority *pki.Authority
	clients   *pki.Clients     // nil where no door asks for a client certificate
	public    *acme.Manager    // nil where no public authority is asked
	ddns      *ddns.Keeper     // nil where no addresses are kept
	http01    net.Listener     // for the challenge "http"; nil without it
	file      *fileCertificate // what the configuration names; nil where it names none
	trust     *publicTrust
	home      *homeWatch
	identity  *identity.Identity
	gateway   *gateway.Gateway
	doors     []openDoor
	giving    sync.Mutex // held while the doors are told of keys
	onions    sync.Mutex // held while a secret of an onion service is not a device's yet
	control   net.Listener
	house     *house
	refused   tally        // by the doors and their reader, before there is a request
	failed    tally        // who is not known, by what they failed at
	metrics   net.Listener // nil where nobody may ask
	links     *lan.Links
	mover     *mover
	plain     *plainDoor
	ssh       *sshDoor    // nil where the configuration has none
	where     whereabouts // of Home Assistant
}

// openDoor is a door of the configuration: open, or closed for a reason.
type openDoor struct {
	name     policy.Door
	of       string // what it is for, where a door has several ports; empty for the one that everybody uses
	listen   string
	listener net.Listener // nil while it is closed
	door     gateway.Door
	proxies  wire.Proxies // in front of it
	shows    pki.GetCertificate
	origins  []string // the one that people type first
	why      string   // it is closed
	hint     string   // what to do about it; empty where it is about its certificate
	// run is what lives with the door; it ends when ctx does. What fails it makes known by
	// notYet, and goes on trying: other doors must not suffer. May be nil.
	run func(ctx context.Context) error
	// keys is the kind of key by which it knows devices, and setKeys tells it which count:
	// at the start, and after each change. May be nil.
	keys    string
	setKeys func([]identity.KeyInfo)
	// health says what else is worth knowing of an open door, a sentence each. May be nil.
	health func() []string
	// peers tells of the tunnels that devices have to it. May be nil.
	peers func() []peerRow
	// notYet says why a door that has its port lets nobody in yet, and what to do; empty
	// once it does. May be nil.
	notYet func() (why, hint string)
}

// closed says why a door is closed, and what to do; empty if it is open.
func (d openDoor) closed() (why, hint string) {
	switch {
	case d.listener == nil:
		return d.why, cmp.Or(d.hint, "see [certificates] in the configuration")
	case d.notYet != nil:
		return d.notYet()
	}
	return "", ""
}

// label is the door's name, and what it is for where that is not everybody.
func (d openDoor) label() string {
	if d.of == "" {
		return string(d.name)
	}
	return string(d.name) + "-" + d.of
}

// row is the door in a document.
func (d openDoor) row() doorRow {
	row := doorRow{Name: string(d.name), For: d.of, Listen: d.listen, Origins: append([]string{}, d.origins...)}
	row.Why, row.Hint = d.closed()
	row.Open = row.Why == ""
	row.State = stateOf(row.Open)
	if d.health != nil && row.Open {
		row.Health = d.health()
	}
	if d.peers != nil && row.Open {
		row.Peers = d.peers()
	}
	return row
}

// stateOf is a door's state in a word.
func stateOf(open bool) string {
	if open {
		return "open"
	}
	return "closed"
}

// newServer opens what a gateway needs, in the order in which it is needed, and
// starts nothing. What it opened is closed by close.
func newServer(ctx context.Context, c *config.Config, p parts) (s *server, err error) {
	s = &server{cfg: c, parts: p, started: time.Now(), links: lan.NewLinks()}
	s.plain = &plainDoor{s: s}
	s.trust = s.newPublicTrust()
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.guard = newGuard(c, s.guardTold())
	if s.kept, err = keepGuard(ctx, s.guard, p.ledger, c, p.log); err != nil {
		return s, err
	}
	if err := s.openFilter(); err != nil {
		return s, err
	}
	if c.Guard.Offload == config.Nftables {
		s.offload = newOffload(s.guard, s.filter.Allows, agentSocket, p.log)
	}
	if s.authority, err = openAuthority(ctx, c, p.ledger); err != nil {
		return s, err
	}
	s.authority.Watch(func(names []string, until time.Time) {
		s.emit(event.Event{Kind: event.CertificateMade, Detail: strings.Join(names, ", ") + " until " + stamp(until)})
	})
	if s.mover, err = newMover(ctx, c, p.ledger, p.log); err == nil {
		err = s.mover.wake(ctx)
	}
	if err != nil {
		return s, err
	}
	if s.ddns, err = s.newDDNS(ctx); err != nil {
		return s, err
	}
	if err := s.openCertificates(ctx); err != nil {
		return s, err
	}
	if s.ssh, err = newSSHDoor(ctx, s); err != nil {
		return s, err
	}
	if err := p.rights.asRoot(s.openDoors); err != nil {
		return s, err
	}
	rpID, origins := passkeyHome(c, s.doors)
	s.identity, err = identity.New(ctx, identity.Config{
		Ledger: p.ledger, RPID: rpID, Origins: origins, Event: s.emit, Log: p.log, Slow: s.guard.Slow,
		Fail:        s.fail,
		SessionIdle: time.Duration(c.Policy.SessionIdle), SessionMax: time.Duration(c.Policy.SessionMax),
	})
	if err != nil {
		return s, err
	}
	if err := s.openGateway(); err != nil {
		return s, err
	}
	if now := s.mover.stance(); now.moved() {
		if err := s.place(now.Home); err != nil {
			return s, err
		}
	}
	s.house = &house{cfg: c, identity: s.identity, authority: s.authority, ledger: p.ledger, mover: s.mover, guard: s.guard, kept: s.kept, links: s.links, events: s.emit, server: s}
	s.house.rules = s.house.explainRules
	if s.control, err = listenControl(c.State.Socket, p.rights); err != nil {
		return s, err
	}
	if s.metrics, err = listenMetrics(c, p.rights); err != nil {
		return s, err
	}
	return s, nil
}

// openCertificates makes what asks public authorities, and takes the port that one asks
// back at.
func (s *server) openCertificates(ctx context.Context) (err error) {
	c := s.cfg.Certificates
	var root []byte
	if c.IssuerRoot != "" && len(c.Issuers) > 0 {
		if err := s.parts.rights.asRoot(func() (err error) { root, err = os.ReadFile(c.IssuerRoot); return err }); err != nil {
			return &problem{status: statusCannot, err: fmt.Errorf("read the issuer's root: %w", err), hint: "see certificates.issuer_root in the configuration"}
		}
	}
	if s.public, err = s.newCertificates(ctx, root); err != nil || s.public == nil || c.HTTPListen == "" {
		return err
	}
	return s.parts.rights.asRoot(func() (err error) {
		if s.http01, err = net.Listen("tcp", c.HTTPListen); err != nil {
			return cannotListen(err, "certificates.http_listen")
		}
		return nil
	})
}

// openGateway makes what stands between the doors and Home Assistant.
func (s *server) openGateway() error {
	ha, err := url.Parse(s.cfg.Home.HAURL)
	if err != nil {
		return fmt.Errorf("home.ha_url: %w", err)
	}
	users, err := client.New(client.Config{URL: ha, Dial: s.where.dial})
	if err != nil {
		return err
	}
	s.home = newHomeWatch(users, s.haToken, s.identity, s.emit, s.parts.log)
	how := web.Config{Identity: s.identity, Log: s.parts.log, Ready: s.home.answers, Authority: s.trustPage()}
	if s.clients != nil {
		how.Certificates = nextCertificates{s}
	}
	pages, err := web.New(how)
	if err != nil {
		return err
	}
	s.gateway, err = gateway.New(gateway.Config{
		HA: ha, Users: users, Identity: s.identity, Pages: standIns{pages}, Guard: counting{s.guard, s}, Event: s.emit, Log: s.parts.log,
		Home: s.home.state, SignIns: users, Running: s.home.running, Account: s.home.account,
		Clients: s.cfg.Policy.Clients, PlainWorker: s.cfg.Policy.PlainWorker, Closed: s.mover.closed, Filtered: s.filtered,
	})
	s.mover.around = surroundings{
		place: s.place, openPlain: s.plain.take, holdPlain: s.plain.open, dropPlain: s.plain.drop, own: s.links.Addrs, users: portUsers,
		reaches:   s.reaches,
		strangers: func() { s.gateway.EndStrangers() },
		emit:      func(kind event.Kind, about string) { s.emit(event.Event{Kind: kind, Detail: about}) },
	}
	return err
}

// reaches makes sure that visitors reach Home Assistant through us.
func (s *server) reaches(ctx context.Context) error {
	for _, d := range s.doors {
		if d.name == policy.LAN && d.listener != nil {
			return s.gateway.Reaches(ctx, d.door)
		}
	}
	return errors.New("the door lan is closed")
}

// standIns are web's pages as the gateway asks for them.
type standIns struct{ *web.Pages }

func (s standIns) Write(w http.ResponseWriter, r *http.Request, page gateway.Page, status int) {
	s.Pages.Write(w, r, webPage(page), status)
}

// webPage is web's word for a page of the gateway's.
func webPage(page gateway.Page) web.Page {
	switch page {
	case gateway.PageSignIn:
		return web.PageSignIn
	case gateway.PageOtherUser:
		return web.PageOtherUser
	case gateway.PageHADown:
		return web.PageHADown
	case gateway.PageNotAllowed:
		return web.PageNotAllowed
	case gateway.PageNotOnboarded:
		return web.PageNotOnboarded
	case gateway.PageOverTLS:
		return web.PageOverTLS
	}
	return web.PageNotFound
}

// haToken is the token of Home Assistant's API that setup keeps; empty if there is none.
func (s *server) haToken(ctx context.Context) (string, error) {
	token, _, err := loadHAToken(ctx, s.parts.ledger)
	return token, err
}

// run serves until ctx ends or a part fails for good; then it ends all of it.
func (s *server) run(ctx context.Context) error {
	s.emit(event.Event{Kind: event.Started})
	defer s.emit(event.Event{Kind: event.Stopped})
	s.home.look(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.parts.events.Run(ctx) })
	group.Go(func() error { return s.noteEvents(ctx) })
	group.Go(func() error { return s.identity.Run(ctx) })
	group.Go(func() error { return s.kept.run(ctx) })
	group.Go(func() error { return s.filter.Run(ctx) })
	group.Go(func() error { return s.authority.Run(ctx) })
	group.Go(func() error { return s.watchEndings(ctx) })
	if s.public != nil {
		group.Go(func() error { return s.public.Run(ctx) })
	}
	if s.ddns != nil {
		group.Go(func() error { return s.ddns.Run(ctx) })
	}
	if s.file != nil {
		group.Go(func() error { return s.file.run(ctx) })
	}
	if s.http01 != nil {
		group.Go(func() error { return s.public.ServeHTTP01(ctx, s.http01) })
	}
	group.Go(func() error { return s.gateway.Run(ctx) })
	group.Go(func() error { return s.home.run(ctx) })
	group.Go(func() error { return s.mover.run(ctx) })
	group.Go(func() error { return s.plain.begin(ctx) })
	group.Go(func() error { return s.offload.run(ctx) })
	group.Go(func() error { return serveControl(ctx, s.control, s.house, s.parts.log) })
	if s.metrics != nil {
		group.Go(func() error { return serveMetrics(ctx, s.metrics, s.writeMetrics, s.parts.log) })
	}
	stop := s.identity.WatchKeys(s.giveKeys)
	defer stop()
	s.giveKeys()
	for _, d := range s.doors {
		if d.listener == nil {
			continue
		}
		if d.run != nil {
			group.Go(func() error { return d.run(ctx) })
		}
		h := s.gateway.Handler(d.door)
		if d.name == policy.HTTPS {
			h = s.trust.withHSTS(h)
		}
		w := s.reader(d.name, d.proxies, h)
		w.ConnContext = gateway.ConnContext(d.door)
		group.Go(func() error {
			if err := w.Serve(ctx, d.listener); err != nil {
				return fmt.Errorf("door %s: %w", d.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// giveKeys tells each door that knows devices by their keys which there are.
func (s *server) giveKeys() {
	s.giving.Lock() // what was read first is told first
	defer s.giving.Unlock()
	for _, d := range s.doors {
		if d.setKeys != nil && d.listener != nil {
			d.setKeys(s.identity.Keys(d.keys))
		}
	}
}

// reader is what reads the requests at a door.
func (s *server) reader(door policy.Door, proxies wire.Proxies, h http.Handler) *wire.Server {
	turnedAway := s.turnedAway(door, proxies)
	return &wire.Server{Handler: h, Proxies: proxies, ErrorLog: s.parts.log,
		Refused: func(remote net.Addr, why wire.Reason) { turnedAway(remote, string(why)) },
		Dropped: func(net.Addr) { s.refused.add("header with an underscore left out") },
	}
}

// close closes what newServer opened. What run served is closed already.
func (s *server) close() {
	for _, d := range s.doors {
		if d.listener != nil {
			_ = d.listener.Close() // a second close says nothing that anybody needs
		}
	}
	s.plain.drop()
	if s.http01 != nil {
		_ = s.http01.Close()
	}
	if s.control != nil {
		_ = s.control.Close()
	}
	if s.metrics != nil {
		_ = s.metrics.Close()
	}
}

// emit takes an event down; whoever has shown who they are is forgiven.
func (s *server) emit(e event.Event) {
	if e.Kind == event.SignedIn || e.Kind == event.DeviceEnrolled {
		if addr, err := netip.ParseAddr(e.Addr); err == nil {
			s.guard.Succeed(addr)
		}
	}
	s.parts.events.Emit(e)
	if e.Kind == event.Banned || e.Kind == event.Unbanned {
		s.offload.wake()
	}
}

// fail tells the guard of a failure, and counts it.
func (s *server) fail(f guard.Failure) {
	s.failed.add(string(f.Kind))
	s.guard.Fail(f)
}

// counting is the guard as the gateway asks it.
type counting struct {
	*guard.Guard
	s *server
}

func (c counting) Fail(f guard.Failure) { c.s.fail(f) }

// openDoors opens every door of the configuration that has what it needs. It is an
// error if none has.
func (s *server) openDoors() error {
	if d := s.cfg.Doors.HTTPS; d != nil {
		if err := s.openHTTPS(d); err != nil {
			return err
		}
		s.openCertificateDoor(context.Background(), d)
	}
	if d := s.cfg.Doors.LAN; d != nil {
		if err := s.openLAN(d); err != nil {
			return err
		}
	}
	if s.ssh != nil {
		s.doors = append(s.doors, s.ssh.open(s.cfg.Doors.SSH))
	}
	if d := s.cfg.Doors.Onion; d != nil {
		s.openOnion(d)
	}
	if d := s.cfg.Doors.WireGuard; d != nil {
		if err := s.openWireGuard(context.Background(), d); err != nil {
			return err
		}
	}
	// In the middle of a move Home Assistant may come up there itself: the mover looks first.
	if step := s.mover.stance().Step; step == stepNone || step == stepTrial {
		if err := s.plain.open(); err != nil {
			s.parts.log.Error("the door without TLS, where Home Assistant was, is closed", "error", err)
		}
	}
	for _, d := range s.doors {
		if d.listener != nil {
			return nil
		}
	}
	why := make([]string, len(s.doors))
	for i, d := range s.doors {
		why[i] = fmt.Sprintf("door %s: %s", d.name, d.why)
	}
	return &problem{status: statusCannot, err: errors.New("no door can be opened\n" + strings.Join(why, "\n")),
		hint: "name an issuer or the certificate's files under [certificates]; until then [doors.lan] works without"}
}

func (s *server) openHTTPS(d *config.HTTPS) error {
	name := s.cfg.Home.Name
	open := openDoor{name: policy.HTTPS, listen: d.Listen, proxies: httpsProxies(s.cfg)}
	get, why := s.certificate(name)
	if why == "" {
		old := &oldTLS{}
		how := https.Config{Listen: d.Listen, Names: []string{name}, PublicPort: d.PublicPort, TLS: s.tlsOf(get),
			Proxies: open.proxies, Allow: s.admits(policy.HTTPS, open.proxies), Favoured: s.favoured, Tight: s.tight, Refused: old.counting(s.turnedAway(policy.HTTPS, open.proxies))}
		if s.public != nil {
			how.Proof, how.Ready = s.public.Proof, func(name string) bool { return s.public.Certificate(name) != nil }
			open.notYet = func() (why, hint string) { return s.public.Why(name) }
		} else if s.file != nil {
			how.Ready, open.notYet = s.file.ready, s.file.closed
		}
		door, err := https.Listen(how)
		if err != nil {
			return cannotListen(err, "doors.https.listen")
		}
		open.listener, open.door, open.origins, open.shows, open.health = door, door, door.Origins(), get, old.health
	}
	open.why = why
	s.doors = append(s.doors, open)
	return nil
}

func (s *server) openLAN(d *config.LAN) error {
	names := lanNames(s.cfg)
	get := s.authority.GetCertificate(localNames(s.cfg), s.links.Addrs)
	if file := s.certificateFile(); file != nil {
		get = file.before(get)
	}
	if s.public != nil {
		get = publicFirst(s.public, s.cfg.Home.Name, get)
	}
	proxies, old := lanProxies(s.cfg), &oldTLS{}
	door, err := lan.Listen(lan.Config{Listen: d.Listen, Names: names, TLS: s.tlsOf(get), Links: s.links,
		Proxies: proxies, Allow: s.admits(policy.LAN, proxies), Favoured: s.favoured, Tight: s.tight, Refused: old.counting(s.turnedAway(policy.LAN, proxies))})
	if err != nil {
		return cannotListen(err, "doors.lan.listen")
	}
	s.doors = append(s.doors, openDoor{name: policy.LAN, listen: d.Listen, listener: door, door: door, proxies: proxies, origins: door.Origins(), shows: get, health: old.health})
	return nil
}

// certificateFile is the certificate that the configuration names the files of, as they are
// now; nil where it names none.
func (s *server) certificateFile() *fileCertificate {
	c := s.cfg.Certificates
	if c.Certificate == "" || s.file != nil {
		return s.file
	}
	s.file = &fileCertificate{certificate: c.Certificate, key: c.Key, log: s.parts.log,
		lasting: func(why string) { s.emit(event.Event{Kind: event.CertificateFailed, Detail: why}) }}
	if s.cfg.Doors.HTTPS != nil {
		s.file.name = s.cfg.Home.Name
	}
	s.file.look(time.Now())
	return s.file
}

// certificate returns what shows a certificate for the home's name, or why there is none.
func (s *server) certificate(name string) (pki.GetCertificate, string) {
	c := s.cfg.Certificates
	switch {
	case c.Certificate != "":
		file := s.certificateFile()
		doors := s.cfg.Doors
		alone := doors.LAN == nil && doors.WireGuard == nil && doors.SSH == nil && doors.Onion == nil
		if why, _ := file.closed(); why != "" && alone {
			return nil, why // nobody would come in: better not to start
		}
		return file.get, ""
	case s.public != nil:
		return s.public.GetCertificate, ""
	case pki.IsHomeName(name):
		return s.authority.GetCertificate([]string{name}, nil), ""
	}
	return nil, fmt.Sprintf("there is no certificate for %s yet, and the local authority's is never shown on a public name", name)
}

// publicFirst shows a public authority's certificate to whoever asks for a name of its
// own, and others what next returns. The local authority's is never shown on a public
// name, also while there is none yet.
func publicFirst(public *acme.Manager, home string, next pki.GetCertificate) pki.GetCertificate {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		name := strings.ToLower(hello.ServerName)
		if public.Certificate(name) != nil || name == home && !pki.IsHomeName(home) {
			return public.GetCertificate(hello)
		}
		return next(hello)
	}
}

// cannotListen says why a door's port could not be had.
func cannotListen(err error, key string) error {
	p := &problem{status: statusCannot, err: err, hint: "see " + key + " in the configuration"}
	switch {
	case errors.Is(err, os.ErrPermission):
		p.hint = "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE; see " + key
	case strings.Contains(err.Error(), "address already in use"):
		p.hint = "another program listens there; end it, or choose another port for " + key
	}
	return p
}

// openAuthority opens the local authority and has it vouch for the home's names.
func openAuthority(ctx context.Context, c *config.Config, l *ledger.Ledger) (*pki.Authority, error) {
	a, err := pki.Open(ctx, l, pki.Options{Names: authorityNames(c)})
	var name *pki.NameError
	if errors.As(err, &name) {
		return nil, &problem{status: statusCannot, err: err,
			hint: `"gatehouse ca rotate --now" makes a new one for the names of today; every device has to trust it anew`}
	}
	return a, err
}

// authorityNames are the names that the local authority is made for.
func authorityNames(c *config.Config) []string {
	var names []string
	if (c.Doors.HTTPS != nil || c.Doors.WireGuard != nil) && pki.IsHomeName(c.Home.Name) {
		names = append(names, c.Home.Name)
	}
	if c.Doors.LAN != nil {
		names = append(names, localNames(c)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// localNames are the names of the door lan for which the local authority vouches: this
// machine's own in its network, the configured ones, and the home's, where it means
// something at home.
func localNames(c *config.Config) []string {
	var names []string
	if host, err := os.Hostname(); err == nil {
		host, _, _ = strings.Cut(strings.ToLower(host), ".")
		if config.IsHostName(host) {
			names = append(names, host+".local")
		}
	}
	names = append(names, c.Doors.LAN.Names...)
	if n := c.Home.Name; n != "" && (pki.IsHomeName(n) || c.Certificates.Certificate != "") {
		names = append(names, n)
	}
	return once(names)
}

// lanNames are all the names of the door lan: the home's, too, where a public authority
// vouches for it.
func lanNames(c *config.Config) []string {
	names := localNames(c)
	if c.Home.Name != "" && len(c.Certificates.Issuers) > 0 {
		names = append(names, c.Home.Name)
	}
	return once(names)
}

// once leaves out what came before.
func once(names []string) []string {
	var kept []string
	for _, n := range names {
		if !slices.Contains(kept, n) {
			kept = append(kept, n)
		}
	}
	return kept
}

// passkeyHome returns the name that passkeys belong to, and where they may be used: the home's
// own, or where no door is reached by that the first name of a door. Where there is no name at
// all, there are no passkeys.
func passkeyHome(c *config.Config, doors []openDoor) (rpID string, origins []string) {
	var hosts, all []string
	for _, d := range doors {
		for _, o := range d.origins {
			if u, err := url.Parse(o); err == nil && u.Scheme == "https" {
				hosts, all = append(hosts, u.Hostname()), append(all, o)
			}
		}
	}
	for _, rpID := range append([]string{c.Home.Name}, hosts...) {
		for n, host := range hosts {
			if rpID != "" && (host == rpID || strings.HasSuffix(host, "."+rpID)) {
				origins = append(origins, all[n])
			}
		}
		if len(origins) > 0 {
			return rpID, origins
		}
	}
	return "", nil
}

// tally counts by a closed set of sentences.
type tally struct {
	mu sync.Mutex
	n  map[string]uint64
}

func (t *tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[string]uint64)
	}
	t.n[what]++
}

// into adds the counts to others.
func (t *tally) into(all map[string]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for what, n := range t.n {
		all[what] += n
	}
}
