package onion

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of what tor may say. It is a program of this machine and answers in short lines;
// what is longer is not tor.
const (
	maxLine    = 16 << 10 // bytes of one line, without its end
	maxLines   = 4096     // of one message, its data counted
	maxPending = 4096     // events that came while an answer was awaited
	answerTime = 30 * time.Second
	cookieSize = 32
)

// A message is one answer of tor's, or one event (code 650).
type message struct {
	code  int
	lines []line // at least one
}

// A line is one of a message's, without its code and its end.
type line struct {
	text string
	data []string // what follows a line that ends in "+"; nil where nothing does
}

const codeEvent = 650

var errMalformed = errors.New("it does not speak tor's control protocol")

// control is a connection to tor's control port (spec.torproject.org/control-spec). It
// belongs to one goroutine.
type control struct {
	conn    net.Conn
	in      chan message  // what comes; closed when nothing more does
	err     error         // why; to be read when in is closed
	stop    chan struct{} // closed by close
	pending []message     // events
}

// newControl takes a connection over and reads from it until close is called.
func newControl(conn net.Conn) *control {
	c := &control{conn: conn, in: make(chan message), stop: make(chan struct{})}
	go c.read(bufio.NewReader(conn))
	return c
}

func (c *control) read(r *bufio.Reader) {
	defer close(c.in)
	for {
		m, err := readMessage(r)
		if err != nil {
			c.err = fmt.Errorf("read from tor: %w", err)
			return
		}
		select {
		case c.in <- m:
		case <-c.stop:
			c.err = net.ErrClosed
			return
		}
	}
}

// close ends the connection, and the goroutine that reads from it. It is called once.
func (c *control) close() {
	close(c.stop)
	_ = c.conn.Close()
	for range c.in {
	}
}

// do sends a command and returns the lines of its answer, without the last if that only
// says OK. An answer that is not good is a *refusal.
func (c *control) do(ctx context.Context, words ...string) ([]line, error) {
	command := strings.Join(words, " ")
	if strings.ContainsAny(command, "\r\n\x00") {
		return nil, errors.New("a command to tor of several lines")
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c.conn, command+"\r\n"); err != nil {
		return nil, err
	}
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	for {
		select {
		case m, ok := <-c.in:
			switch {
			case !ok:
				return nil, c.err
			case m.code == codeEvent && len(c.pending) >= maxPending:
				return nil, errMalformed
			case m.code == codeEvent:
				c.pending = append(c.pending, m)
				continue
			case m.code != 250:
				return nil, &refusal{words[0], m.code, m.lines[len(m.lines)-1].text}
			}
			if n := len(m.lines); m.lines[n-1].text == "OK" {
				m.lines = m.lines[:n-1]
			}
			return m.lines, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, fmt.Errorf("tor did not answer %s in %s", words[0], answerTime)
		}
	}
}

// refusal is an answer that is not good. What was asked may hold secrets: only its first
// word is kept.
type refusal struct {
	verb string
	code int
	text string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("tor refuses %s: %d %s", r.verb, r.code, shown(r.text))
}

// info asks for a value by GETINFO.
func (c *control) info(ctx context.Context, key string) (string, error) {
	lines, err := c.do(ctx, "GETINFO", key)
	if err != nil {
		return "", err
	}
	for _, l := range lines {
		if value, ok := strings.CutPrefix(l.text, key+"="); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("tor answers GETINFO %s with something else", key)
}

// authenticate proves that we may command tor, and has tor prove first that it can read
// the cookie as well (SAFECOOKIE): who only pretends to be tor learns nothing by it. cookie
// is the file; where it is empty, tor says where it is.
func (c *control) authenticate(ctx context.Context, cookie string) error {
	methods, said, err := c.protocol(ctx)
	if err != nil {
		return err
	}
	if cookie == "" {
		cookie = said
	}
	if !strings.Contains(","+methods+",", ",SAFECOOKIE,") || cookie == "" {
		return &trouble{"tor's control port does not know who may command it by a cookie (it offers " + shown(methods) + ")",
			"write into its torrc: CookieAuthentication 1"}
	}
	secret, err := readCookie(cookie)
	if err != nil {
		return err
	}
	mine := make([]byte, 32)
	rand.Read(mine)
	lines, err := c.do(ctx, "AUTHCHALLENGE", "SAFECOOKIE", hex.EncodeToString(mine))
	if err != nil {
		return err
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0].text, "AUTHCHALLENGE ") {
		return errMalformed
	}
	args, err := arguments(lines[0].text)
	if err != nil {
		return err
	}
	hash, err1 := hex.DecodeString(args["SERVERHASH"])
	theirs, err2 := hex.DecodeString(args["SERVERNONCE"])
	if err1 != nil || err2 != nil || len(theirs) != 32 {
		return errMalformed
	}
	if !hmac.Equal(hash, proof("server-to-controller", secret, mine, theirs)) {
		return errors.New("who answers there is not the tor that wrote the cookie")
	}
	_, err = c.do(ctx, "AUTHENTICATE", hex.EncodeToString(proof("controller-to-server", secret, mine, theirs)))
	return err
}

// proof is what one side shows the other.
func proof(direction string, cookie, mine, theirs []byte) []byte {
	h := hmac.New(sha256.New, []byte("Tor safe cookie authentication "+direction+" hash"))
	h.Write(cookie)
	h.Write(mine)
	h.Write(theirs)
	return h.Sum(nil)
}

