package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/facts"
	"gatehouse/internal/fix"
	"gatehouse/internal/ha"
)

// The verbs close, confirm, open and off.

func (a *app) newCloseCommand() *cobra.Command {
	var inFront, stays, preview bool
	cmd := &cobra.Command{
		Use:   "close",
		Short: "Close the house: only what is known comes in, at home too",
		Long: `Closes the house. First it shows what would be refused. Then Home Assistant moves to an
address of this machine that nobody else reaches, the gateway takes its old one, and it
is proved that everything is reached through the gateway and nothing without it. If
anything fails, all is as before.

What is closed is on trial for five minutes: "gatehouse confirm" keeps it, and without
that it is taken back by itself, also after a power cut. "gatehouse open" lets in
everybody at home again; "gatehouse off" gives Home Assistant its own address back.

With --in-front the gateway takes the old address and refuses nothing at home yet: what
passes there is learned, speakers and screens as well, and close comes later.

Releases of Home Assistant before 2026.8 keep the address in configuration.yaml: run this
as root there.`,
		Example: `  gatehouse close --preview
  gatehouse close && gatehouse confirm`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wish := closeWish{Next: string(modeClosed), Stays: stays}
			if inFront {
				wish.Next = string(modeOpen)
			}
			return a.closeHouse(cmd.Context(), wish, preview)
		},
	}
	cmd.Flags().BoolVar(&preview, "preview", false, "show what would be refused, and change nothing")
	cmd.Flags().BoolVar(&inFront, "in-front", false, "take Home Assistant's address, and refuse nothing at home yet")
	cmd.Flags().BoolVar(&stays, "ha-stays", false, "leave Home Assistant where it is; a firewall has to keep everybody else from it")
	return cmd
}

// conversation is one with what answers the verbs: the server that runs, or the ledger.
type conversation struct {
	a      *app
	cfg    *config.Config
	rights *rights // root's, to change Home Assistant's files with; nil where there are none
	said   int     // how many lines of what is done were said
}

// converse begins a conversation in which root's rights are laid down but for what needs them.
func (a *app) converse() (*conversation, error) {
	c, path, err := a.loadConfig()
	if err != nil {
		if _, named := a.configPath(); named || !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if c, err = a.where(); err != nil { // a demonstration
			return nil, err
		}
		return &conversation{a: a, cfg: c}, nil
	}
	r, err := actFor(c.State.Dir, path)
	if err != nil {
		return nil, err
	}
	return &conversation{a: a, cfg: c, rights: r}, nil
}

// say has a thing done by the server, or on the ledger where none runs.
func say[In, Out any](ctx context.Context, c *conversation, name string, do func(context.Context, *house, In) (Out, error), in In) (Out, error) {
	return reach(ctx, c.a, c.cfg, name, do, in)
}

func (a *app) closeHouse(ctx context.Context, wish closeWish, previewOnly bool) error {
	finds, unread, err := a.readStored()
	if err != nil {
		return err
	}
	bans := a.readHomeBans()
	c, err := a.converse()
	if err != nil {
		return err
	}
	if remark := bans.remark(); remark != "" {
		a.note("%s", remark)
	}
	if wish.Was, err = c.listening(); err != nil {
		return err
	}
	if len(finds) > 0 {
		if _, err := say(ctx, c, "residents/found", takeDown, findings{finds, unread == ""}); err != nil {
			return err
		}
	}
	if unread != "" && wish.Next == string(modeClosed) {
		a.note("%s. What was there before and is not shown below would be refused.", unread)
	}
	doc, err := say(ctx, c, "house/preview", previewClose, wish)
	if err != nil {
		return err
	}
	if doc.How != howNone {
		if err := c.holdsPort(portOf(doc.Takes)); err != nil {
			return err
		}
	}
	if previewOnly {
		return a.print(doc, func(w io.Writer) { sayPreview(w, doc) })
	}
	if !a.quiet && !a.json {
		sayPreview(a.err, doc)
	}
	question := "Close the house, on trial for five minutes?"
	if wish.Next == string(modeOpen) {
		question = "Put the gateway in front, on trial for five minutes?"
	}
	if err := a.confirm(ctx, question); err != nil {
		return err
	}
	house, err := c.begin(ctx, wish, doc)
	if err != nil {
		return err
	}
	if house.Step != string(stepTrial) {
		return &problem{status: statusUndone, err: fmt.Errorf("it did not work, and all is as before: %s", house.Problem), hint: `what was done is in "gatehouse status --json"`}
	}
	return c.trial(ctx, house)
}

