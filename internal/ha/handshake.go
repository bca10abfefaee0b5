package ha

import (
	"github.com/go-json-experiment/json"

	"github.com/go-json-experiment/json/jsontext"
)

// The first three messages of a WebSocket (ha-protocol 3.1): Home Assistant asks for
// a token and names its version, the client sends one, Home Assistant answers.

// AuthInvalid is how a token is refused. A browser throws its tokens away on it
// where it is the first socket of a page, and reloads where it is a later one.
var AuthInvalid = []byte(`{"type":"auth_invalid","message":"Invalid access token or password"}`)

// AuthRequired is the message that opens a socket.
func AuthRequired(version string) []byte { return handshake("auth_required", version) }

// AuthOK is the message that accepts a token.
func AuthOK(version string) []byte { return handshake("auth_ok", version) }

func handshake(kind, version string) []byte {
	quoted, err := jsontext.AppendQuote(nil, version)
	if err != nil {
		quoted = []byte(`""`)
	}
	return append(append([]byte(`{"type":"`+kind+`","ha_version":`), quoted...), '}')
}

// AuthMessage is what Home Assistant says during the handshake.
type AuthMessage struct {
	Type    string `json:"type"` // auth_required, auth_ok or auth_invalid
	Version string `json:"ha_version"`
}

// ParseAuthMessage reads a message of Home Assistant's handshake.
func ParseAuthMessage(message []byte) (AuthMessage, error) {
	var m AuthMessage
	err := json.Unmarshal(message, &m)
	return m, err
}

// SupervisorEndpoint is the endpoint of a supervisor/api command; empty if it names none.
func SupervisorEndpoint(command []byte) string {
	var c struct {
		Endpoint string `json:"endpoint"`
	}
	if json.Unmarshal(command, &c) != nil {
		return ""
	}
	return c.Endpoint
}

// AuthRequiredOfNobody opens a socket whose client is not known yet: it names no version.
var AuthRequiredOfNobody = []byte(`{"type":"auth_required"}`)
