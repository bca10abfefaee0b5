package checks

import (
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func bootSecure() audit.Check {
	return audit.Check{
		ID: "boot.secure", Title: "The firmware starts only what is signed", Severity: finding.Info,
		Why:       "With Secure Boot nobody who had the disk in hands for a minute can put a kernel of his own on it unseen.",
		Fix:       "Turn Secure Boot on in the firmware's settings; Debian and Red Hat start with it, kernel modules built here have to be signed first.",
		Reference: []string{"Debian wiki: SecureBoot", "mokutil(1)"},
		Needs:     audit.NeedHost | audit.NeedLive,
		Judge:     secureBoot,
	}
}

// secureBoot reads the firmware's variable. Its first four bytes are attributes.
func secureBoot(h *facts.Host) audit.Verdict {
	const dir = "/sys/firmware/efi"
	there, err := h.Exists(dir)
	if err != nil {
		return audit.Unknown(err)
	}
	if !there {
		return audit.NotApplicable("this machine was not started by UEFI")
	}
	state, err := h.SecureBoot()
	if err != nil {
		return audit.Unknown(err)
	}
	return audit.PassIf(state, state, audit.At(dir+"/efivars", 0, fmt.Sprintf("SecureBoot %t", state)))
}
