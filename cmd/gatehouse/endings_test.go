package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/ddns"
	"gatehouse/internal/event"
	"gatehouse/internal/ledger"
)

// standing is a server that does not run.
func standing(t *testing.T, change func(*config.Config)) *server {
	t.Helper()
	l, err := ledger.Open(t.Context(), "", ledger.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c := config.Default()
	c.Home.Name, c.Home.HAURL = "house.home.arpa", "http://127.0.0.1:1"
	c.Doors.HTTPS = &config.HTTPS{Listen: "127.0.0.1:0"}
	c.State.Socket = filepath.Join(t.TempDir(), "control.sock")
	if change != nil {
		change(c)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := newServer(t.Context(), c, parts{ledger: l, events: event.NewLog(log, nil), log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// A certificate that nobody renews is told of in every place where an owner may look: by
// doctor, status and metrics as long as it is so, and once in the event log.
func TestEndingIsToldEverywhere(t *testing.T) {
	s := standing(t, nil)
	now := time.Now()
	until := now.Add(6 * 24 * time.Hour)
	leaf := &x509.Certificate{NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	for days, told := range map[int]bool{6: true, 100: false} {
		leaf.NotAfter = now.Add(time.Duration(days) * 24 * time.Hour)
		s.file = &fileCertificate{certificate: "/etc/x.pem"}
		s.file.shown.Store(&tls.Certificate{Leaf: leaf})
		doc, err := status(t.Context(), s.house, none{})
		if err != nil {
			t.Fatal(err)
		}
		var text, metrics bytes.Buffer
		sayStatus(&text, doc)
		if err := s.writeMetrics(&metrics); err != nil {
			t.Fatal(err)
		}
		sick := s.house.examineEndings(now)
		number := map[bool]string{true: "1", false: "0"}[told]
		if (len(doc.Ending) == 1) != told || (len(sick) == 1) != told || strings.Contains(text.String(), "A certificate ends: /etc/x.pem ends in") != told ||
			!strings.Contains(metrics.String(), "\ngatehouse_certificates_ending "+number+"\n") || !strings.Contains(metrics.String(), `gatehouse_certificates_expiry_timestamp_seconds{kind="file"} `) {
			t.Errorf("%d days: %+v, %+v\n%s\n%s", days, doc.Ending, sick, text.String(), metrics.String())
		}
		if told && (doc.Ending[0].Within != 7 || sick[0].Result != bad || sick[0].Hint == "") {
			t.Errorf("%+v, %+v", doc.Ending, sick)
		}
	}
	leaf.NotAfter = until
	before := s.parts.events.Totals().Events[event.CertificateEnds]
	for range 3 {
		for _, e := range s.endings() {
			if err := s.warn(t.Context(), e, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := s.parts.events.Totals().Events[event.CertificateEnds] - before; got != 1 {
		t.Errorf("%d events", got)
	}
	if text := (endingRow{Certificate: "x", Until: stamp(now.Add(-time.Hour)), Why: "nobody answers"}).sentence(); text != "x has ended; nobody answers" {
		t.Error(text)
	}
}

// What is wrong with the home's addresses is told by doctor, status, metrics and the verb;
// where they are not kept, nothing is said of them.
func TestDDNSIsTold(t *testing.T) {
	s := standing(t, nil)
	if s.house.examineDDNS() != nil || s.house.ddnsInfo() != nil {
		t.Error("it is told where it is off")
	}
	var text bytes.Buffer
	sayDDNS(&text, nil)
	if !strings.Contains(text.String(), "no table [ddns]") {
		t.Error(text.String())
	}
	s.cfg.DDNS = &config.DDNS{Name: "ha.example.org"}
	if d := s.house.examineDDNS(); len(d) != 1 || d[0].Result != unknown {
		t.Errorf("before it is started: %+v", d)
	}
	if _, err := showDDNS(t.Context(), s.house, none{}); err == nil {
		t.Error("before it is started")
	}
	if _, err := retryDDNS(t.Context(), s.house, none{}); err == nil {
		t.Error("before it is started")
	}
	var err error
	s.ddns, err = ddns.New(t.Context(), ddns.Config{Ledger: s.parts.ledger, Name: "ha.example.org", Kinds: ddnsKinds(&config.DDNS{IPv4: true, IPv6: true}), Life: time.Minute, Holder: "x",
		Sources: []ddns.Source{{Name: "x", Address: func(context.Context, ddns.Kind) (netip.Addr, error) { return netip.Addr{}, errors.New("it is away") }}},
		Zone:    func(context.Context) (ddns.Zone, error) { return nil, errors.New("never asked") }})
	if err != nil {
		t.Fatal(err)
	}
	if d := s.house.examineDDNS(); len(d) != 1 || d[0].Result != unknown || !strings.Contains(d[0].Detail, "could not be asked yet") {
		t.Errorf("%+v", d)
	}
	bad := &ddnsInfo{Name: "ha.example.org", Why: "it is refused", Hint: "look", NextTry: stamp(time.Now().Add(time.Hour)),
		Records: []recordRow{{Kind: "A", Zone: []string{"20.1.1.1"}, Why: "nobody knows", Hint: "ask"}, {Kind: "AAAA", Address: "2a00:1::5", Source: "this machine", Zone: []string{}}}}
	text.Reset()
	sayDDNS(&text, bad)
	for _, want := range []string{"ha.example.org leads to 20.1.1.1; it is refused.", "→ look", "A: nobody knows", "→ ask", "written again in"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
	var metrics bytes.Buffer
	if err := s.writeMetrics(&metrics); err != nil || !strings.Contains(metrics.String(), "\ngatehouse_ddns_good 1\n") {
		t.Errorf("%v\n%s", err, metrics.String())
	}
}

// Behind a proxy the name leads to the proxy: where this house is, is no matter then.
func TestOutsideBehindAProxy(t *testing.T) {
	s := standing(t, func(c *config.Config) { c.Doors.HTTPS.TrustedProxies = []string{"192.0.2.1"} })
	if got := s.outside(t.Context()); got != nil {
		t.Errorf("%v", got)
	}
}

// A name that exists at home alone has no addresses on the Internet.
func TestDDNSWantsAPublicName(t *testing.T) {
	s := standing(t, nil)
	s.cfg.DDNS, s.cfg.Certificates.DNS = &config.DDNS{Name: "house.home.arpa", Addresses: []string{"interface"}, IPv4: true, TTL: config.Duration(time.Minute)}, &config.DNS{Provider: "desec"}
	if _, err := s.newDDNS(t.Context()); err == nil || !strings.Contains(err.Error(), "no name that exists on the Internet") {
		t.Errorf("%v", err)
	}
	s.cfg.DDNS.Name = "ha.example.org"
	if k, err := s.newDDNS(t.Context()); err != nil || k == nil {
		t.Errorf("%v", err)
	}
	if all := ddnsSources([]string{"interface", "router", "https://echo.example/"}); len(all) != 3 || all[2].Name != "https://echo.example/" {
		t.Errorf("%v", all)
	}
}
