package checks

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haSecGit() audit.Check {
	return audit.Check{
		ID: "hasec.storage-in-git", Title: "Where the configuration is kept in git, its secrets are not", Severity: finding.Crit,
		Why:       "What git keeps goes to wherever it is pushed, and stays in its history for ever: tokens, passwords and the database with it.",
		Fix:       "Name secrets.yaml, .storage, .cloud, *.db*, *.log*, *.pem, *.key and backups in .gitignore, take them out with git rm --cached, and change every secret that was ever in it: that alone helps.",
		Reference: []string{"HA docs: configuration/secrets", "gitignore(5)"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			if _, err := h.Stat(h.HADir); err != nil {
				return audit.Unknown(err)
			}
			git, err := h.HAGit()
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return audit.NotApplicable("the configuration is not kept in git")
			case err != nil:
				return audit.Unknown(err)
			}
			var bad []string
			var evidence []finding.Evidence
			for _, name := range git.Tracked {
				if haPrivate(name) {
					bad = append(bad, name)
					evidence = append(evidence, audit.At(h.HAPath(".git/index"), 0, name))
				}
			}
			for _, name := range git.History {
				if haPrivate(name) && !slices.Contains(git.Tracked, name) {
					bad = append(bad, name)
					evidence = append(evidence, audit.At(h.HAPath(".git"), 0, name+" is in the history"))
				}
			}
			if git.Unread != nil && len(evidence) == 0 {
				return audit.Unknown(git.Unread)
			}
			files, err := h.HAWalk()
			if err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			for _, f := range files {
				if !f.Info.Mode.IsDir() && haPrivate(f.Name) && !slices.Contains(git.Tracked, f.Name) && !git.Ignored(f.Name) {
					bad = append(bad, f.Name)
					evidence = append(evidence, audit.At(h.HAPath(".gitignore"), 0, f.Name+" is not named: the next git add takes it in"))
				}
			}
			const most = 20
			return audit.PassIf(len(evidence) == 0, bad[:min(most, len(bad))], evidence[:min(most, len(evidence))]...)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairGit(),
	}
}

// haPrivate reports whether a file of the configuration directory is nobody's business.
func haPrivate(name string) bool {
	base := path.Base(name)
	switch {
	case base == "secrets.yaml", strings.HasPrefix(name, ".storage/"), strings.HasPrefix(name, ".cloud/"):
		return true
	case strings.HasPrefix(name, "home-assistant_v2.db"), strings.HasPrefix(name, "home-assistant.log"), strings.HasPrefix(name, "backups/"):
		return true
	}
	if strings.HasPrefix(name, "custom_components/") {
		return false
	}
	return slices.Contains([]string{".key", ".pem", ".p12", ".pfx"}, path.Ext(name)) || strings.HasPrefix(base, "id_") && path.Ext(base) == ""
}
