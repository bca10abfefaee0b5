package checks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshHostkeys() audit.Check {
	return audit.Check{
		ID: "ssh.hostkeys", Title: "The machine's own keys are strong and its own", Severity: finding.High,
		Why:       "By these keys your devices know that they talk to this machine. A weak one can be forged, and one that came with a copied memory card is known to whoever has the same card.",
		Fix:       "Remove the weak or copied keys, make new ones with ssh-keygen -A, and reload sshd. Every device will then be told that the key has changed: compare the new fingerprint (ssh-keygen -lf) when it asks.",
		Reference: []string{"Securing Debian 5.1", "sshd(8)", "ssh-keygen(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			keys, err := h.SSHHostKeys()
			if err != nil {
				return sshRefused(err)
			}
			if len(keys) == 0 {
				return audit.Unknown(errors.New("there are no host keys: sshd makes none by itself and does not start"))
			}
			installed, err := h.Stat("/etc/machine-id")
			first := installed.ModTime.Add(-24 * time.Hour)
			if err != nil {
				first = time.Time{}
			}
			var kinds []string
			var bad []finding.Evidence
			var unread error
			for _, k := range keys {
				if k.Err != nil {
					unread = k.Err
					continue
				}
				kinds = append(kinds, k.Type)
				switch {
				case k.Type == "ssh-dss":
					bad = append(bad, audit.At(k.Private, 0, "a DSA key"))
				case k.Type == "ssh-rsa" && k.Bits < 3072:
					bad = append(bad, audit.At(k.Private, 0, fmt.Sprintf("an RSA key of %d bits", k.Bits)))
				case k.PrivateInfo.ModTime.Before(first):
					bad = append(bad, audit.At(k.Private, 0, "made on "+k.PrivateInfo.ModTime.Format(time.DateOnly)+", before this system on "+installed.ModTime.Format(time.DateOnly)))
				}
			}
			switch {
			case len(bad) > 0:
				return audit.Fail(kinds, bad...)
			case unread != nil:
				return audit.Unknown(unread)
			case !slices.Contains(kinds, "ssh-ed25519"):
				return audit.Fail(kinds, audit.At(keys[0].Private, 0, "no Ed25519 key, only "+strings.Join(kinds, ", ")))
			}
			return audit.Pass(kinds, audit.At(keys[0].Private, 0, strings.Join(kinds, ", ")))
		},
		ByHand: "Each of your devices remembers this machine by its key and has to be told of a new one, by somebody who compares the fingerprint.",
	}
}
