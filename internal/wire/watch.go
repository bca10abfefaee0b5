package wire

import (
	"errors"
	"os"
	"sync"
	"time"
)

// watchAfter is how long a handler may take before its client is watched. Most
// answers are done sooner and cost no watching.
const watchAfter = 50 * time.Millisecond

// aLongTimeAgo as a deadline ends a read that is under way.
var aLongTimeAgo = time.Unix(1, 0)

type watchState int

const (
	watchOff     watchState = iota
	watchArmed              // the timer runs
	watchReading            // a goroutine reads from the connection into its input
)

// watcher finds out that a client went away while its request is being answered.
// It reads once, into what room the input has left, so a client that sends more
// meanwhile neither loses a byte nor fills memory; it is then not watched on.
// While it is armed nobody else may use the input: the body has been read.
type watcher struct {
	in    *input
	leave func() // called when the client has gone

	mu      sync.Mutex
	done    sync.Cond // signals the end of watchReading
	state   watchState
	aborted bool
	timer   *time.Timer
}

func (w *watcher) arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != watchOff || w.in.gone != nil || w.in.w == len(w.in.buf) {
		return
	}
	w.state = watchArmed
	if w.timer == nil {
		w.done.L = &w.mu
		w.timer = time.AfterFunc(watchAfter, w.read)
		return
	}
	w.timer.Reset(watchAfter)
}

// read runs in the timer's goroutine.
func (w *watcher) read() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != watchArmed {
		return
	}
	w.state, w.aborted = watchReading, false
	err := w.in.until(time.Time{})
	room := w.in.buf[w.in.w:]
	w.mu.Unlock()
	n := 0
	if err == nil {
		n, err = w.in.nc.Read(room)
	}
	w.mu.Lock()
	w.in.w += n
	if err != nil && !w.aborted && !errors.Is(err, os.ErrDeadlineExceeded) {
		w.in.gone = err
		w.leave()
	}
	w.state = watchOff
	w.done.Broadcast()
}

// disarm ends the watching and gives the input back to the caller.
func (w *watcher) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.state {
	case watchArmed:
		w.timer.Stop()
		w.state = watchOff
	case watchReading:
		w.aborted = true
		w.in.interrupt(aLongTimeAgo)
		for w.state == watchReading {
			w.done.Wait()
		}
	}
}
