package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/audit"
	"gatehouse/internal/checks"
	"gatehouse/internal/config"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/report"
	"gatehouse/internal/router"
)

// newAuditCommand makes the verb that reads a host and its Home Assistant and says what
// is not as it should be.
func (a *app) newAuditCommand() *cobra.Command {
	u := &auditing{app: a}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check this machine and its Home Assistant, and say what matters first",
		Long: `Reads the machine and the configuration directory of Home Assistant, judges them by
every check, and says what to do first. Nothing is changed or started, and nothing is
sent but what --url and --router ask. As root it sees everything; as anybody else it
says what it could not judge.

With --root it reads another file system: a mounted card, an image, a container's.
Nothing of it is executed, and no symbolic link leads out of it. Home Assistant's
directory is then looked for in there; --ha names it.

With --ha alone the machine is judged as well. To look at nothing but a configuration
directory, such as a copy or an unpacked backup, name it twice: --root DIR --ha DIR.

What the owner knows and leaves is written into waivers.toml beside the configuration:

  [[waiver]]
  id = "ssh.password-auth"
  reason = "the router lets nobody in, and Olga has no key yet"
  until = 2027-03-31

It counts until the end of that day. What could not be judged cannot be waived.

--passwords tries the names in the house and some thousands of the commonest passwords
at the accounts of Home Assistant and of this machine, with one processor and for a
stated time. It says whose password was guessed and never which it is.

--router asks the local router, the machine that the default route leads to and nobody
else, which ports it leads into the house: over UPnP, NAT-PMP and PCP. It takes a few
seconds at most and changes nothing there.

The exit status is 0 if nothing fails that is as bad as --fail-on says, 1 if something
does, 3 if nothing does but something as bad could not be judged, 2 if the command line
or a file is wrong, and 4 if it could not run. With --root, what takes the running
machine stays open and does not count for it.`,
		Example: `  gatehouse audit
  gatehouse audit --explain acct.uid0-only-root
  gatehouse audit --format html > audit.html
  gatehouse audit --format json > last.json; gatehouse audit --since last.json
  gatehouse audit --router
  gatehouse audit --root /mnt/card
  gatehouse audit --root backup/data --ha backup/data`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u.said = cmd.Flags().Changed
			return u.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&u.root, "root", "/", "read the file system in `DIR` instead of this machine's")
	f.StringVar(&u.haDir, "ha", "", "Home Assistant's configuration `DIR` (else the configuration's, else the only one that is found)")
	f.StringArrayVar(&u.urls, "url", nil, "look at what a stranger sees at this `URL`, too; may be given several times")
	f.BoolVar(&u.router, "router", false, "ask the local router which ports it leads into the house, too")
	f.StringVar(&u.format, "format", string(report.Text), "`FORM` of the report: "+words(report.Formats()))
	f.StringVar(&u.explain, "explain", "", "say all about the check `ID`")
	f.StringVar(&u.failOn, "fail-on", string(finding.High), "exit with 1 if something of this `SEVERITY` or worse fails: "+words(finding.Severities()))
	f.StringVar(&u.since, "since", "", "say what is different from a former report, a `FILE` in JSON")
	f.BoolVar(&u.noWalk, "no-walk", false, "do not walk through the whole file system")
	f.DurationVar(&u.passwords, "passwords", 0, "guess passwords for at most this `TIME`, such as 60s or 30m")
	f.Lookup("passwords").NoOptDefVal = "60s"
	return cmd
}

// words lists the members of a closed set.
func words[T ~string](all []T) string {
	var names []string
	for _, w := range all {
		names = append(names, string(w))
	}
	return strings.Join(names, ", ")
}

// auditing is one run of the verb: the flags, then what the steps find for the next ones.
type auditing struct {
	app  *app
	said func(flag string) bool

	root, haDir, format, explain, failOn, since string
	urls                                        []string
	noWalk, router                              bool
	passwords                                   time.Duration

	form    report.Format
	worst   finding.Severity // what counts for the exit status, and worse
	former  *report.Report   // nil without --since
	waivers []report.Waiver
	cfg     *config.Config // nil if there is none
	host    *facts.Host
	asked   []audit.Check
	report  *report.Report
}

// auditHeapGrowth is what heapGrowth is for the gateway. An audit runs once, on a machine
// that may be small: it takes a few milliseconds more and keeps below 40 MB.
const auditHeapGrowth = 50

