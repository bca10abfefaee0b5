package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
	"gatehouse/internal/guard/filter"
	"gatehouse/internal/ledger"
	"gatehouse/internal/policy"
	"gatehouse/internal/wire"
)

// The event log as the server and the verbs keep it: in the state directory, sealed by
// the ledger, and noted in the ledger and the service's own log.

// eventsDir is where the event log is.
func eventsDir(stateDir string) string { return filepath.Join(stateDir, "events") }

// keepEvents makes the event log of a state directory. It touches no file before there
// is an event.
func keepEvents(c *config.Config, stateDir string, l *ledger.Ledger, log *slog.Logger, lines io.Writer) (*event.Log, error) {
	keep, age := c.Events.Kept()
	return event.NewChainedLog(log, lines, event.ChainConfig{Dir: eventsDir(stateDir), Sealer: l, Keep: keep, KeepFor: age})
}

// noteName is the ledger's name for the last line of the event log that was noted in it.
const noteName = "events/noted"

// noteEvery is how often the event log is noted.
const noteEvery = 24 * time.Hour

// noteEvents notes how far the event log goes, now and every day until ctx ends: in the
// ledger, and in the service's own log, which is usually not the service's to change.
func (s *server) noteEvents(ctx context.Context) error {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		if chain := s.parts.events.Chain(); chain != nil && chain.Sync() == nil {
			s.noteLine(ctx, chain.Last())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *server) noteLine(ctx context.Context, n event.Note) {
	if n.Seq == 0 {
		return
	}
	if before, err := noted(ctx, s.parts.ledger); err == nil && len(before) > 0 && n.Seq < before[0].Seq {
		s.parts.log.Error("the event log ends before a line that was noted of it: it was thrown away, or one from before was put back", "before", before[0].String())
	}
	s.parts.log.Info("the event log goes up to here", "noted", n.String())
	if err := noteInLedger(ctx, s.parts.ledger, n); err != nil {
		s.parts.log.Error("how far the event log goes cannot be noted", "error", err)
	}
}

func noteInLedger(ctx context.Context, l *ledger.Ledger, n event.Note) error {
	return l.PutSecret(ctx, noteName, []byte(n.String()))
}

// noted is what the ledger has noted of the event log.
func noted(ctx context.Context, l *ledger.Ledger) ([]event.Note, error) {
	text, err := l.Secret(ctx, noteName)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read how far the event log goes: %w", err)
	}
	n, err := event.ParseNote(string(text))
	return []event.Note{n}, err
}

// closeEvents writes what is left of the events, and notes in the ledger how far they go.
func closeEvents(events *event.Log, l *ledger.Ledger) error {
	err := events.Close()
	if chain := events.Chain(); err == nil && chain != nil && chain.Last().Seq > 0 {
		err = noteInLedger(context.Background(), l, chain.Last())
	}
	return err
}

// chain is the event log that a running server writes; nil without one.
func (h *house) chain() *event.Chain {
	if h.server == nil {
		return nil
	}
	return h.server.parts.events.Chain()
}

// examineEvents looks whether what happens is written down.
func (h *house) examineEvents() diagnosis {
	d := diagnosis{ID: "events", Title: "What happens is written down", Result: good, Detail: `"gatehouse log verify" looks whether anybody changed it`}
	chain := h.chain()
	if chain == nil {
		d.Result, d.Detail = unknown, "the gateway is not running"
		return d
	}
	switch lost := chain.Lost(); {
	case chain.Wrong() != nil:
		d.Result, d.Detail, d.Hint = bad, chain.Wrong().Error(), "free some space, or look at who owns "+chain.Dir()
	case lost > 0:
		d.Result, d.Detail, d.Hint = bad, count(int(lost), "event is", "events are")+" missing in the event log since the start", "they are in the service's own log"
	}
	return d
}

// refusedAtDoor takes down what did not come through a door: bytes that no honest client
// sends, or a refusal. Who asks for a name that is not ours sends nothing malformed. Whom a
// rule does not allow, admits has told of.
func (s *server) refusedAtDoor(door policy.Door, source netip.Addr, why wire.Reason) {
	if why == wire.ReasonNotAllowed {
		return
	}
	e := event.Event{Kind: event.Refused, Source: source, Door: string(door), Detail: string(why)}
	if why.Hostile() && why != wire.ReasonName {
		e.Kind = event.BadRequest
	}
	s.emit(e)
}

// rulesFailed is the event of a file that the rules cannot be asked with.
func rulesFailed(f filter.File) event.Event {
	return event.Event{Kind: event.RulesFailed, Detail: f.Trouble} // which begins with the path
}
