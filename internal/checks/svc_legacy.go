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
			old := []string{"telnetd", "telnetd-ssl", "inetutils-telnetd", "rsh-server", "rsh-redone-server", "nis", "ypserv", "talkd", "inetutils-talkd", "tftpd", "tftpd-hpa", "atftpd", "xinetd", "inetutils-inetd", "openbsd-inetd", "inetutils-ftpd", "ftpd", "vsftpd", "proftpd-basic", "proftpd-core", "pure-ftpd", "rsh-client", "talk"}
			list := []string{}
			var evidence []finding.Evidence
			var perr error
			for _, name := range old {
				p, installed, err := h.Package(name)
				if err != nil {
					perr = err
					break
				}
				if installed {
					list = append(list, name)
					evidence = append(evidence, packageEvidence(p, ""))
				}
			}
			for _, name := range []string{"telnet.socket", "rsh.socket", "tftp.socket", "tftpd-hpa.service", "xinetd.service", "inetd.service", "vsftpd.service", "proftpd.service", "ypserv.service", "ypbind.service"} {
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