// run is the whole verb, in its order.
func (u *auditing) run(ctx context.Context) error {
	if u.app.getenv("GOGC") == "" {
		debug.SetGCPercent(auditHeapGrowth)
	}
	steps := []func(context.Context) error{u.readFlags, u.readFiles, u.openHost, u.findHome, u.addFacts, u.choose, u.judge}
	for n, step := range steps {
		err := step(ctx)
		if n == 2 && err == nil {
			defer u.host.Tree.(*facts.Disk).Close()
		}
		if err != nil {
			return err
		}
	}
	style := report.Style{Language: report.LanguageOf(u.app.getenv), Colour: u.app.isTerminal() && u.app.getenv("NO_COLOR") == ""}
	if u.explain != "" {
		e := report.Explanation{Finding: u.report.Checks[0], Why: u.asked[0].Why, Fix: u.asked[0].Fix, Repairs: u.asked[0].Repair != nil, ByHand: u.asked[0].ByHand, Reads: reads(u.asked[0].Needs)}
		if u.form == report.JSON {
			return e.WriteJSON(u.app.out)
		}
		return e.WriteText(u.app.out, style)
	}
	if err := u.report.Write(u.app.out, u.form, style); err != nil {
		return err
	}
	return verdict(u.answered(), u.worst)
}

// answered is what was found, without what this run could never have told: a look at files
// alone is not blamed for what takes the running machine.
func (u *auditing) answered() []finding.Finding {
	var all []finding.Finding
	for n, c := range u.asked {
		if c.Askable(u.host) {
			all = append(all, u.report.Checks[n])
		}
	}
	return all
}

// verdict turns what was found into the exit status: what there is to say is out already.
func verdict(found []finding.Finding, worst finding.Severity) error {
	status := statusDone
	for _, f := range found {
		switch {
		case !f.Severity.AtLeast(worst):
		case f.Result == finding.Fail:
			return &problem{status: statusNo}
		case f.Result == finding.Unknown:
			status = statusPartly
		}
	}
	if status == statusDone {
		return nil
	}
	return &problem{status: status}
}

func (u *auditing) readFlags(context.Context) error {
	wrong := func(flag, value, among string) error {
		return &problem{status: statusUsage, err: fmt.Errorf("--%s is %q", flag, value), hint: "it is one of " + among}
	}
	if u.form = report.Format(u.format); !slices.Contains(report.Formats(), u.form) {
		return wrong("format", u.format, words(report.Formats()))
	}
	if u.app.json {
		if u.said("format") && u.form != report.JSON {
			return &problem{status: statusUsage, err: fmt.Errorf("--json and --format %s", u.format), hint: "leave one of them out"}
		}
		u.form = report.JSON
	}
	u.app.json = u.form == report.JSON
	ok := false
	if u.worst, ok = finding.ParseSeverity(u.failOn); !ok {
		return wrong("fail-on", u.failOn, words(finding.Severities()))
	}
	for _, address := range u.urls {
		p, err := url.Parse(address)
		if err != nil || p.Scheme != "http" && p.Scheme != "https" || p.Hostname() == "" || p.User != nil {
			return &problem{status: statusUsage, err: fmt.Errorf("--url %q is no address", address), hint: "write it as https://ha.example.org"}
		}
	}
	if u.said("passwords") && u.passwords <= 0 {
		return &problem{status: statusUsage, err: errors.New("--passwords takes no time at all"), hint: "write --passwords or --passwords=10m"}
	}
	// What is misspelt is said before anything is looked at.
	if u.explain != "" && !strings.HasPrefix(u.explain, passwordTopic) {
		if _, ok := checks.Find(u.explain); !ok {
			return u.noSuchCheck()
		}
	}
	return nil
}

// readFiles reads what is ours: the configuration, the waivers and the former report.
func (u *auditing) readFiles(context.Context) error {
	file, named := u.app.configPath()
	cfg, _, err := u.app.loadConfig()
	switch {
	case err == nil:
		u.cfg = cfg
	case !named && errors.Is(err, fs.ErrNotExist):
	case !named && errors.Is(err, fs.ErrPermission):
		u.app.note("gatehouse: %s cannot be read and is left out", file)
	default:
		return err
	}
	if u.waivers, err = readWaivers(filepath.Join(filepath.Dir(file), waiversName)); err != nil {
		return err
	}
	if u.since == "" {
		return nil
	}
	text, err := os.ReadFile(u.since)
	if err == nil {
		u.former, err = report.Read(text)
	}
	if err != nil {
		return &problem{status: statusUsage, err: fmt.Errorf("--since %s: %w", u.since, err), hint: "it is what gatehouse audit --format json has written"}
	}
	return nil
}