// begin closes the house and waits until it is on trial, or all is as before.
func (c *conversation) begin(ctx context.Context, wish closeWish, plan previewDocument) (houseDocument, error) {
	house, err := say(ctx, c, "house/close", beginClose, wish)
	if err != nil {
		return house, err
	}
	if plan.How == howYAML {
		if changed, err := c.edit(ctx, house); err != nil {
			if changed { // the gateway follows Home Assistant, wherever that says
				return house, err
			}
			_, undo := say(context.WithoutCancel(ctx), c, "house/unedited", unedited, named{err.Error()})
			return house, errors.Join(err, undo)
		}
	}
	return c.await(ctx, house)
}

// edit has configuration.yaml say what the house needs, and Home Assistant take it up. If it does
// not accept that, the file is as before; changed says that it is not.
func (c *conversation) edit(ctx context.Context, house houseDocument) (changed bool, err error) {
	l, err := listenerOf(house)
	if err != nil {
		return false, err
	}
	var undo func() error
	var said error
	var ban banning
	if house.SecondLine {
		ban = banning{true, true, secondLineAt}
	}
	err = c.asRoot(func() (err error) { undo, said, err = editHome(c.cfg.Home.HADir, l, ban); return err })
	if err != nil {
		return false, err
	}
	if said != nil {
		c.a.note("after how many wrong passwords Home Assistant shuts an address out stays as it is: %v", said)
	}
	if _, err := say(ctx, c, "house/edited", editedHome, edited{stepEditing}); err != nil {
		undone := c.asRoot(undo)
		return undone != nil, errors.Join(err, undone)
	}
	return true, nil
}

// restore has configuration.yaml say what it said before.
func (c *conversation) restore(ctx context.Context, house houseDocument) error {
	if err := c.awaitHome(ctx); err != nil {
		return err
	}
	l := ha.Listener{Hosts: house.Was.Hosts, Port: house.Was.Port}
	var undo func() error
	var said error
	err := c.asRoot(func() (err error) {
		undo, said, err = editHome(c.cfg.Home.HADir, l, house.back().ifOurs(c.cfg.Home.HADir))
		return err
	})
	if err != nil {
		return err
	}
	if said != nil {
		c.a.note("Home Assistant still shuts an address out after %d wrong passwords: %v", secondLineAt, said)
	}
	if _, err := say(ctx, c, "house/edited", editedHome, edited{stepRestore}); err != nil {
		return errors.Join(err, c.asRoot(undo))
	}
	return nil
}

// awaitHome waits until Home Assistant answers: only then can it check its configuration.
func (c *conversation) awaitHome(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, restartTime, fmt.Errorf("no sign of Home Assistant within %s", restartTime))
	defer cancel()
	for {
		house, err := say(ctx, c, "house/look", lookAtHouse, none{})
		if err != nil || house.Answers {
			return err
		}
		if err := pause(ctx, moveEvery); err != nil {
			return err
		}
	}
}

// asRoot does something with root's rights, where there are some.
func (c *conversation) asRoot(do func() error) error { return c.rights.asRoot(do) }

// await follows a move until it is on trial or over, and says what is done meanwhile.
func (c *conversation) await(ctx context.Context, house houseDocument) (houseDocument, error) {
	for {
		for ; c.said < len(house.Did); c.said++ {
			c.a.note("%s", house.Did[c.said])
		}
		switch step(house.Step) {
		case stepNone, stepTrial:
			return house, nil
		}
		if !house.Running {
			return house, gatewayEnded()
		}
		switch step(house.Step) {
		case stepRestore:
			err := c.restore(ctx, house)
			if now, asked := say(ctx, c, "house", showHouse, none{}); asked == nil && now.Step != house.Step {
				err = nil // somebody else was faster
			}
			if err != nil {
				return house, &problem{status: statusPartly, err: fmt.Errorf("configuration.yaml still has Home Assistant behind the gateway: %w", err),
					hint: `at home it is reached through the gateway; "gatehouse off", as root, gives it its own address back`}
			}
		}
		if err := pause(ctx, moveEvery); err != nil {
			return house, err
		}
		var err error
		if house, err = say(ctx, c, "house", showHouse, none{}); err != nil {
			return house, err
		}
	}
}

