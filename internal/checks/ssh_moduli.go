package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshModuli() audit.Check {
	return audit.Check{
		ID: "ssh.moduli", Title: "The groups for agreeing on keys are large enough", Severity: finding.Low,
		Why:       "Groups below 3072 bits are within reach of those with very large machines, and are used for everybody.",
		Fix:       "Keep the large ones alone: awk '$5 >= 3071' /etc/ssh/moduli > /etc/ssh/moduli.new && mv /etc/ssh/moduli.new /etc/ssh/moduli.",
		Reference: []string{"moduli(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			s, err := h.SSHD()
			if err != nil {
				return sshRefused(err)
			}
			asked := sshValues(s, "KexAlgorithms", facts.SSHPeer{}, sshWithout(func(name string) bool {
				return strings.HasPrefix(name, "diffie-hellman-group-exchange")
			}))
			if asked.Result == finding.Unknown {
				return asked
			}
			if asked.Result == finding.Pass {
				return audit.NotApplicable("the server does not use them")
			}
			file, err := s.Value("modulifile", facts.SSHPeer{})
			if err != nil {
				return sshRefused(err)
			}
			t, err := h.Text(file.Value)
			if errors.Is(err, fs.ErrNotExist) {
				return audit.NotApplicable("there is no " + file.Value + ", and the server's own groups are used")
			}
			if err != nil {
				return audit.Unknown(err)
			}
			short, shortest := 0, 0
			at := audit.At(file.Value, 0, "")
			for n, line := range t.Lines {
				f := strings.Fields(line)
				if len(f) == 0 || strings.HasPrefix(f[0], "#") {
					continue
				}
				bits := 0
				if len(f) >= 6 {
					bits, err = strconv.Atoi(f[4])
				}
				if bits <= 0 || err != nil {
					return audit.Unknown(fmt.Errorf("%s:%d: not a group", file.Value, n+1))
				}
				if bits < 3071 { // it counts from 0
					if short++; short == 1 {
						at.Line = n + 1
					}
				}
				if shortest == 0 || bits < shortest {
					shortest = bits
				}
			}
			at.Value = fmt.Sprintf("%d groups are too short, the shortest has %d bits", short, shortest+1)
			return audit.PassIf(short == 0, shortest+1, at)
		},
		Profile: audit.ProfileHome,
		Repair:  sshLargeGroups,
	}
}
