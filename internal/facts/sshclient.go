package facts

import (
	"fmt"
	"strings"
)

// SSHClientLine is a line of a client's configuration (ssh_config(5)).
type SSHClientLine struct {
	Keyword string // in small letters
	Args    []string
	For     string // the Host or Match that it stands under; "" before any
	File    string
	Line    int
}

// SSHClient reads a client's configuration, without what it includes.
func (h *Host) SSHClient(file string) ([]SSHClientLine, error) {
	t, err := h.Text(file)
	if err != nil {
		return nil, err
	}
	return parseSSHClient(file, t.Lines)
}

func parseSSHClient(file string, lines []string) ([]SSHClientLine, error) {
	var all []SSHClientLine
	under := ""
	for n, line := range lines {
		keyword, rest, ok := sshKeyword(line)
		if keyword == "" && ok {
			continue
		}
		words, whole := sshWords(rest)
		if !ok || !whole || len(words) == 0 {
			return nil, fmt.Errorf("%s:%d: not a setting of ssh", file, n+1)
		}
		l := SSHClientLine{strings.ToLower(keyword), words, under, file, n + 1}
		if l.Keyword == "host" || l.Keyword == "match" {
			under = keyword + " " + rest
			continue
		}
		all = append(all, l)
	}
	return all, nil
}
