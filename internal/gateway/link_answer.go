package gateway

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strings"
)

// What Home Assistant answers on a link, read strictly (RFC 9112): where an answer
// ends must be said once and in one way, or it is no answer.

const (
	answerHeadMax  = 64 << 10
	answerLinesMax = 300
	chunkLineMax   = 256 // of a chunk's size with its extensions, and of a trailer line
	trailersMax    = 64  // lines
)

// badAnswer says what is wrong with an answer.
type badAnswer string

func (b badAnswer) Error() string { return "malformed answer: " + string(b) }

// field is one header line; its name is in canonical form.
type field struct{ name, value string }

// answerHead is what the head of an answer says.
type answerHead struct {
	status int
	length int64 // of the content, as said; -1 if it was not
	keep   bool  // the server lets the connection go on
	fields []field

	chunked bool
	old     bool // HTTP/1.0
}

// readHead reads heads until one is not 1xx, and says how its content ends.
func (x *exchange) readHead(method string) error {
	ln := x.line
	for range early {
		text, err := x.headText()
		if err != nil {
			return err
		}
		h, err := parseAnswerHead(text, ln.fields[:0])
		if err != nil {
			return err
		}
		ln.fields = h.fields
		switch {
		case h.status == http.StatusSwitchingProtocols:
			return badAnswer("a protocol that was not asked for")
		case h.status < 200:
			continue
		}
		x.answerHead = h
		return x.frame(method)
	}
	return badAnswer("no end of 1xx")
}

