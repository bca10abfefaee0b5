package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"gatehouse/internal/agent"
	"gatehouse/internal/config"
	"gatehouse/internal/ha/hatest"
	"gatehouse/internal/ledger"
)

// demoName is the host name of the demonstration home. Browsers lead it to this machine.
const demoName = "localhost"

func (a *app) newDemoCommand() *cobra.Command {
	var listen, ssh string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run a made-up home behind the gateway; nothing is kept",
		Long: `Runs a small made-up Home Assistant and the gateway in front of it, on this machine
alone, and prints the link that makes you its owner. Nothing is installed, nothing is
kept: when it ends, everything is gone.

While it runs and there is no configuration, the other verbs (devices, people,
invite …) speak to it.`,
		Example: "  gatehouse demo",
		Args:    noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), listen, ssh)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8443", "`ADDRESS:PORT` of this machine; port 0 takes a free one")
	c.Flags().StringVar(&ssh, "ssh-listen", "", "`ADDRESS:PORT` of this machine for the door ssh, or none; 2222 or a free one if it is left out")
	return c
}

// demoDocument is what is said when the home is ready.
type demoDocument struct {
	SchemaVersion int    `json:"schema_version"`
	URL           string `json:"url"`
	OwnerLink     string `json:"owner_link"`
	Expires       string `json:"expires"`
	Username      string `json:"username"` // of the made-up Home Assistant
	Password      string `json:"password"`
	RootPEMFile   string `json:"root_pem_file"`
	Fingerprint   string `json:"root_fingerprint"`
}

// demo runs the demonstration home until ctx ends.
func (a *app) demo(ctx context.Context, listen, ssh string) (err error) {
	listen, err = loopback(listen)
	if err != nil {
		return err
	}
	log := a.demoLogger()
	here := netip.MustParseAddr("127.0.0.1")
	home := hatest.New(hatest.Options{TrustedProxies: []netip.Prefix{netip.PrefixFrom(here, here.BitLen())}, Log: log})
	inner, err := net.Listen("tcp", netip.AddrPortFrom(here, 0).String())
	if err != nil {
		return fmt.Errorf("start the demonstration home: %w", err)
	}
	defer inner.Close()

	dir, err := demoDir(a.getenv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c := config.Default()
	c.Home.Name, c.Home.HAURL = demoName, "http://"+inner.Addr().String()
	c.Doors.HTTPS = &config.HTTPS{Listen: listen}
	if c.Doors.SSH, err = demoSSH(ssh); err != nil {
		return err
	}
	c.State.Socket = filepath.Join(dir, "control.sock")
	l, err := ledger.Open(ctx, "", ledger.NewKey())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return home.Run(ctx) })
	group.Go(func() error { return serveHome(ctx, inner, home) })
	events, err := keepEvents(c, dir, l, log, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	s, err := newServer(ctx, c, parts{ledger: l, events: events, log: log})
	if err != nil {
		return err
	}
	defer s.close()
	root := filepath.Join(dir, "root.pem")
	if err := writeFile(root, s.authority.RootPEM(), 0o644); err != nil {
		return err
	}
	if withdraw, err := offerSocket(demoSocket(a.getenv), c.State.Socket); err == nil {
		defer withdraw()
	} else {
		a.note("the other verbs will not find this demonstration: %v", err)
	}
	inv, err := invite(ctx, s.house, invitee{Owner: true})
	if err != nil {
		return err
	}
	doc := demoDocument{schemaVersion, s.doors[0].origins[0] + "/", inv.Link, inv.Expires, "demo", "demo", root, s.authority.Fingerprint()}
	if err := a.print(doc, func(w io.Writer) { a.sayDemo(w, doc) }); err != nil {
		return err
	}
	group.Go(func() error { return s.run(ctx) })
	return group.Wait()
}

func (a *app) sayDemo(w io.Writer, doc demoDocument) {
	fmt.Fprintf(w, `A made-up home is behind the gateway at %s

Open this link within 15 minutes to become its owner:

  %s

`, doc.URL, doc.OwnerLink)
	if !a.quiet {
		fmt.Fprintln(w, qrText(doc.OwnerLink, a.isTerminal() && a.getenv("NO_COLOR") == ""))
	}
	fmt.Fprintf(w, `Then sign in to the home itself as %s, password %s, and switch a light.
In a private window the same address shows what a stranger sees. With SSH,
"gatehouse invite NAME --ssh KEY" shows another way in.

Your browser warns about the certificate: this house is its own authority. Its root is
  %s
  SHA-256 %s

Ctrl-C ends it. Nothing is kept.
`, doc.Username, doc.Password, doc.RootPEMFile, doc.Fingerprint)
}

