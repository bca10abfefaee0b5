package wire

import (
	"net/netip"
	"net/url"
	"strings"
)

// isTarget reports whether a request target is in origin form (RFC 9112 section
// 3.2.1): a path that begins with one slash, and perhaps a query. Escapes in the
// path are well-formed; which of them are canonical is not judged here.
func isTarget(t string) bool {
	path, query, _ := strings.Cut(t, "?")
	if len(path) == 0 || path[0] != '/' || len(path) > 1 && path[1] == '/' {
		return false
	}
	for i := 0; i < len(path); i++ {
		if path[i] == '%' {
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return false
			}
			i += 2
			continue
		}
		if classes[path[i]]&classPath == 0 {
			return false
		}
	}
	return all(query, classQuery)
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'f'
}

// parseTarget is url.ParseRequestURI for a target that isTarget, without its work
// where the path needs none.
func parseTarget(t string) (*url.URL, error) {
	path, query, asked := strings.Cut(t, "?")
	for i := range len(path) {
		if !plainPath(path[i]) {
			return url.ParseRequestURI(t)
		}
	}
	return &url.URL{Path: path, RawQuery: query, ForceQuery: asked && query == ""}, nil
}

// plainPath reports whether a byte of a path stands for itself and is written so by net/url.
func plainPath(b byte) bool {
	return b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '/' && b <= '9' || b == '-' || b == '.' || b == '_' || b == '~'
}

// isHost reports whether a Host is a name or address with an optional port (RFC
// 9110 section 7.2), without escapes and not empty.
func isHost(h string) bool {
	if h == "" || len(h) > 262 {
		return false
	}
	name, port, hasPort := h, "", false
	if h[0] == '[' {
		end := strings.IndexByte(h, ']')
		if end < 0 {
			return false
		}
		if a, err := netip.ParseAddr(h[1:end]); err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
		if port = h[end+1:]; port == "" {
			return true
		}
		if port[0] != ':' {
			return false
		}
		name, port, hasPort = "v6", port[1:], true
	} else {
		name, port, hasPort = strings.Cut(h, ":")
	}
	return name != "" && all(name, classHost) && (!hasPort || isPort(port))
}

func isPort(p string) bool {
	n, ok := parseLength(p)
	return ok && n > 0 && n < 1<<16
}
