package filter

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// said are the prefixes of a list as text, with their lines.
func said(l *list) []string {
	var all []string
	for _, e := range l.four {
		all = append(all, fmt.Sprintf("%d %s", e.entry().line, e.entry().prefix))
	}
	for _, e := range l.six {
		all = append(all, fmt.Sprintf("%d %s", e.entry().line, e.entry().prefix))
	}
	return all
}

func TestListForms(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"FireHOL":          {"#\n# firehol_level1\n#\n\n1.10.16.0/20\n5.188.10.7\n", []string{"5 1.10.16.0/20", "6 5.188.10.7/32"}},
		"Spamhaus text":    {"; Spamhaus DROP List\n; Expires: soon\n1.10.16.0/20 ; SBL256894\n", []string{"3 1.10.16.0/20"}},
		"Spamhaus JSON":    {`{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}` + "\n" + `{"cidr":"2a06:e480::\/29","sblid":"SBL301771","rir":"ripencc"}` + "\n" + `{"type":"metadata","timestamp":1790072042,"size":2,"records":2}` + "\n", []string{"1 1.10.16.0/20", "2 2a06:e480::/29"}},
		"Windows":          {"\xef\xbb\xbf203.0.113.0/24\r\n2001:db8::7\r\n\r\n", []string{"1 203.0.113.0/24", "2 2001:db8::7/128"}},
		"no last end":      {"203.0.113.7 # bad\n203.0.113.9", []string{"1 203.0.113.7/32", "2 203.0.113.9/32"}},
		"range":            {"203.0.113.4-203.0.113.9\n203.0.113.0 - 203.0.113.0\n", []string{"1 203.0.113.4/30", "1 203.0.113.8/31", "2 203.0.113.0/32"}},
		"range of IPv6":    {"2001:db8::-2001:db8::ffff\n", []string{"1 2001:db8::/112"}},
		"bits beyond":      {"203.0.113.77/24\n2001:db8::1/64\n", []string{"1 203.0.113.0/24", "2 2001:db8::/64"}},
		"IPv4 in IPv6":     {"::ffff:203.0.113.0/120\n64:ff9b::198.51.100.7\n", []string{"1 203.0.113.0/24", "2 198.51.100.7/32"}},
		"wide on purpose":  {"224.0.0.0/3\n", []string{"1 224.0.0.0/3"}},
		"empty on purpose": {"# nothing today\n", nil},
		"last address":     {"255.255.255.254-255.255.255.255\n", []string{"1 255.255.255.254/31"}},
	} {
		l, err := readList("x", strings.NewReader(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := said(l); !slices.Equal(got, c.want) || l.bad != 0 {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A line that cannot be read is left out, counted and named; a file of these is none.
func TestRottenLines(t *testing.T) {
	for _, line := range []string{
		"203.0.113.0/33", "203.0.113.0/", "203.0.113.0/024", "203.0.113.0/+8", "203.0.113", "203.0.113.01", "house.test", "fe80::1%eth0",
		"0.0.0.0/0", "::/0", "198.51.100.0/2", "0.0.0.0-255.255.255.255", "203.0.113.9-203.0.113.4", "203.0.113.9-2001:db8::1", "-", "1.2.3.4-", "fe80::1%a-fe80::2",
		"{", `{"cidr":5}`, `{"CIDR":"203.0.113.0/24","asn":1}`, `{"cidr":"203.0.113.0/24","cidr":"10.0.0.0/8"}`, `{"asn":64496}`, `{"cidr":"x"}`,
		"::ffff:0:0/90", "203.0.113.7,198.51.100.7", "203.0.113.7 198.51.100.7", "\x00", "\xff", strings.Repeat("1", 5000), strings.Repeat(" ", 5000) + "1.2.3.4",
	} {
		good := strings.Repeat("203.0.113.0/24\n", 20)
		l, err := readList("x", strings.NewReader(good+line+"\n"+good))
		if err != nil {
			t.Errorf("%.40q: %v", line, err)
			continue
		}
		if l.len() != 40 || l.bad != 1 || l.lines != 41 || !strings.HasPrefix(l.first.Error(), "x:21: ") {
			t.Errorf("%.40q: %d entries, %d bad of %d: %v", line, l.len(), l.bad, l.lines, l.first)
		}
		if l, err := readList("x", strings.NewReader("203.0.113.0/24\n"+line+"\n")); err == nil || !strings.HasPrefix(err.Error(), "x:2: ") {
			t.Errorf("%.40q: %v, %v", line, l, err)
		}
	}
}

func TestWhatIsNoListIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          "",
		"begun":            "# FireHOL level1\n# Maintai",
		"space":            " \n\r\n",
		"a page":           "<!DOCTYPE html>\n<title>404</title>\n",
		"broken off":       "203.0.113.0/24\n128.0.0.0/1",
		"too many":         "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n" + strings.Repeat("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe\n", 17000),
		"a binary program": "\x7fELF\x02\x01\x01\x00\x00\x00",
	} {
		if l, err := readList("x", strings.NewReader(text)); err == nil {
			t.Errorf("%s is taken: %d entries", name, l.len())
		} else if !strings.HasPrefix(err.Error(), "x:") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readList("x", &endless{}); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
}

// endless is a comment without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("#"), len(p))), nil }

// What a list takes contains exactly what it says.
func TestListContainsWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one := rapid.Custom(func(t *rapid.T) netip.Addr {
			low := rapid.Uint16().Draw(t, "low")
			if rapid.Bool().Draw(t, "six") {
				return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(low >> 8), 15: byte(low)})
			}
			return netip.AddrFrom4([4]byte{203, 0, byte(low >> 8), byte(low)})
		})
		var lines []string
		var naive []func(netip.Addr) bool
		for range rapid.IntRange(1, 8).Draw(t, "lines") {
			a := one.Draw(t, "from")
			if rapid.Bool().Draw(t, "range") {
				b := one.Draw(t, "to")
				if a.BitLen() != b.BitLen() || b.Less(a) {
					b = a
				}
				lines = append(lines, a.String()+"-"+b.String())
				naive = append(naive, func(x netip.Addr) bool { return x.BitLen() == a.BitLen() && !x.Less(a) && !b.Less(x) })
				continue
			}
			p := netip.PrefixFrom(a, rapid.IntRange(a.BitLen()-16, a.BitLen()).Draw(t, "bits"))
			lines = append(lines, p.String())
			naive = append(naive, p.Masked().Contains)
		}
		l, err := readList("x", strings.NewReader(strings.Join(lines, "\n")+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		s := newSet([]*list{l})
		for range 200 {
			x := one.Draw(t, "asked")
			want := slices.ContainsFunc(naive, func(in func(netip.Addr) bool) bool { return in(x) })
			if got := s.all.Contains(x); got != want {
				t.Fatalf("%s in %q: %t", x, lines, got)
			}
			if e, in := s.find(x); (in != nil) != want || want && !naive[e.line-1](x) {
				t.Fatalf("%s in %q is explained by line %d, %s", x, lines, e.line, e.prefix)
			}
		}
	})
}

