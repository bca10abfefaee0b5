package checks

import (
	"errors"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haExpIframe() audit.Check {
	return audit.Check{
		ID: "haexp.panel-iframe", Title: "Home Assistant's pages show no other pages over plain http", Severity: finding.Low,
		Why:       "A page inside a page is fetched by your browser. Over http anybody in the network may put their own there, with a form that asks for a password.",
		Fix:       "Use the https address of what is shown, or a plain link.",
		Reference: []string{"HA docs: dashboards/iframe"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			root, err := h.HAConfiguration()
			if err != nil {
				return audit.Unknown(err)
			}
			var urls []string
			var evidence []finding.Evidence
			all, sectionsErr := root.Sections("panel_iframe")
			for _, f := range all {
				for _, p := range f.Value.Fields {
					if url := p.Value.Get("url"); strings.HasPrefix(strings.ToLower(url.Value()), "http:") {
						urls = append(urls, p.Key)
						evidence = append(evidence, haAtNode(h, url, p.Key+": http"))
					}
				}
			}
			pages, pagesErr := h.HAFrames()
			for _, p := range pages {
				urls = append(urls, p.File)
				evidence = append(evidence, audit.At(p.File, p.Line, "a page over http"))
			}
			if err := errors.Join(sectionsErr, pagesErr); err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, len(urls), evidence...)
		},
	}
}