// protocol asks how tor wants to be asked, and where its cookie is.
func (c *control) protocol(ctx context.Context) (methods, cookie string, err error) {
	lines, err := c.do(ctx, "PROTOCOLINFO", "1")
	if err != nil {
		return "", "", err
	}
	for _, l := range lines {
		if strings.HasPrefix(l.text, "AUTH ") {
			args, err := arguments(l.text)
			return args["METHODS"], args["COOKIEFILE"], err
		}
	}
	return "", "", errMalformed
}

// readCookie reads tor's cookie. A file of another length is none: what tor says of its
// place is no reason to read just anything.
func readCookie(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe in its place is not waited for
	if errors.Is(err, os.ErrPermission) {
		return nil, &trouble{"tor's cookie " + name + " may not be read",
			"make the gateway's user a member of the group that may, as in: adduser gatehouse debian-tor"}
	}
	if err != nil {
		return nil, fmt.Errorf("read tor's cookie: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() != cookieSize) {
		err = fmt.Errorf("%s is not a file of %d bytes", name, cookieSize)
	}
	if err != nil {
		return nil, fmt.Errorf("read tor's cookie: %w", err)
	}
	secret := make([]byte, cookieSize)
	if _, err := io.ReadFull(f, secret); err != nil {
		return nil, fmt.Errorf("read tor's cookie: %w", err)
	}
	return secret, nil
}

// readMessage reads one message, strictly: every line ends in CR LF and begins with the
// same code.
func readMessage(r *bufio.Reader) (m message, err error) {
	for n := 0; ; {
		text, err := readLine(r)
		if err != nil {
			return message{}, err
		}
		if len(text) < 4 || text[0] < '2' || text[0] > '6' || !isDigit(text[1]) || !isDigit(text[2]) {
			return message{}, errMalformed
		}
		code, _ := strconv.Atoi(text[:3])
		if m.code != 0 && code != m.code {
			return message{}, errMalformed
		}
		m.code = code
		l := line{text: text[4:]}
		if text[3] == '+' {
			if l.data, err = readData(r, maxLines-n); err != nil {
				return message{}, err
			}
		}
		m.lines = append(m.lines, l)
		switch text[3] {
		case ' ':
			return m, nil
		case '-', '+':
		default:
			return message{}, errMalformed
		}
		if n += 1 + len(l.data); n >= maxLines {
			return message{}, errMalformed
		}
	}
}

// readData reads the lines up to one that is a dot alone.
func readData(r *bufio.Reader, room int) ([]string, error) {
	data := []string{}
	for {
		text, err := readLine(r)
		switch {
		case err != nil:
			return nil, err
		case text == ".":
			return data, nil
		case len(data) >= room:
			return nil, errMalformed
		}
		if strings.HasPrefix(text, ".") {
			if text = text[1:]; !strings.HasPrefix(text, ".") {
				return nil, errMalformed // only a dot is written twice
			}
		}
		data = append(data, text)
	}
}

// readLine reads one line, without its end.
func readLine(r *bufio.Reader) (string, error) {
	var b []byte
	for {
		c, err := r.ReadByte()
		if err != nil {
			if err == io.EOF && len(b) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		switch {
		case c == '\n' && len(b) > 0 && b[len(b)-1] == '\r':
			return string(b[:len(b)-1]), nil
		case c == 0, c == '\n', len(b) > 0 && b[len(b)-1] == '\r', len(b) > maxLine:
			return "", errMalformed
		}
		b = append(b, c)
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// arguments reads the KEY=value and KEY="value" of a line; words without = are left out.
// A key that comes twice is an error.
func arguments(text string) (map[string]string, error) {
	args := make(map[string]string)
	for text != "" {
		if text[0] == ' ' {
			text = text[1:]
			continue
		}
		end := strings.IndexAny(text, " =")
		if end < 0 || text[end] == ' ' {
			_, text, _ = strings.Cut(text, " ")
			continue
		}
		key, rest := text[:end], text[end+1:]
		var value string
		var err error
		if strings.HasPrefix(rest, `"`) {
			if value, text, err = quoted(rest[1:]); err != nil {
				return nil, err
			}
			if text != "" && text[0] != ' ' {
				return nil, errMalformed
			}
		} else {
			value, text, _ = strings.Cut(rest, " ")
		}
		if _, twice := args[key]; twice || key == "" || strings.Contains(key, `"`) {
			return nil, errMalformed
		}
		args[key] = value
	}
	return args, nil
}

// quoted reads a string to its closing quote, escaped as tor does it (control-spec
// section 2.1.1: as in C, with octal).
func quoted(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			size, out := escaped(s[i+1:])
			if size == 0 {
				return "", "", errMalformed
			}
			b.WriteByte(out)
			i += size
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errMalformed
}

// escaped reads what stands behind a backslash; size is 0 where nothing that is known does.
func escaped(s string) (size int, out byte) {
	if s == "" {
		return 0, 0
	}
	switch s[0] {
	case 'n':
		return 1, '\n'
	case 't':
		return 1, '\t'
	case 'r':
		return 1, '\r'
	case '\\', '"', '\'':
		return 1, s[0]
	}
	for size < 3 && size < len(s) && s[size] >= '0' && s[size] <= '7' {
		size++
	}
	n, err := strconv.ParseUint(s[:size], 8, 8)
	if err != nil || n == 0 {
		return 0, 0
	}
	return size, byte(n)
}

// shown is a text of tor's as it is shown to people: short, in one line.
func shown(text string) string {
	const most = 160
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, text)
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}
