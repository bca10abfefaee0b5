package filter

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Words of a rule's from, before the colon.
const (
	fromAny     = "any"
	fromCountry = "country"
	fromASN     = "asn"
	fromList    = "list"
)

// From is one word of a rule's from. Exactly one field is set.
type From struct {
	Any     bool
	Prefix  netip.Prefix
	Country string // ISO 3166-1, two capital letters
	ASN     uint32
	List    string // path of a file
}

// ParseFrom reads whom a rule is about: "203.0.113.0/24", "2001:db8::7", "country:DE",
// "asn:64496", "list:/path/to/file" or "any". Its errors say what is wrong and what would
// be right.
func ParseFrom(word string) (From, error) {
	kind, value, found := strings.Cut(word, ":")
	switch {
	case word == fromAny:
		return From{Any: true}, nil
	case found && kind == fromCountry:
		return parseCountry(value)
	case found && kind == fromASN:
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(value), "AS"), 10, 32)
		if err != nil || n == 0 {
			return From{}, fmt.Errorf("%q is no number of a network; it looks like \"asn:64496\"", value)
		}
		return From{ASN: uint32(n)}, nil
	case found && kind == fromList:
		if !filepath.IsAbs(value) {
			return From{}, fmt.Errorf("%q depends on where Gatehouse is started; a list's path begins with /", value)
		}
		return From{List: filepath.Clean(value)}, nil
	}
	p, err := parsePrefix(word)
	if err == nil && p.Addr() != p.Masked().Addr() {
		return From{}, fmt.Errorf("%s has bits beyond its length; the network is %s", word, p.Masked())
	}
	if err != nil {
		return From{}, fmt.Errorf(`%q is none of "203.0.113.0/24", "country:DE", "asn:64496", "list:/path/to/file" and "any"%s`, word, meant(word))
	}
	return From{Prefix: p}, nil
}

// meant guesses what a word should have been.
func meant(word string) string {
	switch upper := strings.ToUpper(word); {
	case len(upper) == 2 && isCountry(upper):
		return `; did you mean "country:` + upper + `"?`
	case strings.HasPrefix(word, "/"):
		return `; did you mean "list:` + word + `"?`
	case strings.HasPrefix(upper, "AS") && strings.Trim(upper[2:], "0123456789") == "" && len(upper) > 2:
		return `; did you mean "asn:` + upper[2:] + `"?`
	}
	return ""
}

// parsePrefix reads an address or a prefix, which may have bits beyond its length. What
// Normal makes IPv4 is IPv4 here, too.
func parsePrefix(word string) (netip.Prefix, error) {
	addr, bits, isPrefix := strings.Cut(word, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.Prefix{}, errors.New("is no address")
	}
	if a.Zone() != "" {
		return netip.Prefix{}, errors.New("has a zone")
	}
	length := a.BitLen()
	if isPrefix {
		n, err := strconv.ParseUint(bits, 10, 8)
		if err != nil || int(n) > length || bits != strconv.FormatUint(n, 10) {
			return netip.Prefix{}, errors.New("has a length that does not exist")
		}
		length = int(n)
	}
	if v4 := Normal(a); v4.Is4() && a.Is6() {
		if length < 96 {
			return netip.Prefix{}, errors.New("is wider than the IPv4 addresses that it speaks of")
		}
		a, length = v4, length-96
	}
	return netip.PrefixFrom(a, length), nil
}

func parseCountry(value string) (From, error) {
	code := strings.ToUpper(value)
	switch {
	case isCountry(code):
		return From{Country: code}, nil
	case code == "UK":
		return From{}, errors.New(`"UK" is no country's code; the United Kingdom's is GB`)
	case code == "EL":
		return From{}, errors.New(`"EL" is no country's code; Greece's is GR`)
	}
	return From{}, fmt.Errorf("%q is no country's code; they have two letters, like \"country:DE\" (ISO 3166-1)", value)
}

// isCountry reports whether a code is assigned in ISO 3166-1, or XK, by which the files
// call Kosovo.
func isCountry(code string) bool {
	return len(code) == 2 && slices.Contains(strings.Fields(countries), code)
}

const countries = `AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR
GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP
KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ
NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW
SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ
UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW`
