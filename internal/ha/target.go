package ha

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The reasons why a request target is not canonical.
var (
	errForm    = errors.New("request target is not a path")
	errByte    = errors.New("request target has a byte that a URL does not have")
	errEscape  = errors.New("request target has an escape that can be read in two ways")
	errSegment = errors.New("request target has an empty segment or one of dots")
	errUTF8    = errors.New("request target is not UTF-8")
)

// The bytes of a target, as they are written. A path may have those of RFC 3986
// section 3.3 without ";", which Home Assistant's server and others read differently.
const (
	inPath     byte = 1 << iota // may stand in a path
	unreserved                  // is never escaped (RFC 3986 section 2.3)
)

var targetBytes = func() (t [256]byte) {
	for c := range 256 {
		switch b := byte(c); {
		case b|0x20 >= 'a' && b|0x20 <= 'z', b >= '0' && b <= '9', strings.IndexByte("-._~", b) >= 0:
			t[c] = inPath | unreserved
		case strings.IndexByte("/!$&'()*+,=:@", b) >= 0:
			t[c] = inPath
		}
	}
	return t
}()

// CanonicalTarget returns the decoded path and the raw query of a request target in
// origin form (RFC 9112 section 3.2.1). A target is refused unless its path has one
// way to be written and one way to be read, so that what is decided on is what Home
// Assistant (aiohttp, yarl) serves: no empty segments and none of dots; no escape of
// "/", "\", ".", "%", ";" or of what needs none; nothing but UTF-8, without control
// characters. The query is returned as it came; it has visible ASCII only, and no "#".
func CanonicalTarget(target string) (path, query string, err error) {
	raw, query, _ := strings.Cut(target, "?")
	if raw == "" || raw[0] != '/' {
		return "", "", errForm
	}
	escaped := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case targetBytes[c]&inPath != 0:
			if c == '/' && !cleanSegment(raw[i+1:]) {
				return "", "", errSegment
			}
		case c == '%':
			escaped = true
		default:
			return "", "", errByte
		}
	}
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return "", "", errByte
		}
	}
	if !escaped {
		return raw, query, nil
	}
	if path, err = unescapePath(raw); err != nil {
		return "", "", err
	}
	return path, query, nil
}

// cleanSegment looks at the segment that rest begins with. The last may be empty.
func cleanSegment(rest string) bool {
	if rest == "" || rest[0] != '/' && rest[0] != '.' {
		return true
	}
	segment, _, _ := strings.Cut(rest, "/")
	return segment != "" && segment != "." && segment != ".."
}

func unescapePath(raw string) (string, error) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '%' {
			out = append(out, raw[i])
			continue
		}
		if i+2 >= len(raw) {
			return "", errEscape
		}
		hi, lo := hexDigit(raw[i+1]), hexDigit(raw[i+2])
		if hi < 0 || lo < 0 {
			return "", errEscape
		}
		c := byte(hi<<4 | lo)
		if targetBytes[c]&unreserved != 0 || strings.IndexByte(`/\%;`, c) >= 0 {
			return "", errEscape
		}
		out = append(out, c)
		i += 2
	}
	for rest := out; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n <= 1:
			return "", errUTF8
		case unicode.IsControl(r):
			return "", errByte
		}
		rest = rest[n:]
	}
	return string(out), nil
}

// hexDigit is the value of a hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// PageTarget reads the target of a page of the frontend that CanonicalTarget refuses
// for what the frontend itself writes below a panel's name: escaped slashes and percent
// signs, as in /media-browser/browser/app%2Cmedia-source%3A%2F%2F. Home Assistant
// serves the same page whatever stands there, and the frontend reads it from the
// browser's own address; so it is the panel's bare path that is returned, to be decided
// on and forwarded. Segments of dots are refused here, too, however they are written.
func PageTarget(target string) (path, query string, err error) {
	raw, query, _ := strings.Cut(target, "?")
	end := strings.IndexByte(strings.TrimPrefix(raw, "/"), '/')
	if raw == "" || raw[0] != '/' || end <= 0 {
		return "", "", errForm
	}
	first := raw[:end+1]
	if Classify("GET", first) != RouteShell {
		return "", "", errForm
	}
	// An x stands for what is refused elsewhere; a segment stays one of dots only if it was.
	rest := strings.NewReplacer("%2f", "/", "%2F", "/").Replace(raw[end+1:])
	for segment := range strings.SplitSeq(rest, "/") {
		if segment == "." || segment == ".." {
			return "", "", errSegment
		}
	}
	for strings.Contains(rest, "//") {
		rest = strings.ReplaceAll(rest, "//", "/")
	}
	if _, _, err := CanonicalTarget(first + strings.ReplaceAll(rest, "%25", "x") + "?" + query); err != nil {
		return "", "", err
	}
	return first, query, nil
}
