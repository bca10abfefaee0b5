package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/door/ssh"
	"gatehouse/internal/identity"
	"gatehouse/internal/policy"
)

// The verbs of the door ssh: whose keys are known, and the key of the host.

type sshWish struct {
	Person string `json:"person"`
	Label  string `json:"label"`
	Key    string `json:"key"` // public, as a line
}

type sshDocument struct {
	SchemaVersion int             `json:"schema_version"`
	Device        deviceRow       `json:"device"`
	Key           string          `json:"key"`     // its fingerprint
	Command       string          `json:"command"` // that opens the tunnel
	URL           string          `json:"url"`     // where the house is then
	Host          hostKeyDocument `json:"host"`
}

// inviteSSH makes a key a device of a person.
func inviteSSH(ctx context.Context, h *house, in sshWish) (doc sshDocument, err error) {
	host, err := showHostKey(ctx, h, none{})
	if err != nil {
		return doc, err
	}
	key, err := ssh.ParseKey([]byte(in.Key))
	if err != nil {
		return doc, badKey(err)
	}
	p, ok := h.identity.PersonByName(in.Person)
	if !ok {
		return doc, noPerson(h, in.Person)
	}
	made := identity.NewKey{Key: policy.Key{Kind: identity.KindSSHKey, ID: key.ID()}, Data: sshData{}.text()}
	d, err := h.identity.AddKey(ctx, p.Name, labelOf(in.Label, labelOf(key.Comment, "SSH key")), made)
	if errors.Is(err, identity.ErrKeyTaken) {
		who, _ := h.identity.KeyHolder(made.Key)
		return doc, &problem{status: statusNo, err: fmt.Errorf("this key is known already, as %s's", who.Name), hint: fmt.Sprintf("gatehouse devices revoke %s shuts it out", who.Device)}
	}
	if err != nil {
		return doc, refused(err, in.Label)
	}
	command := fmt.Sprintf("ssh -N -L 8123:localhost:8123 -p %d -l %s %s", host.Port, quoted(p.Name), host.Name)
	return sshDocument{schemaVersion, rowOf(d), key.ID(), command, "http://localhost:8123/", host}, nil
}

// badKey says in words what is wrong with a key.
func badKey(err error) error {
	p := &problem{status: statusUsage, err: err, hint: "ssh-keygen -t ed25519 makes a key; the file that ends in .pub is the public half, and belongs here"}
	var weak *ssh.WeakError
	if errors.As(err, &weak) {
		p.hint = "ssh-keygen -t ed25519 makes one that is"
	}
	return p
}

type hostKeyDocument struct {
	SchemaVersion int      `json:"schema_version"`
	Name          string   `json:"name"` // of this host, as far as it is known
	Port          int      `json:"port"`
	Fingerprint   string   `json:"fingerprint"`
	KnownHosts    []string `json:"known_hosts"` // lines for a client's file
	SSHFP         []string `json:"sshfp"`       // records for the home's zone
	Next          string   `json:"next"`        // fingerprint of the key that will come after
}

// showHostKey says what the host's keys are.
func showHostKey(ctx context.Context, h *house, _ none) (doc hostKeyDocument, err error) {
	if h.cfg.Doors.SSH == nil {
		return doc, &problem{status: statusUsage, err: errors.New("there is no door ssh"), hint: "add a table [doors.ssh] to the configuration, and start the server again"}
	}
	keys, err := loadHostKeys(ctx, h.ledger)
	if err != nil {
		return doc, err
	}
	return h.hostKey(keys), nil
}

func (h *house) hostKey(keys ssh.HostKeys) hostKeyDocument {
	now, next := keys.Public()
	name, port := h.cfg.Home.Name, portOf(h.cfg.Doors.SSH.Listen)
	if h.server != nil && h.server.ssh.door != nil {
		port = h.server.ssh.door.Port()
	}
	if name == "" {
		host, _ := os.Hostname() // without one the document has a word to replace
		name = cmp.Or(host, "HOST")
	}
	return hostKeyDocument{schemaVersion, name, port, now.Fingerprint, []string{now.KnownHosts(name, port), next.KnownHosts(name, port)},
		[]string{now.SSHFP, next.SSHFP}, next.Fingerprint}
}

