package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcUnitWritable() audit.Check {
	return audit.Check{
		ID: "svc.unit-writable", Title: "Nobody but root changes units, and no secret stands in one", Severity: finding.High,
		Why:       "Who may change a unit decides what root runs; and what stands in Environment= every account of the machine may read.",
		Fix:       "chown root: and chmod go-w the files that are named; put secrets into a file with mode 0600 and name it in LoadCredential= or EnvironmentFile=.",
		Reference: []string{"systemd.unit(5)", "systemd.exec(5), LoadCredential="},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			names, err := h.Units()
			if err != nil {
				return audit.Unknown(err)
			}
			if len(names) == 0 {
				return audit.NotApplicable("there are no units of systemd")
			}
			var closed error
			var evidence []finding.Evidence
			for _, n := range names {
				u, err := h.Unit(n)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					closed = err
					continue
				}
				files := slices.Clone(u.DropIns)
				if u.File != "" && !u.Masked {
					files = append(files, u.File)
				}
				for _, s := range u.All("Service", "EnvironmentFile") {
					if f := strings.TrimPrefix(s.Value, "-"); path.IsAbs(f) && !strings.ContainsAny(f, "%*?[") {
						who, _ := u.Last("Service", "User")
						if who.Value == "" || who.Value == "root" {
							files = append(files, f)
						}
					}
				}
				for _, f := range files {
					who, err := h.Writers(f)
					if err != nil && !errors.Is(err, fs.ErrNotExist) {
						closed = err
					}
					for _, w := range who {
						evidence = append(evidence, audit.At(f, 0, w.Who+" may change "+w.Path))
					}
				}
				for _, s := range u.All("Service", "Environment") {
					for _, word := range strings.Fields(s.Value) {
						name, value, _ := strings.Cut(strings.Trim(word, `"'`), "=")
						if secretName(name) && value != "" {
							evidence = append(evidence, audit.At(s.File, s.Line, fmt.Sprintf("%s, %d characters", name, len(value))))
						}
					}
				}
			}
			if len(evidence) == 0 && closed != nil {
				return audit.Unknown(closed)
			}
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  unitWritableRepair,
	}
}
