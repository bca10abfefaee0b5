package facts

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// What crypt(3) of Debian's libcrypt makes of these; those of "Hello world!" with the salt
// saltstringsaltst and rounds=10000 stand in the description as well.
func cryptVectors() map[string]string {
	return map[string]string{
		`$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5`:                                                               "Hello world!",
		`$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA`:                                            "Hello world!",
		`$5$x$Z/ol6rg0oZtxDgF.6L1cvXsK0GGwl5bZohdStRcE8P6`:                                                                        "Hello world!",
		`$5$rounds=1000$.$ik2KoKnsjf6YBUoDEBKUfxNGmWMGyzj3CT3YW1nW9V6`:                                                            "Hello world!",
		`$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1`:                    "Hello world!",
		`$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.`: "Hello world!",
		`$6$x$BjygRISyVAtJm0ZfNqLIK8RO4PjGdXNasEUxkueIs/m/XbUTF9uwPvjPEG117Ctw4wd9WjSv/UBqjRyXqzRh//`:                             "Hello world!",
		`$6$rounds=1000$.$lJYhDDh9iNCLxmgyOaHh3dHYMk1Z9drZbuuV3dYuoU.12aLFaLSGaYag/MxVOCOz6BY3KKx.tPjudwuGcqwj10`:                 "Hello world!",
		`$5$saltstring$FdNfA4gXqvCeO6iZs7G/.wwwoywYZqo0l1pwmfWaBA7`:                                                               "",
		`$5$rounds=10000$saltstringsaltst$sDnWwZ0qdQHPqtZu31j2fTtF2j2HEn5hOEwtvixOSE0`:                                            "",
		`$5$x$yHbtfs4Y8t6X1xcJemNX.4JQRfUTafA2qQenWGLBee2`:                                                                        "",
		`$5$rounds=1000$.$1y/I8SABjqXBmjev.boX14c87a7Qu6sRYA8SvJOBjM7`:                                                            "",
		`$6$saltstring$kyGrqt6gmjAdtFLPrflEFifSYLCWWq1pyx95SvqinLDy2UHmj0sTF0MSLMwxPFZc3tu5kQckI8fks0zOPda3n1`:                    "",
		`$6$rounds=10000$saltstringsaltst$xuc/3ZHb0zTCjdaS/H9sWqIHQqdGImHveIs4HIMg.5dfNJpOYBI200IN9l6olHiR8.YI/P/Xe1hnfHOMI36.m0`: "",
		`$6$x$QSmr1Bx2g4O6BzKvdkgOcyU6H91X6I/XBv5pSalMhSPkwdH6Beo3F455xZJg0v//bxVK5F4OE5k1.0xuR26MK0`:                             "",
		`$6$rounds=1000$.$JTFOgUl6f2IMvb4iyhttPhdaMULl4VeD34c6xknBGnBcoYQrTBS4gvsnG8EuhSfkIl8WrDMZwfXuKnWr6knp0.`:                 "",
		`$5$saltstring$cRBhKSfYzTy7ht1J5qVPFV0KZImJ0U5L5Ezw0UdIOW4`:                                                               "pässword",
		`$5$rounds=10000$saltstringsaltst$5Uo6g/7gvpk/iZnVRJHZBWMI3evQwuvhIlcpyPx5oI6`:                                            "pässword",
		`$5$x$ypgXqum0FzBv2RQ9jLxyk0dPf87U8AMZmWkj..GTyDD`:                                                                        "pässword",
		`$5$rounds=1000$.$vG7zon.Wa5us6cktg8lSOmuutkryO/vyGhPAZJCe6sB`:                                                            "pässword",
		`$6$saltstring$CSTM8ggie.dU5m6eoS07/LZ2D/r4hrX.jxMSo1fYZexnehwOFJu1o2u1p.BZSnrxIhERrHnuxI8ONbt/kSPvF0`:                    "pässword",
		`$6$rounds=10000$saltstringsaltst$HFsX104uG7LLutG0I8gCtM/CzG5.39Rcpek26OrxSSX7N2QMD/ghH.Q/.fgEE6733h62KrnA17OJsRDHdJME4.`: "pässword",
		`$6$x$Y6x/cSN4Qy1nE4m11Au0OruaEwCBJvmZ82Cq6gb5.wCo8Mvj2/0slHQq3YNprBL4Nbez4wYXf0anRaba4rlP.0`:                             "pässword",
		`$6$rounds=1000$.$C6bn6wAQNFkHMfjr27eGkx/l9BefJZjp2YhPzWNCCciq7VqKNmhtb./m8tjv68zRjswk6W0OG9MxZStA71zPx0`:                 "pässword",
		`$5$saltstring$iNPLRfU06biEzmnR4yeNADBFdl20zEDBKaUvlbYa9q7`:                                                               "a very much longer text to encrypt.  This one even stretches over morethan one line. and more and more",
		`$5$rounds=10000$saltstringsaltst$B/BuuZEriA1oSVbXjDptBCwZ08rDz.sou2Ip9HvwBg6`:                                            "a very much longer text to encrypt.  This one even stretches over morethan one line. and more and more",
		`$5$x$j7WPtCamgWCLynnx5YgLmkrAc1gE5.4d2meFdPRHE1C`:                                                                        "a very much longer text to encrypt.  This one even stretches over morethan one line. and more and more",
		`$5$rounds=1000$.$gI8iEmB0TfeXx/g4haS5890Hp4qzW84sdn6S0zE0Js6`:                                                            "a very much longer text to encrypt.  This one even stretches over morethan one line. and more and more",
		`$6$saltstring$EkamhwGH98j0Pj8azBMHf9o.STjdrVI1Rl9VRBemkKeRKZPVtdieXsm8k7JaWsqf3QT4W5JEfe5bVwtWhRFAC.`:                    "a very much longer text to encrypt.  This one even stretches over morethan one line. and more and more",
		`$6$rounds=10000$saltstringsaltst$yYQvE9ebzYjhrpQEVkUzkziUJXnA.Tf.CGb2kumUiHWJeCdsmjpCP2rqMTfqd9F28CdVZddFVXQfiJaKZ/HAb1`: "a very much longer text to encrypt.  This one even stretches over morethan one line. and more and more",
		`$6$x$GWA5gUQW.c4wo1rCLF31EKXB0ZGZjQ5aWeGCYOq2f8xHw0rimtblDFE0HctQdHmc.X2FvJazpLhPjCQbdqM0W/`:                             "a very much longer text to encrypt.  This one even stretches over morethan one line. and more and more",
		`$6$rounds=1000$.$qPGKxCK/mM6nrcnuOebIqW3csceAnPtNjCrvePVBmpQxQPiBscH5ni99s6s4fWNs79.tZHm/txTytKRQwE5ws/`:                 "a very much longer text to encrypt.  This one even stretches over morethan one line. and more and more",
	}
}

