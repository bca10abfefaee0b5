package checks

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haSecUnused() audit.Check {
	return audit.Check{
		ID: "hasec.unused-secrets", Title: "secrets.yaml holds what is used, once, and nothing that came with Home Assistant", Severity: finding.Info,
		Why:       "A password that nothing uses any more is only there to be stolen; one that stands there twice is changed in one place and not in the other.",
		Fix:       "Remove the lines that are named here.",
		Reference: []string{"HA docs: configuration/secrets"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			file := h.HAPath("secrets.yaml")
			t, err := h.Text(file)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				if _, err := h.Stat(h.HADir); err != nil {
					return audit.Unknown(err)
				}
				return audit.NotApplicable("there is no secrets.yaml")
			case err != nil:
				return audit.Unknown(err)
			}
			files, err := h.HAWalk()
			if err != nil {
				return audit.Unknown(err)
			}
			used := map[string]bool{}
			for _, f := range files {
				if path.Ext(f.Name) != ".yaml" || path.Base(f.Name) == "secrets.yaml" || f.Info.Mode.IsDir() || strings.HasPrefix(f.Name, "custom_components/") {
					continue
				}
				text, err := h.Text(h.HAPath(f.Name))
				if err != nil {
					return audit.Unknown(err)
				}
				for _, line := range text.Lines {
					for _, rest := range strings.Split(line, "!secret ")[1:] {
						if words := strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(" \t,]}#'\"", r) }); len(words) > 0 {
							used[words[0]] = true
						}
					}
				}
			}
			names := []string{}
			seen := map[string]bool{}
			var evidence []finding.Evidence
			for n, line := range t.Lines {
				key, _, ok := strings.Cut(line, ":")
				key = strings.Trim(key, `"' `)
				if !ok || line[0] == ' ' || line[0] == '#' || line[0] == '\t' || key == "" || key == "logger" {
					continue
				}
				why := ""
				switch {
				case seen[key]:
					why = "twice"
				case key == "some_password":
					why = "came with Home Assistant"
				case !used[key]:
					why = "nothing uses it"
				}
				seen[key] = true
				if why != "" {
					names = append(names, key)
					evidence = append(evidence, audit.At(file, n+1, key+": "+why))
				}
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		Repair: haRepairUnused(),
	}
}