// openHost opens the file system that is read.
func (u *auditing) openHost(context.Context) error {
	root, err := filepath.Abs(u.root)
	if err != nil {
		return fmt.Errorf("--root: %w", err)
	}
	tree, err := facts.OpenDisk(root)
	if err != nil {
		return &problem{status: statusCannot, err: fmt.Errorf("--root: %w", err), hint: "name the directory that holds etc, usr and var"}
	}
	if sameDirectory(root, "/") {
		root = "/"
	}
	if u.router && root != "/" {
		tree.Close()
		return &problem{status: statusUsage, err: errors.New("--router with --root: what is not running here has no router to ask"), hint: "leave one of them out"}
	}
	u.root = root
	u.host = &facts.Host{Tree: tree, Live: root == "/", Root: os.Geteuid() == 0, Now: time.Now()}
	return nil
}

func sameDirectory(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// findHome says where Home Assistant's directory is: the one that is named, else the
// configuration's, else the only one that is found.
func (u *auditing) findHome(context.Context) error {
	switch {
	case u.haDir != "":
		return u.namedHome()
	case u.cfg != nil && u.cfg.Home.HADir != "" && u.host.Live:
		u.host.HADir = path.Clean(u.cfg.Home.HADir)
		return nil
	}
	files := os.DirFS("/")
	if !u.host.Live {
		root, err := os.OpenRoot(u.root)
		if err != nil {
			return fmt.Errorf("--root: %w", err)
		}
		defer root.Close()
		files = root.FS()
	}
	found := facts.FindHomes(files)
	var dirs []string
	for _, home := range found.Homes {
		// The directory of a container that is mounted nowhere here is not one of this tree.
		if strings.HasPrefix(home.Dir, "/proc/") {
			found.Closed = append(found.Closed, home.Dir)
			continue
		}
		dirs = append(dirs, home.Dir)
	}
	if len(dirs) > 1 {
		return &problem{status: statusUsage, err: fmt.Errorf("there are several Home Assistants: %s", strings.Join(dirs, ", ")), hint: "name one of them with --ha"}
	}
	if len(dirs) == 1 {
		u.host.HADir = dirs[0]
		return nil
	}
	u.host.HAClosed = found.Closed
	return nil
}

// namedHome takes the directory of --ha: a path of ours that leads into the root, else a
// path inside it.
func (u *auditing) namedHome() error {
	dir, err := filepath.Abs(u.haDir)
	if err != nil {
		return fmt.Errorf("--ha: %w", err)
	}
	inside, err := filepath.Rel(u.root, dir)
	switch {
	case !u.host.Live && sameDirectory(u.root, dir):
		u.host.HAOnly, u.host.HADir = true, "/"
	case err == nil && inside != ".." && !strings.HasPrefix(inside, "../"):
		u.host.HADir = "/" + inside
	case filepath.IsAbs(u.haDir):
		u.host.HADir = path.Clean(u.haDir)
	default:
		return &problem{status: statusUsage, err: fmt.Errorf("--ha %s is not in %s", u.haDir, u.root), hint: "name a directory below --root"}
	}
	info, err := u.host.Stat(u.host.HADir)
	if errors.Is(err, fs.ErrPermission) {
		return nil // the checks say so
	}
	if err == nil && !info.Mode.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return &problem{status: statusCannot, err: fmt.Errorf("--ha %s: %w", u.haDir, err), hint: "name the directory that holds configuration.yaml"}
	}
	for _, name := range []string{".HA_VERSION", "configuration.yaml", ".storage"} {
		if there, err := u.host.Exists(path.Join(u.host.HADir, name)); there || err != nil {
			return nil
		}
	}
	return &problem{status: statusCannot, err: fmt.Errorf("--ha %s: it holds nothing of Home Assistant's", u.haDir), hint: "name the directory that holds configuration.yaml"}
}

// addFacts adds what the host cannot tell by itself.
func (u *auditing) addFacts(ctx context.Context) error {
	u.walk()
	u.askRouter(ctx)
	return u.observe(ctx)
}

// walk decides whether the file system is walked through: --no-walk.
func (u *auditing) walk() { u.host.NoWalk = u.noWalk }

