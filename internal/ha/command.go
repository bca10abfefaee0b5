package ha

import (
	"bytes"
	"errors"
	"io"
	"math"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ParseAuth reads the first message of a socket: {"type":"auth","access_token":"…"}
// and nothing else. Its errors never quote the token.
func ParseAuth(message []byte) (token string, err error) {
	var m struct {
		Type        string `json:"type"`
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal(message, &m, json.RejectUnknownMembers(true)) != nil || m.Type != "auth" || m.AccessToken == "" {
		return "", errors.New("first message is no auth message")
	}
	return m.AccessToken, nil
}

// AppendAuth appends the message that names an access token.
func AppendAuth(dst []byte, token string) []byte {
	dst = append(dst, `{"type":"auth","access_token":`...)
	if quoted, err := jsontext.AppendQuote(dst, token); err == nil {
		dst = quoted
	} else {
		dst = append(dst, `""`...)
	}
	return append(dst, '}')
}

// Command is one command of a client on its socket.
type Command struct {
	ID   uint64 // 0 if the command has no id that Home Assistant takes
	Type string // empty if the command has none
	Raw  []byte // the command as it was sent, inside the message
}

const (
	// maxDepth is how deep a message may nest. Home Assistant's reader (orjson) ends at 1024.
	maxDepth = 512
	// maxCommands is how many commands one message may have. Frontends send a handful.
	maxCommands = 4096
)

var (
	errCommand  = errors.New("message is no command")
	errDeep     = errors.New("message nests too deep")
	errTooMany  = errors.New("message has too many commands")
	errTrailing = errors.New("message goes on behind its end")
)

// reader reads one message at a time.
type reader struct {
	buf bytes.Buffer
	dec *jsontext.Decoder
}

var readers = sync.Pool{New: func() any {
	r := &reader{}
	r.dec = jsontext.NewDecoder(&r.buf)
	return r
}}

// ParseCommands reads a message of a client: one command or an array of commands,
// read as Home Assistant does (orjson; ha-protocol 3.2), but for what its reader
// forgives: a name that comes twice, at any depth, is an error. So are a byte order
// mark, text that is not UTF-8, half a surrogate pair, NaN, whatever stands behind the
// message, and an array with anything but objects in it. An empty array is no commands.
//
// A command whose id or type is missing, or of a kind that Home Assistant does not
// take, is returned with the zero value in its place: Home Assistant answers it with
// invalid_format and does nothing, and a client must come to see that.
//
// The commands' Raw are parts of message.
func ParseCommands(message []byte) ([]Command, error) {
	if bytes.Count(message, []byte{'['})+bytes.Count(message, []byte{'{'}) > maxDepth && depth(message) > maxDepth {
		return nil, errDeep
	}
	r := readers.Get().(*reader)
	defer r.giveBack()
	r.buf = *bytes.NewBuffer(message)
	r.dec.Reset(&r.buf)
	return r.commands(message)
}

func (r *reader) giveBack() {
	r.buf = bytes.Buffer{} // the message is the caller's
	r.dec.Reset(&r.buf)
	readers.Put(r)
}

func (r *reader) commands(message []byte) ([]Command, error) {
	var all []Command
	switch r.dec.PeekKind() {
	case '{':
		c, err := r.command(message)
		if err != nil {
			return nil, err
		}
		all = []Command{c}
	case '[':
		if _, err := r.dec.ReadToken(); err != nil {
			return nil, err
		}
		for r.dec.PeekKind() == '{' {
			if len(all) == maxCommands {
				return nil, errTooMany
			}
			c, err := r.command(message)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		switch end, err := r.dec.ReadToken(); {
		case err != nil:
			return nil, err
		case end.Kind() != ']':
			return nil, errCommand
		}
	default:
		return nil, errCommand
	}
	if _, err := r.dec.ReadToken(); err != io.EOF {
		return nil, errTrailing
	}
	return all, nil
}

// command reads the object that comes next.
func (r *reader) command(message []byte) (c Command, err error) {
	if _, err := r.dec.ReadToken(); err != nil {
		return c, err
	}
	start := r.dec.InputOffset() - 1
	for {
		name, err := r.dec.ReadValue()
		if err != nil {
			if r.dec.PeekKind() != '}' {
				return c, err
			}
			break
		}
		kind := plainName(name)
		value, err := r.dec.ReadValue()
		if err != nil {
			return c, err
		}
		switch kind {
		case "id":
			c.ID = commandID(value)
		case "type":
			if c.Type, err = commandType(value); err != nil {
				return c, err
			}
		}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return c, err
	}
	c.Raw = message[start:r.dec.InputOffset()]
	return c, nil
}

// plainName returns id or type if a member has that name, however it is written.
func plainName(quoted jsontext.Value) string {
	switch {
	case bytes.IndexByte(quoted, '\\') >= 0:
		var space [64]byte
		plain, _ := jsontext.AppendUnquote(space[:0], quoted)
		switch string(plain) {
		case "id":
			return "id"
		case "type":
			return "type"
		}
	case string(quoted) == `"id"`:
		return "id"
	case string(quoted) == `"type"`:
		return "type"
	}
	return ""
}

// commandID reads an id as Home Assistant takes them: an integer from 1 to 2^64-1,
// written as one.
func commandID(value jsontext.Value) uint64 {
	n := uint64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0
		}
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			return 0
		}
		n = n*10 + d
	}
	return n
}

// commandType reads a type; empty if it is no string.
func commandType(value jsontext.Value) (string, error) {
	if value.Kind() != '"' {
		return "", nil
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	plain, err := jsontext.AppendUnquote(nil, value)
	return string(plain), err
}

// depth is how deep a message nests, at most.
func depth(message []byte) int {
	deepest, now := 0, 0
	quoted := false
	for i := 0; i < len(message); i++ {
		switch c := message[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}
