package checks

import (
	"fmt"
	"io/fs"
	"path"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

// homeAssistantUsers are the checks of who may sign in to Home Assistant, and how.
func homeAssistantUsers() []audit.Check {
	return []audit.Check{
		haAuthOnboarded(), haAuthProviders(), haAuthTrustedNetworks(), haAuthCommandLine(), haAuthStorePerms(),
		haAuthMFA(), haAuthLongLived(), haAuthPublicIP(), haAuthExposed(), haAuthShell(),
		haAuthAdmins(), haAuthLocalOnly(), haAuthHash(), haAuthStale(), haAuthInactive(),
	}
}

// haAuth judges the accounts and sign-ins of Home Assistant.
func haAuth(judge func(*facts.Host, facts.HAAuth) audit.Verdict) func(*facts.Host) audit.Verdict {
	return func(h *facts.Host) audit.Verdict {
		a, err := h.HAAuth()
		if err != nil {
			return audit.Unknown(err)
		}
		return judge(h, a)
	}
}

// haAtAuth is a line of .storage/auth.
func haAtAuth(h *facts.Host, line int, value string) finding.Evidence {
	return audit.At(h.HAPath(".storage/auth"), line, value)
}

// haDaysAgo is how many days a moment is past.
func haDaysAgo(h *facts.Host, at time.Time) int { return int(h.Now.Sub(at) / (24 * time.Hour)) }

// haCoreBlock is the block homeassistant: of the configuration; nil without one.
func haCoreBlock(h *facts.Host) (*ha.Node, error) {
	root, err := h.HAConfiguration()
	if err != nil {
		return nil, err
	}
	block := root.Get("homeassistant")
	if block != nil && block.Err != nil {
		return nil, block.Err
	}
	return block, nil
}

// haProviders are the ways to sign in that the configuration names; none where it leaves
// that to Home Assistant.
func haProviders(h *facts.Host) ([]*ha.Node, error) {
	block, err := haCoreBlock(h)
	if err != nil {
		return nil, err
	}
	list := block.Get("auth_providers")
	if list == nil {
		return nil, nil
	}
	if err := list.Unread(); err != nil {
		return nil, err
	}
	for _, p := range list.List() {
		if p.Get("type").Value() == "" {
			return nil, fmt.Errorf("%s:%d: a provider without a type", h.HAPath(p.File), p.Line)
		}
	}
	return list.List(), nil
}

// haAtNode is where a value of the configuration stands.
func haAtNode(h *facts.Host, n *ha.Node, value string) finding.Evidence {
	return audit.At(h.HAPath(n.File), n.Line, value)
}

// haBarred are the permission bits that mean nothing in the configuration directory,
// because it or a folder above lets those through to whom they are given.
func haBarred(h *facts.Host) (fs.FileMode, error) {
	barred := fs.FileMode(0)
	for dir := path.Clean(h.HADir); ; dir = path.Dir(dir) {
		info, err := h.Stat(dir)
		if err != nil {
			return 0, err
		}
		if info.Mode&0o001 == 0 {
			barred |= 0o007
		}
		if info.Mode&0o010 == 0 {
			barred |= 0o070
		}
		if h.HAOnly || dir == "/" || dir == "." {
			return barred, nil
		}
	}
}
