package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The verbs that look at people, devices and sessions, and change them.

func (a *app) newPeopleCommand() *cobra.Command {
	list := &cobra.Command{
		Use:   "people",
		Short: "Show the people of the house",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			doc, err := ask(cmd.Context(), a, "people", listPeople, none{})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				if len(doc.People) == 0 {
					fmt.Fprintln(w, `Nobody yet. "gatehouse invite --owner" makes the owner's link.`)
					return
				}
				rows := [][]string{{"NAME", "ROLE", "HOME ASSISTANT USER", "SIGNS IN WITH", "DEVICES"}}
				for _, p := range doc.People {
					rows = append(rows, []string{p.Name, p.Role, orDash(p.HAUser), p.proofs(), strconv.Itoa(p.Devices)})
				}
				table(w, rows)
			})
		},
	}
	var role, haUser string
	add := &cobra.Command{
		Use:   "add NAME",
		Short: "Name a person",
		Long: `Names a person, who can then be invited. A person belongs to one user of Home
Assistant; without --ha-user that is the one they first log in as.`,
		Example: "  gatehouse people add Anna --role member --ha-user anna",
		Args:    exactly(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := ask(cmd.Context(), a, "people/add", addPerson, newPerson{args[0], role, haUser})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				fmt.Fprintf(w, "%s is one of the house now, as %s.\nNext: gatehouse invite %s\n", doc.Person.Name, doc.Person.Role, quoted(doc.Person.Name))
			})
		},
	}
	add.Flags().StringVar(&role, "role", "member", "`ROLE`: member or owner")
	add.Flags().StringVar(&haUser, "ha-user", "", "their `USER` in Home Assistant")
	remove := &cobra.Command{
		Use:   "remove NAME",
		Short: "Shut a person out: every device, passkey and session of theirs",
		Args:  exactly(1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm(cmd.Context(), fmt.Sprintf("Shut %s out, with all their devices?", args[0])); err != nil {
				return err
			}
			doc, err := ask(cmd.Context(), a, "people/remove", removePerson, named{args[0]})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { fmt.Fprintf(w, "%s is shut out.\n", args[0]) })
		},
	}
	list.AddCommand(add, remove)
	return list
}

// proofs says what a person signs in with.
func (p personRow) proofs() string {
	var all []string
	switch p.Passkeys {
	case 0:
	case 1:
		all = append(all, "a passkey")
	default:
		all = append(all, fmt.Sprintf("%d passkeys", p.Passkeys))
	}
	if p.TOTP {
		all = append(all, "codes")
	}
	if p.RecoveryLeft > 0 {
		all = append(all, fmt.Sprintf("%d recovery codes", p.RecoveryLeft))
	}
	return orDash(strings.Join(all, ", "))
}

func (a *app) newDevicesCommand() *cobra.Command {
	list := &cobra.Command{
		Use:   "devices",
		Short: "Show the devices that are known",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			doc, err := ask(cmd.Context(), a, "devices", listDevices, none{})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				if len(doc.Devices) == 0 {
					fmt.Fprintln(w, "No device is known yet.")
					return
				}
				rows := [][]string{{"ID", "PERSON", "KIND", "NAME", "LAST SEEN", "FROM", "DOOR", ""}}
				for _, d := range doc.Devices {
					note := ""
					switch {
					case d.RevokedAt != "":
						note = "revoked " + ago(d.RevokedAt)
					case d.Expires != "":
						note = "expires " + ago(d.Expires)
					}
					rows = append(rows, []string{d.ID, d.Person, d.Kind, d.Name, ago(d.LastSeen), orDash(d.LastAddr), orDash(d.LastDoor), note})
				}
				table(w, rows)
			})
		},
	}
	var person string
	approve := &cobra.Command{
		Use:   "approve CODE",
		Short: "Let the browser in that asks and shows this code",
		Long: `Lets a browser in that asks on its sign-in page to be let in and shows this code.
Use it where no known device is at hand. With several people say whose it is.`,
		Args: exactly(1, "CODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := ask(cmd.Context(), a, "devices/approve", approveDevice, approval{args[0], person})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				fmt.Fprintf(w, "%s (%s) is a known device of %s now.\n", doc.Device.Name, doc.Device.ID, doc.Device.Person)
			})
		},
	}
	approve.Flags().StringVar(&person, "person", "", "`NAME` of the person whose browser it is")
	revoke := &cobra.Command{
		Use:   "revoke ID",
		Short: "Shut a device out for good; its live connections end at once",
		Args:  exactly(1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := ask(cmd.Context(), a, "devices/revoke", revokeDevice, byID{args[0]})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { fmt.Fprintf(w, "Device %s is shut out.\n", args[0]) })
		},
	}
	list.AddCommand(approve, revoke)
	return list
}

