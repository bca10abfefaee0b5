// Bench measures what the gateway costs: requests, processor time and latency of a
// known device through the gateway, beside direct access and beside nginx, HAProxy
// and Caddy as plain TLS reverse proxies in front of the same small home, in one
// run on one machine, so that the ratios mean something where the absolute figures
// do not; and what the audit of this machine costs, beside Lynis. It passes no
// judgement: docs/performance.md holds the figures.
//
// Run it with: make bench
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// plan is how much is measured.
type plan struct {
	rounds      int           // of every target, taken in turns; the median counts
	each        time.Duration // of one HTTP/1.1 round
	connections int
	h2Requests  int           // of one HTTP/2 round
	hooks       int           // calls of webhooks of one round
	hookRest    time.Duration // between two rounds of these
	refreshes   int           // of one round
	pings       int           // of one WebSocket latency round
	visits      int           // of a known device in one round of a siege
	files       int           // that go through a tunnel in one round
	networks    int           // of the lists of a rule for addresses
	questions   int           // to it
	starts      int
	audits      int // of this machine and of a made-up tree
	auditFiles  int // in that
}

// refreshConnections is below what the gateway lets one address have under way before
// it knows whose a token request is (16).
const refreshConnections = 8

func main() {
	var (
		binary = flag.String("binary", "bin/gatehouse", "the gateway to measure")
		doc    = flag.String("write", "", "file whose table is replaced, between its markers")
		keep   = flag.String("keep", "", "folder to keep configurations and logs in")
		quick  = flag.Bool("quick", false, "one short round, to try the bench itself")
		audit  = flag.Bool("audit", false, "measure the audit alone")
		ssh    = flag.Bool("ssh", false, "measure the door ssh alone")
		vpn    = flag.Bool("wireguard", false, "measure the door wireguard alone")
		audits = flag.Int("audits", 3, "how often each audit is measured")
		files  = flag.Int("files", 1_000_000, "files of the made-up tree that is audited")
		once   = flag.String("once", "", "run the program that follows, and write to this file what it used (used by the bench itself)")
		siege  = flag.String("siege", "", "try to log in at this address again and again, and nothing else (used by the bench itself)")
		pace   = flag.Int("pace", 0, "attempts a second of a siege; 0: as many as go (used by the bench itself)")
		far    = flag.String("tunnel", "", "be the far end of a plain tunnel, by this file, to the address of -upstream (used by the bench itself)")
		behind = flag.String("upstream", "", "serve the small home on this address and nothing else (used by the bench itself)")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *far != "" {
		exitOn(runTunnel(ctx, *far, *behind))
		return
	}
	if *behind != "" {
		exitOn(runUpstream(ctx, *behind))
		return
	}
	if *siege != "" {
		exitOn(runSiege(ctx, *siege, *pace))
		return
	}
	if *once != "" {
		exitOn(runOnce(ctx, *once, flag.Args()))
		return
	}
	p := plan{rounds: 5, each: 4 * time.Second, connections: 32, h2Requests: 20000, hooks: 9000, hookRest: 8 * time.Second, refreshes: 10000, pings: 5000, visits: 1000, files: 8, networks: 1_000_000, questions: 5_000_000, starts: 5, audits: max(1, *audits), auditFiles: max(1000, *files)}
	if *quick {
		p = plan{rounds: 1, each: time.Second, connections: 32, h2Requests: 2000, hooks: 3000, refreshes: 1000, pings: 500, visits: 200, files: 2, networks: 100_000, questions: 1_000_000, starts: 1, audits: 1, auditFiles: 20_000}
	}
	dir := *keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "gatehouse-bench-"); err != nil {
			exitOn(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		exitOn(err)
	}
	failed := func(err error) {
		if err != nil {
			exitOn(fmt.Errorf("%w (configurations and logs: %s)", err, dir))
		}
	}
	if !*audit && !*ssh && !*vpn {
		r, err := measure(ctx, p, *binary, dir)
		failed(err)
		show(r.table(), *doc, tableBegin)
	}
	if !*audit && !*ssh {
		t, err := measureWireGuard(ctx, p, *binary, dir)
		failed(err)
		show(t.table(p), *doc, vpnBegin)
	}
	if !*audit && !*vpn {
		t, err := measureTunnels(ctx, p, *binary, dir)
		failed(err)
		show(t.table(p), *doc, sshBegin)
	}
	if *ssh || *vpn {
		return
	}
	a, err := measureAudits(ctx, p, *binary, dir)
	failed(err)
	var text strings.Builder
	a.table(&text, *binary)
	show(text.String(), *doc, auditBegin)
}

// show prints a table, and puts it into a document if one is named.
func show(text, doc, begin string) {
	fmt.Print(text)
	if doc != "" {
		exitOn(replaceTable(doc, begin, text))
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(4)
	}
}

// target is one way to the home.
type target struct {
	name    string
	base    string // https://localhost:port
	header  []string
	process *process // nil for direct
}

// measure runs everything and stops what it started.
func measure(ctx context.Context, p plan, binary, dir string) (*result, error) {
	for _, need := range []struct{ program, pkg string }{{"wrk", "wrk"}, {"h2load", "nghttp2-client"}, {"nginx", "nginx"}, {"haproxy", "haproxy"}, {"caddy", "caddy"}} {
		if _, err := exec.LookPath(need.program); err != nil {
			return nil, fmt.Errorf("%s is missing: apt-get install %s", need.program, need.pkg)
		}
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("%s is missing: make build", binary)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	home := fmt.Sprintf("127.0.0.1:%d", freePort())
	up, err := start(filepath.Join(dir, "upstream.log"), nil, self, "-upstream", home)
	if err != nil {
		return nil, err
	}
	defer up.stop()
	if err := answers(ctx, "http://"+home+"/manifest.json"); err != nil {
		return nil, fmt.Errorf("the small home: %w", err)
	}
	gate, err := openGate(ctx, binary, filepath.Join(dir, "gatehouse"), home, "", p.starts)
	if err != nil {
		return nil, err
	}
	defer gate.process.stop()
	known := []string{"Cookie: " + gate.owner.cookie, "Authorization: Bearer " + gate.owner.token}

	targets := []*target{{name: "direct, no TLS", base: "http://" + home, header: known}}
	certificate := filepath.Join(dir, "localhost.pem")
	if err := makeCertificate(certificate); err != nil {
		return nil, err
	}
	for _, peer := range peers {
		port := freePort()
		file, err := peer.configure(dir, port, home, certificate)
		if err != nil {
			return nil, err
		}
		proc, err := start(filepath.Join(dir, peer.program+".log"), nil, peer.program, peer.args(file)...)
		if err != nil {
			return nil, err
		}
		defer proc.stop()
		t := &target{name: peer.name, base: fmt.Sprintf("https://localhost:%d", port), header: known, process: proc}
		if err := answers(ctx, t.base+benchPath); err != nil {
			return nil, fmt.Errorf("%s (log: %s): %w", peer.name, proc.log.Name(), err)
		}
		targets = append(targets, t)
	}
	targets = append(targets, &target{name: "Gatehouse", base: gate.base, header: known, process: gate.process})

	r := &result{plan: p, conditions: conditions(binary), gate: gate}
	time.Sleep(3 * time.Second) // let everything settle before the idle memory is read
	for _, t := range targets {
		if t.process != nil {
			idle, err := t.process.memory()
			if err != nil {
				return nil, err
			}
			r.idle = append(r.idle, memory{t.name, idle})
		}
	}
	if r.http1, err = rounds(ctx, p, targets, "HTTP/1.1", func(t *target) (sample, error) {
		return wrk(t.base+benchPath, t.header, p.connections, p.each)
	}); err != nil {
		return nil, err
	}
	if r.http2, err = rounds(ctx, p, targets[1:], "HTTP/2", func(t *target) (sample, error) {
		return h2load(dir, t.base+benchPath, t.header, 4, 8, p.h2Requests)
	}); err != nil {
		return nil, err
	}
	if err := gate.enrolApps(ctx); err != nil {
		return nil, err
	}
	if r.hook, err = rounds(ctx, p, targets, "webhook", func(t *target) (sample, error) {
		if t == targets[0] {
			time.Sleep(p.hookRest) // until the gateway lets every app call as often again
		}
		return post(dir, gate.webhooks(t.base), appHeader("application/json"), sensorBody(), p.connections, p.hooks)
	}); err != nil {
		return nil, err
	}
	if r.refresh, err = rounds(ctx, p, targets, "token refresh", func(t *target) (sample, error) {
		return post(dir, []string{t.base + tokenPath}, appHeader(formType), gate.refreshForm(), refreshConnections, p.refreshes)
	}); err != nil {
		return nil, err
	}
	if r.socket, err = rounds(ctx, p, targets, "WebSocket, one message at a time", func(t *target) (sample, error) {
		took, err := t.dialer(gate).roundTrips(ctx, p.pings)
		return sample{requests: len(took), p50: quantile(took, 0.50), p99: quantile(took, 0.99)}, err
	}); err != nil {
		return nil, err
	}
	if r.flood, err = rounds(ctx, p, targets, "WebSocket, many at a time", func(t *target) (sample, error) {
		n, err := t.dialer(gate).flood(ctx, 8, 8, p.each)
		return sample{requests: n, perSecond: float64(n) / p.each.Seconds()}, err
	}); err != nil {
		return nil, err
	}
	if err := r.besiege(ctx, p, targets[1:], self, dir); err != nil {
		return nil, err
	}
	for _, t := range targets[1:] {
		after, err := t.process.memory()
		if err != nil {
			return nil, err
		}
		r.after = append(r.after, memory{t.name, after})
	}
	r.filter, err = measureFilter(dir, p.networks, p.questions)
	return r, err
}

// rounds measures every target in turns, so that what else the machine does hits
// all of them alike, and returns the medians with the processor time an answer cost.
func rounds(ctx context.Context, p plan, targets []*target, what string, one func(*target) (sample, error)) ([]row, error) {
	all := make([][]sample, len(targets))
	for round := range p.rounds {
		for i, t := range targets {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			fmt.Fprintf(os.Stderr, "%s, round %d of %d: %s\n", what, round+1, p.rounds, t.name)
			before, err := t.cpu()
			if err != nil {
				return nil, err
			}
			s, err := one(t)
			if err != nil {
				return nil, fmt.Errorf("%s through %s: %w", what, t.name, err)
			}
			after, err := t.cpu()
			if err != nil {
				return nil, err
			}
			s.cpu = (after - before) / time.Duration(max(1, s.requests))
			all[i] = append(all[i], s)
		}
	}
	rows := make([]row, len(targets))
	for i, t := range targets {
		rows[i] = row{t.name, median(all[i])}
	}
	return rows, nil
}

func (t *target) cpu() (time.Duration, error) {
	if t.process == nil {
		return 0, nil
	}
	return t.process.cpu()
}

// dialer opens this target's socket with the known device's cookie and token.
func (t *target) dialer(g *gate) dialer {
	return dialer{
		url:    "ws" + t.base[len("http"):] + "/api/websocket",
		client: loopback(),
		header: http.Header{"Cookie": {g.owner.cookie}, "Origin": {t.base}},
		token:  g.owner.token,
	}
}

// loopback is a client for servers that this program started itself: who they are
// is known, so their certificates are not looked at.
func loopback() *http.Client {
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true}, //nolint:gosec // our own, on loopback
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answers waits until a URL answers with any status.
func answers(ctx context.Context, url string) error {
	client := loopback()
	defer client.CloseIdleConnections()
	deadline := time.Now().Add(20 * time.Second)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			return errors.Join(err, res.Body.Close())
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("does not answer: %w", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// freePort is a port of loopback that nothing listened on a moment ago.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	exitOn(err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	exitOn(err)
	n, err := strconv.Atoi(port)
	exitOn(err)
	return n
}
