package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"gatehouse/internal/ha/client"
	"gatehouse/internal/ledger"
)

// tokenSecret is the name under which the ledger seals Home Assistant's token.
const tokenSecret = "ha-token"

// saveHAToken keeps the token of the user "Gatehouse" sealed.
func saveHAToken(ctx context.Context, l *ledger.Ledger, token string) error {
	if err := l.PutSecret(ctx, tokenSecret, []byte(token)); err != nil {
		return fmt.Errorf("keep Home Assistant's token: %w", err)
	}
	return nil
}

// loadHAToken returns the token that setup kept, and whether there is one.
func loadHAToken(ctx context.Context, l *ledger.Ledger) (string, bool, error) {
	token, err := l.Secret(ctx, tokenSecret)
	if errors.Is(err, ledger.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read Home Assistant's token: %w", err)
	}
	return string(token), true, nil
}

// What is made in Home Assistant.
const (
	gatehouseUser = "Gatehouse"
	tokenName     = "Gatehouse"
	tokenDays     = 3650 // Home Assistant lets long-lived tokens live as long as is asked for
)

// What setupResult.Token says.
const (
	tokenMade = "made"
	tokenKept = "kept"
	tokenNone = "none"
)

// knownToken takes the token of an earlier run, if it still works.
func (s *setup) knownToken(ctx context.Context) error {
	s.done.Token = tokenNone
	if s.noToken || !exists(ledgerFile(s.cfg.State.Dir)) {
		return nil
	}
	var token string
	var ok bool
	err := s.asOwner(func() error {
		st, err := s.openState(ctx)
		if err != nil {
			return err
		}
		token, ok, err = loadHAToken(ctx, st.ledger)
		if now, stanceErr := loadStance(ctx, st.ledger); stanceErr == nil && now.moved() {
			err = errors.Join(err, &problem{status: statusNo, err: errors.New("the gateway stands where Home Assistant was, and what setup would find is not its own address"),
				hint: `"gatehouse off" gives it its address back; then run this again`})
		}
		return errors.Join(err, st.close())
	})
	if err != nil || !ok {
		return err
	}
	user, err := s.ha.CurrentUser(ctx, token)
	switch {
	case errors.Is(err, client.ErrInvalidAuth):
		s.app.note("the token of an earlier setup is not good any more; a new one is made")
		return nil
	case err != nil:
		return cannotReach(err)
	case !user.Admin:
		s.app.note("the token of an earlier setup is no administrator's any more; a new one is made")
		return nil
	}
	s.token, s.done.Token = token, tokenKept
	s.ha = s.ha.WithToken(token)
	return nil
}

// signInOnce signs in as an administrator, unless a token is there or none is wanted.
func (s *setup) signInOnce(ctx context.Context) error {
	if s.noToken || s.token != "" {
		return nil
	}
	name := s.haUser
	if name == "" {
		var err error
		s.app.note("Gatehouse signs in to Home Assistant once. It makes a user of its own there and does not keep your password.")
		if name, err = s.ask.line(ctx, "User name of an administrator of Home Assistant", "", "--ha-user, or --no-token to go without", anything); err != nil {
			return unanswered(err)
		}
	}
	said, err := s.givenPassword(ctx)
	if err != nil {
		return err
	}
	for tries := 1; ; tries++ {
		password := said.password
		if said.typed {
			if password, err = s.ask.secret(ctx, "Password of "+name, "--ha-password-file"); err != nil {
				return unanswered(err)
			}
		}
		tokens, err := s.ha.Login(ctx, name, password, s.secondFactor(said))
		if err == nil {
			s.signIn = &tokens
			break
		}
		if errors.Is(err, client.ErrInvalidAuth) && said.typed && tries < 3 {
			s.app.note("Home Assistant does not accept that password for %s.", name)
			continue
		}
		return notSignedIn(err, name)
	}
	user, err := s.ha.CurrentUser(ctx, s.signIn.Access)
	if err != nil {
		return cannotReach(err)
	}
	if !user.Admin {
		return &problem{status: statusNo, err: fmt.Errorf("%s is not an administrator of Home Assistant", user.Name),
			hint: "name one that is with --ha-user, or --no-token to go without"}
	}
	s.ha = s.ha.WithToken(s.signIn.Access)
	accounts, err := s.ha.Accounts(ctx)
	if err != nil {
		return cannotReach(err)
	}
	for _, account := range accounts {
		if isOurs(account) {
			s.before = append(s.before, account)
		}
	}
	return nil
}

