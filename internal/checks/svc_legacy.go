package checks

import (
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
			if len(evidence) == 0 && perr != nil {
				return audit.Unknown(perr)
			}
			return audit.PassIf(len(evidence) == 0, list, evidence...)
		},
	}
}