func (a *app) newSessionsCommand() *cobra.Command {
	var all bool
	list := &cobra.Command{
		Use:   "sessions",
		Short: "Show who is signed in",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			doc, err := ask(cmd.Context(), a, "sessions", listSessions, ofSessions{all})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				if len(doc.Sessions) == 0 {
					fmt.Fprintln(w, "Nobody is signed in.")
					return
				}
				rows := [][]string{{"ID", "PERSON", "DEVICE", "SINCE", "LAST SEEN", "ENDS"}}
				for _, s := range doc.Sessions {
					ends := ago(s.Expires)
					if s.Ended != "" {
						ends = "ended " + ago(s.Ended)
					}
					rows = append(rows, []string{s.ID, s.Person, s.DeviceName + " (" + s.Device + ")", ago(s.Created), ago(s.LastSeen), ends})
				}
				table(w, rows)
			})
		},
	}
	list.Flags().BoolVar(&all, "all", false, "those that have ended, too")
	end := &cobra.Command{
		Use:   "end ID",
		Short: "End a session; its device stays known and signs in again",
		Args:  exactly(1, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := ask(cmd.Context(), a, "sessions/end", endSession, byID{args[0]})
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) { fmt.Fprintf(w, "Session %s has ended.\n", args[0]) })
		},
	}
	list.AddCommand(end)
	return list
}

func (a *app) newInviteCommand() *cobra.Command {
	var owner, program, certificate, onion, tunnel bool
	var expires, output string
	var wish programWish
	var client certificateWish
	var sshKey string
	c := &cobra.Command{
		Use:   "invite NAME",
		Short: "Make a link that makes a browser or an app known, or a token for a program",
		Long: `Makes a link, and its QR code, that makes one browser of a person known, once. In a
companion app, which opens no links, a member types the name and the code instead. The
link is a key: send it by a way that you trust. With --owner it makes the first owner, within
15 minutes, and only while there is none.

With --certificate it makes a client certificate, for an app on a phone that shows it at
the door of its own (certificate_listen): a link by which the phone fetches it, once, and
the password of the file, to be said and not sent.

With --wireguard it makes a tunnel for a device: the file, and its QR code, that the
WireGuard app takes. The device's private key is in it and kept nowhere.

With --program it makes a token of Home Assistant's for a program of that person's,
such as a script, and shows it once. The token works through the gateway for what
--may names and from where --from says, and nowhere else.

With --ssh it makes an SSH key of that person's known: who holds it comes in by ssh -N -L
through the door ssh, and needs no other sign-in here.

With --onion it makes an onion service for one device of that person's, and shows its
address and the key without which nobody finds it, once. Tor Browser and Orbot take them.`,
		Example: "  gatehouse invite --owner\n  gatehouse invite Anna\n  gatehouse invite Anna --certificate --label \"Pixel 9\"\n  gatehouse invite Anna --ssh id_ed25519.pub\n  gatehouse invite Anna --program --label Backup --may rest --from 192.168.1.20/32\n  gatehouse invite Anna --onion --label Laptop --expires 90d\n  gatehouse invite Anna --wireguard --label \"Pixel 9\" --expires 90d",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneKind(cmd); err != nil {
				return err
			}
			if onion {
				return a.inviteOnion(cmd, args, onionWish{Label: wish.Label, Expires: expires})
			}
			if cmd.Flags().Changed("ssh") {
				label := ""
				if cmd.Flags().Changed("label") {
					label = wish.Label
				}
				return a.inviteSSH(cmd.Context(), args, sshKey, label, owner || program || certificate)
			}
			if certificate && len(args) == 1 {
				client.Person, client.Label, client.Days = args[0], wish.Label, wish.Days
				if !cmd.Flags().Changed("label") {
					client.Label = "A phone"
				}
				return a.inviteCertificate(cmd.Context(), client)
			}
			if tunnel {
				if owner || len(args) == 0 {
					return &problem{status: statusUsage, err: fmt.Errorf("whose tunnel?"), hint: "gatehouse invite NAME --wireguard"}
				}
				if !cmd.Flags().Changed("label") {
					wish.Label = "A device"
				}
				return a.inviteTunnel(cmd.Context(), args[0], wish.Label, expires, output)
			}
			if program && len(args) == 1 && !owner {
				wish.Person = args[0]
				return a.inviteProgram(cmd.Context(), wish)
			}
			in := invitee{Owner: owner}
			switch {
			case certificate && owner:
				return &problem{status: statusUsage, err: fmt.Errorf("invite --owner --certificate"), hint: "the first owner is made known by a browser"}
			case certificate:
				return &problem{status: statusUsage, err: fmt.Errorf("whose certificate?"), hint: "gatehouse invite NAME --certificate"}
			case program && owner:
				return &problem{status: statusUsage, err: fmt.Errorf("invite --owner --program"), hint: "the first owner is a person"}
			case program:
				return &problem{status: statusUsage, err: fmt.Errorf("whose program?"), hint: "gatehouse invite NAME --program"}
			case owner && len(args) > 0:
				return &problem{status: statusUsage, err: fmt.Errorf("invite %s --owner", args[0]), hint: "the first owner says their name on the page; leave it out here"}
			case !owner && len(args) == 0:
				return &problem{status: statusUsage, err: fmt.Errorf("invite whom?"), hint: "gatehouse invite NAME, or gatehouse invite --owner for the first owner"}
			case len(args) > 0:
				in.Name = args[0]
			}
			doc, err := ask(cmd.Context(), a, "invite", invite, in)
			if err != nil {
				return err
			}
			return a.print(doc, func(w io.Writer) {
				whom := "whoever opens it first becomes the owner"
				if !owner {
					whom = "for one browser of " + doc.Person
				}
				fmt.Fprintln(w, doc.Link)
				if a.isTerminal() {
					fmt.Fprint(w, "\n"+qrText(doc.Link, a.getenv("NO_COLOR") == "")+"\n")
				}
				a.note("%s; it ends %s", whom, ago(doc.Expires))
				if doc.Code != "" {
					a.note("in a companion app, on the sign-in page: the name %s and the code %s", doc.Person, doc.Code)
				}
			})
		},
	}
	c.Flags().BoolVar(&owner, "owner", false, "for the first owner")
	c.Flags().BoolVar(&program, "program", false, "a token for a program")
	c.Flags().BoolVar(&certificate, "certificate", false, "a client certificate for a companion app")
	c.Flags().BoolVar(&client.Legacy, "legacy", false, "with --certificate: a file that devices from before 2020 can read; its seal is weaker")
	c.Flags().StringVar(&sshKey, "ssh", "", "make an SSH key known: a `FILE` with the public key, - for standard input, or the key itself")
	c.Flags().BoolVar(&onion, "onion", false, "an onion service for a device, over Tor")
	c.Flags().StringVar(&expires, "expires", "", "with --onion or --wireguard: how long the device is known, a `TIME` like 90d; for good unless said")
	c.Flags().StringVar(&wish.Label, "label", "A program", "what to call the program, device or key, a `NAME`")
	c.Flags().BoolVar(&tunnel, "wireguard", false, "a WireGuard tunnel for a device")
	c.Flags().StringVarP(&output, "output", "o", "", "with --wireguard: write the configuration into a new `FILE`, and not to the terminal")
	c.Flags().StringSliceVar(&wish.May, "may", []string{"rest", "websocket"}, "what it may ask for: `ROUTE`s, with commas between them")
	c.Flags().StringSliceVar(&wish.From, "from", nil, "`NETWORK`s or addresses that it may ask from; from anywhere if there is none")
	c.Flags().IntVar(&wish.Days, "days", 365, "how many `DAYS` the token or certificate lasts")
	c.Flags().BoolVar(&wish.Admin, "admin", false, "its Home Assistant user is an administrator")
	return c
}

