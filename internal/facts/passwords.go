package facts

import (
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/crypto/bcrypt"
)

// passwords.txt is the commonest passwords, the commonest first: what people choose and
// what devices come with, in English, German and what else is frequent.
//
//go:embed passwords.txt
var passwordsText string

// commonPasswords returns the list.
func commonPasswords() []string { return strings.Fields(passwordsText) }

// GuessOutcome is what guessing an account's password came to.
type GuessOutcome string

// The outcomes.
const (
	Guessed    GuessOutcome = "guessed"
	NotGuessed GuessOutcome = "not guessed" // after all that is likely
	NoPassword GuessOutcome = "no password"
	NotTried   GuessOutcome = "not tried" // or not enough; Why says why
)

// Guess is what guessing came to for one account. It does not say the password.
type Guess struct {
	Account string
	File    string
	Line    int
	Outcome GuessOutcome
	How     string // of a guessed one: what kind of word it is
	Tried   int    // words
	Why     error  // of one that was not tried
}

// errNoTime: the time ran out before what is likely was tried.
var errNoTime = errors.New("the time ran out")

// guessLikely is how many of the commonest passwords have to be tried, besides what is made of
// the account's own name, before not having guessed one means anything.
const guessLikely = 100

// guessTarget is an account whose password is guessed.
type guessTarget struct {
	guess Guess
	is    func(ctx context.Context, password string) (bool, error)
	cost  time.Duration // of the last try
	words []guessWord
	least int // how many of them are likely
	over  bool
}

type guessWord struct{ text, how string }

const (
	fromOwnName = "made of the account's own name"
	fromHouse   = "made of a name in the house"
	fromList    = "among the commonest passwords"
)

// GuessHAPasswords tries to guess the passwords of Home Assistant's accounts. It takes no
// longer than limit, but for the try at hand, and one processor. told hears how far it is;
// may be nil.
func (h *Host) GuessHAPasswords(ctx context.Context, limit time.Duration, told func(done, of int)) ([]Guess, error) {
	all, err := h.haTargets()
	if err != nil {
		return nil, err
	}
	return h.guess(ctx, limit, all, commonPasswords(), told)
}

func (h *Host) haTargets() ([]*guessTarget, error) {
	const file = ".storage/auth_provider.homeassistant"
	var stored struct {
		Data struct {
			Users []struct {
				Name     string `json:"username"`
				Password string `json:"password"`
			} `json:"users"`
		} `json:"data"`
	}
	name := path.Join(h.HADir, file)
	err := h.guessJSON(name, &stored)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	cheap, hashing := costOfCheapest()
	if hashing != nil {
		return nil, hashing
	}
	users, off, err := h.withoutPassword()
	if err != nil {
		return nil, err
	}
	var all []*guessTarget
	for _, u := range stored.Data.Users {
		if slices.Contains(off, u.Name) {
			continue
		}
		t := &guessTarget{guess: Guess{Account: u.Name, File: name}}
		all = append(all, t)
		if u.Password == "" {
			t.guess.Outcome = NoPassword
			continue
		}
		hash, err := base64.StdEncoding.DecodeString(u.Password)
		if err != nil {
			t.guess.Outcome, t.guess.Why = NotTried, errors.New("its hash is not as Home Assistant writes it")
			continue
		}
		t.bcrypt(hash, cheap)
	}
	for _, u := range users {
		all = append(all, &guessTarget{guess: u})
	}
	return all, nil
}

// withoutPassword returns the people of Home Assistant who sign in with something else
// than a password of its own, and the user names of accounts that are turned off: nobody
// signs in there whatever the password is.
func (h *Host) withoutPassword() (all []Guess, off []string, err error) {
	var auth struct {
		Data struct {
			Users []struct {
				ID     string `json:"id"`
				Name   string `json:"name"`
				Active bool   `json:"is_active"`
				System bool   `json:"system_generated"`
			} `json:"users"`
			Credentials []struct {
				User     string         `json:"user_id"`
				Provider string         `json:"auth_provider_type"`
				Data     jsontext.Value `json:"data"`
			} `json:"credentials"`
		} `json:"data"`
	}
	name := path.Join(h.HADir, ".storage/auth")
	if err := h.guessJSON(name, &auth); err != nil {
		return nil, nil, err
	}
	for _, u := range auth.Data.Users {
		if u.System {
			continue
		}
		var with []string
		for _, c := range auth.Data.Credentials {
			if c.User != u.ID {
				continue
			}
			with = append(with, c.Provider)
			var data struct {
				Username string `json:"username"`
			}
			if !u.Active && c.Provider == "homeassistant" && json.Unmarshal(c.Data, &data) == nil {
				off = append(off, data.Username)
			}
		}
		if u.Active && len(with) > 0 && !slices.Contains(with, "homeassistant") {
			all = append(all, Guess{Account: u.Name, File: name, Outcome: NoPassword, How: "signs in by " + strings.Join(with, ", ")})
		}
	}
	return all, off, nil
}

