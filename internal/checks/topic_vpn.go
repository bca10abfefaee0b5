package checks

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func vpn() []audit.Check {
	return []audit.Check{
		wireguardKeyPerms(), wireguardKeyReuse(),
		wireguardAllowedIPs(), wireguardHooks(), vpnOther(),
		wireguardSaveConfig(), wireguardPSK(), wireguardPort(),
	}
}

// judgeWireGuard judges every interface of WireGuard: what judge returns is evidence
// against it.
func judgeWireGuard(h *facts.Host, effective func([]facts.WireGuard) any, judge func([]facts.WireGuard) ([]finding.Evidence, error)) audit.Verdict {
	all, err := h.WireGuards()
	bad, judgeErr := judge(all)
	switch {
	case len(bad) > 0:
		return audit.Fail(effective(all), bad...)
	case err != nil || judgeErr != nil:
		return audit.Unknown(errors.Join(err, judgeErr))
	case len(all) == 0:
		return audit.NotApplicable("no WireGuard was found")
	}
	return audit.Pass(effective(all))
}

// openMode is what is wrong with a file that only its owner, one of these, shall read; group is
// one that may read it, -1 for none.
func openMode(h *facts.Host, name string, group int) ([]finding.Evidence, error) {
	info, err := h.Stat(name)
	if err != nil {
		return nil, err
	}
	mode := info.Mode.Perm()
	open := mode&0o007 != 0 || mode&0o030 != 0 && !info.Mode.IsDir() || mode&0o040 != 0 && int(info.GID) != group && info.GID != 0 || info.Mode.IsDir() && mode&0o022 != 0
	if open || info.UID != 0 {
		return []finding.Evidence{audit.At(name, 0, fmt.Sprintf("%04o %d:%d", mode, info.UID, info.GID))}, nil
	}
	return nil, nil
}

// groupNumber is the number of a group; -1 where there is none of that name.
func groupNumber(h *facts.Host, name string) int {
	t, err := h.Text("/etc/group")
	if err != nil {
		return -1
	}
	for _, line := range t.Lines {
		if f := strings.Split(line, ":"); len(f) >= 3 && f[0] == name {
			if n, err := strconv.Atoi(f[2]); err == nil {
				return n
			}
		}
	}
	return -1
}

// shortKey is the beginning of a public key, by which its owner knows it.
func shortKey(key string) string { return key[:min(4, len(key))] + "…" }
