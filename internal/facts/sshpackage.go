package facts

import "strings"

// Before reports whether the installed package is older than another version of it, as
// dpkg orders them (deb-version(7)).
func (r SSHRelease) Before(version string) bool { return compareDebian(r.Package, version) < 0 }

func compareDebian(a, b string) int {
	split := func(v string) (epoch, upstream, revision string) {
		if e, rest, ok := strings.Cut(v, ":"); ok {
			epoch, v = e, rest
		}
		if n := strings.LastIndexByte(v, '-'); n >= 0 {
			return epoch, v[:n], v[n+1:]
		}
		return epoch, v, ""
	}
	e1, u1, r1 := split(a)
	e2, u2, r2 := split(b)
	for _, pair := range [][2]string{{e1, e2}, {u1, u2}, {r1, r2}} {
		if c := compareDebianPart(pair[0], pair[1]); c != 0 {
			return c
		}
	}
	return 0
}

// compareDebianPart compares letters and numbers by turns; "~" sorts before the end.
func compareDebianPart(a, b string) int {
	digit := func(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }
	order := func(s string) int {
		switch {
		case s == "" || digit(s):
			return 0
		case s[0] == '~':
			return -1
		case s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z':
			return int(s[0])
		}
		return int(s[0]) + 256
	}
	for a != "" || b != "" {
		for a != "" && !digit(a) || b != "" && !digit(b) {
			if x, y := order(a), order(b); x != y {
				return x - y
			}
			a, b = a[min(1, len(a)):], b[min(1, len(b)):]
		}
		number := func(s *string) string {
			end := 0
			for end < len(*s) && digit((*s)[end:]) {
				end++
			}
			n := strings.TrimLeft((*s)[:end], "0")
			*s = (*s)[end:]
			return n
		}
		x, y := number(&a), number(&b)
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}
