// Package agent is the root side of the owner's desk: it repairs what somebody at the desk
// has seen and wants. It is told the name of a finding and the digest of the fix that was
// shown; it works the fix out again by itself, and applies its own if that is the same one.
// So whoever holds the gateway, which faces strangers, gets nothing done as root but the
// repairs that this host needs anyway.
//
// Where root's configuration says so, it also has the kernel drop new connections from who is
// banned (bans.go).
//
// It neither undoes nor confirms: who takes a protection back, or keeps what could lock
// somebody out, is somebody who has logged in to the host.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// Path is where the agent is asked: Path + "list", "plan" or "apply", each a POST; and about
// bans Path + "ban", "unban" or "bans".
const Path = "/v1/"

// Bounds of what is asked, and of how long an answer takes.
const (
	maxBody = 4 << 10
	readIn  = 10 * time.Second
	doneIn  = 15 * time.Minute // the longest repair, with Home Assistant's restart in it
)

// Host is the machine that is repaired. The agent asks one thing at a time.
type Host interface {
	// Findings are what fails and has a repair.
	Findings(ctx context.Context) ([]finding.Finding, error)
	// Plan works out the repair of a finding, from what is there now.
	Plan(ctx context.Context, id string) (finding.Fix, error)
	// Apply applies a repair, and returns its number in the journal and how it stands.
	Apply(ctx context.Context, f finding.Fix) (n int, state fix.State, err error)
}

// Agent answers the desk.
type Agent struct {
	host    Host
	bans    *Bans
	allowed func(uid uint32) bool
	log     *slog.Logger
	one     sync.Mutex
}

// New makes an agent of a host. bans may be nil: nothing is dropped in the kernel then. allowed
// says which users of the machine may ask; it is told whom the kernel names.
func New(host Host, bans *Bans, allowed func(uid uint32) bool, log *slog.Logger) *Agent {
	return &Agent{host: host, bans: bans, allowed: allowed, log: log}
}

// Wish is what the desk wants.
type Wish struct {
	ID     string `json:"id,omitzero"`
	Digest string `json:"digest,omitzero"` // of the fix that was shown
}

// Offer is a finding with the fix for it, as it is shown.
type Offer struct {
	ID      string   `json:"id"`
	Does    string   `json:"does"`
	Breaks  string   `json:"breaks,omitzero"`
	Guarded bool     `json:"guarded"` // it takes itself back unless somebody confirms it who logs in afterwards
	Digest  string   `json:"digest"`
	Shows   []string `json:"shows"` // each step, without secrets
}

// Answer is what the agent says; Error alone where it did not do it.
type Answer struct {
	Findings []finding.Finding `json:"findings,omitzero"`
	Offer    *Offer            `json:"offer,omitzero"`
	N        int               `json:"n,omitzero"`
	State    fix.State         `json:"state,omitzero"`
	Bans     []Ban             `json:"bans,omitzero"`
	Refused  []Refusal         `json:"refused,omitzero"`
	Error    string            `json:"error,omitzero"`
	Hint     string            `json:"hint,omitzero"`
}

// peer is whom the kernel names at the other end.
type peer struct{}

// Serve answers on a Unix socket until ctx ends.
func (a *Agent) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: a, ReadHeaderTimeout: readIn, ReadTimeout: readIn, WriteTimeout: doneIn, MaxHeaderBytes: 16 << 10,
		ErrorLog:    slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			uid, ok := PeerOf(c)
			return context.WithValue(ctx, peer{}, ok && a.allowed(uid))
		}}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("agent: %w", err)
	}
	// What has begun is finished, or taken back, before the process ends.
	a.one.Lock()
	defer a.one.Unlock()
	return nil
}

// PeerOf asks the kernel who made a connection to a Unix socket, or who listens where we made
// it (SO_PEERCRED, unix(7)): the effective user of that moment.
func PeerOf(c net.Conn) (uid uint32, ok bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { cred, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || asked != nil {
		return 0, false
	}
	return cred.Uid, true
}

// ServeHTTP answers one question.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	say := func(status int, answer Answer) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.MarshalWrite(w, answer) // whoever has gone away is told nothing more
	}
	if allowed, _ := r.Context().Value(peer{}).(bool); !allowed {
		say(http.StatusForbidden, Answer{Error: "only root and the gateway's own user may ask"})
		return
	}
	most, ask := a.asked(r.URL.Path)
	if ask == nil || r.Method != http.MethodPost {
		say(http.StatusNotFound, Answer{Error: "the agent is not asked that"})
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil || int64(len(body)) > most {
		say(http.StatusBadRequest, Answer{Error: errUnread.Error()})
		return
	}
	// Whoever asked may go away; what was begun goes on.
	answer, err := ask(context.WithoutCancel(r.Context()), body)
	if err != nil {
		say(statusOf(err), Answer{Error: err.Error(), Hint: fix.HintOf(err)})
		return
	}
	say(http.StatusOK, answer)
}