// GuessLocalPasswords does the same for the accounts of the machine. A hash that only the
// machine's own libc could try is NotTried.
func (h *Host) GuessLocalPasswords(ctx context.Context, limit time.Duration, told func(done, of int)) ([]Guess, error) {
	all, err := h.localTargets()
	if err != nil {
		return nil, err
	}
	return h.guess(ctx, limit, all, commonPasswords(), told)
}

func (h *Host) localTargets() ([]*guessTarget, error) {
	const file = "/etc/shadow"
	text, err := h.Text(file)
	if err != nil {
		return nil, err
	}
	cheap, err := costOfCheapest()
	if err != nil {
		return nil, err
	}
	var all []*guessTarget
	room := &yesRoom{}
	for n, line := range text.Lines {
		f := strings.Split(line, ":")
		if len(f) < 2 || f[0] == "" {
			if strings.TrimSpace(line) == "" {
				continue
			}
			return nil, fmt.Errorf("%s:%d: not an account", file, n+1)
		}
		if strings.HasPrefix(f[1], "!") || strings.HasPrefix(f[1], "*") {
			continue // nobody signs in with a password
		}
		t := &guessTarget{guess: Guess{Account: f[0], File: file, Line: n + 1}}
		all = append(all, t)
		switch kind := localHashKind(f[1]); {
		case f[1] == "":
			t.guess.Outcome = NoPassword
		case kind == "SHA-crypt":
			c, err := parseSHACrypt(f[1])
			if err != nil {
				t.guess.Outcome, t.guess.Why = NotTried, err
				continue
			}
			t.is = c.is
		case kind == "yescrypt":
			y, err := parseYescrypt(f[1], room)
			if err != nil {
				t.guess.Outcome, t.guess.Why = NotTried, err
				continue
			}
			t.is = y.is
		case kind == "bcrypt":
			t.bcrypt([]byte(f[1]), cheap)
		default:
			t.guess.Outcome, t.guess.Why = NotTried, errors.New(kind+", which is tried by the machine's own libc alone")
		}
	}
	return all, nil
}

// localHashKind is how a hash of crypt(5) was made.
func localHashKind(hash string) string {
	for prefix, kind := range map[string]string{"$5$": "SHA-crypt", "$6$": "SHA-crypt", "$y$": "yescrypt", "$gy$": "gost-yescrypt", "$7$": "scrypt", "$1$": "MD5",
		"$2a$": "bcrypt", "$2b$": "bcrypt", "$2y$": "bcrypt"} {
		if strings.HasPrefix(hash, prefix) {
			return kind
		}
	}
	return "an unusual hash"
}

// costOfCheapest is how long the cheapest bcrypt takes here; each step up doubles it.
func costOfCheapest() (time.Duration, error) {
	began := time.Now()
	if _, err := bcrypt.GenerateFromPassword([]byte("how fast is this machine"), bcrypt.MinCost); err != nil {
		return 0, fmt.Errorf("try bcrypt: %w", err)
	}
	return time.Since(began), nil
}

// mostCost bounds what a bcrypt hash may ask of us; Home Assistant's is 12.
const mostCost = 14

// bcrypt makes a target of a bcrypt hash.
func (t *guessTarget) bcrypt(hash []byte, cheapest time.Duration) {
	cost, err := bcrypt.Cost(hash)
	switch {
	case err != nil:
		t.guess.Outcome, t.guess.Why = NotTried, errors.New("its hash is not of bcrypt") // err may quote it
		return
	case cost > mostCost:
		t.guess.Outcome, t.guess.Why = NotTried, fmt.Errorf("its cost of %d takes too long to try", cost)
		return
	}
	t.cost = cheapest << max(0, cost-bcrypt.MinCost)
	t.is = func(_ context.Context, password string) (bool, error) {
		err := bcrypt.CompareHashAndPassword(hash, []byte(password))
		if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			return false, nil
		}
		return err == nil, err
	}
}

// guess tries word after word, each at every account, until the time is over.
func (h *Host) guess(ctx context.Context, limit time.Duration, all []*guessTarget, common []string, told func(done, of int)) ([]Guess, error) {
	end := time.Now().Add(limit)
	ctx, stop := context.WithDeadline(ctx, end)
	defer stop()
	house := h.namesInTheHouse()
	for _, t := range all {
		house = append(house, t.guess.Account)
	}
	of, done := 0, 0
	for _, t := range all {
		if t.is == nil {
			t.over = true
			continue
		}
		t.words, t.least = wordsFor(t.guess.Account, house, common)
		of += len(t.words)
	}
	for n, going := 0, true; going; n++ {
		going = false
		for _, t := range all {
			if t.over || n >= len(t.words) {
				continue
			}
			began := time.Now()
			if ctx.Err() != nil || began.Add(t.cost).After(end) {
				t.over = true
				continue
			}
			going = true
			ok, err := t.is(ctx, t.words[n].text)
			t.cost = time.Since(began)
			if done++; told != nil {
				told(done, of)
			}
			switch {
			case err != nil && ctx.Err() != nil:
				t.over = true
			case err != nil:
				t.over, t.guess.Outcome, t.guess.Why = true, NotTried, err
			case ok:
				t.over, t.guess.Outcome, t.guess.How = true, Guessed, t.words[n].how
				t.guess.Tried++
			default:
				t.guess.Tried++
			}
		}
	}
	guesses := make([]Guess, 0, len(all))
	for _, t := range all {
		switch g := &t.guess; {
		case g.Outcome != "":
		case g.Tried >= t.least:
			g.Outcome = NotGuessed
		default:
			g.Outcome, g.Why = NotTried, fmt.Errorf("%w after %d of %d likely words", errNoTime, g.Tried, t.least)
		}
		guesses = append(guesses, t.guess)
	}
	return guesses, nil
}