func anything(string) error { return nil }

// A password is what was said about how to sign in.
type password struct {
	typed    bool // it is asked for in the terminal
	password string
	code     string // of the second factor; empty if none was said
}

// givenPassword reads the password from where the flags say. Standard input is read
// where nobody sits at it.
func (s *setup) givenPassword(context.Context) (password, error) {
	from := io.Reader(nil)
	switch s.passwordFile {
	case "":
		if s.ask.terminal() {
			return password{typed: true}, nil
		}
		if in, ok := s.app.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
			return password{}, noPassword() // --yes: nothing is asked
		}
		from = s.app.in
	case "-":
		from = s.app.in
	default:
		f, err := os.Open(s.passwordFile)
		if err != nil {
			return password{}, &problem{status: statusUsage, err: fmt.Errorf("read the password: %w", err)}
		}
		defer f.Close()
		from = f
	}
	const most = 4096
	text, err := io.ReadAll(io.LimitReader(from, most))
	if err != nil {
		return password{}, fmt.Errorf("read the password: %w", err)
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	second, _, _ := strings.Cut(rest, "\n")
	p := password{password: strings.TrimSuffix(first, "\r"), code: strings.TrimSpace(second)}
	if p.password == "" {
		return password{}, noPassword()
	}
	return p, nil
}

func noPassword() error {
	return &problem{status: statusUsage, err: errors.New("there is no password of an administrator of Home Assistant"),
		hint: "say --ha-password-file FILE, or - for standard input; or --no-token to go without"}
}

// secondFactor says the code of a second factor: the one of the file, once, or what
// is typed.
func (s *setup) secondFactor(said password) func(context.Context, bool) (string, error) {
	return func(ctx context.Context, again bool) (string, error) {
		if said.code != "" {
			if again {
				return "", client.ErrInvalidCode
			}
			return said.code, nil
		}
		if !s.ask.terminal() {
			return "", client.ErrCodeNeeded
		}
		question := "Code of the second factor"
		if again {
			question = "That code is not accepted. Code of the second factor"
		}
		return s.ask.line(ctx, question, "", "--ha-password-file", anything)
	}
}

// notSignedIn says why Home Assistant let nobody in.
func notSignedIn(err error, name string) error {
	p := &problem{status: statusNo, err: err}
	var blocked *client.Blocked
	switch {
	case errors.Is(err, client.ErrInvalidAuth):
		p.err, p.hint = fmt.Errorf("the user name %s with this password is not accepted by Home Assistant", name), "it is the user name that is wanted, not the name shown; nothing was changed"
	case errors.Is(err, client.ErrCodeNeeded):
		p.err, p.hint = fmt.Errorf("%s has a second factor", name), "run this in a terminal, or put its code on the second line of --ha-password-file"
		p.status = statusUsage
	case errors.Is(err, client.ErrInvalidCode):
		p.err, p.hint = errors.New("the code of the second factor is not accepted by Home Assistant"), "check this machine's and the phone's clock; nothing was changed"
	case errors.As(err, &blocked):
		p.hint = "choose another administrator with --ha-user; nothing was changed"
	case errors.Is(err, client.ErrUnreachable):
		return cannotReach(err)
	case errors.Is(err, errNoTerminal):
		return unanswered(err)
	default:
		p.status = statusCannot
	}
	return p
}

// cannotReach says that Home Assistant does not answer, and what to look at.
func cannotReach(err error) error {
	p := &problem{status: statusCannot, err: err}
	var certificate *tls.CertificateVerificationError
	var status *client.StatusError
	switch {
	case errors.As(err, &certificate):
		p.hint = "its certificate is not for this address: name the one that it is for with --ha-url, or let Home Assistant speak plain HTTP on this machine alone"
	case errors.Is(err, client.ErrUnreachable):
		p.hint = "start Home Assistant, or say with --ha-url where it answers"
	case errors.Is(err, client.ErrNotHomeAssistant), errors.As(err, &status):
		p.hint = "say with --ha-url where Home Assistant itself answers"
	}
	return p
}