// gatewayEnded says that a server ended in the middle of a move.
func gatewayEnded() error {
	return &problem{status: statusPartly, err: errors.New("the gateway ended in the middle of it"),
		hint: `start it, and Home Assistant gets its own address back; or say "gatehouse off"`}
}

// trial says that the house is on trial, and asks whether it shall stay so where somebody
// sits at a terminal.
func (c *conversation) trial(ctx context.Context, house houseDocument) error {
	a := c.a
	ask := &asker{out: a.err}
	if f, ok := a.in.(*os.File); ok && !a.yes {
		ask.in = f
	}
	until, err := time.Parse(time.RFC3339, house.Deadline)
	if err != nil {
		return err
	}
	// Nobody but root can change configuration.yaml back, so somebody stays until it is known: this
	// terminal may end, or the way to it.
	kept := house.YAML && c.asRoot(a.leaveKeeper) == nil
	if ask.terminal() && !a.json {
		fmt.Fprintf(a.err, "\nThe house is %s on trial until %s. Try a phone, a browser, a speaker.\n", house.Next, until.Local().Format(time.TimeOnly))
		asking, cancel := context.WithDeadlineCause(ctx, until, errors.New("nobody confirmed it in time"))
		defer cancel()
		keep, err := ask.yes(asking, "Does everything work, and shall it stay so?", "gatehouse confirm")
		switch {
		case err == nil && keep:
			house, err := say(ctx, c, "house/confirm", confirmHouse, none{})
			if err != nil {
				return err
			}
			return a.print(house, func(w io.Writer) { sayHouse(w, house) })
		case err == nil, asking.Err() != nil:
			if _, err := say(ctx, c, "house/open", openToHome, none{}); err != nil {
				return err
			}
			if house, err = c.settle(ctx); err != nil {
				return err
			}
			return &problem{status: statusUndone, err: errors.New("the house is not closed, and all is as before")}
		}
		return err
	}
	if err := a.print(house, func(w io.Writer) { sayHouse(w, house) }); err != nil {
		return err
	}
	if !house.YAML || kept {
		return nil
	}
	a.note("this waits until it is confirmed: to take the trial back, configuration.yaml has to be changed as root")
	house, err = c.settle(ctx)
	if err == nil && house.Mode != string(modeClosed) && house.Problem != "" {
		err = &problem{status: statusUndone, err: fmt.Errorf("the house is not closed, and all is as before: %s", house.Problem)}
	}
	return err
}

// leaveKeeper starts what waits for the end of the trial in this process's place, with
// nothing of its terminal.
func (a *app) leaveKeeper() error {
	path, _ := a.configPath()
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return leave([]string{}, "--config", path, "--quiet", keeperVerb)
}

// keeperVerb is what close leaves behind where root has to take a trial back.
const keeperVerb = "keep-trial"

func (a *app) newKeeperCommand() *cobra.Command {
	return &cobra.Command{
		Use:    keeperVerb,
		Short:  "Wait until a trial is confirmed or over, and change configuration.yaml back",
		Hidden: true,
		Args:   noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGHUP)
			c, err := a.converse()
			if err != nil {
				return err
			}
			return c.keep(cmd.Context())
		},
	}
}

