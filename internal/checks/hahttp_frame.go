package checks

import (
	"strconv"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/ha"
)

func haHTTPFrame() audit.Check {
	return audit.Check{
		ID: "hahttp.frame", Title: "Home Assistant's page cannot be hidden in another one", Severity: finding.Med,
		Why:       "A page that shows Home Assistant inside itself, unseen, can make you click on what you do not see: open the door, for one.",
		Fix:       "Set use_x_frame_options: true; a wall panel that needs a frame is better allowed by name in the proxy (frame-ancestors).",
		Reference: []string{"CVE-2023-41897", "HA docs: integrations/http, use_x_frame_options", "RFC 7034"},
		Needs:     audit.NeedHA,
		Judge: haHTTP(func(h *facts.Host, s ha.Settings) audit.Verdict {
			at, explicit := haOption(h, s, "use_x_frame_options", strconv.FormatBool(s.HTTP.UseXFrameOptions))
			return audit.PassIf(s.HTTP.UseXFrameOptions, s.HTTP.UseXFrameOptions, at).Explicitly(explicit)
		}),
		Profile: audit.ProfileStrict,
		Repair:  haRepairFrame(),
	}
}
