package event

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Log takes events down: as log records for whoever watches the service, and as
// JSON lines, one event a line, for scripts and the owner's log. It is safe for
// use by several goroutines; a nil *Log drops everything.
type Log struct {
	slog *slog.Logger

	mu    sync.Mutex // guards lines and fails
	lines io.Writer
	fails bool // the last write of a line failed, and was said so
}

// NewLog returns a log that writes to logger and, if lines is not nil, to lines.
// Each event is one Write, so that a file opened with O_APPEND holds whole lines.
func NewLog(logger *slog.Logger, lines io.Writer) *Log {
	return &Log{slog: logger, lines: lines}
}

// Emit takes an event down. It does not fail: an event that cannot be written to
// the lines is still in the log, which says once that lines are being lost.
func (l *Log) Emit(e Event) {
	if l == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC()
	if l.slog != nil {
		l.slog.LogAttrs(context.Background(), e.level(), e.Kind.Sentence(), e.attrs()...)
	}
	if l.lines != nil {
		l.writeLine(e)
	}
}

func (l *Log) writeLine(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.lines.Write(append(line, '\n'))
	}
	if err != nil && !l.fails && l.slog != nil {
		l.slog.Error("the event log cannot be written; events are in this log only", "error", err)
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
