package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/facts"
	"gatehouse/internal/ha/client"
)

// newSetupCommand makes the verb that finds Home Assistant and writes the
// configuration.
func (a *app) newSetupCommand() *cobra.Command { return a.setupOn(os.DirFS("/")) }

// setupOn is the verb on a machine whose files begin at host.
func (a *app) setupOn(host fs.FS) *cobra.Command {
	s := &setup{app: a, host: host}
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Find Home Assistant and write the configuration",
		Long: `Looks for Home Assistant on this machine, asks what it cannot find out, shows what
it is going to change, and then

  makes the state directory, readable by nobody else;
  signs in to Home Assistant once, makes a user "Gatehouse" there (administrator,
  from home only), keeps that user's token sealed, and ends its own sign-in;
  writes the configuration file;
  has Home Assistant believe which address a visitor comes from ("trusted
  proxies"), which restarts it, and confirms that when it works.

Every question has a flag that answers it, so that it also runs where nobody is
asked. A password is typed, or read from a file or from standard input: the first
line is the password, the second, if there is one, the code of the second factor.`,
		Example: `  gatehouse setup
  gatehouse setup --name ha.example.org --certificate /etc/ssl/ha.pem --key /etc/ssl/ha.key
  gatehouse setup --ha-url http://127.0.0.1:8123 --ha-user anna --ha-password-file - --yes <password`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.said = cmd.Flags().Changed
			return s.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.haDir, "ha-dir", "", "Home Assistant's configuration `DIR`, the one with configuration.yaml")
	f.StringVar(&s.haURL, "ha-url", "", "`URL` where Home Assistant itself answers, such as http://127.0.0.1:8123")
	f.StringVar(&s.name, "name", "", "host `NAME` under which browsers reach this home from outside; without one it is reached at home only")
	f.StringVar(&s.httpsListen, "https-listen", "", "`ADDRESS` and port of the door for everywhere (:443 if there is a name), or none")
	f.StringVar(&s.lanListen, "lan-listen", "", "`ADDRESS` and port of the door for home (:8443), or none")
	f.StringVar(&s.certificate, "certificate", "", "PEM `FILE` of the certificate for the name")
	f.StringVar(&s.key, "key", "", "PEM `FILE` of its private key")
	f.StringVar(&s.stateDir, "state-dir", "", "`DIR` to keep what Gatehouse knows ("+config.Default().State.Dir+")")
	f.StringVar(&s.haUser, "ha-user", "", "user `NAME` of an administrator of Home Assistant")
	f.StringVar(&s.passwordFile, "ha-password-file", "", "`FILE` with that user's password; - is standard input")
	f.BoolVar(&s.noToken, "no-token", false, "do not sign in to Home Assistant and keep no token of it")
	f.BoolVar(&s.force, "force", false, "write over a configuration file that is there")
	return cmd
}

// setup is one run of the verb: the flags, then what the steps find out, each for
// the next ones.
type setup struct {
	app  *app
	host fs.FS                  // the machine's files, from its root
	said func(flag string) bool // whether a flag was given
	ask  *asker

	haDir, haURL, name, httpsListen, lanListen, certificate, key, stateDir, haUser, passwordFile string
	noToken, force                                                                               bool

	path    string           // of the configuration file
	old     []byte           // what is there; nil if nothing is
	cfg     *config.Config   // what will be written
	text    []byte           // the same as a file
	home    facts.Home       // what is known of Home Assistant from its files
	ha      *client.Client   // asks Home Assistant
	version string           // what it says it is
	signIn  *client.Tokens   // ours as the administrator, until it is ended; nil if there is none
	token   string           // of the user Gatehouse, from an earlier run; empty if there is none
	before  []client.Account // users of earlier setups, which ours replaces
	proxy   proxyPlan
	done    setupResult
}

// setupResult is what setup came to.
type setupResult struct {
	SchemaVersion int    `json:"schema_version"`
	Config        string `json:"config"`
	StateDir      string `json:"state_dir"`
	Home          struct {
		Dir     string `json:"dir"`
		Kind    string `json:"kind"`
		URL     string `json:"url"`
		Version string `json:"version"`
	} `json:"home"`
	Token        string   `json:"token"`         // made, kept or none
	TrustedProxy string   `json:"trusted_proxy"` // was, set, or missing
	Proxy        string   `json:"proxy"`         // the address that Home Assistant sees
	Written      []string `json:"written"`
	Next         []string `json:"next"`
	Remarks      []string `json:"remarks"`
}

