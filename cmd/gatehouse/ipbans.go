package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gatehouse/internal/event"
	"gatehouse/internal/ha"
)

// What Home Assistant has shut out itself: taken over, and looked at by the doctor.

// importFor is how long an address that Home Assistant has shut out for good is banned here.
// Addresses change hands: who has it in a month is somebody else.
const importFor = 30 * 24 * time.Hour

// importMost is how many addresses are handed over at once.
const importMost = 5000

// importedBan is an address of ip_bans.yaml.
type importedBan struct {
	Addr string `json:"addr"`
	At   string `json:"at"` // since when; empty where that is not known
}

// importWish is what shall be taken over, or would be.
type importWish struct {
	Bans  []importedBan `json:"bans"`
	All   bool          `json:"all"`   // what is at home, too
	Apply bool          `json:"apply"` // and not only shown
}

// leftBan is an address that is not taken over.
type leftBan struct {
	Addr string `json:"addr"`
	Why  string `json:"why"`
}

type importDocument struct {
	SchemaVersion int           `json:"schema_version"`
	File          string        `json:"file"`
	Done          bool          `json:"done"`
	Until         string        `json:"until"`
	Taken         []importedBan `json:"taken"` // or would be
	Left          []leftBan     `json:"left"`
	Wrong         []string      `json:"wrong"` // what is no address
}

// importBans takes over what Home Assistant has shut out, or says what it would do.
func importBans(ctx context.Context, h *house, in importWish) (doc importDocument, err error) {
	until := time.Now().Add(importFor)
	doc = importDocument{SchemaVersion: schemaVersion, Done: in.Apply, Until: stamp(until), Taken: []importedBan{}, Left: []leftBan{}, Wrong: []string{}}
	banned := map[netip.Prefix]bool{}
	for _, b := range h.guard.Bans() {
		banned[b.Prefix] = true
	}
	for _, b := range in.Bans {
		addr, err := netip.ParseAddr(b.Addr)
		if err != nil {
			doc.Wrong = append(doc.Wrong, fmt.Sprintf("%.60q is no address", b.Addr))
			continue
		}
		p := netip.PrefixFrom(addr, addr.BitLen())
		why := h.leftOut(p, in.All)
		if banned[p] {
			why = "it is banned already"
		}
		if why != "" {
			doc.Left = append(doc.Left, leftBan{b.Addr, why})
			continue
		}
		if in.Apply {
			if err := h.guard.Ban(p, until, b.words()); err != nil {
				return doc, errors.Join(cannotSay(err), h.kept.write(ctx))
			}
		}
		doc.Taken = append(doc.Taken, b)
	}
	if !in.Apply || len(doc.Taken) == 0 {
		return doc, nil
	}
	return doc, h.keep(ctx, "they are banned",
		event.Event{Kind: event.Banned, Detail: count(len(doc.Taken), "address", "addresses") + " that Home Assistant had banned, until " + doc.Until, Owner: true})
}

// words are why it is banned here.
func (b importedBan) words() string {
	if at, err := time.Parse(time.RFC3339, b.At); err == nil {
		return "Home Assistant banned it on " + at.Format(time.DateOnly)
	}
	return "Home Assistant banned it"
}

// leftOut says why an address is not taken over; empty if it is. all takes those over as well
// that are at home.
func (h *house) leftOut(p netip.Prefix, all bool) string {
	addr := p.Addr()
	if addr.IsLoopback() || addr.IsUnspecified() || slices.Contains(h.links.Addrs(), addr) {
		return "it is this machine"
	}
	if all {
		return ""
	}
	if addr.IsPrivate() || addr.IsLinkLocalUnicast() || h.links.AtHome(addr) {
		return "it is at home, or private"
	}
	return h.risk(p)
}

// homeBans is what is known of Home Assistant's own bans, read with the rights of whoever runs
// the verb: the gateway's user may not read Home Assistant's files.
type homeBans struct {
	Banning banning  `json:"banning"`
	Listed  int      `json:"listed"` // addresses in ip_bans.yaml
	Ours    []string `json:"ours"`   // of them this machine's own
	Unread  string   `json:"unread"` // why they could not be read
}

// readHomeBans reads it, before the process becomes the user whose the state is.
func (a *app) readHomeBans() (b homeBans) {
	c, _, err := a.loadConfig()
	if err != nil {
		return b // ask finds a demonstration, or says what is wrong
	}
	if c.Home.HADir == "" {
		b.Unread = "home.ha_dir is not set"
		return b
	}
	root, err := os.OpenRoot(c.Home.HADir)
	if err != nil {
		b.Unread = err.Error()
		return b
	}
	defer root.Close()
	return homeBansIn(homeFiles{root})
}

func homeBansIn(dir fs.FS) (b homeBans) {
	s, err := ha.ReadSettings(dir)
	if s.Source != "" {
		b.Banning = banning{true, s.HTTP.IPBanEnabled, s.HTTP.LoginAttemptsThreshold}
	} else if err != nil {
		b.Unread = err.Error()
	}
	list, err := ha.ReadIPBans(dir, ha.IPBansFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Unread = err.Error()
	}
	b.Listed = len(list.Bans)
	own := ownAddrs()
	for _, ban := range list.Bans {
		if ban.Addr.IsLoopback() || slices.Contains(own, ban.Addr) {
			b.Ours = append(b.Ours, ban.Addr.String())
		}
	}
	return b
}

