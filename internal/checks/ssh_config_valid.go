package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshConfigValid() audit.Check {
	return audit.Check{
		ID: "ssh.config-valid", Title: "The server's configuration is one that it starts with", Severity: finding.High,
		Why:       "A server that does not take its configuration is gone after the next restart, and a line that does nothing makes its owner feel safe.",
		Fix:       "Mend or remove the lines that are shown, check with sshd -t, and reload sshd.",
		Reference: []string{"sshd(8)", "sshd_config(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			var evidence []finding.Evidence
			for _, l := range s.Faults {
				evidence = append(evidence, audit.At(l.File, l.Line, "sshd does not start: "+l.Trouble))
			}
			for _, l := range s.Useless {
				if sshBehindDropIn(l) {
					continue
				}
				evidence = append(evidence, audit.At(l.File, l.Line, l.Trouble))
			}
			if len(evidence) > 0 {
				return audit.Fail(evidence[0].Value, evidence...)
			}
			if s.Unsure != nil {
				return audit.Unknown(s.Unsure)
			}
			return audit.Pass(s.Files, audit.At(facts.SSHDConfig, 0, fmt.Sprintf("%d files", len(s.Files))))
		},
		Profile: audit.ProfileHome,
		Repair:  sshNoIdleLines,
	}
}

// sshBehindDropIn reports whether a line is idle because a drop-in comes before it, which is
// how drop-ins work.
func sshBehindDropIn(l facts.SSHDLine) bool {
	return l.File == facts.SSHDConfig && strings.Contains(l.Trouble, "says it first") && !strings.Contains(l.Trouble, facts.SSHDConfig+":")
}