// run is the whole verb, in its order: nothing is changed before changes has shown
// it and somebody has agreed.
func (s *setup) run(ctx context.Context) (err error) {
	s.ask = &asker{out: s.app.err}
	if in, ok := s.app.in.(*os.File); ok && !s.app.yes {
		s.ask.in = in
	}
	s.done = setupResult{SchemaVersion: schemaVersion, Written: []string{}, Remarks: []string{}}
	for _, step := range []func(context.Context) error{s.mayWrite, s.findHome, s.chooseDoors, s.compose, s.knownToken} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	// Whatever happens from here on, our sign-in at Home Assistant does not stay.
	defer func() {
		if end := s.signOut(ctx); end != nil {
			err = errors.Join(err, end)
		}
	}()
	for _, step := range []func(context.Context) error{s.signInOnce, s.planProxy, s.agree, s.makeState, s.writeConfig, s.trustProxy} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.report()
}

// remark says something that the owner should know, now and in the result.
func (s *setup) remark(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.done.Remarks = append(s.done.Remarks, text)
	s.app.note("note: %s", text)
}

// findHome finds Home Assistant, asks it for its version, and refuses one whose
// own set-up is not finished.
func (s *setup) findHome(ctx context.Context) error {
	if err := s.chooseHome(ctx); err != nil {
		return err
	}
	if err := s.reach(ctx); err != nil {
		return err
	}
	onboarded, err := s.ha.Onboarded(ctx)
	switch {
	case errors.Is(err, client.ErrNotReady):
		return &problem{status: statusCannot, err: err, hint: "try again in a minute"}
	case err != nil:
		return cannotReach(err)
	case !onboarded:
		return &problem{status: statusNo, err: errors.New("the set-up of Home Assistant itself is not finished: whoever opens it first becomes its owner"),
			hint: fmt.Sprintf("open %s, make your account, and go through all steps; then run this again", s.ha.URL())}
	}
	s.done.Home.Dir, s.done.Home.Kind = s.home.Dir, string(s.home.Kind)
	s.done.Home.URL, s.done.Home.Version = s.ha.URL(), s.version
	where := ""
	if s.home.Dir != "" {
		where = ", " + s.home.Dir
	}
	s.app.note("Home Assistant %s answers at %s%s", s.version, s.ha.URL(), where)
	return nil
}

// chooseHome says which installation it is, if it is on this machine.
func (s *setup) chooseHome(ctx context.Context) error {
	if s.haDir != "" {
		home, err := facts.HomeAt(s.host, s.haDir)
		if errors.Is(err, fs.ErrPermission) {
			return &problem{status: statusCannot, err: fmt.Errorf("look into %s: permission denied", s.haDir), hint: "run this as root"}
		}
		if err != nil {
			return &problem{status: statusUsage, err: fmt.Errorf("%s is not Home Assistant's configuration directory: %w", s.haDir, plainPath(err)),
				hint: "it is the one with configuration.yaml and .storage in it"}
		}
		s.take(home)
		return nil
	}
	found := facts.FindHomes(s.host)
	switch {
	case len(found.Homes) == 1 && s.mayBe(found.Homes[0]):
		s.take(found.Homes[0])
	case len(found.Homes) == 1:
		s.remark("%s is another Home Assistant than the one at %s; say --ha-dir for that one's, if it is on this machine", found.Homes[0].Dir, s.haURL)
	case len(found.Homes) > 1:
		return s.choose(ctx, found.Homes)
	case s.haURL != "":
	case found.Outcome() == facts.CannotJudge:
		s.remark("Home Assistant may be in a place that this user cannot look into (%s); root can", strings.Join(found.Closed, ", "))
	default:
		s.app.note("Home Assistant was not found on this machine")
	}
	return nil
}

// mayBe reports whether a home can be the one at --ha-url: a machine has many names, but
// the port is the same.
func (s *setup) mayBe(home facts.Home) bool {
	said, err := url.Parse(s.haURL)
	if s.haURL == "" || home.URL == "" || err != nil {
		return true
	}
	its, err := url.Parse(home.URL)
	return err != nil || portOrUsual(said) == portOrUsual(its)
}

