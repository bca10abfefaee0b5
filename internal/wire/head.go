package wire

import (
	"net/http"
	"net/textproto"
	"strings"
)

// head is what the request line and the headers of a request say.
type head struct {
	method  string
	target  string // origin form, as received
	host    string // lower-case
	length  int64  // of the body; -1 when it comes in chunks
	close   bool   // Connection: close
	upgrade bool   // Upgrade: websocket
	expect  bool   // Expect: 100-continue
	dropped int    // headers dropped for an underscore
}

// headRules is what parseHead collects while it reads the header lines.
type headRules struct {
	hasHost, hasLength, hasCoding bool
	connUpgrade                   bool
}

// parseHead reads a whole head: the request line, the header lines, and the empty
// line, with CR LF at the end of each and nowhere else. Headers go into h, which
// is empty; Host and Transfer-Encoding do not, like in net/http. The strings share
// one memory with s. A Reason other than "" refuses the request.
func parseHead(s string, lines int, h http.Header) (head, Reason) {
	line, s, ok := cutLine(s)
	if !ok {
		return head{}, ReasonLineEnd
	}
	var hd head
	if reason := hd.parseRequestLine(line); reason != "" {
		return hd, reason
	}
	values := make([]string, 0, lines)
	var rules headRules
	for {
		if line, s, ok = cutLine(s); !ok {
			return hd, ReasonLineEnd
		}
		if line == "" {
			break
		}
		name, value, reason := parseField(line)
		if reason != "" {
			return hd, reason
		}
		if strings.IndexByte(name, '_') >= 0 {
			if isLookAlike(name) {
				return hd, ReasonUnderscore
			}
			hd.dropped++
			continue
		}
		if reason := hd.apply(name, value, &rules); reason != "" {
			return hd, reason
		}
		if name == "Host" || name == "Transfer-Encoding" {
			continue
		}
		if already, ok := h[name]; ok {
			if isSingle(name) {
				return hd, ReasonRepeated
			}
			h[name] = append(already, value)
			continue
		}
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if s != "" {
		return hd, ReasonLineEnd
	}
	return hd, hd.judge(&rules)
}

// cutLine cuts a line at its CR LF; a bare LF is none.
func cutLine(s string) (line, rest string, ok bool) {
	i := strings.IndexByte(s, '\n')
	if i < 1 || s[i-1] != '\r' {
		return "", "", false
	}
	return s[:i-1], s[i+1:], true
}

// parseRequestLine reads method, target and version, with one space between them.
func (hd *head) parseRequestLine(line string) Reason {
	if strings.IndexByte(line, '\r') >= 0 {
		return ReasonLineEnd
	}
	method, rest, ok := strings.Cut(line, " ")
	target, version, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 || method == "" || !all(method, classToken) {
		return ReasonLine
	}
	if version != "HTTP/1.1" {
		if len(version) == 8 && version[:5] == "HTTP/" && version[6] == '.' {
			return ReasonVersion
		}
		return ReasonLine
	}
	if !isMethod(method) {
		return ReasonMethod
	}
	if !isTarget(target) {
		return ReasonTarget
	}
	hd.method, hd.target = method, target
	return ""
}

// parseField reads a header line. The name is canonical, unless it has an underscore.
func parseField(line string) (name, value string, reason Reason) {
	if line[0] == ' ' || line[0] == '\t' {
		return "", "", ReasonFold
	}
	colon := strings.IndexByte(line, ':')
	if colon < 1 || !all(line[:colon], classToken) {
		return "", "", ReasonHeaderName
	}
	name = canonicalName(line[:colon])
	raw := line[colon+1:]
	value = trimSpace(raw)
	if raw != value && (raw[0] != ' ' || raw[1:] != value) && isFraming(name) {
		return "", "", ReasonHeaderValue
	}
	return name, value, checkValue(value)
}

// canonicalName is textproto.CanonicalMIMEHeaderKey without an allocation for what
// browsers send in lower case with every request.
func canonicalName(name string) string {
	switch name {
	case "sec-ch-ua":
		return "Sec-Ch-Ua"
	case "sec-ch-ua-mobile":
		return "Sec-Ch-Ua-Mobile"
	case "sec-ch-ua-platform":
		return "Sec-Ch-Ua-Platform"
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// apply takes in a header that says something about the message itself.
func (hd *head) apply(name, value string, rules *headRules) Reason {
	switch name {
	case "Host":
		if rules.hasHost || !isHost(value) {
			return ReasonHost
		}
		rules.hasHost = true
		hd.host = strings.ToLower(value)
	case "Content-Length":
		n, ok := parseLength(value)
		if rules.hasLength || !ok {
			return ReasonLength
		}
		rules.hasLength = true
		hd.length = n
	case "Transfer-Encoding":
		if rules.hasCoding || value != "chunked" {
			return ReasonCoding
		}
		rules.hasCoding = true
	case "Connection":
		return hd.parseConnection(value, rules)
	case "Upgrade":
		if hd.upgrade || !strings.EqualFold(value, "websocket") {
			return ReasonUpgrade
		}
		hd.upgrade = true
	case "Expect":
		if hd.expect || !strings.EqualFold(value, "100-continue") {
			return ReasonExpect
		}
		hd.expect = true
	case "Trailer":
		return ReasonTrailer
	}
	return ""
}

// parseConnection reads connection options. An option names headers that end here;
// with names of its own choosing a client would take from a request what others
// rely on, so only the known ones are taken.
func (hd *head) parseConnection(value string, rules *headRules) Reason {
	for {
		option, rest, more := strings.Cut(value, ",")
		option = trimSpace(option)
		switch {
		case strings.EqualFold(option, "close"):
			hd.close = true
		case strings.EqualFold(option, "upgrade"):
			rules.connUpgrade = true
		case strings.EqualFold(option, "keep-alive"), strings.EqualFold(option, "te"):
		default:
			return ReasonConnection
		}
		if !more {
			return ""
		}
		value = rest
	}
}

// judge is what can be said only when all headers are known.
func (hd *head) judge(rules *headRules) Reason {
	if !rules.hasHost {
		return ReasonHost
	}
	if rules.hasCoding {
		if rules.hasLength {
			return ReasonFraming
		}
		hd.length = -1
	}
	switch {
	case hd.length != 0 && (hd.method == "GET" || hd.method == "HEAD"):
		return ReasonBody
	case hd.expect && hd.length == 0:
		return ReasonExpect
	case hd.upgrade && (!rules.connUpgrade || hd.method != "GET"):
		return ReasonUpgrade
	}
	return ""
}