// askRouter asks the local router, and nobody else: --router. Where it cannot be asked,
// the checks say so.
func (u *auditing) askRouter(ctx context.Context) {
	if !u.router {
		return
	}
	said := router.Answers{}
	gateways, err := u.host.Gateways()
	switch {
	case err != nil:
		said = router.Unasked(err)
	case len(gateways) == 0:
		said = router.Unasked(errors.New("no default route leads to a router"))
	default:
		var names []string
		for _, g := range gateways {
			names = append(names, g.String())
		}
		u.app.note("gatehouse: asking the router at %s, over UPnP, NAT-PMP and PCP, which ports it leads into the house", strings.Join(names, " and "))
		said = router.Ask(ctx, gateways)
	}
	u.host.Router = &said
}

// observe looks at the addresses of --url.
func (u *auditing) observe(ctx context.Context) error {
	for _, address := range u.urls {
		seen, err := facts.ObserveEndpoint(ctx, address)
		if err != nil {
			return &problem{status: statusCannot, err: fmt.Errorf("--url %s: %w", address, err), hint: "it looks like https://home.example.org, and has to be reachable from here"}
		}
		u.host.Endpoints = append(u.host.Endpoints, seen)
	}
	return nil
}

// choose says which checks are asked.
func (u *auditing) choose(ctx context.Context) error {
	u.asked = checks.All()
	if u.passwords > 0 || strings.HasPrefix(u.explain, passwordTopic) {
		u.asked = append(u.asked, u.passwordChecks(ctx)...)
	}
	if u.explain != "" {
		n := slices.IndexFunc(u.asked, func(c audit.Check) bool { return c.ID == u.explain })
		if n < 0 {
			return u.noSuchCheck()
		}
		u.asked = u.asked[n : n+1]
	}
	return nil
}

// passwordTopic begins the ids of the checks that guess.
const passwordTopic = "password."

func (u *auditing) noSuchCheck() error {
	return &problem{status: statusUsage, err: fmt.Errorf("there is no check %s", u.explain), hint: nearestCheck(u.explain)}
}

// nearestCheck is a hint for whoever misspelt a check's id.
func nearestCheck(id string) string {
	var topic []string
	for _, c := range checks.All() {
		if config.Near(id, c.ID) {
			return "did you mean " + c.ID + "?"
		}
		if name, _, _ := strings.Cut(id, "."); c.Topic() == name {
			topic = append(topic, c.ID)
		}
	}
	if len(topic) > 0 {
		return "there are " + strings.Join(topic, ", ")
	}
	return "gatehouse audit --format json lists them"
}

// judge asks the checks, one after another, and compares and waives what they say.
func (u *auditing) judge(ctx context.Context) error {
	p := u.app.newProgress()
	defer p.clear()
	found := make([]finding.Finding, 0, len(u.asked))
	for n, c := range u.asked {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		p.show("%d of %d  %s", n+1, len(u.asked), c.ID)
		found = append(found, audit.Run(u.host, []audit.Check{c}, nil)[0])
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	now := u.host.Now
	u.report = &report.Report{Version: version(), At: now, Root: u.root, HADir: u.host.HADir, AsRoot: u.host.Root, Checks: found,
		Waivers: report.Waive(found, u.waivers, now.Format(time.DateOnly))}
	if u.former != nil {
		u.report.Since = report.Compare(u.former.Checks, found)
		u.report.Since.At = u.former.At
	}
	return nil
}

// reads says what a check is judged from.
func reads(n audit.Need) string {
	var all []string
	for _, part := range []struct {
		need audit.Need
		text string
	}{{audit.NeedHost, "the machine's own files"}, {audit.NeedHA, "Home Assistant's configuration directory"}, {audit.AlsoHA, "Home Assistant's configuration directory as well"}, {audit.NeedLive, "the running machine"}, {audit.NeedRouter, "the router"}} {
		if n&part.need != 0 {
			all = append(all, part.text)
		}
	}
	return cmp.Or(strings.Join(all, ", "), "whatever is there")
}

// progress is a line on a terminal that says what is going on; nothing elsewhere.
type progress struct {
	app   *app
	shown time.Time // when it was written last; zero if it is not there
}

// newProgress begins a line, unless --quiet was given.
func (a *app) newProgress() *progress { return &progress{app: a} }

func (p *progress) show(format string, args ...any) {
	const often = 50 * time.Millisecond
	if p.app.quiet || !terminal(p.app.err) || time.Since(p.shown) < often {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.app.err, "\r\x1b[K"+format, args...)
}

func (p *progress) clear() {
	if !p.shown.IsZero() {
		fmt.Fprint(p.app.err, "\r\x1b[K")
	}
}