// remark says that there is something to be taken over; empty where there is not.
func (b homeBans) remark() string {
	if n := b.Listed - len(b.Ours); n > 0 {
		return fmt.Sprintf(`Home Assistant has banned %s for good: "gatehouse guard import" takes them over, with an end`, count(n, "address", "addresses"))
	}
	return ""
}

// guardImport is the verb. name is the file; empty for Home Assistant's own.
func (a *app) guardImport(ctx context.Context, name string, all bool) error {
	if name == "" {
		c, _, err := a.loadConfig()
		switch {
		case err != nil:
			return err
		case c.Home.HADir == "":
			return &problem{status: statusUsage, err: errors.New("where Home Assistant keeps its files is not known"), hint: "name the file, or set home.ha_dir in the configuration"}
		}
		name = filepath.Join(c.Home.HADir, ha.IPBansFile)
	}
	list, err := readIPBans(name)
	if err != nil {
		return err
	}
	wish := importWish{All: all}
	for _, b := range list.Bans {
		wish.Bans = append(wish.Bans, importedBan{b.Addr.String(), stamp(bannedAt(b.At))})
	}
	where, err := a.where()
	if err != nil {
		return err
	}
	talk := &conversation{a: a, cfg: where}
	plan, err := talk.importAll(ctx, name, wish)
	if err != nil {
		return err
	}
	plan.Wrong = append(plan.Wrong, list.Wrong...)
	if len(plan.Taken) > 0 {
		if !a.quiet && !a.json {
			sayImport(a.err, plan)
		}
		if err := a.confirm(ctx, fmt.Sprintf("Ban %s until %s?", count(len(plan.Taken), "address", "addresses"), plan.Until)); err != nil {
			return err
		}
		wish.Apply = true
		wrong := plan.Wrong
		if plan, err = talk.importAll(ctx, name, wish); err != nil {
			return err
		}
		plan.Wrong = wrong
	}
	return a.print(plan, func(w io.Writer) {
		if !plan.Done {
			sayImport(w, plan)
			return
		}
		fmt.Fprintf(w, "%s banned until %s. Home Assistant's own list is as it was.\n", count(len(plan.Taken), "address is", "addresses are"), plan.Until)
	})
}

// bannedAt reads a time as Home Assistant writes it (Python's isoformat, in UTC where it names
// no zone), and as people do; zero where that is no time.
func bannedAt(text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 0 {
			return t.UTC()
		}
	}
	return time.Time{}
}

// readIPBans reads a file as Home Assistant writes it.
func readIPBans(name string) (list ha.IPBans, err error) {
	root, err := os.OpenRoot(filepath.Dir(name))
	if err == nil {
		defer root.Close()
		list, err = ha.ReadIPBans(homeFiles{root}, filepath.Base(name))
	}
	if err == nil {
		return list, nil
	}
	p := &problem{status: statusCannot, err: fmt.Errorf("read %s: %w", name, plainPath(err))}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.status, p.hint = statusNo, "Home Assistant makes it with the first address that it bans: there is nothing to take over"
	case errors.Is(err, fs.ErrPermission):
		p.hint = "run this as root (sudo)"
	}
	return list, p
}

// importAll hands the addresses over in parts, or asks what would become of them.
func (c *conversation) importAll(ctx context.Context, file string, wish importWish) (all importDocument, err error) {
	all = importDocument{SchemaVersion: schemaVersion, File: file, Done: wish.Apply, Taken: []importedBan{}, Left: []leftBan{}, Wrong: []string{}}
	for part := range slices.Chunk(wish.Bans, importMost) {
		doc, err := say(ctx, c, "guard/import", importBans, importWish{part, wish.All, wish.Apply})
		if err != nil {
			return all, err
		}
		all.Until = doc.Until
		all.Taken, all.Left, all.Wrong = append(all.Taken, doc.Taken...), append(all.Left, doc.Left...), append(all.Wrong, doc.Wrong...)
	}
	return all, nil
}

// shownBans is how many addresses are shown to people; --json has all.
const shownBans = 20

func sayImport(w io.Writer, doc importDocument) {
	if len(doc.Taken) == 0 {
		fmt.Fprintf(w, "There is nothing to take over from %s.\n", doc.File)
	} else {
		fmt.Fprintf(w, "From %s would be banned until %s:\n", doc.File, doc.Until)
		rows := [][]string{{"  ADDRESS", "BANNED BY HOME ASSISTANT"}}
		for _, b := range doc.Taken[:min(shownBans, len(doc.Taken))] {
			rows = append(rows, []string{"  " + b.Addr, orDash(b.At)})
		}
		table(w, rows)
		andMore(w, len(doc.Taken))
	}
	if len(doc.Left) > 0 {
		fmt.Fprintln(w, "\nLeft out:")
		rows := [][]string{}
		for _, l := range doc.Left[:min(shownBans, len(doc.Left))] {
			rows = append(rows, []string{"  " + l.Addr, l.Why})
		}
		table(w, rows)
		andMore(w, len(doc.Left))
		fmt.Fprintln(w, "--all takes those over as well, but for this machine's own.")
	}
	for _, x := range doc.Wrong[:min(shownBans, len(doc.Wrong))] {
		fmt.Fprintf(w, "Not understood: %s.\n", x)
	}
}

// andMore says that not all is shown.
func andMore(w io.Writer, all int) {
	if all > shownBans {
		fmt.Fprintf(w, "  and %d more\n", all-shownBans)
	}
}