// oneKind makes sure that an invitation is for one kind of device.
func oneKind(cmd *cobra.Command) error {
	var said []string
	for _, kind := range []string{"owner", "program", "certificate", "wireguard", "ssh", "onion"} {
		if cmd.Flags().Changed(kind) {
			said = append(said, "--"+kind)
		}
	}
	if len(said) < 2 {
		return nil
	}
	return &problem{status: statusUsage, err: fmt.Errorf("invite with %s", strings.Join(said, " and ")), hint: "one invitation is for one kind of device"}
}

// exactly asks for arguments by name.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return &problem{status: statusUsage, err: fmt.Errorf("%s wants %s and got %d words", cmd.CommandPath(), what, len(args)),
			hint: "usage: " + cmd.UseLine()}
	}
}

// atMost is exactly for what may be left out.
func atMost(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		return exactly(n, "at most "+what)(cmd, args)
	}
}

// noWords is exactly for verbs that are told all by flags.
func noWords(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return &problem{status: statusUsage, err: fmt.Errorf("%s wants no words besides its flags and got %.60q", cmd.CommandPath(), args[0]), hint: cmd.CommandPath() + " --help lists the flags"}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ago says a stamp as people do.
func ago(stamp string) string {
	t, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return "-"
	}
	d := time.Until(t).Round(time.Second)
	if d <= 0 && d > -5*time.Second {
		return "now"
	}
	if d < 0 {
		return span(-d) + " ago"
	}
	return "in " + span(d)
}

// span is a length of time in its largest unit.
func span(d time.Duration) string {
	unit := func(n int, name string) string {
		if n == 1 {
			return "1 " + name
		}
		return fmt.Sprintf("%d %ss", n, name)
	}
	switch {
	case d < time.Minute:
		return unit(int(d/time.Second), "second")
	case d < time.Hour:
		return unit(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return unit(int(d/time.Hour), "hour")
	}
	return unit(int(d/(24*time.Hour)), "day")
}
