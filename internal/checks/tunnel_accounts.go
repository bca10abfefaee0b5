package checks

import (
	"errors"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// tunnelAccount is an account that comes in for a tunnel.
type tunnelAccount struct {
	user facts.User
	keys []facts.AuthorizedKey // those that are for the tunnel
	own  bool                  // it is there for nothing else
}

func (a tunnelAccount) peer() facts.SSHPeer { return facts.SSHPeer{User: a.user.Name} }

// shown is the account as evidence.
func (a tunnelAccount) shown() finding.Evidence {
	if len(a.keys) > 0 {
		return audit.At(a.keys[0].File, a.keys[0].Line, "a tunnel of "+a.user.Name)
	}
	return audit.At("/etc/passwd", a.user.Line, "a tunnel of "+a.user.Name)
}

// noShell reports whether the account's shell lets nobody do anything.
func (a tunnelAccount) noShell() bool {
	return slices.Contains([]string{"nologin", "false", "true"}, path.Base(a.user.Shell))
}

// tunnelAccounts finds the accounts with keys that name a tunnel's ends, those with keys
// and no shell, and those whose Match block speaks of forwarding.
func tunnelAccounts(h *facts.Host) ([]tunnelAccount, *facts.SSHD, error) {
	s, err := h.SSHD()
	if err != nil {
		return nil, nil, err
	}
	files, err := h.AuthorizedKeyFiles()
	if err != nil {
		return nil, nil, err
	}
	users, err := h.Users()
	if err != nil {
		return nil, nil, err
	}
	var all []tunnelAccount
	for _, u := range users {
		a := tunnelAccount{user: u}
		block, err := tunnelBlock(s, u)
		if err != nil {
			return nil, nil, err
		}
		var keys []facts.AuthorizedKey
		for _, f := range files {
			if f.User.Name != u.Name {
				continue
			}
			if f.Err != nil {
				return nil, nil, f.Err
			}
			for _, k := range f.Keys {
				if k.Trouble == "" {
					keys = append(keys, k)
				}
			}
		}
		a.own = block || len(keys) > 0 && a.noShell()
		for _, k := range keys {
			ends := len(k.Option("permitopen"))+len(k.Option("permitlisten")) > 0
			if a.own || ends || len(k.Option("restrict")) > 0 && k.Allows("port-forwarding") {
				a.keys = append(a.keys, k)
			}
		}
		if a.own || len(a.keys) > 0 {
			all = append(all, a)
		}
	}
	return all, s, nil
}

// tunnelBlock reports whether a Match block that names the account lets it forward.
func tunnelBlock(s *facts.SSHD, u facts.User) (bool, error) {
	for _, keyword := range []string{"permitopen", "permitlisten", "allowtcpforwarding"} {
		all, err := s.Values(keyword, facts.SSHPeer{User: u.Name})
		if err != nil {
			return false, err
		}
		for _, v := range all {
			if v.Match != "" && v.Value != "no" && v.Value != "none" && sshNamesPeople(v.Match) && strings.Contains(strings.ToLower(v.Match), "user") {
				return true, nil
			}
		}
	}
	return false, nil
}

// tunnelPassword reports whether an account has a password that may be tried.
func tunnelPassword(h *facts.Host, u facts.User) (bool, finding.Evidence, error) {
	none := audit.At("/etc/passwd", u.Line, u.Name)
	if u.Password != "x" {
		return !strings.HasPrefix(u.Password, "!") && !strings.HasPrefix(u.Password, "*"), none, nil
	}
	t, err := h.Text("/etc/shadow")
	if err != nil {
		return false, none, err
	}
	for n, line := range t.Lines {
		name, rest, _ := strings.Cut(line, ":")
		if name != u.Name {
			continue
		}
		hash, _, ok := strings.Cut(rest, ":")
		if !ok {
			return false, none, errors.New("/etc/shadow: half a line")
		}
		return !strings.HasPrefix(hash, "!") && !strings.HasPrefix(hash, "*"), audit.At("/etc/shadow", n+1, u.Name+" has a password"), nil
	}
	return false, none, nil
}

// tunnelForwards reports whether a key may open a tunnel in a direction, "local" or "remote".
func tunnelForwards(s *facts.SSHD, k facts.AuthorizedKey, direction string) (bool, error) {
	if !k.Allows("port-forwarding") {
		return false, nil
	}
	peer := facts.SSHPeer{User: k.User.Name}
	off, err := sshAlways(s, "disableforwarding", "yes", peer)
	if err != nil || off {
		return false, err
	}
	all, err := s.Values("allowtcpforwarding", peer)
	return slices.ContainsFunc(all, func(v facts.SSHDValue) bool { return v.Value == "yes" || v.Value == direction }), err
}

// tunnelLimits returns where a key's tunnels may end (PermitOpen) or begin
// (PermitListen), "any" where nothing says; both the key and the server have to agree.
func tunnelLimits(s *facts.SSHD, k facts.AuthorizedKey, keyword string) ([]string, error) {
	if own := k.Option(keyword); len(own) > 0 {
		return own, nil
	}
	all, err := s.Values(keyword, facts.SSHPeer{User: k.User.Name})
	if err != nil {
		return nil, err
	}
	var ends []string
	for _, v := range all {
		ends = append(ends, v.Args...)
	}
	return ends, nil
}

// tunnelPort is the port of "host:port" and "port".
func tunnelPort(end string) string { return end[strings.LastIndexByte(end, ':')+1:] }

// tunnelHost is the host of "host:port"; "" where there is none.
func tunnelHost(end string) string {
	return strings.Trim(end[:max(0, strings.LastIndexByte(end, ':'))], "[]")
}

// tunnelLoopback reports whether a host is the machine itself alone.
func tunnelLoopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}
