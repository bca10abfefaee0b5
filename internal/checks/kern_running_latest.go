package checks

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelRunningLatest() audit.Check {
	return audit.Check{
		ID: "kern.running-latest", Title: "The kernel that runs is the newest that is installed", Severity: finding.High,
		Why:       "An update of the kernel mends nothing before the machine is started anew: until then the hole is open, although the list of updates is empty.",
		Fix:       "Restart the machine at a time that suits you; unattended-upgrades can do it at night (Unattended-Upgrade::Automatic-Reboot).",
		Reference: []string{"uname(1)", "unattended-upgrade(8)", "CIS Debian 12 1.2.2.1"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			t, err := h.Text("/proc/sys/kernel/osrelease")
			if err != nil {
				return audit.Unknown(err)
			}
			running := strings.TrimSpace(strings.Join(t.Lines, ""))
			if running == "" {
				return audit.Unknown(errors.New("/proc/sys/kernel/osrelease: empty"))
			}
			installed, err := installedKernels(h)
			if err != nil {
				return audit.Unknown(err)
			}
			if len(installed) == 0 {
				return audit.NotApplicable("no kernel is installed here: the machine is given one from outside")
			}
			newest := ""
			for _, k := range installed {
				if kernelFlavour(k) == kernelFlavour(running) && (newest == "" || compareKernels(k, newest) > 0) {
					newest = k
				}
			}
			switch {
			case newest == "" && !slices.Contains(installed, running):
				return audit.Unknown(fmt.Errorf("%s runs, which is none of those that are installed (%s)", running, strings.Join(installed, ", ")))
			case compareKernels(running, newest) < 0:
				return audit.Fail(running, audit.At("/proc/sys/kernel/osrelease", 1, running), audit.At("/lib/modules/"+newest, 0, "is installed"))
			}
			if there, err := h.Exists("/run/reboot-required"); err != nil {
				return audit.Unknown(err)
			} else if there {
				pkgs, err := h.Text("/run/reboot-required.pkgs")
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return audit.Unknown(err)
				}
				for n, p := range pkgs.Lines {
					if strings.HasPrefix(p, "linux-image") || strings.HasPrefix(p, "linux-base") {
						return audit.Fail(running, audit.At("/run/reboot-required.pkgs", n+1, p))
					}
				}
			}
			return audit.Pass(running)
		},
		ByHand: "A restart stops the house for a minute; when that is nobody's harm only you know.",
	}
}

// installedKernels are the releases of the kernels that could be started: those with an
// image, not those of which only modules are left.
func installedKernels(h *facts.Host) ([]string, error) {
	var all []string
	for _, pattern := range []string{"/boot/vmlinuz-*", "/boot/vmlinux-*", "/boot/kernel-*", "/lib/modules/*/vmlinuz"} {
		found, err := h.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			name := path.Base(f)
			if name == "vmlinuz" {
				all = append(all, path.Base(path.Dir(f)))
			} else if _, release, ok := strings.Cut(name, "-"); ok && !strings.Contains(release, "rescue") && !strings.HasSuffix(release, ".old") {
				all = append(all, release)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// kernelFlavour is what is left of a release without its numbers: "-amd64", "+rpt-rpi-v8".
// A newer kernel of another flavour is not what would run.
func kernelFlavour(release string) string {
	at := strings.LastIndexByte(release, '-')
	if n := strings.Index(release, "+rpt-"); n >= 0 {
		return release[n:]
	}
	if at < 0 {
		return ""
	}
	if f := release[at:]; strings.ContainsAny(f, "abcdefghijklmnopqrstuvwxyz") && !strings.ContainsAny(f, ".") {
		return f
	}
	return ""
}

// compareKernels compares releases by their numbers, part by part.
func compareKernels(a, b string) int {
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	}
	x, y := split(strings.TrimSuffix(a, kernelFlavour(a))), split(strings.TrimSuffix(b, kernelFlavour(b)))
	for n := range min(len(x), len(y)) {
		p, q := strings.TrimLeft(x[n], "0"), strings.TrimLeft(y[n], "0")
		if c := cmp.Or(cmp.Compare(len(p), len(q)), strings.Compare(p, q)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}
