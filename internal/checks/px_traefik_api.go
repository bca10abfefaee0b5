package checks

import (
	"fmt"
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
			var unknown error
			for name, r := range traefikRouters(t) {
				switch {
				case r.service != "api@internal" || r.asks:
				case r.unknown:
					unknown = fmt.Errorf("%s:%d: what stands before the dashboard's router %s is said elsewhere", r.serviceAt.File, r.serviceAt.Line, name)
				default:
					bad = append(bad, audit.At(r.serviceAt.File, r.serviceAt.Line, "the dashboard's router "+name+" asks nobody who he is"))
				}
			}
			if unknown != nil && len(bad) == 0 {
				return audit.Unknown(unknown)
			}
			return audit.PassIf(len(bad) == 0, map[bool]string{true: "closed", false: "open"}[len(bad) == 0], bad...).Explicitly(explicit)
		},
		Profile: audit.ProfileHome,
		Repair:  proxyRepairTraefik(),
	}
}