// demoSSH is where the demonstration's door ssh is; nil for none.
func demoSSH(listen string) (*config.SSH, error) {
	if listen == "none" {
		return nil, nil
	}
	if listen != "" {
		listen, err := loopback(listen)
		return &config.SSH{Listen: listen}, err
	}
	for _, usual := range []string{"127.0.0.1:2222", "127.0.0.1:0"} {
		if l, err := net.Listen("tcp", usual); err == nil {
			defer l.Close()
			return &config.SSH{Listen: l.Addr().String()}, nil
		}
	}
	return nil, nil // the others are worth showing
}

// loopback makes sure that nobody but this machine reaches the demonstration.
func loopback(listen string) (string, error) {
	wrong := func(what string) error {
		return &problem{status: statusUsage, err: fmt.Errorf("--listen %s: %s", listen, what), hint: "it looks like 127.0.0.1:8443"}
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", wrong("that is not an address with a port")
	}
	if host == "" || host == demoName {
		host = "127.0.0.1"
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "", wrong("that is not an address")
	}
	if !addr.IsLoopback() {
		return "", wrong("the demonstration is for this machine alone; its passwords are known to everybody")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", wrong("that is not a port")
	}
	return net.JoinHostPort(host, port), nil
}

// serveHome serves the made-up Home Assistant, which the gateway alone talks to.
func serveHome(ctx context.Context, l net.Listener, home http.Handler) error {
	server := &http.Server{Handler: home, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the demonstration home: %w", err)
	}
	return nil
}

// runtimeDir is where this user's running programs keep their sockets (XDG Base
// Directory Specification), or the folder for temporary files.
func runtimeDir(getenv func(string) string) string {
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return dir
	}
	return os.TempDir()
}

// demoDir makes a folder for one demonstration, for this user alone.
func demoDir(getenv func(string) string) (string, error) {
	dir, err := os.MkdirTemp(runtimeDir(getenv), "gatehouse-demo-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the demonstration: %w", err)
	}
	return dir, nil
}

// demoSocket is where verbs find the demonstration that runs: a link to its socket.
func demoSocket(getenv func(string) string) string {
	return filepath.Join(runtimeDir(getenv), "gatehouse-demo-"+strconv.Itoa(os.Getuid())+".sock")
}

// offerSocket leads verbs to a demonstration's socket, in place of one that has ended.
// A name that is another's, in a folder that everybody writes to, is left alone.
func offerSocket(name, socket string) (withdraw func(), err error) {
	if _, ok := demoAt(name); ok {
		return func() {}, nil // another demonstration runs, and the verbs are its
	}
	if _, err := os.Lstat(name); err == nil {
		if err := os.Remove(name); err != nil {
			return nil, fmt.Errorf("offer the control socket: %w", err)
		}
	}
	if err := os.Symlink(socket, name); err != nil {
		return nil, fmt.Errorf("offer the control socket: %w", err)
	}
	return func() {
		if to, err := os.Readlink(name); err == nil && to == socket {
			_ = os.Remove(name)
		}
	}, nil
}

// demoLogger is quiet: the terminal belongs to the link.
func (a *app) demoLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// findDemo returns the socket of a demonstration of this very user's that runs.
func findDemo(getenv func(string) string) (socket string, ok bool) {
	return demoAt(demoSocket(getenv))
}

// demoAt follows a link to a demonstration's socket. The link may be an old one of
// ours, and what it leads to somebody else's by now, in a folder that everybody writes
// to: so it must lead into a folder that is ours alone, to a server that is ours. What
// is returned does not lead by the link.
func demoAt(name string) (socket string, ok bool) {
	if info, err := os.Lstat(name); err != nil || !ownFile(info) {
		return "", false
	}
	socket, err := os.Readlink(name)
	if err != nil || !filepath.IsAbs(socket) {
		return "", false
	}
	folder, err := os.Lstat(filepath.Dir(socket))
	if err != nil || !folder.IsDir() || folder.Mode().Perm() != 0o700 || !ownFile(folder) {
		return "", false
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "", false
	}
	defer conn.Close()
	uid, ok := agent.PeerOf(conn)
	return socket, ok && uid == uint32(os.Geteuid())
}

// ownFile reports whether a file is the user's whom we act as.
func ownFile(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid()
}
