// Package ha is what the house knows of Home Assistant: which paths it serves and
// what each is for, how its login, tokens, signed paths and WebSocket messages are
// written, and where it keeps its own settings. It parses and classifies, opens no
// socket and reads files only through an fs.FS.
//
// Whatever a client says is read here as Home Assistant itself would read it, or not
// at all: what two readers may understand in two ways is an error.
package ha

import "errors"

// errRepeated is why a message is refused that says the same thing twice.
var errRepeated = errors.New("a name comes twice")
