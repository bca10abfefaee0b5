package checks

import (
	"errors"
	"fmt"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haSecPerms() audit.Check {
	return audit.Check{
		ID: "hasec.secrets-perms", Title: "Nobody else on this machine reads secrets.yaml or looks into the configuration", Severity: finding.High,
		Why:       "secrets.yaml holds its passwords in the clear: whoever has an account on this machine, or breaks into a service on it, reads them.",
		Fix:       "chmod 600 secrets.yaml and chmod 750 (or 700) the configuration directory.",
		Reference: []string{"HA docs: configuration/secrets", "chmod(1)"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			info, err := h.Stat(h.HADir)
			if err != nil {
				return audit.Unknown(err)
			}
			barred, err := haBarred(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			if info.Mode.Perm()&0o027&^barred != 0 {
				evidence = append(evidence, audit.At(h.HAPath(""), 0, fmt.Sprintf("mode %04o", info.Mode.Perm())))
			}
			secrets, err := h.Stat(h.HAPath("secrets.yaml"))
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				return audit.Unknown(err)
			case secrets.Mode.Perm()&0o077&^barred != 0:
				evidence = append(evidence, audit.At(h.HAPath("secrets.yaml"), 0, fmt.Sprintf("mode %04o", secrets.Mode.Perm())))
			}
			return audit.PassIf(len(evidence) == 0, fmt.Sprintf("%04o", info.Mode.Perm()), evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairSecrets(),
	}
}