// keep waits for the end of a trial, and takes it back where nobody else does.
func (c *conversation) keep(ctx context.Context) error {
	for {
		house, err := say(ctx, c, "house", showHouse, none{})
		if err != nil {
			return err
		}
		until, err := time.Parse(time.RFC3339, house.Deadline)
		switch {
		case house.Step != string(stepTrial):
			_, err := c.await(ctx, house)
			return err
		case err == nil && !house.Running && time.Since(until) > keeperPatience:
			return c.wayBack(ctx, "house/open", openToHome)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// keeperPatience is how long after the end of a trial a gateway may be starting again.
const keeperPatience = 20 * time.Second

// settle waits until nothing is on trial or moving any more.
func (c *conversation) settle(ctx context.Context) (houseDocument, error) {
	for {
		house, err := say(ctx, c, "house", showHouse, none{})
		if err != nil {
			return house, err
		}
		if house.Step != string(stepTrial) {
			return c.await(ctx, house)
		}
		if !house.Running {
			return house, gatewayEnded()
		}
		if err := pause(ctx, time.Second); err != nil {
			return house, err
		}
	}
}

func (a *app) newConfirmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "Keep what is on trial: a closed house, or a fix that could have locked you out",
		Args:  noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if done, err := a.confirmFix(); done || err != nil {
				return err
			}
			doc, err := ask(cmd.Context(), a, "house/confirm", confirmHouse, none{})
			if err != nil {
				if os.Geteuid() != 0 {
					a.note(`a fix that is on trial is confirmed as root: "sudo gatehouse confirm"`)
				}
				return err
			}
			return a.print(doc, func(w io.Writer) { sayHouse(w, doc) })
		},
	}
}

func (a *app) newOpenCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "open",
		Short: "Open the house to everybody at home; a trial is taken back",
		Long: `Opens the house to everybody at home: nothing is refused there, and what Home Assistant
accepts is learned. From outside nobody comes in but who is known, as ever. A close that is
on trial is taken back.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.wayBack(cmd.Context(), "house/open", openToHome)
		},
	}
}

func (a *app) newOffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "off",
		Short: "Give Home Assistant its own address back",
		Long: `Gives Home Assistant its own address back, so that it is reached without the gateway as
it was before. Nothing that the gateway knows is forgotten.

It works whether the gateway runs or not. Where Home Assistant does not run, its own files
are changed, as root, and it has its address when it starts.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.wayBack(cmd.Context(), "house/off", offHouse)
		},
	}
}

// wayBack opens the house, or gives Home Assistant its address back, and waits until it is so.
func (a *app) wayBack(ctx context.Context, name string, do func(context.Context, *house, none) (houseDocument, error)) error {
	c, err := a.converse()
	if err != nil {
		return err
	}
	return c.wayBack(ctx, name, do)
}

func (c *conversation) wayBack(ctx context.Context, name string, do func(context.Context, *house, none) (houseDocument, error)) error {
	house, err := say(ctx, c, name, do, none{})
	if err != nil {
		return err
	}
	if step(house.Step) != stepNone {
		if !house.Answers && !c.homeRuns() {
			return c.backInFiles(ctx, house)
		}
		if house, err = c.goBack(ctx, house); err != nil {
			return err
		}
	}
	return c.a.print(house, func(w io.Writer) { sayHouse(w, house) })
}

// goBack waits until Home Assistant has its address back. Where no server runs, this very
// process brings it there.
func (c *conversation) goBack(ctx context.Context, house houseDocument) (houseDocument, error) {
	if house.Running {
		return c.await(ctx, house)
	}
	if step(house.Step) == stepRestore {
		if err := c.restore(ctx, house); err != nil {
			return house, err
		}
	}
	return say(ctx, c, "house/back", bringBack, none{})
}

// homeRuns reports whether a process of Home Assistant is seen: it may be starting, and has
// read its files already.
func (c *conversation) homeRuns() (runs bool) {
	err := c.asRoot(func() error {
		for _, home := range facts.FindHomes(os.DirFS("/")).Homes {
			runs = runs || home.Process != 0 && (c.cfg.Home.HADir == "" || mayBeOne(home.Dir, c.cfg.Home.HADir))
		}
		return nil
	})
	return runs && err == nil
}

// mayBeOne reports whether two names are one directory, or may be: a container has its own name
// for it, and people write links.
func mayBeOne(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err != nil || err2 != nil || os.SameFile(x, y)
}

