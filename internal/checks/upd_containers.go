package checks

import (
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func updContainers() audit.Check {
	return audit.Check{
		ID: "upd.containers", Title: "Containers say which version they are, and it can be told how old they are", Severity: finding.Med,
		Why:       "Nothing updates a container by itself. One without a version in its name can be years old, and after a new start be another.",
		Fix:       "Write the version behind the image's name (ghcr.io/home-assistant/home-assistant:2026.11.2), and raise it every month.",
		Reference: []string{"Docker docs: Image tagging and pinning", "HA docs: Installation, Container"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeContainers(h, func(c facts.ContainerSpec) []finding.Evidence {
				if c.Image == "" || imagePinned(c.Image) {
					return nil
				}
				return []finding.Evidence{containerAt(c, "image", c.Image)}
			})
		},
	}
}

// imagePinned reports whether the name of an image says a version or a digest.
func imagePinned(image string) bool {
	if strings.Contains(image, "@sha256:") {
		return true
	}
	_, tag, ok := strings.Cut(path.Base(image), ":")
	return ok && strings.ContainsAny(tag, "0123456789$")
}
