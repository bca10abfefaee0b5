package checks

import (
	"errors"
	"io/fs"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func wireguardKeyPerms() audit.Check {
	return audit.Check{
		ID: "wg.key-perms", Title: "Only root reads the keys of the VPN", Severity: finding.Crit,
		Why:       "Who reads the private key of your VPN is your VPN: he gets into the house as you do.",
		Fix:       "Set /etc/wireguard to 0700 and its files to 0600, owned by root; files .netdev to 0640 root:systemd-network; then make new keys if others could read the old ones.",
		Reference: []string{"wg(8)", "wg-quick(8)", "systemd.netdev(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			// The modes can be seen where the files cannot be read.
			var bad []finding.Evidence
			var errs []error
			seen := []string{}
			look := func(name string, group int) {
				open, err := openMode(h, name, group)
				if err != nil {
					errs = append(errs, err)
					return
				}
				seen, bad = append(seen, name), append(bad, open...)
			}
			files, err := h.Glob(facts.WireGuardDir + "/*.conf")
			if err != nil {
				errs = append(errs, err)
			}
			if len(files) > 0 {
				look(facts.WireGuardDir, -1)
			}
			for _, name := range files {
				look(name, -1)
			}
			all, err := h.WireGuards()
			if err != nil && !errors.Is(err, fs.ErrPermission) {
				errs = append(errs, err)
			} else if err != nil && len(files) == 0 {
				errs = append(errs, err)
			}
			network := groupNumber(h, "systemd-network")
			for _, w := range all {
				switch {
				case w.KeyFile != "":
					look(w.KeyPath(), network)
				case w.Tool == "networkd" && w.KeyLine > 0:
					look(w.File, network)
				case w.Tool == "NetworkManager":
					look(w.File, -1)
				}
			}
			switch {
			case len(bad) > 0:
				return audit.Fail(seen, bad...)
			case len(errs) > 0:
				return audit.Unknown(errors.Join(errs...))
			case len(all) == 0 && len(files) == 0:
				return audit.NotApplicable("no WireGuard was found")
			}
			return audit.Pass(seen)
		},
		Profile: audit.ProfileHome,
		Repair:  wireguardRepairKeys(),
	}
}
