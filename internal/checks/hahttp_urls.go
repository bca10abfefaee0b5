package checks

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haHTTPURLs() audit.Check {
	return audit.Check{
		ID: "hahttp.urls", Title: "The addresses by which apps find Home Assistant are encrypted", Severity: finding.High,
		Why:       "The apps send their tokens to these addresses. One that begins with http:// shows them to everybody on the way; the inner one is used in foreign wifis, too, if an app mistakes them for yours.",
		Fix:       "Under Settings, System, Network give both addresses as https://, or leave the inner one empty.",
		Reference: []string{"CVE-2026-55844", "HA docs: integrations/homeassistant, external_url"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			core, err := h.HACore()
			if err != nil {
				return audit.Unknown(err)
			}
			ok := true
			effective, evidence := []string{}, []finding.Evidence{}
			for _, u := range [][2]string{{"external_url", core.External}, {"internal_url", core.Internal}} {
				if u[1] == "" {
					continue
				}
				at, err := url.Parse(u[1])
				if err != nil {
					return audit.Unknown(fmt.Errorf("%s:%d: %s is no address", core.At(u[0]).File, core.At(u[0]).Line, u[0]))
				}
				host := at.Hostname()
				addr, addrErr := netip.ParseAddr(host)
				effective = append(effective, haWithoutLogin(u[1]))
				loopback := addrErr == nil && addr.IsLoopback() || host == "localhost"
				if good := at.Scheme == "https" || strings.HasSuffix(host, ".onion") || loopback; !good {
					ok = false
					evidence = append(evidence, audit.At(core.At(u[0]).File, core.At(u[0]).Line, u[0]+": "+haWithoutLogin(u[1])))
				}
			}
			return audit.PassIf(ok, effective, evidence...).Explicitly(len(effective) > 0)
		},
		ByHand: "Only you know under which name your house is to be reached, and each app has to be told.",
	}
}