// makeToken makes the user "Gatehouse" in Home Assistant and a token that is good
// for as long as the user stays there, and has it kept. The user is given a password
// to sign in with once and loses it again: nobody can sign in as Gatehouse
// afterwards. If anything fails the user is removed.
func (s *setup) makeToken(ctx context.Context, keep func(token string) error) (err error) {
	for _, account := range s.before {
		if err := s.ha.DeleteUser(ctx, account.ID); err != nil {
			return fmt.Errorf("remove the user of an earlier setup: %w", err)
		}
	}
	return tokenUser{gatehouseUser, client.GroupAdmin, true, tokenName, tokenDays}.make(ctx, s.ha, func(_, token string) error { return keep(token) })
}

// tokenUser is a user of Home Assistant that exists for one long-lived token.
type tokenUser struct {
	name, group string
	localOnly   bool
	tokenName   string
	days        int
}

// make makes the user and its token, by an administrator's client, and has keep keep
// them. The user is given a password to sign in with once and loses it again. If
// anything fails the user is removed.
func (u tokenUser) make(ctx context.Context, ha *client.Client, keep func(userID, token string) error) (err error) {
	id, err := ha.CreateUser(ctx, u.name, []string{u.group}, u.localOnly)
	if err != nil {
		return fmt.Errorf("make the Home Assistant user %s: %w", u.name, err)
	}
	defer func() {
		if err == nil {
			return
		}
		if undo := ha.DeleteUser(context.WithoutCancel(ctx), id); undo != nil {
			err = fmt.Errorf("%w\nand the Home Assistant user %s could not be removed again: %w", err, u.name, undo)
		}
	}()
	// Nobody else knows either of them, and both are gone in a moment.
	username, secret := "gatehouse-"+strings.ToLower(rand.Text()), rand.Text()+rand.Text()
	if err := ha.SetPassword(ctx, id, username, secret); err != nil {
		return fmt.Errorf("sign in as %s: %w", u.name, err)
	}
	own, err := ha.Login(ctx, username, secret, nil)
	if err != nil {
		return fmt.Errorf("sign in as %s: %w", u.name, err)
	}
	defer func() {
		if end := ha.Revoke(context.WithoutCancel(ctx), own.Refresh); end != nil && err == nil {
			err = end
		}
	}()
	token, err := ha.WithToken(own.Access).LongLivedToken(ctx, u.tokenName, u.days)
	if err != nil {
		return fmt.Errorf("make the token of %s: %w", u.name, err)
	}
	if err := ha.DropPassword(ctx, username); err != nil {
		return fmt.Errorf("take the password of %s away: %w", u.name, err)
	}
	user, err := ha.CurrentUser(ctx, token)
	switch {
	case err != nil:
		return fmt.Errorf("try the token of %s: %w", u.name, err)
	case user.ID != id, user.Admin != (u.group == client.GroupAdmin):
		return fmt.Errorf("try the token of %s: it is %s's", u.name, user.Name)
	}
	return keep(id, token)
}

// isOurs reports whether an account is one that an earlier setup made: of its name,
// for home only, and without any way to sign in, which no user that a person made has.
func isOurs(a client.Account) bool {
	return a.Name == gatehouseUser && a.LocalOnly && !a.Owner && !a.System && a.Username == "" && len(a.Logins) == 0
}

// signOut ends our sign-in as the administrator.
func (s *setup) signOut(ctx context.Context) error {
	if s.signIn == nil {
		return nil
	}
	err := s.ha.Revoke(context.WithoutCancel(ctx), s.signIn.Refresh)
	s.signIn = nil
	if err != nil {
		s.app.note("note: the sign-in that setup made in Home Assistant could not be ended; remove it there, in your profile under security")
		return cannotReach(err)
	}
	return nil
}
