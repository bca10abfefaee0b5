package checks

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsFileCaps() audit.Check {
	return audit.Check{
		ID: "fs.file-caps", Title: "Only the system's own programs have a part of root's power", Severity: finding.High,
		Why:       "A file's capabilities work like a setuid bit: a Python that was given cap_net_raw for Bluetooth lends it to every script of every user.",
		Fix:       "Take them away (setcap -r FILE), and give the service that needs them AmbientCapabilities= in its unit instead.",
		Reference: []string{"capabilities(7)", "setcap(8)", "systemd.exec(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			w, err := h.Walk()
			if err != nil {
				return audit.Unknown(err)
			}
			var ask []string
			for _, f := range w.Capable.First {
				ask = append(ask, f.Path)
			}
			owner, known, err := h.Packaged(ask)
			if err != nil {
				return audit.Unknown(err)
			}
			var odd []finding.Evidence
			unsure := 0
			for _, f := range w.Capable.First {
				name := path.Base(f.Path)
				switch {
				case givesAway(name), known && owner[f.Path] == "":
					odd = append(odd, audit.At(f.Path, 0, strings.Join(facts.CapNames(f.Info.Caps), ",")))
				case !known && !usuallyCapable(name):
					unsure++
				}
			}
			if len(odd) > 0 {
				return audit.Fail(more(len(odd), "programs"), odd[:min(len(odd), maxShown)]...)
			}
			if w.Capless != nil {
				return audit.Unknown(w.Capless)
			}
			if v, cut := cutWalk(w); cut {
				return v
			}
			if unsure > 0 {
				return audit.Unknown(fmt.Errorf("%d programs with capabilities are in no list that could be read here", unsure))
			}
			return audit.Pass(more(w.Capable.Count, "programs"), walkLeftOut(w)...)
		},
		ByHand: "What such a program needs its power for only you know; if nobody needs it, setcap -r takes it.",
	}
}

// usuallyCapable reports whether distributions ship a program with capabilities.
func usuallyCapable(name string) bool {
	return slices.Contains([]string{"ping", "arping", "clockdiff", "mtr-packet", "newuidmap", "newgidmap", "dumpcap", "gst-ptp-helper", "suexec", "fping",
		"snap-confine", "traceroute6.iputils", "gnome-keyring-daemon", "rcp", "rlogin", "rsh", "sssd_pam", "ldap_child", "krb5_child", "selinux_child"}, name)
}
