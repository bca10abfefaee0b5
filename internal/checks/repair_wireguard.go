package checks

import (
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

func wireguardRepairSave() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Has the VPN no longer write its own configuration.", "A peer that was added while the VPN ran, and does not stand in the file, is gone after the next start.")
		all, err := h.WireGuards()
		if err != nil {
			return finding.Fix{}, err
		}
		for _, w := range all {
			if w.Save.Arg(0) != "true" {
				continue
			}
			remark(d, w.Save.File, w.Save.Line)
			d.Secret(w.Save.File)
		}
		return d.Fix()
	}
}

// closeFiles takes rights away from files that a verdict names, and gives them to root.
func closeFiles(does, breaks string, judge func(*facts.Host) []finding.Evidence, mask func(name string, directory bool) uint32) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		for _, e := range judge(h) {
			if e.Line != 0 {
				d.Refuse("", "%s:%d: %s is not a matter of who may read a file", e.File, e.Line, e.Value)
				return d.Fix()
			}
			at, err := h.Resolve(e.File)
			if err != nil {
				return finding.Fix{}, err
			}
			info, err := h.Lstat(at)
			if err != nil {
				return finding.Fix{}, err
			}
			d.Owner(at, 0, info.GID)
			d.Mode(at, uint32(info.Mode.Perm())&mask(at, info.Mode.IsDir()))
		}
		return d.Fix()
	}
}

func wireguardRepairKeys() func(*facts.Host) (finding.Fix, error) {
	return closeFiles("Closes the keys of the VPN to everybody but root.", "Keys that others could read are to be made anew by hand.",
		func(h *facts.Host) []finding.Evidence { return wireguardKeyPerms().Judge(h).Evidence }, func(name string, directory bool) uint32 {
			if strings.HasSuffix(name, ".netdev") {
				return 0o640
			}
			return 0o700
		})
}

func wireguardRepairHooks() func(*facts.Host) (finding.Fix, error) {
	return closeFiles("Gives what starts with the VPN to root, and lets nobody else write it.", "Whoever else changed these scripts has to become root for it.",
		func(h *facts.Host) []finding.Evidence { return wireguardHooks().Judge(h).Evidence }, func(string, bool) uint32 { return 0o755 })
}

func vpnRepairKeys() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Closes the keys of other VPNs to everybody but their owner and their group.", "A program that read such a key as a stranger no longer does.")
		for _, e := range vpnOther().Judge(h).Evidence {
			if e.Line != 0 {
				d.Refuse("change it on both sides at the same time", "%s:%d: both sides of the VPN have to be changed together", e.File, e.Line)
				return d.Fix()
			}
			info, err := h.Stat(e.File)
			if err != nil {
				return finding.Fix{}, err
			}
			mask := uint32(0o740)
			if info.GID >= 1000 {
				mask = 0o700
			}
			d.Mode(e.File, uint32(info.Mode.Perm())&mask)
		}
		return d.Fix()
	}
}
