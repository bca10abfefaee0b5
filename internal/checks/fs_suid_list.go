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

func filesystemsSUID() audit.Check {
	return audit.Check{
		ID: "fs.suid-list", Title: "Only the system's own programs run with somebody else's rights", Severity: finding.High,
		Why:       "A setuid program does what it does as root, whoever starts it: one that nobody shipped that way is a classic back door, or a slip that works as one.",
		Fix:       "Find out where each program comes from; take the bit away (chmod u-s,g-s), or record a deliberate one with dpkg-statoverride --add.",
		Reference: []string{"CIS Debian 12 7.1.13", "CIS RHEL 9 7.1.13", "Securing Debian 4.11", "chmod(1)", "dpkg-statoverride(1)"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			w, err := h.Walk()
			if err != nil {
				return audit.Unknown(err)
			}
			overrides, err := statOverrides(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var odd []facts.Sighting
			var ask []string
			for _, f := range w.SetID.First {
				ask = append(ask, f.Path)
			}
			owner, known, err := h.Packaged(ask)
			if err != nil {
				return audit.Unknown(err)
			}
			unsure := 0
			for _, f := range w.SetID.First {
				switch name := path.Base(f.Path); {
				case overrides[f.Path]:
				case givesAway(name):
					odd = append(odd, f)
				case known && owner[f.Path] != "":
				case known:
					odd = append(odd, f)
				case !usuallySetID(name) || !strings.HasPrefix(f.Path, "/usr/") && !strings.HasPrefix(f.Path, "/bin/") && !strings.HasPrefix(f.Path, "/sbin/"):
					unsure++
				}
			}
			if len(odd) > 0 {
				return audit.Fail(more(len(odd), "programs"), sightings(odd)...)
			}
			if v, cut := cutWalk(w); cut {
				return v
			}
			if unsure > 0 {
				return audit.Unknown(fmt.Errorf("%d programs with the bit are in no list that could be read here", unsure))
			}
			if w.SetID.Count > len(w.SetID.First) {
				return audit.Fail(more(w.SetID.Count, "programs"), sightings(w.SetID.First)...)
			}
			return audit.Pass(more(w.SetID.Count, "programs"), walkLeftOut(w)...)
		},
		ByHand: "What such a program is for, and whether somebody needs it, only you know; if nobody does, chmod u-s takes its power.",
	}
}

// statOverrides are the files whose modes somebody set on purpose.
func statOverrides(h *facts.Host) (map[string]bool, error) {
	all := map[string]bool{}
	t, err := h.Text("/var/lib/dpkg/statoverride")
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for n, line := range t.Lines {
		f := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(f) == 4 {
			all[f[3]] = true
		} else if line != "" {
			return nil, fmt.Errorf("%s:%d: not an override", t.Path, n+1)
		}
	}
	return all, nil
}

// givesAway reports whether a program does whatever it is told, so that with another's
// rights it gives all of them away. No package ships one of these like that.
func givesAway(name string) bool {
	for _, family := range []string{"python", "perl", "ruby", "node", "php", "lua", "java", "gdb", "vim", "emacs", "tclsh"} {
		if rest, ok := strings.CutPrefix(name, family); ok && strings.Trim(rest, "0123456789.-") == "" {
			return true
		}
	}
	return slices.Contains([]string{"sh", "bash", "dash", "zsh", "ksh", "fish", "busybox", "env", "find", "awk", "gawk", "mawk", "sed", "tar", "cp", "mv", "dd", "cat",
		"tee", "less", "more", "nano", "vi", "vim.basic", "vim.tiny", "ed", "nmap", "docker", "podman", "rsync", "socat", "nc", "strace", "systemctl", "chmod", "chown",
		"xargs", "make", "git", "wget", "curl", "openssl", "base64", "head", "tail", "zip", "unzip", "nice", "time", "timeout", "taskset", "setarch", "ionice", "stdbuf"}, name)
}

// usuallySetID reports whether distributions ship a program with the bit.
func usuallySetID(name string) bool {
	return slices.Contains([]string{"su", "sudo", "mount", "umount", "passwd", "chsh", "chfn", "chage", "expiry", "gpasswd", "newgrp", "newuidmap", "newgidmap",
		"pkexec", "polkit-agent-helper-1", "unix_chkpwd", "unix_update", "pam_timestamp_check", "userhelper", "usernetctl", "grub2-set-bootflag", "fusermount",
		"fusermount3", "crontab", "at", "ssh-agent", "ssh-keysign", "dbus-daemon-launch-helper", "utempter", "wall", "write", "locate", "plocate", "mlocate",
		"ping", "ping6", "sg", "doas", "cockpit-session", "mount.nfs", "mount.cifs", "postdrop", "postqueue", "exim4", "screen", "traceroute6", "lockdev", "chrome-sandbox",
		"bwrap", "Xorg.wrap", "pppd", "ntfs-3g", "mtr-packet", "staprun", "sssd_pam", "krb5_child", "ldap_child", "proxy_child", "selinux_child"}, name)
}
