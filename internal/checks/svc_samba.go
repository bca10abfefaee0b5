package checks

import (
	"fmt"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcSamba() audit.Check {
	return audit.Check{
		ID: "svc.samba", Title: "Windows shares ask for a password and speak no old protocol", Severity: finding.High,
		Why:       "Home Assistant's folder holds all its secrets; a share that guests may open gives them away, and SMB1 is how worms spread.",
		Fix:       "In /etc/samba/smb.conf: server min protocol = SMB2, map to guest = never, guest ok = no for each share, and hosts allow with the home network.",
		Reference: []string{"smb.conf(5)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return serviceFiles(h, "there is no Samba", nil, []string{"/etc/samba/smb.conf"}, func(t facts.Text) (bad []finding.Evidence, err error) {
				section, hosts := "", false
				for n, line := range t.Lines {
					line = strings.TrimSpace(line)
					if line == "" || line[0] == '#' || line[0] == ';' {
						continue
					}
					if line[0] == '[' {
						section = strings.ToLower(strings.Trim(line, "[]"))
						continue
					}
					name, value, ok := strings.Cut(line, "=")
					if !ok || section == "" {
						return nil, fmt.Errorf("%s:%d: not a setting", t.Path, n+1)
					}
					name = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "")
					value = strings.ToLower(strings.TrimSpace(value))
					yes := value == "yes" || value == "true" || value == "1"
					switch name {
					case "guestok", "public", "guestonly":
						if yes && section != "print$" && section != "printers" {
							bad = append(bad, audit.At(t.Path, n+1, section+": "+line))
						}
					case "serverminprotocol", "minprotocol":
						if value == "nt1" || value == "lanman1" || value == "lanman2" || value == "core" || value == "coreplus" {
							bad = append(bad, audit.At(t.Path, n+1, line))
						}
					case "hostsallow", "allowhosts", "interfaces":
						hosts = true
					case "include", "config", "configfile":
						return nil, fmt.Errorf("%s:%d: includes what is not read here", t.Path, n+1)
					}
				}
				if !hosts {
					bad = append(bad, audit.At(t.Path, 0, "hosts allow is not set: everybody may ask"))
				}
				return bad, nil
			})
		},
		Profile: audit.ProfileStrict,
		Repair:  sambaRepair,
	}
}
