package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/event"
)

// The verb that shows what happened. It reads the files of the event log itself, beside
// a running server: it acts as the user whose they are. Whether they are what was
// written is another question, and log verify's.

const (
	followEvery = 250 * time.Millisecond
	logLimit    = 200 // events that are shown if nobody says otherwise
)

// logWish is what somebody wants to see.
type logWish struct {
	since, until         time.Time
	kinds                []event.Kind
	from                 netip.Prefix
	person, device, addr string
	limit                int // 0: all
	follow               bool
}

func (a *app) newLogCommand() *cobra.Command {
	var wish logWish
	var since, until string
	var kinds []string
	c := &cobra.Command{
		Use:   "log",
		Short: "Show what happened: sign-ins, refusals, bans, changes",
		Long: `Shows the events that the gateway took down, the newest last. --follow goes on as more
happens, until Ctrl-C.

--since and --until take a length of time ("2h", "3d"), "today", "yesterday", a time of
today ("14:30"), or a date with or without a time ("2026-11-26 14:30"), here and now.

What strangers cause over and over is in the log as a number: "and 12,345 more".`,
		Example: `  gatehouse log --since 2h
  gatehouse log --kind banned --kind unbanned --since 7d
  gatehouse log --addr 203.0.113.0/24 --follow
  gatehouse log --person Anna --limit 20 --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			if err := wish.understand(since, until, kinds, time.Now()); err != nil {
				return err
			}
			return a.showLog(cmd.Context(), wish)
		},
	}
	f := c.Flags()
	f.BoolVarP(&wish.follow, "follow", "f", false, "go on as more happens")
	f.StringVar(&since, "since", "", "only what happened from this `TIME` on")
	f.StringVar(&until, "until", "", "only what happened before this `TIME`")
	f.StringSliceVar(&kinds, "kind", nil, "only events of this `KIND`; may be given again")
	f.StringVar(&wish.addr, "addr", "", "only what came from this `ADDRESS` or network")
	f.StringVar(&wish.person, "person", "", "only what this person did, by `NAME`")
	f.StringVar(&wish.device, "device", "", "only what this device did, by `ID`")
	f.IntVarP(&wish.limit, "limit", "n", logLimit, "show the newest `N`; 0 shows all")
	c.AddCommand(a.newLogVerifyCommand())
	return c
}

// understand reads the words of a wish.
func (w *logWish) understand(since, until string, kinds []string, now time.Time) (err error) {
	if w.since, err = when("since", since, now); err != nil {
		return err
	}
	if w.until, err = when("until", until, now); err != nil {
		return err
	}
	if w.limit < 0 {
		return &problem{status: statusUsage, err: fmt.Errorf("--limit %d: there are no fewer than none", w.limit)}
	}
	for _, word := range kinds {
		k := event.Kind(strings.ToLower(word))
		if k.Sentence() == string(k) {
			return &problem{status: statusUsage, err: fmt.Errorf("there is no kind of event %q", word), hint: meant(word, event.Kinds())}
		}
		w.kinds = append(w.kinds, k)
	}
	if w.addr != "" {
		if w.from, err = prefixOf(w.addr); err != nil {
			return err
		}
	}
	return nil
}

// when reads a time as people say it. No word is no time.
func when(flag, word string, now time.Time) (time.Time, error) {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch word {
	case "":
		return time.Time{}, nil
	case "now":
		return now, nil
	case "today":
		return midnight, nil
	case "yesterday":
		return midnight.AddDate(0, 0, -1), nil
	}
	var ago config.Duration
	if ago.UnmarshalText([]byte(word)) == nil {
		return now.Add(-time.Duration(ago)), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339Nano} {
		if t, err := time.ParseInLocation(layout, word, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04", time.TimeOnly} {
		if t, err := time.Parse(layout, word); err == nil {
			return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}
	return time.Time{}, &problem{status: statusUsage, err: fmt.Errorf("--%s %q is no time", flag, word),
		hint: `it looks like "2h", "3d", "yesterday", "14:30" or "2026-11-26 14:30"`}
}

// takes reports whether an event is wished for.
func (w *logWish) takes(e event.Event) bool {
	switch {
	case !w.since.IsZero() && e.Time.Before(w.since), !w.until.IsZero() && !e.Time.Before(w.until),
		w.person != "" && !strings.EqualFold(e.Person, w.person), w.device != "" && e.Device != w.device,
		w.from.IsValid() && !w.isFrom(e.Addr):
		return false
	}
	for _, k := range w.kinds {
		if e.Kind == k {
			return true
		}
	}
	return len(w.kinds) == 0
}

// isFrom reports whether an event's address, or network, is of the one wished for.
func (w *logWish) isFrom(addr string) bool {
	p, err := prefixOf(addr)
	return err == nil && w.from.Overlaps(p)
}

// logPlace is where the event log is.
type logPlace struct {
	Dir string `json:"dir"`
}

// whereLog says where the event log is, and makes sure that all that happened is in it.
func whereLog(_ context.Context, h *house, _ none) (logPlace, error) {
	chain := h.chain()
	if chain == nil {
		return logPlace{eventsDir(h.cfg.State.Dir)}, nil
	}
	_ = chain.Sync() // what cannot be written is in the service's log, which says so
	return logPlace{chain.Dir()}, nil
}

// showLog shows what is wished for.
func (a *app) showLog(ctx context.Context, w logWish) error {
	c, err := a.where()
	if err != nil {
		return err
	}
	place := logPlace{eventsDir(c.State.Dir)}
	if _, err := tell(ctx, c.State.Socket, "log", none{}, &place); err != nil {
		return err
	}
	r, err := event.OpenReader(place.Dir, w.since)
	for w.follow && errors.Is(err, fs.ErrNotExist) {
		if pause(ctx, followEvery) != nil {
			return nil
		}
		r, err = event.OpenReader(place.Dir, w.since)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !a.json {
			a.note("nothing has happened yet")
		}
		return a.sayEvents(nil, 0)
	case errors.Is(err, fs.ErrPermission):
		return &problem{status: statusCannot, err: err, hint: "run this as root (sudo) or as the service's own user"}
	case err != nil:
		return err
	}
	defer r.Close()
	newest := newestOf{limit: w.limit}
	if err := r.Read(func(e event.Event) bool {
		if w.takes(e) {
			newest.add(e)
		}
		return true
	}); err != nil {
		return err
	}
	if !w.follow {
		return a.sayEvents(newest.all(), r.Odd())
	}
	for _, e := range newest.all() {
		if err := a.sayEvent(e); err != nil {
			return err
		}
	}
	return a.follow(ctx, r, w)
}

// follow shows what happens from now on, until ctx ends.
func (a *app) follow(ctx context.Context, r *event.Reader, w logWish) error {
	for pause(ctx, followEvery) == nil {
		var failed error
		err := r.Read(func(e event.Event) bool {
			if w.takes(e) {
				failed = a.sayEvent(e)
			}
			return failed == nil
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		if !w.until.IsZero() && time.Now().After(w.until) {
			return nil
		}
	}
	return nil
}

// newestOf keeps the newest of many events.
type newestOf struct {
	limit int // 0: all
	kept  []event.Event
	next  int // which is the oldest, once there are limit of them
}

func (n *newestOf) add(e event.Event) {
	if n.limit == 0 || len(n.kept) < n.limit {
		n.kept = append(n.kept, e)
		return
	}
	n.kept[n.next] = e
	n.next = (n.next + 1) % n.limit
}

func (n *newestOf) all() []event.Event {
	return append(append([]event.Event{}, n.kept[n.next:]...), n.kept[:n.next]...)
}

type logDocument struct {
	SchemaVersion int           `json:"schema_version"`
	Events        []event.Event `json:"events"`
	Unreadable    uint64        `json:"unreadable_lines"` // that were passed over
}

// sayEvents shows events, and how many lines were none.
func (a *app) sayEvents(all []event.Event, odd uint64) error {
	if a.json {
		var text bytes.Buffer
		if err := writeJSON(&text, logDocument{schemaVersion, append([]event.Event{}, all...), odd}); err != nil {
			return err
		}
		return a.sayJSON(text.Bytes())
	}
	for _, e := range all {
		if err := a.sayEvent(e); err != nil {
			return err
		}
	}
	if odd > 0 {
		fmt.Fprintf(a.err, "gatehouse: %d lines of the event log cannot be read\n      hint: \"gatehouse log verify\" says more\n", odd)
	}
	return nil
}

// sayEvent shows one event on a line: as text, or as a JSON document of its own.
func (a *app) sayEvent(e event.Event) error {
	if a.json {
		text, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("write result: %w", err)
		}
		return a.sayJSON(append(text, '\n'))
	}
	line := eventText(e, time.Local)
	if e.Kind.Severe() && a.isTerminal() && a.getenv("NO_COLOR") == "" {
		line = "\x1b[31m" + line + "\x1b[0m"
	}
	_, err := fmt.Fprintln(a.out, line)
	return err
}

// sayJSON writes JSON that may hold what strangers wrote: on a terminal it shows as
// what it is. Line ends between the members stay.
func (a *app) sayJSON(text []byte) error {
	for line := range bytes.Lines(text) {
		body := bytes.TrimSuffix(line, []byte("\n"))
		if _, err := a.out.Write(append(event.Visible(body), line[len(body):]...)); err != nil {
			return err
		}
	}
	return nil
}

// eventText is an event in the owner's words.
func eventText(e event.Event, zone *time.Location) string {
	var b strings.Builder
	b.WriteString(e.Time.In(zone).Format("2006-01-02 15:04:05  "))
	b.WriteString(shown(e.Kind.Sentence()))
	if e.Detail != "" {
		b.WriteString(": " + shown(e.Detail))
	}
	var about []string
	for _, x := range [...]struct{ before, value string }{{"", e.Person}, {"device ", e.Device}, {"", e.Addr}, {"door ", e.Door}, {"", e.Route}} {
		if x.value != "" {
			about = append(about, x.before+shown(x.value))
		}
	}
	if len(about) > 0 {
		b.WriteString("  (" + strings.Join(about, ", ") + ")")
	}
	return b.String()
}

// shown is a text, parts of which strangers may have written, as it goes to a terminal:
// what is no letter, sign or plain space is written as its number.
func shown(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "‹%04X›", r)
		}
	}
	return b.String()
}

// Verify.

func (a *app) newLogVerifyCommand() *cobra.Command {
	var notes []string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that nobody changed the event log or cut off its end",
		Long: `Checks the event log against its hashes and seals, and against how far it went when it
was last noted. The exit status is 0 where it is whole, 1 where it is broken, and 3 where
that could not be judged: of a line that was removed for its age nothing can be said.

Whoever takes over the gateway could throw the log away and begin another. What it prints
of a whole log, noted elsewhere, shows that, too: give it back with --noted. The gateway
writes such notes into the service's own log at every start and every day.`,
		Example: `  gatehouse log verify
  gatehouse log verify --noted 4711:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, n := range notes {
				if _, err := event.ParseNote(n); err != nil {
					return &problem{status: statusUsage, err: err, hint: `"gatehouse log verify" prints them`}
				}
			}
			doc, err := ask(cmd.Context(), a, "log/verify", verifyLog, verifyWish{notes})
			if err != nil {
				return err
			}
			if err := a.print(doc, func(w io.Writer) { sayVerdict(w, doc) }); err != nil {
				return err
			}
			return doc.status()
		},
	}
	c.Flags().StringSliceVar(&notes, "noted", nil, "`NUMBER:HASH` of a line, as it was noted elsewhere; may be given again")
	return c
}

type verifyWish struct {
	Noted []string `json:"noted"`
}

type verifyDocument struct {
	SchemaVersion int    `json:"schema_version"`
	Verdict       string `json:"verdict"` // whole, broken or unknown
	Why           string `json:"why,omitempty"`
	File          string `json:"file,omitempty"` // in which it is broken
	Line          int    `json:"line,omitzero"`  // there
	Files         int    `json:"files"`
	Events        uint64 `json:"events"`
	From          string `json:"from,omitempty"`
	To            string `json:"to,omitempty"`
	FirstLine     uint64 `json:"first_line"`     // number of the first that is kept
	Unsealed      uint64 `json:"unsealed_lines"` // at the end, of the last second before the gateway was killed
	Damaged       bool   `json:"damaged_end"`    // likewise: what is behind them is half a line
	Noted         string `json:"noted"`          // the last sealed line, to be noted elsewhere
	Matched       int    `json:"notes_matched"`
	Pruned        int    `json:"notes_pruned"` // notes of lines that were removed for their age
}

// verifyLog checks the event log, against what the ledger and the caller have noted of it.
func verifyLog(ctx context.Context, h *house, in verifyWish) (doc verifyDocument, err error) {
	notes, err := noted(ctx, h.ledger)
	if err != nil {
		return doc, err
	}
	newest := uint64(0) // of the lines that the caller has noted
	for _, text := range in.Noted {
		n, err := event.ParseNote(text)
		if err != nil {
			return doc, &problem{status: statusUsage, err: err}
		}
		notes, newest = append(notes, n), max(newest, n.Seq)
	}
	var r event.Report
	if chain := h.chain(); chain != nil {
		r = chain.Verify(ctx, notes...)
	} else {
		r = event.Verify(ctx, eventsDir(h.cfg.State.Dir), h.ledger, notes...)
	}
	if r.Verdict == event.Whole && newest > 0 && newest < r.First {
		r.Verdict = event.Unknown
		r.Why = fmt.Sprintf("what is kept begins with line %d, and line %d, which was noted, is not kept any more; what is there is whole, but another log could be, too", r.First, newest)
	}
	doc = verifyDocument{SchemaVersion: schemaVersion, Verdict: string(r.Verdict), Why: r.Why, File: r.Segment, Line: r.Line, Files: r.Segments,
		Events: r.Events, From: stamp(r.From), To: stamp(r.To), FirstLine: r.First, Unsealed: r.Unsealed, Damaged: r.Torn, Matched: r.Matched, Pruned: r.Pruned}
	if r.Verdict == event.Whole && r.Last.Seq > 0 {
		doc.Noted = r.Last.String()
	}
	return doc, nil
}

func sayVerdict(w io.Writer, doc verifyDocument) {
	switch event.Verdict(doc.Verdict) {
	case event.Whole:
		fmt.Fprintf(w, "The event log is whole: %s in %s, from %s to %s.\n", count(int(doc.Events), "event", "events"), count(doc.Files, "file", "files"), doc.From, doc.To)
		if doc.Unsealed > 0 {
			fmt.Fprintf(w, "Its last second is not sealed (%s), and proves nothing: the gateway was killed then, or the power went, or somebody wrote it.\n", count(int(doc.Unsealed), "line", "lines"))
		}
		if doc.Damaged {
			fmt.Fprintln(w, "What is behind its last line is no event and proves nothing: half a line, as a power cut leaves it, or what somebody wrote there.")
		}
		if doc.Pruned > 0 {
			fmt.Fprintf(w, "%s of a line that is not kept any more, and proves nothing.\n", count(doc.Pruned, "note is", "notes are"))
		}
		if doc.Noted != "" {
			fmt.Fprintf(w, "Note this elsewhere, and nothing up to here can be changed unnoticed:\n  %s\n", doc.Noted)
		}
	case event.Broken:
		fmt.Fprintf(w, "The event log is broken: %s\n", doc.Why)
		switch {
		case doc.File != "" && doc.Line > 0:
			fmt.Fprintf(w, "  in %s, line %d\n", doc.File, doc.Line)
		case doc.File != "":
			fmt.Fprintf(w, "  %s\n", doc.File)
		}
		fmt.Fprintln(w, "Somebody or something other than the gateway changed it. Keep a copy of its directory before you go on.")
	default:
		fmt.Fprintf(w, "The event log could not be judged: %s\n", doc.Why)
	}
}

// status is the exit status.
func (d verifyDocument) status() error {
	switch event.Verdict(d.Verdict) {
	case event.Whole:
		return nil
	case event.Broken:
		return &problem{status: statusNo}
	}
	return &problem{status: statusPartly}
}
