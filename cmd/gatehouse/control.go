package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/agent"
	"gatehouse/internal/config"
	"gatehouse/internal/door/lan"
	"gatehouse/internal/guard"
	"gatehouse/internal/identity"
	"gatehouse/internal/ledger"
)

// The verbs reach a running server by a Unix socket: one POST for each thing to be
// done, JSON both ways. The kernel says who is calling; root and the server's own
// user are listened to.

const (
	controlPath = "/v1/"
	controlMax  = 1 << 20
	controlWait = 10 * time.Second
	// controlDone is how long something may take: Home Assistant checks its whole
	// configuration in it, on small machines too.
	controlDone = 3 * time.Minute
)

// handler does one thing to a house with what it is told in JSON.
type handler func(ctx context.Context, h *house, body []byte) (any, error)

// on makes a handler of a function with types.
func on[In, Out any](do func(context.Context, *house, In) (Out, error)) handler {
	return func(ctx context.Context, h *house, body []byte) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in, json.RejectUnknownMembers(true)); err != nil {
			return nil, &problem{status: statusUsage, err: fmt.Errorf("read what is asked: %w", err), hint: "the server may be of another version than this program"}
		}
		return do(ctx, h, in)
	}
}

// complaint is a problem as it crosses the socket.
type complaint struct {
	Error  string `json:"error"`
	Hint   string `json:"hint"`
	Status int    `json:"status"`
}

// listenControl makes the socket of the verbs, closed to others.
func listenControl(path string, r *rights) (net.Listener, error) {
	return listenSocket("control socket", "state.socket", path, 0o177, r)
}

// listenSocket makes a socket. The ledger's lock is held, so a socket that is
// there already is left from a server that is gone. Where root runs this for another
// user, the socket is that user's, and root makes its directory at most.
func listenSocket(what, key, path string, closed int, r *rights) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		p := &problem{status: statusCannot, err: fmt.Errorf("open the %s %s: %w", what, path, err), hint: "see " + key + " in the configuration"}
		if errors.Is(err, fs.ErrPermission) && r != nil {
			p.hint = fmt.Sprintf("remove the directory %s, or give it to %s, whose the state directory is", filepath.Dir(path), r.user.name)
		}
		return nil, p
	}
	if err := makeSocketDir(filepath.Dir(path), r); err != nil {
		return fail(err)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return fail(errors.New("something else has this name"))
		}
		if err := os.Remove(path); err != nil {
			return fail(err)
		}
	}
	// Born closed to others: there is no moment in which they could connect.
	mask := syscall.Umask(closed)
	l, err := net.Listen("unix", path)
	syscall.Umask(mask)
	if err != nil {
		return fail(err)
	}
	return l, nil
}

// makeSocketDir makes the socket's directory if there is none: as the one who will
// use it, or else as root for that one, if nobody else decides where it comes to lie.
func makeSocketDir(dir string, r *rights) error {
	err := os.MkdirAll(dir, 0o755)
	if r == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if _, _, others := othersOnTheWay(dir); others {
		return err
	}
	return r.asRoot(func() error {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		return os.Lchown(dir, r.user.uid, r.user.gid)
	})
}

// peer is who is at the other end of a connection.
type peer struct{}

// serveControl answers verbs until ctx ends.
func serveControl(ctx context.Context, l net.Listener, h *house, log *slog.Logger) error {
	all := handlers()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+controlPath+"{name...}", func(w http.ResponseWriter, r *http.Request) {
		if allowed, _ := r.Context().Value(peer{}).(bool); !allowed {
			sayJSON(w, http.StatusForbidden, complaint{Error: "only root and the server's own user may do this", Hint: "use sudo", Status: statusCannot})
			return
		}
		do, ok := all[r.PathValue("name")]
		if !ok {
			sayJSON(w, http.StatusNotFound, complaint{Error: "the running server does not know this verb", Hint: "it may be of another version: restart it", Status: statusCannot})
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, controlMax))
		if err == nil {
			var answer any
			if answer, err = do(r.Context(), h, body); err == nil {
				sayJSON(w, http.StatusOK, answer)
				return
			}
		}
		p := asProblem(err)
		sayJSON(w, http.StatusUnprocessableEntity, complaint{p.Error(), p.hint, p.status})
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: controlWait, ReadTimeout: controlWait, WriteTimeout: controlDone,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peer{}, mayControl(c))
		}}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// mayControl reports whether a connection is by root or by the user that we act as.
// A verb that root has run comes as either: see privilege.go.
func mayControl(c net.Conn) bool {
	uid, ok := agent.PeerOf(c)
	return ok && (uid == 0 || uid == uint32(os.Geteuid()))
}

// sayJSON answers a verb. One that has gone away is told nothing more.
func sayJSON(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, document)
}