func FuzzList(f *testing.F) {
	for _, s := range []string{
		"# c\n1.2.3.0/24 ; SBL1\n5.6.7.8\n", "\xef\xbb\xbf1.2.3.4-1.2.3.9\r\n", `{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}` + "\n",
		"::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "64:ff9b::1.2.3.0/120\n::ffff:9.9.9.9\n", "1.2.3.4/2", "0.0.0.0/0\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := readList("x", bytes.NewReader(text))
		if err != nil {
			if l != nil {
				t.Fatal("both a list and an error")
			}
			return
		}
		if l.bad > 0 != (l.first != nil) || l.bad*unreadable > l.lines {
			t.Fatalf("%d bad of %d: %v", l.bad, l.lines, l.first)
		}
		lines := bytes.Count(text, []byte("\n")) + 1
		for p := range l.prefixes {
			if p != p.Masked() || !p.IsValid() || p.Bits() == 0 || Normal(p.Addr()) != p.Addr() {
				t.Fatalf("took %s", p)
			}
		}
		s := newSet([]*list{l})
		for _, e := range append(said4(l), said6(l)...) {
			if e.line < 1 || e.line > lines || !s.all.Contains(e.prefix.Addr()) || !s.all.Contains(last(e.prefix)) {
				t.Fatalf("line %d of %d has %s", e.line, lines, e.prefix)
			}
		}
	})
}

func said4(l *list) (all []entry) {
	for _, e := range l.four {
		all = append(all, e.entry())
	}
	return all
}

func said6(l *list) (all []entry) {
	for _, e := range l.six {
		all = append(all, e.entry())
	}
	return all
}