// backInFiles gives Home Assistant its address back in its own files, as it does not run.
func (c *conversation) backInFiles(ctx context.Context, house houseDocument) error {
	l := ha.Listener{Hosts: house.Was.Hosts, Port: house.Was.Port}
	if c.cfg.Home.HADir == "" {
		return &problem{status: statusCannot, err: errors.New("no answer from Home Assistant"), hint: "start it, and say this again; or set home.ha_dir, so that its own files can be changed"}
	}
	err := c.asRoot(func() error {
		dir := c.cfg.Home.HADir
		back := house.back().ifOurs(dir)
		if !house.YAML {
			return editStoredHome(dir, l, back)
		}
		_, said, err := editHome(dir, l, back)
		if said != nil {
			c.a.note("Home Assistant still shuts an address out after %d wrong passwords: %v", secondLineAt, said)
		}
		return err
	})
	if err != nil {
		return &problem{status: statusCannot, err: fmt.Errorf("no answer from Home Assistant, and its files cannot be changed: %w", err), hint: "run this as root, or start Home Assistant and say this again"}
	}
	if house, err = say(ctx, c, "house/settled", settled, none{}); err != nil {
		return err
	}
	c.a.note("Home Assistant does not run. It has its own address back when it is started")
	return c.a.print(house, func(w io.Writer) { sayHouse(w, house) })
}

// holdsPort makes sure that nobody passes on for Home Assistant what comes to its port, as a
// container's engine does: Home Assistant would listen behind that, and not behind us.
// Where it cannot be seen who does, the trial will show it.
func (c *conversation) holdsPort(port int) error {
	var name string
	err := c.asRoot(func() error {
		process, _, err := facts.Listener(os.DirFS("/"), port)
		if err != nil || process == 0 {
			return nil
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", process))
		if err == nil {
			name = strings.TrimSpace(string(text))
		}
		return nil
	})
	switch name {
	case "docker-proxy", "rootlessport", "conmon", "pasta", "slirp4netns":
		return &problem{status: statusCannot, err: fmt.Errorf("port %d is published by %s, and Home Assistant listens in a network of its own", port, name),
			hint: "give its container the host's network (network_mode: host); or close the door lan alone with --ha-stays, and publish its port on 127.0.0.1 only"}
	}
	return err
}

func sayPreview(w io.Writer, doc previewDocument) {
	if doc.Next == string(modeClosed) {
		fmt.Fprintf(w, "With the house closed, %s known and come in.\n", map[bool]string{true: "1 device is", false: fmt.Sprintf("%d devices are", doc.Known)}[doc.Known == 1])
		if len(doc.Refused) == 0 {
			fmt.Fprintln(w, "Nothing was found that would be refused.")
		} else {
			fmt.Fprintf(w, "Refused would be:\n\n")
			tableOfResidents(w, doc.Refused)
			fmt.Fprintln(w, "\nWhat shall go on working is given to a person: gatehouse residents give ID PERSON.")
		}
	}
	switch {
	case doc.How != howNone:
		fmt.Fprintf(w, "Home Assistant restarts and listens at %s alone; the gateway takes %s.\n", doc.HomeAssistant, doc.Takes)
		if doc.Attempts > 0 {
			fmt.Fprintf(w, "It shuts out an address for good after %d wrong passwords from then on (now: %s), as a second line behind the guard, whose bans end.\n",
				doc.Attempts, doc.Banning.words())
		}
		if doc.How == howYAML {
			fmt.Fprintln(w, "For that configuration.yaml is changed, in the lines of http: only.")
		}
	case doc.Open:
		fmt.Fprintf(w, "Home Assistant stays at %s: whoever reaches that comes in without us.\n", doc.HomeAssistant)
	}
	fmt.Fprintln(w)
}

// sentence says how the house stands.
func (h houseRow) sentence() string {
	s := "The house is open to everybody at home."
	switch {
	case h.Step == string(stepTrial):
		s = "The house is on trial until " + h.Deadline + `: "gatehouse confirm" keeps it.`
	case h.Step == string(stepRestore):
		s = `Home Assistant is to have its own address back, and configuration.yaml has to say so: run "gatehouse off" as root.`
	case h.Step != "":
		s = "Home Assistant is being moved (" + h.Step + ")."
	case h.Mode == string(modeClosed):
		s = "The house is closed: only what is known comes in."
	case h.Mode == string(modeOff):
		s = "Home Assistant has its own address, and nothing is refused at home."
	}
	if h.Problem != "" {
		s += " The last move was taken back: " + h.Problem + "."
	}
	return s
}

func sayHouse(w io.Writer, doc houseDocument) {
	switch {
	case doc.Step == string(stepTrial):
		fmt.Fprintf(w, "The house is %s on trial until %s. \"gatehouse confirm\" keeps it.\n", doc.Next, doc.Deadline)
	case doc.Step != "":
		fmt.Fprintf(w, "The house is %s, and Home Assistant on its way (%s).\n", doc.Mode, doc.Step)
	case doc.Mode == string(modeClosed):
		fmt.Fprintln(w, "The house is closed: only what is known comes in.")
	case doc.Mode == string(modeOff):
		fmt.Fprintf(w, "Home Assistant has its own address back: %s.\n", doc.HomeAssistant)
	default:
		fmt.Fprintln(w, "The house is open to everybody at home.")
	}
	if doc.Plain != "" && doc.Step == "" {
		fmt.Fprintf(w, "The gateway listens at %s, and Home Assistant behind it at %s.\n", doc.Plain, doc.HomeAssistant)
	}
}

// listening is how Home Assistant listens, as its own files say; a port of 0 where they cannot
// be read. Since 2026.8 its API tells.
func (c *conversation) listening() (l listening, err error) {
	dir := c.cfg.Home.HADir
	if dir == "" {
		return l, nil
	}
	err = c.asRoot(func() error {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil // the API tells, or what is to be done needs it and says so
		}
		defer root.Close()
		s, err := ha.ReadSettings(homeFiles{root})
		if err != nil {
			return nil
		}
		l = listening{s.HTTP.ServerHost, s.HTTP.ServerPort, banning{true, s.HTTP.IPBanEnabled, s.HTTP.LoginAttemptsThreshold}}
		return nil
	})
	return l, err
}

