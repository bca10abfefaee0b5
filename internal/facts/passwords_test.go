package facts

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	shadowOlga   = `$6$saltsalt$2dKxx1pjaVceQ/xrAchVmBQRdRZwXcO1HeOGAtx/j1uj5cgKadhdOAaIBUZsF4T4xsIeLHdZ22aZT8VIeoHtU0`
	shadowSun    = `$5$saltsalt$hCbxWSqtEHJ1MzJeXj2vTIYfMc4zIAaMnhje/EZ714/`
	shadowStrong = `$6$saltsalt$CPgxBHZBXfhC6lX1yxpdEsbQfXmg3WXVj8AoVwyNFLfb5AtbfM8k6A8yehv1z6sgzoH/DUIs7YK9hVnGhTjhW/`
	shadowYes    = `$y$j75$abcdefgh$iOViv0TPYplZsIUkqV5gr/i3YGQurn8iSbDDzRdZT68`
)

// bcrypted is a password as Home Assistant keeps it, but cheap.
func bcrypted(t testing.TB, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(append([]byte("$2b$"), hash[4:]...))
}

func houseOf(t testing.TB, drawing string) *Host {
	t.Helper()
	tree, err := Draw(drawing)
	if err != nil {
		t.Fatal(err)
	}
	return &Host{Tree: tree, HADir: "/config", Root: true}
}

func outcomes(all []Guess) (said []string) {
	for _, g := range all {
		text := g.Account + ": " + string(g.Outcome)
		if g.How != "" {
			text += ", " + g.How
		}
		if g.Why != nil {
			text += ", " + g.Why.Error()
		}
		said = append(said, text)
	}
	return said
}

func TestGuessHAPasswords(t *testing.T) {
	const cheap = bcrypt.MinCost
	h := houseOf(t, fmt.Sprintf(`-- config/.storage/auth_provider.homeassistant --
{"version":1,"key":"auth_provider.homeassistant","data":{"users":[
{"username":"anna","password":%q},{"username":"olga","password":%q},{"username":"per","password":%q},{"username":"kim","password":""},{"username":"odd","password":"x"},
{"username":"gate","password":%q},{"username":"slow","password":%q},{"username":"gone","password":%[2]q}]}}
-- config/.storage/auth --
{"version":1,"key":"auth","data":{"users":[{"id":"1","name":"Anna Berg","is_active":true},{"id":"2","name":"Tablet","is_active":true},{"id":"3","name":"Supervisor","is_active":true,"system_generated":true},{"id":"4","name":"Turned off","is_active":false}],
"credentials":[{"user_id":"1","auth_provider_type":"homeassistant"},{"user_id":"2","auth_provider_type":"trusted_networks"},{"user_id":"4","auth_provider_type":"homeassistant","data":{"username":"gone"}}]}}
-- config/.storage/core.config --
{"data":{"location_name":"Villa Kunterbunt"}}
`, bcrypted(t, "Villakunterbunt1!", cheap), bcrypted(t, "dragon", cheap), bcrypted(t, "Per2025", cheap), bcrypted(t, "Gate2026", cheap), base64.StdEncoding.EncodeToString([]byte("$2b$31$"+strings.Repeat("a", 53)))))
	var last [2]int
	targets, err := h.haTargets()
	if err != nil {
		t.Fatal(err)
	}
	all, err := h.guess(t.Context(), time.Hour, targets, commonPasswords()[:150], func(done, of int) { last = [2]int{done, of} })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"anna: guessed, made of a name in the house", "olga: guessed, among the commonest passwords", "per: guessed, made of the account's own name", "kim: no password", "odd: not tried, its hash is not as Home Assistant writes it",
		"gate: guessed, made of the account's own name", "slow: not tried, its cost of 31 takes too long to try", "Tablet: no password, signs in by trusted_networks"}
	if got := outcomes(all); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if last[0] == 0 || last[0] > last[1] {
		t.Errorf("says that it is at %v", last)
	}
	for _, g := range all {
		if g.File == "" || strings.Contains(fmt.Sprint(g), "dragon") || strings.Contains(fmt.Sprint(g), "Gate2026") {
			t.Errorf("%+v", g)
		}
	}
}

// Neither what is made of a name nor the list keeps the other waiting.
func TestLikelyWordsComeInTurn(t *testing.T) {
	common := commonPasswords()
	words, least := wordsFor("olga", nil, common)
	if least < guessLikely || words[0] != (guessWord{"olga", fromOwnName}) || words[1] != (guessWord{common[0], fromList}) || words[2] != (guessWord{"Olga", fromOwnName}) {
		t.Errorf("%d, %v", least, words[:3])
	}
}

