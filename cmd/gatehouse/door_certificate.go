package main

import (
	"context"
	"fmt"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/door/https"
	"gatehouse/internal/event"
	"gatehouse/internal/identity"
	"gatehouse/internal/pki"
	"gatehouse/internal/policy"
)

// The port of the door https for devices that are known by a client certificate.

// keepReplaced is how long a certificate counts after the next one was fetched: the person has
// to install it first.
const keepReplaced = 7 * 24 * time.Hour

// openCertificateDoor opens the port, where the configuration has one. That it cannot be had,
// or the authority of its certificates cannot be read, closes it alone.
func (s *server) openCertificateDoor(ctx context.Context, d *config.HTTPS) {
	if d.CertificateListen == "" {
		return
	}
	name := s.cfg.Home.Name
	open := openDoor{name: policy.HTTPS, of: "certificates", listen: d.CertificateListen}
	clients, err := pki.OpenClients(ctx, s.parts.ledger, nil)
	if err != nil {
		open.why, open.hint = err.Error(), "restore the ledger from a backup; the other doors do without"
		s.doors = append(s.doors, open)
		return
	}
	s.clients = clients
	get, why := s.certificate(name)
	if why == "" {
		old := &oldTLS{}
		how := https.Config{Listen: d.CertificateListen, Names: []string{name}, PublicPort: d.CertificatePort, TLS: s.tlsOf(get),
			Allow: s.admits(policy.HTTPS, open.proxies), Favoured: s.favoured, Tight: s.tight, Refused: old.counting(s.turnedAway(policy.HTTPS, open.proxies))}
		if s.public != nil {
			how.Ready = func(name string) bool { return s.public.Certificate(name) != nil }
			open.notYet = func() (why, hint string) { return s.public.Why(name) }
		} else if s.file != nil {
			how.Ready, open.notYet = s.file.ready, s.file.closed
		}
		door, err := https.ListenCertificates(how, clients.Pool())
		if err != nil {
			p := asProblem(cannotListen(err, "doors.https.certificate_listen"))
			why, open.hint = err.Error(), p.hint
		} else {
			open.listener, open.door, open.origins, open.shows, open.health = door, door, door.Origins(), get, old.health
			open.keys = identity.KindCertificate
			open.setKeys = func(keys []identity.KeyInfo) {
				ids := make([]string, len(keys))
				for i, k := range keys {
					ids[i] = k.Key.ID
				}
				door.SetKeys(ids)
			}
		}
	}
	open.why = why
	s.doors = append(s.doors, open)
}

// nextCertificates makes the next certificate of a device, for web.
type nextCertificates struct{ s *server }

// Next implements web.Certificates.
func (n nextCertificates) Next(ctx context.Context, k identity.KeyInfo, password string) ([]byte, error) {
	const day = 24 * time.Hour
	d, days := k.Device, int((k.Expires.Sub(k.Created)+day/2)/day)
	file, err := n.s.clients.Issue(clientName(d.PersonName, d.Name), password, days, false)
	if err != nil {
		return nil, err
	}
	key := identity.NewKey{Key: policy.Key{Kind: identity.KindCertificate, ID: file.KeyID}, Expires: file.Expires}
	if err := n.s.identity.ReplaceKey(ctx, d.ID, key, time.Now().Add(keepReplaced)); err != nil {
		return nil, fmt.Errorf("keep the next certificate: %w", err)
	}
	made := event.Event{Kind: event.CertificateMade, Person: d.PersonName, Device: d.ID, Door: string(policy.HTTPS),
		Detail: "the next client certificate of " + clientName(d.PersonName, d.Name) + " until " + stamp(file.Expires)}
	if v, ok := identity.VisitFrom(ctx); ok {
		made.Addr = v.Addr.String()
	}
	n.s.emit(made)
	return file.PKCS12, nil
}

// clientName is what a client certificate says of its device.
func clientName(person, label string) string { return person + ", " + label }