// rotateHostKey has the host show its next key, which clients that came lately know.
func rotateHostKey(ctx context.Context, h *house, _ none) (doc hostKeyDocument, err error) {
	if _, err := showHostKey(ctx, h, none{}); err != nil {
		return doc, err
	}
	keys, err := loadHostKeys(ctx, h.ledger)
	if err == nil {
		keys, err = keys.Rotated()
	}
	if err == nil {
		err = h.ledger.PutSecret(ctx, hostKeysSecret, keys.Secret())
	}
	if err != nil {
		return doc, err
	}
	if h.server != nil && h.server.ssh.door != nil {
		h.server.ssh.door.SetHostKeys(keys)
	}
	return h.hostKey(keys), nil
}

// inviteSSH is the verb.
func (a *app) inviteSSH(ctx context.Context, names []string, key, label string, more bool) error {
	switch {
	case more:
		return &problem{status: statusUsage, err: errors.New("invite --ssh with --owner, --program or --certificate"), hint: "gatehouse invite NAME --ssh KEY"}
	case len(names) == 0:
		return &problem{status: statusUsage, err: errors.New("whose key?"), hint: "gatehouse invite NAME --ssh KEY"}
	}
	text, err := a.readKey(key)
	if err != nil {
		return err
	}
	if _, err := ssh.ParseKey([]byte(text)); err != nil {
		return badKey(err) // a private key does not leave this process
	}
	doc, err := ask(ctx, a, "invite/ssh", inviteSSH, sshWish{names[0], label, text})
	if err != nil {
		return err
	}
	return a.print(doc, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n", doc.Command)
		a.note("%s of %s is known now, as device %s. On that computer run the command above and open %s;\nthe first time it asks whether the host's key is\n  %s",
			doc.Key, doc.Device.Person, doc.Device.ID, doc.URL, doc.Host.Fingerprint)
	})
}

// maxKeyFile bounds what is read of a file that is to be a key.
const maxKeyFile = 64 << 10

// readKey gets a key that is given as itself, as - or as a file.
func (a *app) readKey(given string) (string, error) {
	if strings.Contains(given, " ") && !strings.ContainsRune(given, '/') || strings.HasPrefix(given, "ssh-") || strings.HasPrefix(given, "sk-") || strings.HasPrefix(given, "ecdsa-") {
		return given, nil
	}
	const hint = "--ssh takes a file with a public key, - for standard input, or the key itself"
	var from io.Reader = a.in
	if given != "-" {
		f, err := os.Open(given)
		if err != nil {
			var where *fs.PathError
			if errors.As(err, &where) {
				err = where.Err
			}
			return "", &problem{status: statusUsage, err: fmt.Errorf("read the key in %s: %w", given, err), hint: hint}
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, maxKeyFile))
	if err != nil {
		return "", &problem{status: statusUsage, err: fmt.Errorf("read the key: %w", err), hint: hint}
	}
	return string(text), nil
}

func (a *app) newDoorSSHCommand() *cobra.Command {
	var rotate bool
	c := &cobra.Command{
		Use:   "ssh",
		Short: "Show the key by which SSH clients know this host",
		Long: `Shows the key by which SSH clients know this host: its fingerprint, the lines for their
file known_hosts, and the records for the home's zone. Each client that comes in learns the
next key, too. With --rotate that one is shown from now on; who has not come since it was
made is warned, and has to compare the fingerprint anew.`,
		Args: noWords,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, do := "doors/ssh", showHostKey
			if rotate {
				if err := a.confirm(cmd.Context(), "Show the next key from now on?"); err != nil {
					return err
				}
				name, do = "doors/ssh/rotate", rotateHostKey
			}
			doc, err := ask(cmd.Context(), a, name, do, none{})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { a.sayHostKey(w, doc) })
		},
	}
	c.Flags().BoolVar(&rotate, "rotate", false, "show the next key from now on")
	return c
}

func (a *app) sayHostKey(w io.Writer, doc hostKeyDocument) {
	fmt.Fprintln(w, doc.Fingerprint)
	if a.isTerminal() {
		fmt.Fprint(w, "\n"+qrText(doc.Fingerprint, a.getenv("NO_COLOR") == "")+"\n")
	}
	fmt.Fprintln(w, "\nFor known_hosts (this key, and the one that comes after it):")
	for _, line := range doc.KnownHosts {
		fmt.Fprintln(w, "  "+line)
	}
	fmt.Fprintln(w, "\nFor the home's zone:")
	for _, data := range doc.SSHFP {
		fmt.Fprintf(w, "  %s. IN SSHFP %s\n", doc.Name, data)
	}
}
