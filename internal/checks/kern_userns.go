package checks

import (
	"errors"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelUserns() audit.Check {
	return audit.Check{
		ID: "kern.userns", Title: "Ordinary accounts cannot make themselves root of a world of their own", Severity: finding.Info,
		Why:       "User namespaces open parts of the kernel to everybody that only root reached before; many attacks of the last years began there.",
		Fix:       "Nothing, where rootless Podman, Chromium, Flatpak or PrivateUsers= are used; else put kernel.unprivileged_userns_clone = 0 (Debian) or user.max_user_namespaces = 0 into a file in /etc/sysctl.d.",
		Reference: []string{"user_namespaces(7)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			var unknown error
			var open *facts.Sysctl
			for _, one := range []struct{ key, closed string }{
				{"user.max_user_namespaces", "0"}, {"kernel.unprivileged_userns_clone", "0"}, {"kernel.apparmor_restrict_unprivileged_userns", "1"},
			} {
				s, err := h.Sysctl(one.key)
				switch {
				case err != nil:
					unknown = err
				case s.Known && s.Value == one.closed:
					return audit.Pass(s.Key+"="+s.Value, sysctlAt(s)).Explicitly(s.Explicit)
				case s.Known:
					open = &s
				}
			}
			switch {
			case unknown != nil:
				return audit.Unknown(unknown)
			case open == nil:
				return audit.Unknown(errors.New("what this kernel does by itself is not known"))
			}
			return audit.Fail(open.Key+"="+open.Value, sysctlAt(*open)).Explicitly(open.Explicit)
		},
		Profile: audit.ProfileStrict,
		Repair:  usernsRepair,
	}
}
