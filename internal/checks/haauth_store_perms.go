package checks

import (
	"fmt"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haAuthStorePerms() audit.Check {
	return audit.Check{
		ID: "haauth.store-perms", Title: "Nobody else on this machine reads Home Assistant's accounts and keys", Severity: finding.Crit,
		Why:       "The folder .storage holds every token and key in the clear: whoever reads it is in, as the owner if they like, without a password.",
		Fix:       "chmod 700 .storage and chmod 600 .storage/auth* in Home Assistant's configuration directory.",
		Reference: []string{"HA docs: configuration/securing", "chmod(1)"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			dir := h.HAPath(".storage")
			info, err := h.Stat(dir)
			if err != nil {
				return audit.Unknown(err)
			}
			barred, err := haBarred(h)
			if err != nil {
				return audit.Unknown(err)
			}
			names, err := h.Dir(dir)
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			open := info.Mode.Perm() & 0o077 &^ barred
			if open != 0 {
				evidence = append(evidence, audit.At(dir, 0, fmt.Sprintf("mode %04o", info.Mode.Perm())))
			}
			for _, name := range names {
				if !strings.HasPrefix(name, "auth") {
					continue
				}
				file, err := h.Stat(dir + "/" + name)
				if err != nil {
					return audit.Unknown(err)
				}
				// A folder that lets nobody through protects what is in it.
				through := fs.FileMode(0)
				if open&0o011 != 0 {
					through = 0o077 &^ barred
				}
				if file.Mode.Perm()&through != 0 {
					evidence = append(evidence, audit.At(dir+"/"+name, 0, fmt.Sprintf("mode %04o", file.Mode.Perm())))
				}
			}
			return audit.PassIf(len(evidence) == 0, fmt.Sprintf("%04o", info.Mode.Perm()), evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairStore(),
	}
}
