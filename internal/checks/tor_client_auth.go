package checks

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func torClientAuth() audit.Check {
	return audit.Check{
		ID: "tor.client-auth", Title: "The onion service answers only to the keys of the people of the house", Severity: finding.High,
		Why:       "Without client keys the address is the only secret, and it stands in every browser's history. With them a stranger who knows it does not even find out that there is something.",
		Fix:       "Put a file NAME.auth with descriptor:x25519:KEY for every person into authorized_clients of the service's folder, and send Tor a HUP; the other half belongs into the app (Orbot).",
		Reference: []string{"tor(1): CLIENT AUTHORIZATION", "rend-spec-v3"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeOnions(h, func(t facts.Tor) audit.Verdict {
				var bad []finding.Evidence
				var errs []error
				counts := []string{}
				for _, s := range t.Services {
					dir := s.Path() + "/authorized_clients"
					// That a folder is closed to us must not look as if it were not there.
					if _, err := h.Stat(s.Path()); err != nil && !proxyMissing(err) {
						errs = append(errs, err)
						continue
					}
					names, err := h.Dir(dir)
					if err != nil {
						errs = append(errs, err)
						continue
					}
					good := 0
					for _, name := range names {
						if !strings.HasSuffix(name, ".auth") {
							continue
						}
						file := dir + "/" + name
						text, err := h.Text(file)
						if err != nil {
							errs = append(errs, err)
							continue
						}
						valid := false
						for _, line := range text.Lines {
							f := strings.Split(strings.TrimSpace(line), ":")
							key := ""
							if len(f) == 3 {
								key = strings.TrimRight(f[2], "=")
							}
							raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(key))
							valid = valid || len(f) == 3 && f[0] == "descriptor" && f[1] == "x25519" && err == nil && len(raw) == 32
						}
						if valid {
							good++
						} else {
							bad = append(bad, audit.At(file, 1, "not of the form descriptor:x25519:KEY, Tor passes over it"))
						}
					}
					counts = append(counts, fmt.Sprintf("%s: %d", s.Path(), good))
					if good == 0 {
						bad = append(bad, torLines(s.Dir)...)
					}
				}
				switch {
				case len(bad) > 0:
					return audit.Fail(counts, bad...)
				case len(errs) > 0:
					return audit.Unknown(errors.Join(errs...))
				}
				return audit.Pass(counts)
			})
		},
		ByHand: "Each person's key is made on their own device.",
	}
}
