package checks

import (
	"errors"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haSecVerify() audit.Check {
	return audit.Check{
		ID: "hasec.rest-verify", Title: "Home Assistant checks the certificates of those it talks to", Severity: finding.Med,
		Why:       "With verify_ssl off whoever stands in between can read and change what Home Assistant says, its password for the other side first of all.",
		Fix:       "Set verify_ssl: true; give a device with a certificate of its own a name and a certificate from your own authority.",
		Reference: []string{"CVE-2025-25305", "HA docs: integrations/rest, verify_ssl"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			root, err := h.HAConfiguration()
			if err != nil {
				return audit.Unknown(err)
			}
			var evidence []finding.Evidence
			root.Walk(func(keys []string, n *ha.Node) {
				if len(keys) > 0 && keys[len(keys)-1] == "verify_ssl" && n.Kind == ha.TextNode && !n.True() && !haTemplate(n.Value()) && n.Tag == "" {
					evidence = append(evidence, haAtNode(h, n, "verify_ssl: "+n.Value()))
				}
			})
			entries, err := h.HAEntries()
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			for _, e := range entries {
				if e.Verify != nil && !*e.Verify && !e.Disabled {
					evidence = append(evidence, audit.At(h.HAPath(".storage/core.config_entries"), e.Line, e.Domain+": verify_ssl: false"))
				}
			}
			if err := errors.Join(root.Unread(), err); err != nil && len(evidence) == 0 {
				return audit.Unknown(err)
			}
			return audit.PassIf(len(evidence) == 0, len(evidence), evidence...)
		},
		ByHand: "A device with a certificate of its own would no longer be reached; whose certificate to trust is yours to say.",
	}
}