// headText reads a head with the empty line that ends it.
func (x *exchange) headText() (string, error) {
	ln := x.line
	from := 0 // where an end may begin, from ln.r
	for {
		unread := ln.in[ln.r:ln.w]
		if i := bytes.Index(unread[from:], []byte("\r\n\r\n")); i >= 0 {
			end := from + i + 4
			text := string(unread[:end])
			ln.r += end
			return text, nil
		}
		from = max(0, len(unread)-3)
		if err := ln.room(); err != nil {
			return "", err
		}
		if err := x.more(); err != nil {
			if err == io.EOF && len(unread) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}

// room makes room behind the unread bytes of a head.
func (ln *line) room() error {
	if ln.w < len(ln.in) {
		return nil
	}
	if ln.r > 0 {
		ln.w = copy(ln.in, ln.in[ln.r:ln.w])
		ln.r = 0
		return nil
	}
	if len(ln.in) >= answerHeadMax {
		return badAnswer("head too large")
	}
	bigger := make([]byte, 4*len(ln.in))
	ln.w = copy(bigger, ln.in)
	ln.in = bigger // until shrink
	return nil
}

// parseAnswerHead reads a head: status line, header lines and the empty line, each
// ended by CR LF.
func parseAnswerHead(s string, fields []field) (answerHead, error) {
	h := answerHead{length: -1, keep: true, fields: fields}
	line, s, _ := strings.Cut(s, "\r\n")
	if err := h.statusLine(line); err != nil {
		return h, err
	}
	for {
		line, s, _ = strings.Cut(s, "\r\n")
		if line == "" {
			break
		}
		name, value, err := parseAnswerField(line)
		if err != nil {
			return h, err
		}
		if err := h.apply(name, value); err != nil {
			return h, err
		}
		if len(h.fields) == answerLinesMax {
			return h, badAnswer("too many header lines")
		}
		h.fields = append(h.fields, field{name, value})
	}
	switch {
	case s != "":
		return h, badAnswer("line end")
	case h.chunked && (h.length >= 0 || h.old):
		return h, badAnswer("two framings")
	}
	return h, nil
}

// statusLine reads "HTTP/1.1 200 OK"; the reason may be left out. Of HTTP/1.0 no line is kept.
func (h *answerHead) statusLine(line string) error {
	switch {
	case len(line) < 12 || line[:7] != "HTTP/1." || line[7] != '1' && line[7] != '0' || line[8] != ' ':
		return badAnswer("status line")
	case len(line) > 12 && line[12] != ' ', !visible(line[8:]):
		return badAnswer("status line")
	}
	for _, c := range []byte(line[9:12]) {
		if c < '0' || c > '9' {
			return badAnswer("status line")
		}
		h.status = 10*h.status + int(c-'0')
	}
	if h.status < 100 || h.status > 599 {
		return badAnswer("status")
	}
	if line[7] == '0' {
		h.old, h.keep = true, false
	}
	return nil
}

func parseAnswerField(line string) (name, value string, err error) {
	colon := strings.IndexByte(line, ':')
	if colon < 1 {
		return "", "", badAnswer("header line")
	}
	name = line[:colon]
	for i := range len(name) {
		if !isTokenByte(name[i]) {
			return "", "", badAnswer("header name") // a folded line, too
		}
	}
	value = strings.Trim(line[colon+1:], " \t")
	if !visible(value) {
		return "", "", badAnswer("header value")
	}
	return textproto.CanonicalMIMEHeaderKey(name), value, nil
}

// isTokenByte reports whether a byte may be part of a header name (RFC 9110 section 5.6.2).
func isTokenByte(b byte) bool {
	return b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9' || b == '-' || strings.IndexByte("!#$%&'*+.^_`|~", b) >= 0
}

// visible reports whether a text holds no control character but tabs.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// apply takes in what a header says about the answer's end.
func (h *answerHead) apply(name, value string) error {
	switch name {
	case "Content-Length":
		n, ok := parseAnswerLength(value)
		if !ok || h.length >= 0 {
			return badAnswer("length")
		}
		h.length = n
	case "Transfer-Encoding":
		if h.chunked || !strings.EqualFold(value, "chunked") {
			return badAnswer("transfer coding")
		}
		h.chunked = true
	case "Connection":
		for option := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.Trim(option, " \t"), "close") {
				h.keep = false
			}
		}
	}
	return nil
}

// parseAnswerLength reads one number below 10^18.
func parseAnswerLength(v string) (int64, bool) {
	if v == "" || len(v) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range []byte(v) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// content is where an answer's content ends (RFC 9112 section 6.3).
type content struct {
	end     bool  // it has been read to its end
	chunks  bool  // left is that of the chunk under way
	begun   bool  // a chunk has been read: CR LF stands before the next size
	open    bool  // it ends with the connection
	left    int64 // bytes
	filling bool  // the last read took all the room there was
}

// frame decides how the content ends.
func (x *exchange) frame(method string) error {
	switch {
	case x.status == http.StatusNoContent:
		if x.length > 0 || x.chunked {
			return badAnswer("content where there is none")
		}
		x.length, x.end = 0, true
	case method == http.MethodHead, x.status == http.StatusNotModified:
		x.end = true
	case x.chunked:
		x.chunks = true
	case x.length < 0:
		x.open, x.keep = true, false
	default:
		x.left, x.end = x.length, x.length == 0
	}
	return nil
}

// next returns the next piece of content, which is good until the next call; io.EOF
// may come with the last piece or after it, and any other error means that the content
// is not whole. wait is called before anything is waited for.
func (x *exchange) next(wait func() error) ([]byte, error) {
	if x.end {
		return nil, io.EOF
	}
	if x.chunks && x.left == 0 {
		if err := x.nextChunk(wait); err != nil {
			return nil, err
		}
	}
	ln := x.line
	if ln.r == ln.w {
		if err := x.fill(wait); err != nil {
			if err == io.EOF && x.open {
				x.end = true
				return nil, io.EOF
			}
			return nil, cut(err)
		}
	}
	piece := ln.in[ln.r:ln.w]
	if !x.open {
		if int64(len(piece)) > x.left {
			piece = piece[:x.left]
		}
		x.left -= int64(len(piece))
	}
	ln.r += len(piece)
	if !x.open && !x.chunks && x.left == 0 {
		x.end = true
		return piece, io.EOF
	}
	return piece, nil
}

// cut makes an end in the middle an error.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill reads into the empty buffer, which is a large one where much is to come.
func (x *exchange) fill(wait func() error) error {
	if err := wait(); err != nil {
		return err
	}
	ln := x.line
	ln.r, ln.w = 0, 0
	if ln.large == nil && (x.filling || !x.open && x.left > int64(len(ln.in))) {
		ln.large = buffers.Get().(*[]byte)
		ln.in = *ln.large
	}
	err := x.more()
	x.filling = ln.w == len(ln.in)
	return err
}

// octet reads a byte of chunk framing.
func (x *exchange) octet(wait func() error) (byte, error) {
	ln := x.line
	if ln.r == ln.w {
		if err := x.fill(wait); err != nil {
			return 0, cut(err)
		}
	}
	ln.r++
	return ln.in[ln.r-1], nil
}

// chunkLine reads the rest of a line of chunk framing, behind what line holds already.
func (x *exchange) chunkLine(line []byte, wait func() error) ([]byte, error) {
	for len(line) <= chunkLineMax {
		c, err := x.octet(wait)
		switch {
		case err != nil:
			return nil, err
		case c == '\r':
			if c, err = x.octet(wait); err == nil && c != '\n' {
				err = badAnswer("chunk line end")
			}
			return line, err
		case c < ' ' && c != '\t' || c == 0x7f:
			return nil, badAnswer("chunk line")
		}
		line = append(line, c)
	}
	return nil, badAnswer("chunk line too long")
}

// nextChunk reads up to the content of the next chunk; io.EOF after the last one and
// its trailers, which are read and forgotten. Extensions are, too (RFC 9112 section 7.1.1).
func (x *exchange) nextChunk(wait func() error) error {
	var room [chunkLineMax + 1]byte
	if x.begun {
		if line, err := x.chunkLine(room[:0], wait); err != nil || len(line) > 0 {
			return orBad(err, "chunk longer than its size")
		}
	}
	x.begun = true
	size, digits := int64(0), 0
	for ; ; digits++ {
		c, err := x.octet(wait)
		if err != nil {
			return err
		}
		d := hexDigit(c)
		if d < 0 {
			x.line.r-- // octet has just moved past it
			if digits == 0 || c != '\r' && c != ';' && c != ' ' && c != '\t' {
				return badAnswer("chunk size")
			}
			break
		}
		if digits == 15 {
			return badAnswer("chunk size")
		}
		size = size<<4 | int64(d)
	}
	if _, err := x.chunkLine(room[:0], wait); err != nil {
		return err
	}
	if x.left = size; size > 0 {
		return nil
	}
	for range trailersMax {
		line, err := x.chunkLine(room[:0], wait)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			x.end = true
			return io.EOF
		}
		if _, _, err := parseAnswerField(string(line)); err != nil {
			return err
		}
	}
	return badAnswer("too many trailers")
}

func orBad(err error, what string) error {
	if err != nil {
		return err
	}
	return badAnswer(what)
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
