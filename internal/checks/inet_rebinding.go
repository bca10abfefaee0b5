package checks

import (
	"errors"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func inetRebinding() audit.Check {
	return audit.Check{
		ID: "inet.rebinding", Title: "A stranger's name cannot lead to a machine in the house", Severity: finding.Low,
		Why:       "A web page can let its own name lead to 192.168.x.x and so talk to the devices in the house through your browser.",
		Fix:       "Write stop-dns-rebind and rebind-localhost-ok into /etc/dnsmasq.d, and rebind-domain-ok=/your.name/ for your own name.",
		Reference: []string{"dnsmasq(8)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			u, err := h.Unit("dnsmasq.service")
			if err != nil {
				return audit.Unknown(err)
			}
			if !u.Starts() {
				return audit.NotApplicable("this machine answers no questions of names (dnsmasq)")
			}
			more, err := h.Glob("/etc/dnsmasq.d/*")
			if err != nil {
				return audit.Unknown(err)
			}
			for _, file := range append([]string{"/etc/dnsmasq.conf"}, more...) {
				t, err := h.Text(file)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				for n, line := range t.Lines {
					if strings.TrimSpace(line) == "stop-dns-rebind" {
						return audit.Pass("on", audit.At(file, n+1, "stop-dns-rebind")).Explicitly(true)
					}
				}
			}
			return audit.Fail("off", audit.At("/etc/dnsmasq.conf", 0, "stop-dns-rebind is not set")).Explicitly(false)
		},
	}
}