var (
	errUnread = errors.New("the question cannot be read")
	errBusy   = fix.Refuse("ask again when it is done", "the agent is at work")
)

// statusOf is the HTTP status that goes with an error.
func statusOf(err error) int {
	switch {
	case errors.Is(err, errUnread), errors.Is(err, errMany):
		return http.StatusBadRequest
	case errors.Is(err, errBusy):
		return http.StatusConflict
	case errors.Is(err, errOften):
		return http.StatusTooManyRequests
	}
	return http.StatusUnprocessableEntity
}

// question answers what a body says.
type question func(ctx context.Context, body []byte) (Answer, error)

// asked returns what answers a path, and how long the question may be; nil where nothing does.
// What repairs is done one at a time; a ban does not wait for a repair.
func (a *Agent) asked(path string) (most int64, q question) {
	switch path {
	case Path + "list":
		return maxBody, a.repairs(path, a.list)
	case Path + "plan":
		return maxBody, a.repairs(path, a.plan)
	case Path + "apply":
		return maxBody, a.repairs(path, a.apply)
	case Path + "ban", Path + "unban", Path + "bans":
		return maxBanBody, a.askedOfBans(path)
	}
	return 0, nil
}

func (a *Agent) askedOfBans(path string) question {
	switch {
	case a.bans == nil:
		return func(context.Context, []byte) (Answer, error) { return Answer{}, errOff }
	case path == Path+"ban":
		return read(a.bans.ban)
	case path == Path+"unban":
		return read(a.bans.unban)
	}
	return read(a.bans.bans)
}

// read reads a question strictly: a name that is not known, or comes twice, is none.
func read[W any](do func(context.Context, W) (Answer, error)) question {
	return func(ctx context.Context, body []byte) (Answer, error) {
		var w W
		if err := json.Unmarshal(body, &w, json.RejectUnknownMembers(true)); err != nil {
			return Answer{}, errUnread
		}
		return do(ctx, w)
	}
}

// repairs answers one question at a time, and refuses others.
func (a *Agent) repairs(path string, do func(context.Context, Wish) (Answer, error)) question {
	return read(func(ctx context.Context, w Wish) (Answer, error) {
		if !a.one.TryLock() {
			return Answer{}, errBusy
		}
		defer a.one.Unlock()
		answer, err := do(ctx, w)
		if err != nil {
			a.log.Warn("not done", "what", path, "id", w.ID, "error", err)
		}
		return answer, err
	})
}

func (a *Agent) list(ctx context.Context, _ Wish) (Answer, error) {
	all, err := a.host.Findings(ctx)
	all = slices.DeleteFunc(all, func(f finding.Finding) bool { return f.Result != finding.Fail || !f.Fixable })
	return Answer{Findings: all}, err
}

func (a *Agent) plan(ctx context.Context, w Wish) (Answer, error) {
	f, err := a.host.Plan(ctx, w.ID)
	if err != nil {
		return Answer{}, err
	}
	o := &Offer{ID: f.ID, Does: f.Does, Breaks: f.Breaks, Guarded: f.Guarded, Digest: f.Digest(), Shows: []string{}}
	for _, s := range f.Steps {
		o.Shows = append(o.Shows, fix.Show(s))
	}
	return Answer{Offer: o}, nil
}

// apply applies the agent's own fix if it is the one that was shown.
func (a *Agent) apply(ctx context.Context, w Wish) (Answer, error) {
	f, err := a.host.Plan(ctx, w.ID)
	if err != nil {
		return Answer{}, err
	}
	if w.Digest == "" || f.Digest() != w.Digest {
		return Answer{}, fix.Refuse("look at it once more", "something has changed since the fix of %s was shown", w.ID)
	}
	n, state, err := a.host.Apply(ctx, f)
	if err != nil {
		return Answer{}, err
	}
	a.log.Info("repaired", "id", w.ID, "n", n, "state", string(state))
	return Answer{N: n, State: state}, nil
}
