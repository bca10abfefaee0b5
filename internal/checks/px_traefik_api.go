package checks

import (
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func proxyTraefikAPI() audit.Check {
	return audit.Check{
		ID: "px.traefik-api", Title: "Traefik's own dashboard is not open, and it shows no container that nobody asked it to", Severity: finding.Crit,
		Why:       "Traefik's dashboard tells a stranger everything that stands behind it; and by default Traefik puts every container on the Internet that has a port.",
		Fix:       "Set api.insecure to false, put the dashboard's router behind a middleware that asks who it is, and set providers.docker.exposedByDefault to false.",
		Reference: []string{"Traefik: API and dashboard", "Traefik: Docker provider, exposedByDefault"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			t, err := h.Traefik()
			if err != nil {
				if proxyMissing(err) {
					return audit.NotApplicable("no Traefik was found")
				}
				return audit.Unknown(err)
			}
			var bad []finding.Evidence
			shown := func(s facts.Nested) { bad = append(bad, audit.At(s.File, s.Line, s.Path+": "+s.Value)) }
			explicit := false
			if s, ok := facts.Find(t.Static, "api.insecure"); ok {
				explicit = true
				if !strings.EqualFold(s.Value, "false") {
					shown(s)
				}
			}
			docker := slices.IndexFunc(t.Static, func(s facts.Nested) bool {
				return s.Path == "providers.docker" || strings.HasPrefix(s.Path, "providers.docker.")
			})
			if docker >= 0 {
				if s, ok := facts.Find(t.Static, "providers.docker.exposedbydefault"); ok && !strings.EqualFold(s.Value, "false") {
					shown(s)
				} else if !ok {
					s := t.Static[docker]
					bad = append(bad, audit.At(s.File, s.Line, "providers.docker.exposedByDefault is true unless it is said"))
				}
			}
			for _, all := range [][]facts.Nested{t.Dynamic, t.Compose} {
				labels := map[string]facts.Nested{}
				for _, s := range all {
					name, value := s.Path, s.Value
					if _, label, ok := strings.Cut(name, ".labels."); ok {
						name = label
						if k, v, ok := strings.Cut(value, "="); ok {
							name, value = strings.ToLower(k), v
						}
						name = strings.TrimPrefix(name, "traefik.")
					}
					s.Value = value
					labels[name] = s
				}
				for name, s := range labels {
					if router, ok := strings.CutSuffix(name, ".service"); ok && s.Value == "api@internal" {
						guarded := false
						for other := range labels {
							guarded = guarded || strings.HasPrefix(other, router+".middlewares")
						}
						if !guarded {
							shown(facts.Nested{Path: name, Value: s.Value, File: s.File, Line: s.Line})
						}
					}
				}
			}
			return audit.PassIf(len(bad) == 0, map[bool]string{true: "closed", false: "open"}[len(bad) == 0], bad...).Explicitly(explicit)
		},
	}
}
