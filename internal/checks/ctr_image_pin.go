package checks

import (
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrImagePin() audit.Check {
	return audit.Check{
		ID: "ctr.image-pin", Title: "What faces the network is not replaced by whatever is newest", Severity: finding.Low,
		Why:       "An image called latest is what its maker, or whoever took over the maker, last put there; an updater that takes everything brings it in over night.",
		Fix:       "Write a version behind the image's name, and let Watchtower update only what carries its label (WATCHTOWER_LABEL_ENABLE=true), or only tell you.",
		Reference: []string{"CIS Docker 4.2", "Watchtower docs: Arguments"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeContainers(h, func(c facts.ContainerSpec) (bad []finding.Evidence) {
				name := path.Base(strings.SplitN(c.Image, "@", 2)[0])
				_, tag, _ := strings.Cut(name, ":")
				if c.Image != "" && !strings.Contains(c.Image, "@sha256:") && (tag == "" || tag == "latest") && facesNetwork(c) {
					bad = append(bad, containerAt(c, "image", c.Image))
				}
				if strings.HasPrefix(name, "watchtower") {
					careful := false
					for _, s := range append(c.All("environment"), c.All("command")...) {
						v := strings.ToLower(s.Value)
						careful = careful || strings.Contains(v, "label") && strings.Contains(v, "enable") && !strings.HasSuffix(v, "false") || strings.Contains(v, "monitor") && !strings.HasSuffix(v, "false")
					}
					if !careful {
						bad = append(bad, containerAt(c, "image", "updates every container"))
					}
				}
				return bad
			})
		},
	}
}
