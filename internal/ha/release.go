package ha

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Release is a version of Home Assistant, as 2026.11.0, 2026.12.0b3 or 2026.12.0.dev20261101.
type Release struct {
	Year, Month, Patch int
	Suffix             string // what is behind the numbers; empty for what was released
}

// ParseRelease reads a version.
func ParseRelease(s string) (Release, error) {
	bad := fmt.Errorf("%.40q is no version of Home Assistant", s)
	var n [3]int
	rest := s
	for i := range n {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits > 4 {
			return Release{}, bad
		}
		n[i], _ = strconv.Atoi(rest[:digits])
		rest = rest[digits:]
		if i < 2 {
			if rest == "" || rest[0] != '.' {
				return Release{}, bad
			}
			rest = rest[1:]
		}
	}
	r := Release{n[0], n[1], n[2], rest}
	suffixed := rest == "" || strings.HasPrefix(rest, "b") || strings.HasPrefix(rest, "rc") || strings.HasPrefix(rest, ".dev")
	if !suffixed || !isWord(strings.TrimPrefix(rest+"0", ".")) || r.Month < 1 || r.Month > 12 || r.String() != s {
		return Release{}, bad
	}
	return r, nil
}

// String is the version as Home Assistant writes it; empty for the zero Release.
func (r Release) String() string {
	if r == (Release{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d%s", r.Year, r.Month, r.Patch, r.Suffix)
}

// Compare orders releases by when they came: -1 if r is older, 1 if it is newer.
func (r Release) Compare(other Release) int {
	return cmp.Or(cmp.Compare(r.Year, other.Year), cmp.Compare(r.Month, other.Month), cmp.Compare(r.Patch, other.Patch),
		compareSuffix(r.Suffix, other.Suffix))
}

// compareSuffix orders development before beta before candidate before release, and
// within one kind by number.
func compareSuffix(a, b string) int {
	rank := func(s string) (int, int) {
		for i, mark := range []string{".dev", "b", "rc"} {
			if number, ok := strings.CutPrefix(s, mark); ok {
				n, _ := strconv.Atoi(number)
				return i, n
			}
		}
		return 3, 0
	}
	ra, na := rank(a)
	rb, nb := rank(b)
	return cmp.Or(cmp.Compare(ra, rb), cmp.Compare(na, nb), cmp.Compare(a, b))
}

// AtLeast reports whether a release has what came with the month's release; the
// month's betas count as having it.
func (r Release) AtLeast(year, month int) bool {
	return cmp.Or(cmp.Compare(r.Year, year), cmp.Compare(r.Month, month)) >= 0
}
