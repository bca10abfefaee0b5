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

func authenticationSudoUsePty() audit.Check {
	return audit.Check{
		ID: "sudo.use-pty", Title: "What sudo starts has a terminal of its own", Severity: finding.Low,
		Why:       "Without one a program that sudo started can go on typing into your own shell after it has ended.",
		Fix:       "Write Defaults use_pty with visudo -f /etc/sudoers.d/60-pty.",
		Reference: []string{"CIS Debian 12 5.2.2", "CIS RHEL 9 5.2.2", "sudoers(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.Sudoers()
			if err != nil {
				return sudoRefused(h, err)
			}
			on, explicit := false, false
			at := audit.At("/etc/sudoers", 0, "use_pty is not set")
			var off []finding.Evidence
			for _, d := range s.Defaults {
				switch {
				case d.Name != "use_pty":
				case d.Scope == "":
					on, explicit, at = !d.Negated, true, audit.At(d.File, d.Line, map[bool]string{false: "use_pty", true: "!use_pty"}[d.Negated])
				case d.Negated:
					off = append(off, audit.At(d.File, d.Line, "!use_pty for "+strings.Join(d.For, ", ")))
				}
			}
			if explicit && !on || len(off) > 0 {
				if explicit && !on {
					off = append(off, at)
				}
				return audit.Fail(false, off...).Explicitly(true)
			}
			if explicit {
				return audit.Pass(true, at).Explicitly(true)
			}
			version, err := h.SudoVersion()
			if err != nil {
				return audit.Unknown(fmt.Errorf("use_pty is not set, and which release of sudo this is cannot be told: %w", err))
			}
			if version == "" {
				return audit.Unknown(errors.New("use_pty is not set, and Debian's list of packages does not know sudo"))
			}
			newer := versionAtLeast(version, 1, 9, 14) // from there on it is on by itself
			at.Value += ", sudo " + version
			return audit.PassIf(newer, newer, at).Explicitly(false)
		},
		Profile: audit.ProfileHome,
		Repair:  sudoOwnTerminal,
	}
}

// atLeast reports whether a release as "1.9.13p3" is a given one or later.
func versionAtLeast(version string, least ...int) bool {
	for n, part := range strings.SplitN(version, ".", len(least)+1) {
		if n >= len(least) {
			break
		}
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			part = part[:end]
		}
		v, err := strconv.Atoi(part)
		if err != nil || v != least[n] {
			return err == nil && v > least[n]
		}
	}
	return true
}