func TestSHACryptIsCrypt(t *testing.T) {
	for hash, password := range cryptVectors() {
		c, err := parseSHACrypt(hash)
		if err != nil {
			t.Errorf("%s: %v", hash, err)
			continue
		}
		if ok, err := c.is(t.Context(), password); !ok || err != nil {
			t.Errorf("%q is not %s: %v", password, hash, err)
		}
		if ok, err := c.is(t.Context(), password+"x"); ok || err != nil {
			t.Errorf("%q is %s: %v", password+"x", hash, err)
		}
	}
}

func TestSHACryptStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	c := shaCrypt{rounds: mostRounds, salt: "x", hash: strings.Repeat(".", 43)}
	if _, err := c.is(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("goes on: %v", err)
	}
}

func TestSHACryptThatIsNone(t *testing.T) {
	whole := strings.Repeat("a", 86)
	for _, text := range []string{"", "$6$", "$6$salt", "$6$salt$short", "$1$salt$" + whole, "$6$rounds=9999999$salt$" + whole, "$6$rounds=x$salt$" + whole,
		"$6$rounds=-1$salt$" + whole, "$6$salt$" + whole + "$", "$6$salt$" + whole[1:] + ":", "$5$salt$" + whole, "$6$rounds=5000$" + whole} {
		if _, err := parseSHACrypt(text); err == nil || strings.Contains(err.Error(), "salt") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzSHACrypt(f *testing.F) {
	for hash := range cryptVectors() {
		f.Add(hash)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseSHACrypt(text)
		if err != nil {
			return
		}
		c.rounds = leastRounds
		if _, err := c.is(t.Context(), "x"); err != nil {
			t.Error(err)
		}
	})
}
