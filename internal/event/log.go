package event

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Log takes events down: as log records for whoever watches the service, as JSON
// lines, one event a line, for scripts, and in a Chain, which is the owner's log. What
// strangers cause is limited first, for all three of them. It is safe for use by several
// goroutines; a nil *Log drops everything.
type Log struct {
	slog  *slog.Logger
	chain *Chain // may be nil
	limit *limiter

	mu     sync.Mutex // guards all below
	lines  io.Writer
	fails  bool // the last write of a line failed, and was said so
	counts map[Kind]uint64
}

// summaryEvery is how often it is said what was held back.
const summaryEvery = time.Minute

// NewLog returns a log that writes to logger and, if lines is not nil, to lines.
// Each event is one Write, so that a file opened with O_APPEND holds whole lines.
func NewLog(logger *slog.Logger, lines io.Writer) *Log {
	return &Log{slog: logger, lines: lines, limit: newLimiter(), counts: make(map[Kind]uint64)}
}

// NewChainedLog returns a log that keeps its events in a chain, too. It is a NewLog
// otherwise, to be run by Run and closed by Close.
func NewChainedLog(logger *slog.Logger, lines io.Writer, c ChainConfig) (*Log, error) {
	l := NewLog(logger, lines)
	if c.Trouble == nil && logger != nil {
		c.Trouble = func(err error) {
			logger.Error("the event log cannot be kept; events are in this log only, until it says how many are missing", "error", err)
		}
	}
	var err error
	l.chain, err = NewChain(c)
	return l, err
}

// Emit takes an event down. It does not fail: an event that cannot be written to
// the lines is still in the log, which says once that lines are being lost. It waits for
// the writer of the lines, which must wait for nobody.
func (l *Log) Emit(e Event) {
	if l == nil {
		return
	}
	lets := l.limit.lets(&e)
	l.mu.Lock()
	l.counts[e.Kind]++
	l.mu.Unlock()
	if lets {
		l.write(e)
	}
}

// write takes an event down that is not held back.
func (l *Log) write(e Event) {
	if e.Addr == "" && e.Source.IsValid() {
		e.Addr = e.Source.String()
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC()
	e = e.short()
	if l.slog != nil {
		l.slog.LogAttrs(context.Background(), e.level(), e.Kind.Sentence(), e.attrs()...)
	}
	if l.lines != nil {
		l.writeLine(e)
	}
	if l.chain != nil {
		l.chain.Append(e)
	}
}

// Run keeps the chain, and says once a minute what was held back, until ctx ends.
func (l *Log) Run(ctx context.Context) error {
	if l == nil {
		<-ctx.Done()
		return nil
	}
	var keeping sync.WaitGroup
	defer keeping.Wait()
	if l.chain != nil {
		keeping.Go(func() { _ = l.chain.Run(ctx) }) // it ends with ctx alone
	}
	tick := time.NewTicker(summaryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			l.summarise()
		}
	}
}

// summarise says what was held back.
func (l *Log) summarise() {
	for _, e := range l.limit.summaries() {
		l.write(e)
	}
}

// Close says what was held back, and writes and seals what is left.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.summarise()
	if l.chain == nil {
		return nil
	}
	return l.chain.Close()
}

// Chain is where the events are kept; nil if they are not.
func (l *Log) Chain() *Chain {
	if l == nil {
		return nil
	}
	return l.chain
}

// Totals are how many events there were since the start.
type Totals struct {
	Events map[Kind]uint64 // emitted, whether they were taken down or not
	Held   map[Kind]uint64 // of these, held back: in the log as a number alone
	Lost   uint64          // of the others, not in the chain, for it could not be written
}

// Totals counts.
func (l *Log) Totals() Totals {
	t := Totals{Held: l.limit.heldBack()}
	l.mu.Lock()
	t.Events = maps.Clone(l.counts)
	l.mu.Unlock()
	if l.chain != nil {
		t.Lost = l.chain.Lost()
	}
	return t
}

func (l *Log) writeLine(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.lines.Write(append(Visible(line), '\n'))
	}
	if err != nil && !l.fails && l.slog != nil {
		l.slog.Error("lines of the second copy of the event log are lost", "error", err)
	}
	l.fails = err != nil
}

func (e Event) level() slog.Level {
	if e.Kind.Severe() {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// attrs returns the fields that are filled in.
func (e Event) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("kind", string(e.Kind))}
	for _, a := range [...]struct{ key, value string }{
		{"person", e.Person}, {"device", e.Device}, {"door", e.Door},
		{"addr", e.Addr}, {"route", e.Route}, {"detail", e.Detail},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.key, a.value))
		}
	}
	return attrs
}
