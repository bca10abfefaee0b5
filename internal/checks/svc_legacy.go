package checks

import (
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcLegacy() audit.Check {
	return audit.Check{
		ID: "svc.legacy", Title: "There are no servers from the time before encryption", Severity: finding.High,
		Why:       "telnet, rsh, FTP and TFTP send names and passwords for everybody in the network to read.",
		Fix:       "Stop the server (systemctl disable --now), then remove its package; use SSH, or SFTP for files.",
		Reference: []string{"CIS Debian 12 2.1.16", "CIS Debian 12 2.2.1", "CIS RHEL 9 2.1.16", "Securing Debian Manual 3.6"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			list := []string{}
			var evidence []finding.Evidence
			var perr error
			for _, name := range legacyPackages() {
				p, installed, err := h.Package(name)
				if err != nil {
					perr = err
					break
				}
				if !installed {
					continue
				}
				off, err := legacyOff(h, name)
				if err != nil {
					return audit.Unknown(err)
				}
				if !off {
					list = append(list, name)
					evidence = append(evidence, packageEvidence(p, ""))
				}
			}
			for _, name := range legacyStarted() {
				u, err := h.Unit(name)
				if err != nil {
					return audit.Unknown(err)
				}
				if u.Starts() {
					list = append(list, name)
					evidence = append(evidence, audit.At(u.EnabledBy, 0, name))
				}
			}
			commands, err := h.UnitCommands()
			if err != nil {
				return audit.Unknown(err)
			}
			for _, c := range commands {
				unit := path.Base(c.File)
				if slices.Contains(list, unit) || !oldServer(c.Command) {
					continue
				}
				if u, err := h.Unit(unit); err == nil && u.Starts() {
					list = append(list, unit)
					evidence = append(evidence, audit.At(c.File, c.Line, c.Command))
				}
			}
			if len(evidence) == 0 && perr != nil {
				return audit.Unknown(perr)
			}
			return audit.PassIf(len(evidence) == 0, list, evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  legacyRepair,
	}
}

// oldServer reports whether a command starts a server from before encryption, whatever
// brought it.
func oldServer(command string) bool {
	words := strings.Fields(command)
	if len(words) == 0 {
		return false
	}
	name := path.Base(strings.TrimLeft(words[0], "@-:+!|"))
	if name == "busybox" && len(words) > 1 {
		name = words[1]
	}
	return slices.Contains([]string{"telnetd", "ftpd", "tftpd", "rshd", "rlogind", "rexecd", "talkd", "inetd", "xinetd", "vsftpd", "proftpd", "pure-ftpd", "tcpsvd"}, strings.TrimPrefix(name, "in."))
}