func (s *setup) take(home facts.Home) {
	s.home = home
	if home.Unread != nil {
		s.remark("not all of %s can be read: %v", home.Dir, plainPath(home.Unread))
	}
	if home.Dir == "" {
		return
	}
	dir, err := fs.Sub(s.host, strings.Trim(home.Dir, "/"))
	if err != nil {
		return // it is no folder of this machine
	}
	if said := homeBansIn(dir).remark(); said != "" {
		s.remark("%s", said)
	}
}

// choose asks which of several homes it is. One that --ha-url names needs no question.
func (s *setup) choose(ctx context.Context, homes []facts.Home) error {
	var same []facts.Home
	for _, h := range homes {
		if s.haURL != "" && h.URL != "" && strings.TrimSuffix(s.haURL, "/") == h.URL {
			same = append(same, h)
		}
	}
	if len(same) == 1 {
		s.take(same[0])
		return nil
	}
	if s.haURL != "" {
		return nil // which directory belongs to it nobody said; the address is what counts
	}
	s.app.note("There are %d installations of Home Assistant:", len(homes))
	for _, h := range homes {
		runs := ""
		if h.Process != 0 {
			runs = ", runs now"
		}
		s.app.note("  %s (%s %s%s)", h.Dir, h.Kind, h.Release, runs)
	}
	dir, err := s.ask.line(ctx, "Which one", homes[0].Dir, "--ha-dir", func(answer string) error {
		for _, h := range homes {
			if h.Dir == answer {
				return nil
			}
		}
		return errors.New("that is none of them")
	})
	if err != nil {
		return unanswered(err)
	}
	for _, h := range homes {
		if h.Dir == dir {
			s.take(h)
		}
	}
	return nil
}

// defaultHA is where Home Assistant answers if nobody has changed it.
const defaultHA = "http://127.0.0.1:8123"

// reach finds the address that Home Assistant answers at.
func (s *setup) reach(ctx context.Context) error {
	if s.haURL != "" {
		return s.at(ctx, s.haURL)
	}
	guess := s.home.URL
	if guess == "" {
		guess = defaultHA
	}
	err := s.at(ctx, guess)
	if err == nil || !s.ask.terminal() {
		if err != nil && s.home.URL == "" {
			asProblem(err).hint = "say where it answers: --ha-url http://HOST:8123"
		}
		return err
	}
	s.app.note("Home Assistant does not answer at %s", guess)
	_, err = s.ask.line(ctx, "Where does Home Assistant answer", guess, "--ha-url", func(answer string) error { return s.at(ctx, answer) })
	return unanswered(err)
}

// at takes an address if Home Assistant answers there. The error is a *problem.
func (s *setup) at(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err == nil {
		u.Host = strings.ToLower(u.Host)
		s.ha, err = client.New(client.Config{URL: u})
	}
	if err != nil {
		return &problem{status: statusUsage, err: fmt.Errorf("--ha-url %q is not an address", address), hint: "it looks like " + defaultHA}
	}
	if s.version, err = s.ha.Version(ctx); err != nil {
		return cannotReach(err)
	}
	return nil
}

// chooseDoors says which doors there will be. A file that is there already gives
// the usual answers, and keeps what nobody asked about.
func (s *setup) chooseDoors(ctx context.Context) error {
	c := s.cfg
	c.Home.HAURL, c.Home.HADir = s.ha.URL(), s.home.Dir
	if s.stateDir != "" {
		c.State.Dir, c.State.Socket = s.stateDir, ""
	}
	if err := s.chooseName(ctx); err != nil {
		return err
	}
	for _, flag := range []struct {
		said string
		key  *string
	}{{s.certificate, &c.Certificates.Certificate}, {s.key, &c.Certificates.Key}} {
		if flag.said != "" {
			*flag.key = flag.said
		}
	}
	switch {
	case s.httpsListen == "none", c.Home.Name == "" && s.httpsListen == "":
		c.Doors.HTTPS = nil
	case c.Doors.HTTPS == nil:
		c.Doors.HTTPS = &config.HTTPS{Listen: ":443"}
	}
	if s.httpsListen != "" && s.httpsListen != "none" {
		c.Doors.HTTPS.Listen = s.httpsListen
	}
	switch {
	case s.lanListen == "none":
		c.Doors.LAN = nil
	case c.Doors.LAN == nil && (s.lanListen != "" || s.old == nil || c.Doors.HTTPS == nil):
		c.Doors.LAN = &config.LAN{Listen: ":8443"}
	}
	if s.lanListen != "" && s.lanListen != "none" {
		c.Doors.LAN.Listen = s.lanListen
	}
	return s.checkCertificate()
}