// editYAML has the http settings in configuration.yaml say how to listen. undo writes what was there.
func editYAML(dir string, l ha.Listener) (undo func() error, err error) {
	if dir == "" {
		return nil, &problem{status: statusUsage, err: errors.New("this release of Home Assistant keeps its address in configuration.yaml, and where that is is not known"),
			hint: "set home.ha_dir in the configuration"}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, cannotEdit(err)
	}
	defer root.Close()
	name, before, after, err := ha.EditHTTP(homeFiles{root}, l)
	if err != nil {
		return nil, cannotEdit(err)
	}
	if bytes.Equal(before, after) {
		return func() error { return nil }, nil
	}
	if err := replaceIn(dir, name, before, after); err != nil {
		return nil, cannotEdit(err)
	}
	return func() error { return replaceIn(dir, name, after, before) }, nil
}

// storedHTTP is where Home Assistant keeps the settings of its web server, since 2026.8.
const storedHTTP = ".storage/http"

func cannotEdit(err error) error {
	p := &problem{status: statusCannot, err: fmt.Errorf("change configuration.yaml: %w", err), hint: "nothing was changed; set server_host and server_port there by hand, or move Home Assistant to 2026.8 or later"}
	if errors.Is(err, fs.ErrPermission) {
		p.hint = "run this as root (sudo)"
	}
	return p
}

// replaceIn puts a new text in the place of a file's in a directory, if it still says what it
// said. Nothing leads out of the directory.
func replaceIn(dir, name string, before, after []byte) error {
	disk, err := fix.OpenDisk(dir)
	if err != nil {
		return err
	}
	return errors.Join(disk.Replace(name, before, after), disk.Close())
}

// listenerOf is how Home Assistant shall listen behind us, as the server has planned it.
func listenerOf(house houseDocument) (ha.Listener, error) {
	at, err := netip.ParseAddrPort(strings.TrimPrefix(house.HomeAssistant, "http://"))
	if err != nil || !at.Addr().IsLoopback() {
		return ha.Listener{}, fmt.Errorf("the server would have Home Assistant listen at %s", house.HomeAssistant)
	}
	return stance{Home: at}.listener(), nil
}
