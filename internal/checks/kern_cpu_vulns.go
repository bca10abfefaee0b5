package checks

import (
	"errors"
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelCPUVulns() audit.Check {
	return audit.Check{
		ID: "kern.cpu-vulns", Title: "The processor's known leaks are closed", Severity: finding.Med,
		Why:       "Through Spectre and its kin a program, and even a web page, reads what others have in memory; the kernel closes that, unless told not to or without new microcode.",
		Fix:       "Take mitigations=off off the kernel's command line, install intel-microcode or amd64-microcode, and restart.",
		Reference: []string{"Linux documentation: admin-guide/hw-vuln/index"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			const dir = "/sys/devices/system/cpu/vulnerabilities"
			names, err := h.Dir(dir)
			if err != nil {
				return audit.Unknown(err)
			}
			if len(names) == 0 {
				return audit.Unknown(errors.New("this kernel does not say what its processor suffers from"))
			}
			var bad []finding.Evidence
			var unsure []string
			for _, n := range names {
				t, err := h.Text(dir + "/" + n)
				if err != nil {
					return audit.Unknown(err)
				}
				text := strings.Join(t.Lines, " ")
				switch {
				case strings.Contains(text, "Unknown"):
					unsure = append(unsure, n)
				case strings.HasPrefix(text, "Vulnerable"):
					bad = append(bad, audit.At(t.Path, 1, text))
				}
			}
			params, _, err := h.CommandLine()
			if err != nil {
				return audit.Unknown(err)
			}
			for _, p := range params {
				if p.Name == "mitigations" && p.Value == "off" {
					bad = append(bad, audit.At(p.File, p.Line, p.Text()))
				}
			}
			switch {
			case len(bad) > 0:
				return audit.Fail(len(bad), bad...)
			case len(unsure) > 0:
				return audit.Unknown(fmt.Errorf("the kernel itself does not know about %s, as is so in virtual machines", strings.Join(unsure, ", ")))
			}
			return audit.Pass(0)
		},
		ByHand: "It takes a package of the maker's microcode, or another kernel, and a restart; where the kernel is only told to leave it off, boot.cmdline is repaired.",
	}
}
