package checks

import (
	"cmp"
	"errors"
	"fmt"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func sshVersion() audit.Check {
	return audit.Check{
		ID: "ssh.version", Title: "The server is mended against regreSSHion and Terrapin", Severity: finding.Crit,
		Why:       "Through the hole called regreSSHion a stranger could become root without any login; through Terrapin somebody in between weakens the connection. Both were mended in 2023 and 2024.",
		Fix:       "Install the system's updates (apt update and apt upgrade, or the like), and restart sshd.",
		Reference: []string{"CVE-2024-6387", "CVE-2023-48795"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			if _, err := h.SSHD(); errors.Is(err, facts.ErrNoSSHD) {
				return sshRefused(err)
			}
			r, err := h.SSHRelease()
			if err != nil {
				return audit.Unknown(err)
			}
			if !r.Known() {
				return audit.Unknown(errors.New("no package manager that can be read here knows of the server"))
			}
			says := audit.At("openssh-server", 0, r.Package)
			if r.AtLeast(9, 8) {
				return audit.Pass(r.Package, says)
			}
			system, err := h.Release()
			if err != nil {
				return audit.Unknown(err)
			}
			mended := sshMended(system)
			if mended == "" || r.Manager != "dpkg" {
				return audit.Unknown(fmt.Errorf("openssh-server %s: it is not known here which fixes %s has brought back to it", r.Package, cmp.Or(system.Name, system.ID+" "+system.Version)))
			}
			return audit.PassIf(!r.Before(mended), r.Package, audit.At("openssh-server", 0, r.Package+"; mended in "+mended))
		},
		ByHand: "The mended server comes with the system's own updates, which install more than this one program and may ask you something.",
	}
}

// sshMended is the package with which a system had both holes closed; "" where that is
// not known here.
func sshMended(r facts.Release) string {
	system := r.ID
	if system == "raspbian" {
		system = "debian"
	}
	switch system + " " + r.Version {
	case "debian 10":
		return "1:7.9p1-10+deb10u4"
	case "debian 11":
		return "1:8.4p1-5+deb11u3" // the first hole came later
	case "debian 12":
		return "1:9.2p1-2+deb12u3"
	case "ubuntu 20.04":
		return "1:8.2p1-4ubuntu0.10"
	case "ubuntu 22.04":
		return "1:8.9p1-3ubuntu0.10"
	case "ubuntu 24.04":
		return "1:9.6p1-3ubuntu13.3"
	}
	return ""
}
