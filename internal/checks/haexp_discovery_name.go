package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haExpName() audit.Check {
	return audit.Check{
		ID: "haexp.discovery-name", Title: "The name that Home Assistant announces in the network is not the house's address", Severity: finding.Info,
		Why:       "Home Assistant tells its name to every device in the network, a guest's too, and shows it before the login.",
		Fix:       "Under Settings, System, General choose a name without street, number or family name.",
		Reference: []string{"HA docs: integrations/zeroconf"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			core, err := h.HACore()
			if err != nil {
				return audit.Unknown(err)
			}
			at := audit.At(core.At("location_name").File, core.At("location_name").Line, core.Name)
			return audit.PassIf(!looksLikeStreet(core.Name), core.Name, at)
		},
	}
}

// looksLikeStreet reports whether a name is a street with a number, in either order.
func looksLikeStreet(name string) bool {
	letters, number := false, false
	for _, w := range strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == ',' }) {
		digits := strings.TrimLeft(w, "0123456789")
		switch {
		case len(digits) <= 1 && len(digits) < len(w):
			number = true
		case len(w) > 3:
			letters = true
		}
	}
	return letters && number
}
