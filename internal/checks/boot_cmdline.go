package checks

import (
	"errors"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func bootCmdline() audit.Check {
	return audit.Check{
		ID: "boot.cmdline", Title: "The kernel is not told to leave its protection off", Severity: finding.High,
		Why:       "One word on the kernel's command line gives whoever is at the keyboard a root shell, or switches off what protects programs from each other; it was often put there for one try and stayed.",
		Fix:       "Take the words out of /etc/default/grub and run update-grub, or out of /boot/firmware/cmdline.txt (which stays one line); then restart.",
		Reference: []string{"CIS Debian 12 1.3.1.2", "CIS Debian 12 6.2.1.3", "CIS RHEL 9 6.3.1.2", "kernel-command-line(7)", "Linux documentation: admin-guide/kernel-parameters"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			params, found, err := h.CommandLine()
			if err != nil {
				return audit.Unknown(err)
			}
			if !found {
				names, err := h.Dir("/boot")
				if err != nil {
					return audit.Unknown(err)
				}
				if len(names) == 0 {
					return audit.NotApplicable("there is nothing here that starts a kernel")
				}
				return audit.Unknown(errors.New("no boot loader that is known here says how the kernel is started"))
			}
			var bad []finding.Evidence
			var words []string
			for _, p := range params {
				if !disarms(p) {
					continue
				}
				bad = append(bad, audit.At(p.File, p.Line, p.Text()))
				if !slices.Contains(words, p.Text()) {
					words = append(words, p.Text())
				}
			}
			if len(bad) > 0 {
				return audit.Fail(words, bad...).Explicitly(true)
			}
			return audit.Pass([]string{})
		},
		ByHand: "It is felt after a restart only, and a machine that does not start any more is mended at its keyboard: change it when you stand there.",
	}
}

// disarms reports whether a parameter of the kernel opens the machine.
func disarms(p facts.Parameter) bool {
	name := strings.ReplaceAll(p.Name, "-", "_")
	off := slices.Contains([]string{"off", "0", "n", "no", "false"}, strings.ToLower(p.Value))
	switch name {
	case "init", "rdinit":
		return slices.Contains([]string{"sh", "bash", "dash", "ash", "busybox", "zsh"}, path.Base(p.Value))
	case "mitigations":
		return p.Value == "off"
	case "apparmor", "selinux", "enforcing", "kaslr", "audit_enabled":
		return off
	case "nopti", "pti":
		return name == "nopti" || off
	case "spectre_v2", "spec_store_bypass_disable", "l1tf", "mds", "tsx_async_abort", "mmio_stale_data", "retbleed", "spec_rstack_overflow", "gather_data_sampling", "srbds":
		return p.Value == "off"
	case "nokaslr", "norandmaps", "nosmap", "nosmep", "nospectre_v1", "nospectre_v2", "systemd.debug_shell", "rd.systemd.debug_shell":
		return p.Value == "" || !off
	case "systemd.unit":
		return p.Value == "debug-shell.service" || p.Value == "rescue.target" || p.Value == "emergency.target"
	case "systemd.wants":
		return p.Value == "debug-shell.service"
	case "single", "S", "s", "emergency", "rescue", "1":
		return p.Value == ""
	case "module.sig_enforce", "lockdown":
		return off || p.Value == "none"
	}
	return false
}