// wordsFor returns what to try at an account, the likeliest first, and how many of them
// are likely: what is made of its name, and the commonest ones. Then comes what is made of
// other names in the house, and the rest of the list.
func wordsFor(account string, house, common []string) (all []guessWord, least int) {
	seen := make(map[string]bool)
	add := func(how string, words ...string) {
		for _, w := range words {
			if !seen[w] && w != "" && len(w) <= 72 { // bcrypt's own bound
				seen[w] = true
				all = append(all, guessWord{w, how})
			}
		}
	}
	var own []string
	for _, n := range guessNames(account) {
		own = append(own, guessVariants(n)...)
	}
	// In turn: both are likely, and there may be time for some only.
	for n := range max(len(own), guessLikely) {
		if n < len(own) {
			add(fromOwnName, own[n])
		}
		if n < min(guessLikely, len(common)) {
			add(fromList, common[n])
		}
	}
	least = len(all)
	for _, name := range house {
		for _, n := range guessNames(name) {
			add(fromHouse, guessVariants(n)...)
		}
		if len(all) > mostWords {
			break
		}
	}
	add(fromList, common...)
	return all, least
}

// mostWords bounds what is made of names: a house has some, a hostile file has many.
const mostWords = 2000

// guessNames returns the names that a text holds: its words, and all of them together.
func guessNames(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var all []string
	for _, w := range append(slices.Clone(words), strings.Join(words, "")) {
		if w = strings.ToLower(w); len(w) > 1 && len(w) <= 40 && !slices.Contains(all, w) {
			all = append(all, w)
		}
		if len(all) == 8 {
			break
		}
	}
	return all
}

// guessVariants is what people make of a name.
func guessVariants(name string) []string {
	r := []rune(name)
	upper := string(unicode.ToUpper(r[0])) + string(r[1:])
	slices.Reverse(r)
	all := []string{name, upper, strings.ToUpper(name), name + name, string(r)}
	for _, end := range []string{"1", "12", "123", "1234", "12345", "123456", "!", "1!", "123!", "01", "2024", "2025", "2026", "home", "admin"} {
		all = append(all, name+end, upper+end)
	}
	return all
}

// namesInTheHouse collects the names that whoever lives there or comes by knows. What
// cannot be read is left out: it costs guesses, not truth.
func (h *Host) namesInTheHouse() (names []string) {
	const most = 60
	names = []string{"homeassistant"}
	if t, err := h.Text("/etc/hostname"); err == nil && len(t.Lines) > 0 {
		host, _, _ := strings.Cut(t.Lines[0], ".")
		names = append(names, host)
	}
	if h.HADir != "" {
		var home struct {
			Data struct {
				Name string `json:"location_name"`
			} `json:"data"`
		}
		if h.guessJSON(path.Join(h.HADir, ".storage/core.config"), &home) == nil {
			names = append(names, home.Data.Name)
		}
		var auth struct {
			Data struct {
				Users []struct {
					Name   string `json:"name"`
					System bool   `json:"system_generated"`
				} `json:"users"`
			} `json:"data"`
		}
		if h.guessJSON(path.Join(h.HADir, ".storage/auth"), &auth) == nil {
			for _, u := range auth.Data.Users {
				if !u.System {
					names = append(names, u.Name)
				}
			}
		}
		var people struct {
			Data struct {
				Items []struct {
					Name string `json:"name"`
				} `json:"items"`
			} `json:"data"`
		}
		if h.guessJSON(path.Join(h.HADir, ".storage/person"), &people) == nil {
			for _, p := range people.Data.Items {
				names = append(names, p.Name)
			}
		}
	}
	if users, err := h.Users(); err == nil {
		for _, u := range users {
			if u.UID == 0 || u.UID >= 1000 && u.UID < 60000 {
				full, _, _ := strings.Cut(u.Comment, ",")
				names = append(names, u.Name, full)
			}
		}
	}
	return names[:min(most, len(names))]
}

// guessJSON reads one of Home Assistant's own files. Its error quotes nothing of it.
func (h *Host) guessJSON(name string, into any) error {
	t, err := h.Text(name)
	if err != nil {
		return err
	}
	if json.Unmarshal(t.Bytes, into) != nil {
		return fmt.Errorf("%s: not as Home Assistant writes it", name)
	}
	return nil
}