func TestGuessLocalPasswords(t *testing.T) {
	h := houseOf(t, `-- etc/shadow 0640 0:42 --
root:!:20000:0:99999:7:::
daemon:*:20000:0:99999:7:::
olga:`+shadowOlga+`:20000:0:99999:7:::
sun:`+shadowSun+`:20000:0:99999:7:::
strong:`+shadowStrong+`:20000:0:99999:7:::
yes:`+shadowYes+`:20000:0:99999:7:::
none::20000:0:99999:7:::
old:abJnggxhB/yWI:20000:0:99999:7:::
`)
	h.HADir = ""
	targets, err := h.localTargets()
	if err != nil {
		t.Fatal(err)
	}
	all, err := h.guess(t.Context(), time.Hour, targets, commonPasswords()[:150], nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"olga: guessed, made of the account's own name", "sun: guessed, among the commonest passwords", "strong: not guessed",
		"yes: guessed, made of the account's own name", "none: no password", "old: not tried, an unusual hash, which is tried by the machine's own libc alone"}
	if got := outcomes(all); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if all[0].Line != 3 || all[2].Tried < 150 {
		t.Errorf("%+v", all)
	}
}

// The time that is stated is kept, and what was not tried for want of it is not good.
func TestGuessingKeepsItsTime(t *testing.T) {
	h := houseOf(t, fmt.Sprintf("-- config/.storage/auth_provider.homeassistant --\n{\"data\":{\"users\":[{\"username\":\"anna\",\"password\":%q}]}}\n-- config/.storage/auth --\n{\"data\":{}}\n", bcrypted(t, "correct horse battery staple", 10)))
	began := time.Now()
	all, err := h.GuessHAPasswords(t.Context(), 500*time.Millisecond, nil)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if all[0].Outcome != NotTried || !errors.Is(all[0].Why, errNoTime) {
		t.Errorf("%+v", all[0])
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %s", took)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if all, err = h.GuessHAPasswords(ctx, time.Hour, nil); err != nil || all[0].Outcome != NotTried {
		t.Errorf("%+v %v", all, err)
	}
}

func TestGuessingWhatCannotBeRead(t *testing.T) {
	h := houseOf(t, "-- etc/shadow closed --\n-- config/.storage/auth_provider.homeassistant closed --\n")
	if _, err := h.GuessLocalPasswords(t.Context(), time.Second, nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	if _, err := h.GuessHAPasswords(t.Context(), time.Second, nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	h = houseOf(t, "-- etc/shadow --\njunk\n-- config/.storage/auth_provider.homeassistant --\n{\"data\":{\"users\":[{\"username\":\"anna\",\"password\":\"secr")
	if _, err := h.GuessLocalPasswords(t.Context(), time.Second, nil); err == nil {
		t.Error("takes junk")
	}
	if _, err := h.GuessHAPasswords(t.Context(), time.Second, nil); err == nil || strings.Contains(err.Error(), "secr") {
		t.Errorf("%v", err)
	}
}

func TestPasswordList(t *testing.T) {
	all, seen := commonPasswords(), map[string]bool{}
	if len(all) < 3000 {
		t.Errorf("%d passwords", len(all))
	}
	for _, p := range all {
		if seen[p] {
			t.Errorf("%s is there twice", p)
		}
		seen[p] = true
	}
	if strings.Count(passwordsText, "\n") != len(all) {
		t.Error("not one a line")
	}
}

// A house of many names is tried in bounded time and space.
func FuzzGuess(f *testing.F) {
	f.Add("olga:"+shadowOlga+":1::::::\n", `{"data":{"users":[{"username":"a","password":"x"}]}}`, "Villa")
	f.Add(":\n", `{`, strings.Repeat("a b ", 100))
	f.Fuzz(func(t *testing.T, shadow, auth, name string) {
		tree := &Drawn{all: map[string]*drawn{".": {info: Info{Mode: fs.ModeDir}}}}
		for n, text := range map[string]string{"etc/shadow": shadow, "config/.storage/auth_provider.homeassistant": auth, "config/.storage/auth": auth, "etc/hostname": name} {
			tree.all[n] = &drawn{text: text}
		}
		h := &Host{Tree: tree, HADir: "/config"}
		for _, guess := range []func(context.Context, time.Duration, func(int, int)) ([]Guess, error){h.GuessLocalPasswords, h.GuessHAPasswords} {
			all, err := guess(t.Context(), time.Millisecond, nil)
			for _, g := range all {
				if err == nil && (g.Outcome == "" || g.Outcome == NotTried && g.Why == nil) {
					t.Errorf("%+v", g)
				}
			}
		}
		if words, least := wordsFor(name, []string{name, shadow, auth}, commonPasswords()); least > len(words) || least > mostWords+2000 {
			t.Errorf("%d of %d", least, len(words))
		}
	})
}
