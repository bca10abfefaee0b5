package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func kernelLockdown() audit.Check {
	return audit.Check{
		ID: "kern.lockdown", Title: "The kernel is locked against root itself", Severity: finding.Info,
		Why:       "With lockdown, which comes with Secure Boot, not even root changes the running kernel: a break-in does not outlive a restart unseen.",
		Fix:       "Turn Secure Boot on, or add lockdown=integrity to the kernel's command line; modules that are built here then have to be signed.",
		Reference: []string{"kernel_lockdown(7)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge: func(h *facts.Host) audit.Verdict {
			t, err := h.Text("/sys/kernel/security/lockdown")
			if errors.Is(err, fs.ErrNotExist) {
				if there, err := h.Exists("/sys/kernel"); err != nil || !there {
					return audit.Unknown(errors.New("/sys is not there"))
				}
				return audit.NotApplicable("this kernel has no lockdown")
			}
			if err != nil {
				return audit.Unknown(err)
			}
			text := strings.Join(t.Lines, " ")
			_, rest, ok := strings.Cut(text, "[")
			mode, _, closed := strings.Cut(rest, "]")
			if !ok || !closed {
				return audit.Unknown(fmt.Errorf("%s:1: %q is no state of lockdown", t.Path, text))
			}
			return audit.PassIf(mode == "integrity" || mode == "confidentiality", mode, audit.At(t.Path, 1, text))
		},
		ByHand: "It is switched on in the firmware, and modules that were built here have to be signed first.",
	}
}
