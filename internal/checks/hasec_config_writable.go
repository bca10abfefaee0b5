package checks

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haSecWritable() audit.Check {
	return audit.Check{
		ID: "hasec.config-writable", Title: "Nobody else on this machine can change Home Assistant's configuration or code", Severity: finding.Crit,
		Why:       "Whoever may write there has Home Assistant do what they like when it starts next: with all its tokens, and often as root.",
		Fix:       "chmod -R o-w,g-w what is named here, in Home Assistant's configuration directory.",
		Reference: []string{"HA docs: configuration/securing", "chmod(1)"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			barred, err := haBarred(h)
			if err != nil {
				return audit.Unknown(err)
			}
			info, err := h.Stat(h.HADir)
			if err != nil {
				return audit.Unknown(err)
			}
			files, err := h.HAWalk()
			var evidence []finding.Evidence
			judge := func(name string, info facts.Info, barred fs.FileMode) {
				open := info.Mode.Perm() & 0o022 &^ barred
				if info.GID == info.UID || info.GID == 0 {
					open &^= 0o020 // the owner's own group
				}
				sticky := info.Mode.IsDir() && info.Mode&fs.ModeSticky != 0
				if open != 0 && !sticky && (info.Mode.IsDir() || info.Mode.IsRegular()) {
					evidence = append(evidence, audit.At(h.HAPath(name), 0, fmt.Sprintf("mode %04o, group %d", info.Mode.Perm(), info.GID)))
				}
			}
			judge("", info, barred)
			for _, f := range files {
				top, _, _ := strings.Cut(f.Name, "/")
				code := slices.Contains([]string{"custom_components", "python_scripts", "themes", "blueprints", "packages", "esphome", "www", ".storage", "deps"}, top)
				if code || path.Ext(f.Name) == ".yaml" || f.Info.Mode.IsDir() {
					judge(f.Name, f.Info, barred)
				}
			}
			if err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			const most = 20
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence[:min(most, len(evidence))]...)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairWritable(),
	}
}
