package checks

import (
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

func sshClientKnown() audit.Check {
	return audit.Check{
		ID: "ssh.client-known", Title: "This machine knows the machines that it logs in to", Severity: finding.Med,
		Why:       "A client that takes any key talks to whoever stands in between, and one that lends its keys everywhere lets every machine on the way use them.",
		Fix:       "Remove StrictHostKeyChecking no and the general ForwardAgent yes; log in once by hand and compare the fingerprint, so that the machine is known.",
		Reference: []string{"ssh_config(5)"},
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			users, err := h.Users()
			if err != nil {
				return audit.Unknown(err)
			}
			files, err := h.Glob("/etc/ssh/ssh_config.d/*.conf")
			if err != nil {
				return audit.Unknown(err)
			}
			files = append(files, "/etc/ssh/ssh_config")
			for _, u := range users {
				if u.UID == 0 || slices.Contains([]string{"homeassistant", "hass", "home-assistant"}, u.Name) {
					files = append(files, path.Join(u.Home, ".ssh/config"))
				}
			}
			if h.HADir != "" {
				files = append(files, path.Join(h.HADir, ".ssh/config"))
			}
			var bad, seen []finding.Evidence
			var unread error
			for _, file := range files {
				lines, err := h.SSHClient(file)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					unread = err
					continue
				}
				seen = append(seen, audit.At(file, 0, fmt.Sprintf("%d settings", len(lines))))
				for _, l := range lines {
					value := strings.ToLower(l.Args[0])
					general := l.For == "" || strings.EqualFold(l.For, "host *") || strings.EqualFold(l.For, "match all")
					if l.Keyword == "stricthostkeychecking" && (value == "no" || value == "off") && !onThisMachine(l.For) || l.Keyword == "forwardagent" && value != "no" && general {
						bad = append(bad, audit.At(l.File, l.Line, strings.TrimSpace(l.Keyword+" "+value+" "+l.For)))
					}
				}
			}
			said, err := sshInAutomations(h)
			if err != nil {
				unread = err
			}
			if bad = append(bad, said...); len(bad) > 0 {
				return audit.Fail(bad[0].Value, bad...).Explicitly(true)
			}
			if unread != nil {
				return audit.Unknown(unread)
			}
			return audit.Pass("ask", seen...)
		},
		Profile: audit.ProfileHome,
		Repair:  sshKnowsOthers,
	}
}

// onThisMachine reports whether a Host line is about containers and virtual machines of
// this machine only, which systemd's own program reaches without a network
// (systemd-ssh-proxy(1)).
func onThisMachine(under string) bool {
	words := strings.Fields(strings.ToLower(under))
	if len(words) < 2 || words[0] != "host" {
		return false
	}
	return !slices.ContainsFunc(words[1:], func(name string) bool {
		return name != ".host" && !strings.HasPrefix(name, "unix/") && !strings.HasPrefix(name, "vsock/") && !strings.HasPrefix(name, "machine/")
	})
}

// sshInAutomations finds what Home Assistant runs over SSH without asking who is there.
func sshInAutomations(h *facts.Host) ([]finding.Evidence, error) {
	if h.HADir == "" {
		return nil, nil
	}
	var found []finding.Evidence
	for _, pattern := range []string{"*.yaml", "packages/*.yaml"} {
		files, err := h.Glob(path.Join(h.HADir, pattern))
		if err != nil {
			return found, err
		}
		for _, file := range files {
			t, err := h.Text(file)
			if err != nil {
				return found, err
			}
			for n, line := range t.Lines {
				said := strings.ToLower(strings.ReplaceAll(line, " ", ""))
				if !strings.HasPrefix(said, "#") && strings.Contains(said, "stricthostkeychecking=no") {
					found = append(found, audit.At(file, n+1, "StrictHostKeyChecking=no"))
				}
			}
		}
	}
	return found, nil
}
