package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
	"gatehouse/internal/ha/client"
	"gatehouse/internal/ledger"
	"gatehouse/internal/pki"
)

// The doctor looks at the gateway itself: its configuration, what it keeps, its doors
// and the way to Home Assistant. Each diagnosis is good, bad or unknown.

type diagnosis struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Result string `json:"result"` // good, bad or unknown
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

const (
	good    = "good"
	bad     = "bad"
	unknown = "unknown"
)

type doctorDocument struct {
	SchemaVersion int         `json:"schema_version"`
	Diagnoses     []diagnosis `json:"diagnoses"`
}

func (a *app) newDoctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with the gateway, and say what to do",
		Long: `Looks at the configuration, the state directory, the doors, the certificates and the
way to Home Assistant. The exit status is 1 where something is wrong, and 3 where
nothing is, but not everything could be looked at.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc, err := ask(cmd.Context(), a, "doctor", examine, a.readHomeBans())
			if err != nil {
				return err
			}
			if err := a.print(doc, func(w io.Writer) { sayDiagnoses(w, doc) }); err != nil {
				return err
			}
			return doc.verdict()
		},
	}
}

// verdict is the exit status.
func (d doctorDocument) verdict() error {
	status := statusDone
	for _, x := range d.Diagnoses {
		switch {
		case x.Result == bad:
			return &problem{status: statusNo}
		case x.Result == unknown:
			status = statusPartly
		}
	}
	if status == statusDone {
		return nil
	}
	return &problem{status: status}
}

func sayDiagnoses(w io.Writer, doc doctorDocument) {
	for _, d := range doc.Diagnoses {
		fmt.Fprintf(w, "%-8s%s", d.Result, d.Title)
		if d.Detail != "" {
			fmt.Fprintf(w, ": %s", d.Detail)
		}
		fmt.Fprintln(w)
		if d.Hint != "" {
			fmt.Fprintf(w, "        → %s\n", d.Hint)
		}
	}
}

// examine makes every diagnosis, in the order in which a request needs things.
func examine(ctx context.Context, h *house, in homeBans) (doctorDocument, error) {
	doc := doctorDocument{SchemaVersion: schemaVersion}
	add := func(d ...diagnosis) { doc.Diagnoses = append(doc.Diagnoses, d...) }
	add(h.examineServer(), h.examineState())
	add(h.examineDoors()...)
	add(h.examineCertificates()...)
	add(h.examineEndings(time.Now())...)
	add(h.examineDDNS()...)
	add(h.examineOwner())
	add(h.examineStance()...)
	add(h.examineEvents())
	add(h.examineGuard()...)
	add(h.examineRules()...)
	add(h.examineOffload()...)
	add(h.examineHome(ctx, in)...)
	return doc, nil
}

func (h *house) examineServer() diagnosis {
	d := diagnosis{ID: "server", Title: "The gateway is running", Result: good}
	if h.server == nil {
		d.Result, d.Hint = bad, `start it: "gatehouse serve", or its service`
	}
	return d
}

func (h *house) examineState() diagnosis {
	d := diagnosis{ID: "state", Title: "What is kept is readable by the gateway alone", Result: good}
	dir := h.cfg.State.Dir
	if h.inMemory() {
		d.Detail = "nothing is kept: this is the demonstration"
		return d
	}
	for _, name := range []string{dir, filepath.Join(dir, ledger.Name), filepath.Join(dir, ledger.KeyName)} {
		info, err := os.Stat(name)
		switch {
		case err != nil:
			d.Result, d.Detail = unknown, err.Error()
			if errors.Is(err, fs.ErrPermission) {
				d.Hint = "run this as root"
			}
			return d
		case info.Mode().Perm()&0o077 != 0:
			d.Result, d.Detail, d.Hint = bad, fmt.Sprintf("%s has mode %04o", name, info.Mode().Perm()), "chmod go= "+name
			return d
		}
	}
	return d
}

// inMemory reports whether the house is a demonstration.
func (h *house) inMemory() bool {
	return h.server != nil && h.cfg.Home.Name == demoName && h.cfg.State.Dir == config.Default().State.Dir
}

func (h *house) examineDoors() []diagnosis {
	if h.server == nil {
		return []diagnosis{{ID: "doors", Title: "The doors are open", Result: unknown, Detail: "the gateway is not running"}}
	}
	var all []diagnosis
	for _, d := range h.server.doors {
		x := diagnosis{ID: "door-" + d.label(), Title: "Door " + d.label() + " is open", Result: good, Detail: strings.Join(d.origins, " ")}
		if why, hint := d.closed(); why != "" {
			x.Result, x.Detail, x.Hint = bad, why, hint
		}
		all = append(all, x)
	}
	return all
}

// soon is when a certificate that somebody else renews should have been renewed.
const soon = 14 * 24 * time.Hour

func (h *house) examineCertificates() []diagnosis {
	c := h.cfg.Certificates
	if len(c.Issuers) > 0 {
		return h.examineIssued()
	}
	if c.Certificate == "" {
		d := diagnosis{ID: "certificate", Title: "The certificates are the local authority's", Result: good, Detail: "devices trust them once they trust its root: gatehouse ca fingerprint says where"}
		if h.authority != nil {
			if next, ok := h.authority.Next(); ok {
				d.Detail = next.Name() + " is prepared to take over, once the devices trust it: gatehouse ca rotate --finish"
			}
		}
		if h.cfg.Doors.HTTPS != nil && !pki.IsHomeName(h.cfg.Home.Name) {
			d.Result, d.Title = bad, "There is a certificate for "+h.cfg.Home.Name
			d.Detail, d.Hint = "", "name an issuer or its files under [certificates]"
		}
		return []diagnosis{d}
	}
	return []diagnosis{h.examineFiles()}
}

// examineFiles looks at the certificate that is in files: as the gateway shows it, where it
// runs.
func (h *house) examineFiles() diagnosis {
	c, d := h.cfg.Certificates, diagnosis{ID: "certificate", Title: "The certificate in files is good", Result: good}
	if h.cfg.Doors.HTTPS != nil {
		d.Title = "The certificate is good for " + h.cfg.Home.Name
	}
	var shown *tls.Certificate
	var err error
	if h.server != nil && h.server.file != nil {
		shown = h.server.file.shown.Load()
		d.Detail, d.Hint = h.server.file.trouble()
	} else if shown, err = pki.LoadFile(c.Certificate, c.Key, time.Now()); err == nil && h.cfg.Doors.HTTPS != nil {
		err = shown.Leaf.VerifyHostname(h.cfg.Home.Name)
	}
	switch {
	case d.Detail != "":
		d.Result = bad
	case errors.Is(err, fs.ErrPermission):
		d.Result, d.Detail, d.Hint = unknown, err.Error(), "run this as root"
	case err != nil:
		d.Result, d.Detail, d.Hint = bad, err.Error(), "see [certificates] in the configuration"
	case time.Until(shown.Leaf.NotAfter) < soon:
		d.Result, d.Detail, d.Hint = bad, "it ends "+ago(stamp(shown.Leaf.NotAfter)), "see why it was not renewed"
	default:
		d.Detail = "until " + stamp(shown.Leaf.NotAfter)
	}
	return d
}

// examineIssued looks at the certificates that are got from public authorities.
func (h *house) examineIssued() []diagnosis {
	title := "There is a certificate for " + orderedName(h.cfg)
	if h.server == nil || h.server.public == nil {
		return []diagnosis{{ID: "certificate", Title: title, Result: unknown, Detail: "the gateway is not running"}}
	}
	var all []diagnosis
	for _, s := range h.server.public.State() {
		d := diagnosis{ID: "certificate", Title: title, Result: good, Detail: "from " + s.Issuer + ", until " + stamp(s.Until)}
		why, hint := s.Why, s.Hint
		if s.Until.IsZero() {
			why, hint = h.server.public.Why(h.cfg.Home.Name)
		}
		switch {
		case why == "":
		case s.Until.IsZero() || time.Until(s.Until) < soon:
			d.Result, d.Detail, d.Hint = bad, why, hint
		default: // it is good, and time is left for what failed
			d.Detail += "; the next one: " + why
			d.Hint = hint
		}
		if !s.NextTry.IsZero() {
			d.Detail += "; tried again " + ago(stamp(s.NextTry))
		}
		all = append(all, d)
	}
	return all
}

func (h *house) examineOwner() diagnosis {
	d := diagnosis{ID: "owner", Title: "The house has an owner", Result: good}
	if !h.identity.HasOwner() {
		d.Result, d.Hint = bad, "gatehouse invite --owner"
	}
	return d
}

// examineStance looks at how the house stands, where it is not open as it always was.
func (h *house) examineStance() []diagnosis {
	s := h.mover.stance()
	var all []diagnosis
	switch {
	case s.Step == stepTrial:
		all = append(all, diagnosis{ID: "house", Title: "How the house stands is confirmed", Result: unknown, Detail: "on trial until " + stamp(s.Deadline), Hint: "gatehouse confirm"})
	case s.Step == stepRestore:
		all = append(all, diagnosis{ID: "house", Title: "How the house stands is confirmed", Result: bad, Detail: "configuration.yaml still has Home Assistant behind the gateway", Hint: `run "gatehouse off" as root`})
	case s.Step != stepNone:
		all = append(all, diagnosis{ID: "house", Title: "How the house stands is confirmed", Result: unknown, Detail: "Home Assistant is being moved", Hint: "look again in a minute"})
	case s.closed():
		all = append(all, diagnosis{ID: "house", Title: "The house is closed", Result: good})
	}
	if h.server == nil || s.Step != stepNone {
		return all
	}
	if row, ok := h.server.plain.row(); ok {
		d := diagnosis{ID: "door-plain", Title: "The gateway answers where Home Assistant did", Result: good, Detail: row.Listen}
		if !row.Open {
			d.Result, d.Detail, d.Hint = bad, row.Why, `something else listens there: end it; or "gatehouse off"`
		}
		all = append(all, d)
	}
	return all
}

// examineOffload looks whether the kernel helps, where it is told to.
func (h *house) examineOffload() []diagnosis {
	if h.cfg.Guard.Offload == "" {
		return nil
	}
	d := diagnosis{ID: "offload", Title: "The kernel drops who is banned again and again", Result: good}
	if h.server == nil || h.server.offload == nil {
		d.Result, d.Detail = unknown, "the gateway is not running, or was started before guard.offload was set"
		return []diagnosis{d}
	}
	n, err := h.server.offload.state()
	d.Detail = fmt.Sprintf("%d addresses and networks", n)
	if err != nil {
		d.Result, d.Detail, d.Hint = bad, err.Error(), `"gatehouse agent" does it, as root and with this configuration; until then the gateway refuses them by itself`
	}
	return []diagnosis{d}
}

// examineHome looks at the way to Home Assistant, as far as it leads.
func (h *house) examineHome(ctx context.Context, bans homeBans) []diagnosis {
	at := h.document().HomeAssistant
	up := diagnosis{ID: "home-assistant", Title: "Home Assistant answers at " + at, Result: good}
	ha, err := h.homeAssistant()
	if err != nil {
		up.Result, up.Detail, up.Hint = bad, err.Error(), "see home.ha_url in the configuration"
		return []diagnosis{up}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	version, err := ha.Version(ctx)
	if err != nil {
		up.Result, up.Detail, up.Hint = bad, err.Error(), "is it running, and is home.ha_url its address?"
		var said *client.StatusError
		if errors.As(err, &said) && said.Status == http.StatusForbidden {
			up.Detail, up.Hint = "it has banned this gateway's own address", hintOwnBan
		}
		return []diagnosis{up}
	}
	up.Detail = "release " + version
	trust := examineTrust(ctx, ha)
	all := []diagnosis{up, examineSetUp(ctx, ha), trust, h.examineToken(ctx, ha), examineAround(ctx, at)}
	if h.inMemory() {
		return all
	}
	return append(all, examineOwnBan(bans), h.examineSecondLine(ctx, ha, version, trust, bans))
}

func examineSetUp(ctx context.Context, ha *client.Client) diagnosis {
	d := diagnosis{ID: "onboarding", Title: "Home Assistant's own set-up is finished", Result: good}
	onboarded, err := ha.Onboarded(ctx)
	switch {
	case err != nil:
		d.Result, d.Detail = unknown, err.Error()
	case !onboarded:
		d.Result, d.Hint = bad, "finish it at Home Assistant's own address; until then nothing is published"
	}
	return d
}

func examineTrust(ctx context.Context, ha *client.Client) diagnosis {
	d := diagnosis{ID: "trusted-proxy", Title: "Home Assistant trusts this gateway as its proxy", Result: good}
	trusts, err := ha.TrustsProxy(ctx)
	switch {
	case err != nil:
		d.Result, d.Detail = unknown, err.Error()
	case !trusts:
		d.Result, d.Hint = bad, `"gatehouse setup" sets it; without it Home Assistant answers 400 to everything`
	}
	return d
}

func (h *house) examineToken(ctx context.Context, ha *client.Client) diagnosis {
	d := diagnosis{ID: "admin-token", Title: "The gateway has a token for Home Assistant's API", Result: good}
	if h.inMemory() {
		d.Detail = "not needed in the demonstration"
		return d
	}
	const hint = `"gatehouse setup" gets one; without it the gateway works, but cannot look users up`
	token, ok, err := loadHAToken(ctx, h.ledger)
	switch {
	case err != nil:
		d.Result, d.Detail = unknown, err.Error()
		return d
	case !ok:
		d.Result, d.Hint = bad, hint
		return d
	}
	user, err := ha.CurrentUser(ctx, token)
	switch {
	case errors.Is(err, client.ErrInvalidAuth):
		d.Result, d.Detail, d.Hint = bad, "Home Assistant does not accept it any more", hint
	case err != nil:
		d.Result, d.Detail = unknown, err.Error()
	case !user.Admin:
		d.Result, d.Detail, d.Hint = bad, "its user "+user.Name+" is no administrator", hint
	default:
		d.Detail = "user " + user.Name
	}
	return d
}

// examineAround looks whether Home Assistant can be reached past the gateway: whether
// it answers on an address of this machine that others reach, too.
func examineAround(ctx context.Context, haURL string) diagnosis {
	d := diagnosis{ID: "way-around", Title: "Home Assistant is reached through the gateway alone", Result: good}
	u, err := url.Parse(haURL)
	if err != nil {
		d.Result, d.Detail = unknown, err.Error()
		return d
	}
	if at, err := netip.ParseAddr(u.Hostname()); (err != nil || !at.IsLoopback()) && u.Hostname() != demoName {
		d.Result, d.Detail = bad, "it answers at "+u.Host+", which others in the network may reach as well"
		d.Hint = `"gatehouse close" has it listen on this machine alone; or shut its port to others`
		return d
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		d.Result, d.Detail = unknown, err.Error()
		return d
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		at := net.JoinHostPort(p.Addr().String(), portOrUsual(u))
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", at)
		if err != nil {
			continue
		}
		_ = conn.Close()
		d.Result, d.Detail = bad, "it answers at "+at+" as well"
		d.Hint = `"gatehouse close" has it listen on this machine alone; or shut its port to others`
		return d
	}
	return d
}

func portOrUsual(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
