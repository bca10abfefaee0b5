package facts

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// What crypt(3) of Debian's libcrypt makes of these.
func yescryptVectors() map[string]string {
	return map[string]string{
		`$y$j9T$F5Jx5fExrKuPp53xLKQ..1$42RgPIrXdXSEEs77lDi/4IqKVqFBAVaHJkzw5uD1r57`: "Hello world!",
		`$y$j75$abcdefgh$seYLk3C3HyTtiwemJi2fPeplJP3Gd5RaKYGEt1rRkF2`:               "Hello world!",
		`$y$j85$LdJMENpBABJJ3hIHjB1Bi.$Bgn0rf.zRxE/DaHqyxcNw5e0Jin8Fxo6KVUmWxkAFT6`: "Hello world!",
		`$y$j95$$UrXTRM4HXub4X3QZD6fW1LvLA2q.LhNuci.Fz3GBldD`:                       "Hello world!",
		`$y$j75$abcdefgh$dnXG1KuMBmwYrnuKh9nriQRakI62k6mwFrGgxhxYD/2`:               "",
		`$y$j85$LdJMENpBABJJ3hIHjB1Bi.$vBgoYm4d1h/QcOpqPPYz9LsGfXN2mCFVKmYuethZ796`: "",
		`$y$j75$abcdefgh$Lbzf4wnUUxk0NqqqU7jPVuNNFoHuI2oej3gjRRzgJ07`:               "pässword",
		`$y$j85$LdJMENpBABJJ3hIHjB1Bi.$IFFZbqPEa.wkluiGy4Ovt72KFmM1a.yHS3yILguwfr9`: "pässword",
	}
}

func TestYescryptIsCrypt(t *testing.T) {
	room := &yesRoom{}
	for hash, password := range yescryptVectors() {
		y, err := parseYescrypt(hash, room)
		if err != nil {
			t.Errorf("%s: %v", hash, err)
			continue
		}
		if ok, err := y.is(t.Context(), password); !ok || err != nil {
			t.Errorf("%q is not %s: %v", password, hash, err)
		}
		if ok, err := y.is(t.Context(), password+"x"); ok || err != nil {
			t.Errorf("%q is %s: %v", password+"x", hash, err)
		}
	}
}

func TestYescryptStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	room := &yesRoom{}
	for hash := range yescryptVectors() {
		y, err := parseYescrypt(hash, room)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := y.is(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("goes on: %v", err)
		}
	}
}

func TestYescryptThatIsNone(t *testing.T) {
	whole := strings.Repeat("a", 43)
	for _, text := range []string{"", "$y$", "$y$j9T$salt", "$y$j9T$salt$short", "$y$jzT$salt$" + whole, "$y$jIj$salt$" + whole, "$y$/9T$salt$" + whole, "$y$j9T5$salt$" + whole,
		"$y$j.T$salt$" + whole, "$y$j9T$s$" + whole, "$y$j9T$s:$" + whole, "$6$j9T$salt$" + whole, "$y$j9T$" + strings.Repeat("a", 100) + "$" + whole} {
		if _, err := parseYescrypt(text, &yesRoom{}); err == nil || strings.Contains(err.Error(), whole) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzYescrypt(f *testing.F) {
	for hash := range yescryptVectors() {
		f.Add(hash)
	}
	f.Fuzz(func(t *testing.T, text string) {
		y, err := parseYescrypt(text, &yesRoom{})
		if err != nil {
			return
		}
		y.n = 1 << 4
		if _, err := y.is(t.Context(), "x"); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkYescrypt(b *testing.B) {
	y, err := parseYescrypt("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$42RgPIrXdXSEEs77lDi/4IqKVqFBAVaHJkzw5uD1r57", &yesRoom{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := y.is(b.Context(), "x"); err != nil {
			b.Fatal(err)
		}
	}
}