// ask has a thing done to the house: by the server that runs, or on the ledger itself
// where none does.
func ask[In, Out any](ctx context.Context, a *app, name string, do func(context.Context, *house, In) (Out, error), in In) (out Out, err error) {
	c, err := a.where()
	if err != nil {
		return out, err
	}
	return reach(ctx, a, c, name, do, in)
}

// reach is ask, where the configuration is known and the process is whose it shall be.
func reach[In, Out any](ctx context.Context, a *app, c *config.Config, name string, do func(context.Context, *house, In) (Out, error), in In) (out Out, err error) {
	answered, err := tell(ctx, c.State.Socket, name, in, &out)
	if answered || err != nil {
		return out, err
	}
	h, done, err := a.openHouse(ctx, c)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, done()) }()
	return do(ctx, h, in)
}

// where returns the configuration to go by: the one that is named, or the usual one,
// or that of a demonstration home that runs. From then on the process is that of the
// user whose the state is: the socket is theirs as well as the directory.
func (a *app) where() (*config.Config, error) {
	c, path, err := a.loadConfig()
	if err == nil {
		return c, become(c, path)
	}
	if _, named := a.configPath(); named || !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	socket, ok := findDemo(a.getenv)
	if !ok {
		return nil, err
	}
	a.note("no %s; asking the demonstration home that runs here", path)
	c = config.Default()
	c.State.Socket = socket
	return c, nil
}

// tell has a running server do something. answered is false where none listens.
func tell(ctx context.Context, socket, name string, in, out any) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, controlDone)
	defer cancel()
	answer, err := postTo(ctx, socket, controlPath+name, in)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return false, nil
	case errors.Is(err, fs.ErrPermission):
		return false, &problem{status: statusCannot, err: fmt.Errorf("the control socket %s is not for this user", socket), hint: "run this as root (sudo) or as the service's own user"}
	case err != nil:
		return false, &problem{status: statusCannot, err: fmt.Errorf("ask the running server: %w", err)}
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		var c complaint
		if err := json.UnmarshalRead(io.LimitReader(answer.Body, controlMax), &c); err != nil || c.Error == "" {
			return true, &problem{status: statusCannot, err: fmt.Errorf("the running server answered %s", answer.Status)}
		}
		return true, &problem{status: c.Status, err: errors.New(c.Error), hint: c.Hint}
	}
	if err := json.UnmarshalRead(answer.Body, out); err != nil {
		return true, &problem{status: statusCannot, err: fmt.Errorf("read the running server's answer: %w", err)}
	}
	return true, nil
}

// postTo asks one question, in JSON, of who listens at a Unix socket.
func postTo(ctx context.Context, socket, path string, question any) (*http.Response, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gatehouse"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: controlWait}).DialContext(ctx, "unix", socket)
	}}
	return (&http.Client{Transport: transport}).Do(request)
}

// openHouse opens the house without a server, and keeps servers out meanwhile.
func (a *app) openHouse(ctx context.Context, c *config.Config) (h *house, done func() error, err error) {
	if err := become(c, ""); err != nil { // for a demonstration that has just ended
		return nil, nil, err
	}
	store, err := openState(ctx, c.State.Dir)
	switch {
	case errors.Is(err, ledger.ErrLocked):
		return nil, nil, &problem{status: statusCannot, err: fmt.Errorf("%s is in use, and nobody answers at %s", c.State.Dir, c.State.Socket),
			hint: "a server is starting or ending, or another verb runs: try again in a moment"}
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, &problem{status: statusCannot, err: err, hint: "run this as root (sudo) or as the service's own user"}
	case err != nil:
		return nil, nil, err
	}
	lines, err := openEvents(c.Events.File)
	if err != nil {
		fmt.Fprintf(a.err, "gatehouse: %v\n      hint: %s; what is done now is not written there\n", err, asProblem(err).hint)
	}
	events, err := keepEvents(c, c.State.Dir, store.ledger, nil, writer(lines))
	if err != nil {
		return nil, nil, errors.Join(err, store.close())
	}
	closeAll := func() error {
		if err := closeEvents(events, store.ledger); err != nil {
			fmt.Fprintf(a.err, "gatehouse: what was done is not in the event log: %v\n", err)
		}
		err := store.close()
		if lines != nil {
			err = errors.Join(err, lines.Close())
		}
		return err
	}
	people, err := identity.New(ctx, identity.Config{Ledger: store.ledger, Event: events.Emit,
		SessionIdle: time.Duration(c.Policy.SessionIdle), SessionMax: time.Duration(c.Policy.SessionMax)})
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	move, err := newMover(ctx, c, store.ledger, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	links := lan.NewLinks()
	watch := newGuard(c, guard.Config{Shared: sharedBy(c, links)})
	kept, err := keepGuard(ctx, watch, store.ledger, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	alone := &house{cfg: c, identity: people, ledger: store.ledger, mover: move, guard: watch, kept: kept, links: links, events: events.Emit}
	alone.rules = alone.explainRules
	return alone, closeAll, nil
}
