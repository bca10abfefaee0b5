package checks

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// sshRefused is the verdict where the server's configuration says nothing.
func sshRefused(err error) audit.Verdict {
	if errors.Is(err, facts.ErrNoSSHD) {
		return audit.NotApplicable("no SSH server is installed")
	}
	return audit.Unknown(err)
}

// sshEvidence shows a value where it stands, or that it is left to the default.
func sshEvidence(keyword string, v facts.SSHDValue) finding.Evidence {
	value := keyword + " " + v.Value
	if v.Value == "" {
		value = keyword + " (none)"
	}
	if v.Match != "" {
		value += " (Match " + v.Match + ")"
	}
	if !v.Explicit {
		return audit.At(facts.SSHDConfig, 0, value+" (default)")
	}
	return audit.At(v.File, v.Line, value)
}

// sshEffective says a value as what it is: a number, a list of algorithms, a text.
func sshEffective(keyword string, v facts.SSHDValue) any {
	if n, err := strconv.Atoi(v.Value); err == nil {
		return n
	}
	switch keyword {
	case "AllowUsers", "AllowGroups":
		if v.Value == "" {
			return nil
		}
		return v.Args
	case "Ciphers", "MACs", "KexAlgorithms", "HostKeyAlgorithms", "PubkeyAcceptedAlgorithms":
		return strings.Split(v.Value, ",")
	}
	return v.Value
}

// sshSetting judges a setting by every value that may hold for anybody who comes in.
func sshSetting(keyword string, good func(facts.SSHDValue) bool) func(*facts.Host) audit.Verdict {
	return func(h *facts.Host) audit.Verdict {
		s, err := h.SSHD()
		if err != nil {
			return sshRefused(err)
		}
		return sshValues(s, keyword, facts.SSHPeer{}, good)
	}
}

// sshValues judges a setting by every value that may hold for a peer. What is said to be
// in force is the worst, or where all are good that without conditions.
func sshValues(s *facts.SSHD, keyword string, peer facts.SSHPeer, good func(facts.SSHDValue) bool) audit.Verdict {
	all, err := s.Values(strings.ToLower(keyword), peer)
	if err != nil {
		return sshRefused(err)
	}
	var bad []facts.SSHDValue
	var evidence []finding.Evidence
	for _, v := range all {
		if !good(v) {
			bad = append(bad, v)
			evidence = append(evidence, sshEvidence(keyword, v))
		}
	}
	if len(bad) > 0 {
		return audit.Fail(sshEffective(keyword, bad[0]), evidence...).Explicitly(bad[0].Explicit)
	}
	last := all[len(all)-1]
	return audit.Pass(sshEffective(keyword, last), sshEvidence(keyword, last)).Explicitly(last.Explicit)
}

// sshIs judges a value by the words that are good.
func sshIs(words ...string) func(facts.SSHDValue) bool {
	return func(v facts.SSHDValue) bool { return slices.Contains(words, v.Value) }
}

// sshFrom judges a number by its bounds.
func sshFrom(least, most int) func(facts.SSHDValue) bool {
	return func(v facts.SSHDValue) bool {
		n, err := strconv.Atoi(v.Value)
		return err == nil && n >= least && n <= most
	}
}

// sshWithout judges a list of algorithms by those that are weak.
func sshWithout(weak func(name string) bool) func(facts.SSHDValue) bool {
	return func(v facts.SSHDValue) bool { return !slices.ContainsFunc(strings.Split(v.Value, ","), weak) }
}

// sshWeak judges a list of algorithms, and shows the weak ones alone.
func sshWeak(s *facts.SSHD, keyword string, peer facts.SSHPeer, weak func(name string) bool) audit.Verdict {
	v := sshValues(s, keyword, peer, sshWithout(weak))
	all, err := s.Values(strings.ToLower(keyword), peer)
	if err != nil || v.Result != finding.Fail {
		return v
	}
	v.Evidence = nil
	for _, value := range all {
		names := slices.DeleteFunc(strings.Split(value.Value, ","), func(name string) bool { return !weak(name) })
		if len(names) > 0 {
			value.Value = strings.Join(names, ",")
			v.Evidence = append(v.Evidence, sshEvidence(keyword, value))
		}
	}
	return v
}

// sshBoth is the worse of two verdicts.
func sshBoth(one, two audit.Verdict) audit.Verdict {
	order := []finding.Result{finding.Fail, finding.Unknown, finding.NotApplicable, finding.Pass}
	worse, other := one, two
	if slices.Index(order, two.Result) < slices.Index(order, one.Result) {
		worse, other = two, one
	}
	if worse.Result == other.Result {
		worse.Evidence = slices.Concat(one.Evidence, two.Evidence)
	}
	return worse
}

// sshAlways reports whether a setting has one value whoever comes in.
func sshAlways(s *facts.SSHD, keyword, value string, peer facts.SSHPeer) (bool, error) {
	all, err := s.Values(keyword, peer)
	return err == nil && !slices.ContainsFunc(all, func(v facts.SSHDValue) bool { return v.Value != value }), err
}

// sshNeedsKey reports whether nobody comes in without a key, whatever else is asked.
func sshNeedsKey(s *facts.SSHD) (bool, error) {
	all, err := s.Values("authenticationmethods", facts.SSHPeer{})
	if err != nil {
		return false, err
	}
	for _, v := range all {
		for _, way := range v.Args {
			if !slices.Contains(strings.Split(way, ","), "publickey") {
				return false, nil
			}
		}
	}
	return true, nil
}

// sshNamesPeople reports whether a condition is about some accounts alone.
func sshNamesPeople(condition string) bool {
	words := strings.Fields(strings.ToLower(strings.ReplaceAll(condition, "=", " ")))
	for n, w := range words {
		if (w == "user" || w == "group") && n+1 < len(words) && !strings.HasPrefix(words[n+1], "*") && !strings.HasPrefix(words[n+1], "!") {
			return true
		}
	}
	return false
}

// sshOpenTo judges a kind of forwarding: all is well where it is off, or all forwarding is.
func sshOpenTo(keyword string, good func(facts.SSHDValue) bool) func(*facts.Host) audit.Verdict {
	return func(h *facts.Host) audit.Verdict {
		s, err := h.SSHD()
		if err != nil {
			return sshRefused(err)
		}
		off, err := sshAlways(s, "disableforwarding", "yes", facts.SSHPeer{})
		if err != nil {
			return sshRefused(err)
		}
		if off {
			return sshValues(s, "DisableForwarding", facts.SSHPeer{}, sshIs("yes"))
		}
		return sshValues(s, keyword, facts.SSHPeer{}, good)
	}
}

// sshRoot is root who comes in.
func sshRoot() facts.SSHPeer { return facts.SSHPeer{User: "root", Groups: []string{"root"}} }

// sshKeySays says a key without saying it.
func sshKeySays(k facts.AuthorizedKey) string {
	switch {
	case k.Trouble != "":
		return k.Trouble
	case k.Bits > 0:
		return fmt.Sprintf("%s of %s, %d bits", k.Type, k.User.Name, k.Bits)
	}
	return k.Type + " of " + k.User.Name
}