// chooseName asks for the home's name. None is an answer: then there is no way in
// from outside.
func (s *setup) chooseName(ctx context.Context) error {
	c := s.cfg
	if s.said("name") {
		c.Home.Name = strings.ToLower(s.name)
		return nil
	}
	if c.Home.Name != "" || !s.ask.terminal() {
		return nil
	}
	outside, err := s.ask.yes(ctx, "Should this home be reached from outside as well, under a host name of its own?", "--name")
	if err != nil || !outside {
		return unanswered(err)
	}
	c.Home.Name, err = s.ask.line(ctx, "Host name", "", "--name", func(answer string) error {
		if !config.IsHostName(strings.ToLower(answer)) {
			return errors.New(`a host name looks like "ha.example.org", without https:// and without a port`)
		}
		return nil
	})
	c.Home.Name = strings.ToLower(c.Home.Name)
	return unanswered(err)
}

// compose makes the file's text and reads it back, so that what is written is what
// serve can read.
func (s *setup) compose(context.Context) error {
	text, err := s.cfg.TOML()
	if err != nil {
		return err
	}
	if s.cfg.State.Socket == "" {
		// What the file leaves out is filled in by the directory.
		text = withoutLine(text, "socket = ")
	}
	c, err := config.Parse(s.path, text)
	var wrong *config.Error
	if errors.As(err, &wrong) {
		// The lines are those of a file that does not exist yet.
		words := make([]string, len(wrong.Problems))
		hint := ""
		for i, p := range wrong.Problems {
			words[i] = p.Message
			hint = p.Hint
		}
		return &problem{status: statusUsage, err: errors.New(strings.Join(words, "\n")), hint: hint}
	}
	if err != nil {
		return err
	}
	if dir := c.State.Dir; !exists(dir) {
		if err := writable(dir); err != nil {
			return &problem{status: statusCannot, err: fmt.Errorf("make the state directory %s: %w", dir, err), hint: "run this as root, or choose another with --state-dir"}
		}
	}
	s.cfg, s.text = c, text
	s.done.Config, s.done.StateDir = s.path, c.State.Dir
	return nil
}

// withoutLine leaves out the lines that begin so.
func withoutLine(text []byte, prefix string) []byte {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, prefix) {
			b.WriteString(line)
		}
	}
	return []byte(b.String())
}

// report prints the result and what comes next.
func (s *setup) report() error {
	next := [][]string{{"gatehouse serve", "starts the gateway"}}
	if s.cfg.Doors.LAN != nil && s.cfg.Certificates.Certificate == "" {
		next = append(next, []string{"gatehouse ca fingerprint", "where your devices are told to trust the house, so that no browser warns"})
	}
	next = append(next, []string{"gatehouse invite --owner", "a link that makes you its owner"})
	for _, line := range next {
		if path, _ := s.app.configPath(); path != config.DefaultPath && s.app.configFlag != "" {
			line[0] += " --config " + path
		}
		s.done.Next = append(s.done.Next, line[0])
		line[0] = "  " + line[0]
	}
	missing := s.done.TrustedProxy == proxyMissing
	if missing {
		s.done.Remarks = append(s.done.Remarks, s.byHand())
	}
	err := s.app.print(s.done, func(w io.Writer) {
		for _, name := range s.done.Written {
			fmt.Fprintf(w, "wrote  %s\n", name)
		}
		if missing {
			fmt.Fprintf(w, "\nHome Assistant does not trust %s as a proxy yet; until it does, it refuses what comes through the gateway.\n\n%s\n", s.proxy.addr, s.byHand())
		}
		fmt.Fprintln(w, "\nNext:")
		table(w, next)
	})
	if err == nil && missing {
		return &problem{status: statusPartly}
	}
	return err
}

// unanswered is what a question that could not be asked comes to.
func unanswered(err error) error {
	if errors.Is(err, errNoTerminal) {
		return &problem{status: statusUsage, err: err}
	}
	return err
}

// plainPath leaves out of an error what was opened: the sentence around it says so.
func plainPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// forwardable is an address as a network of its own.
func forwardable(addr netip.Addr) string { return netip.PrefixFrom(addr, addr.BitLen()).String() }
