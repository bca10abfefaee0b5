package checks

import (
	"errors"
	"fmt"
	"slices"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torDirPerms() audit.Check {
	return audit.Check{
		ID: "tor.dir-perms", Title: "Only Tor reads the key of the onion service", Severity: finding.Crit,
		Why:       "In this folder is the key that is the address of your house. Who has it answers in your house's place.",
		Fix:       "Give the folder to Tor's own account with mode 0700 (chown -R debian-tor: and chmod 700).",
		Reference: []string{"tor(1): HiddenServiceDir"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeOnions(h, func(t facts.Tor) audit.Verdict {
				users, err := h.Users()
				if err != nil {
					return audit.Unknown(err)
				}
				owners := map[uint32]bool{}
				for _, u := range users {
					if slices.Contains([]string{"debian-tor", "_tor", "toranon", "tor"}, u.Name) {
						owners[uint32(u.UID)] = true
					}
				}
				if all := t.Option("user"); len(all) > 0 {
					clear(owners)
					for _, u := range users {
						owners[uint32(u.UID)] = owners[uint32(u.UID)] || u.Name == all[len(all)-1].Arg(0)
					}
				}
				var bad []finding.Evidence
				var errs []error
				modes, seen := []string{}, 0
				for _, s := range t.Services {
					for _, name := range []string{s.Path(), s.Path() + "/hs_ed25519_secret_key"} {
						info, err := h.Stat(name)
						if proxyMissing(err) {
							continue // Tor makes it when it starts
						}
						if err != nil {
							errs = append(errs, err)
							continue
						}
						seen++
						modes = append(modes, fmt.Sprintf("%04o", info.Mode.Perm()))
						if info.Mode.Perm()&0o077 != 0 || len(owners) > 0 && !owners[info.UID] {
							bad = append(bad, audit.At(name, 0, fmt.Sprintf("%04o %d:%d", info.Mode.Perm(), info.UID, info.GID)))
						}
					}
				}
				switch {
				case len(bad) > 0:
					return audit.Fail(modes, bad...)
				case len(errs) > 0:
					return audit.Unknown(errors.Join(errs...))
				case seen == 0:
					return audit.Unknown(fmt.Errorf("%s: not there; Tor has not made it yet", t.Services[0].Path()))
				}
				return audit.Pass(modes)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  torRepairDirs(),
	}
}
