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

func wireguardHooks() audit.Check {
	return audit.Check{
		ID: "wg.hooks", Title: "What starts with the VPN belongs to root, and opens only what the VPN needs", Severity: finding.High,
		Why:       "These commands run as root. If somebody else can write them he is root; and a rule that lets everything through makes a router for everybody out of the machine.",
		Fix:       "Give the scripts to root with mode 0755 or less, and name the interface in the rules: -i %i at FORWARD, -o eth0 or -s 10.9.0.0/24 at MASQUERADE.",
		Reference: []string{"wg-quick(8): PostUp, PreDown", "iptables-extensions(8): MASQUERADE"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			return judgeWireGuard(h, func(all []facts.WireGuard) any {
				hooks := 0
				for _, w := range all {
					hooks += len(w.Hooks)
				}
				return hooks
			}, func(all []facts.WireGuard) (bad []finding.Evidence, err error) {
				var errs []error
				for _, w := range all {
					for _, hook := range w.Hooks {
						for _, command := range strings.FieldsFunc(hook.Arg(0), func(r rune) bool { return r == ';' || r == '&' || r == '|' }) {
							f := strings.Fields(command)
							if len(f) == 0 {
								continue
							}
							if (hook.Name == "preup" || hook.Name == "postup") && letsAllThrough(f) {
								bad = append(bad, audit.At(hook.File, hook.Line, strings.Join(f, " ")))
							}
							for n, name := range f {
								interpreter := n == 1 && slices.Contains([]string{"sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/bash", "python3", "/usr/bin/python3"}, f[0])
								if n != 0 && !interpreter || !strings.HasPrefix(name, "/") {
									continue
								}
								open, err := foreignFile(h, name)
								bad = append(bad, open...)
								if err != nil {
									errs = append(errs, err)
								}
							}
						}
					}
				}
				return bad, errors.Join(errs...)
			})
		},
		Profile: audit.ProfileHome,
		Repair:  wireguardRepairHooks(),
	}
}

// letsAllThrough reports whether a command of iptables lets everything through the machine.
func letsAllThrough(f []string) bool {
	if !strings.Contains(path.Base(f[0]), "tables") {
		return false
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(f, func(w string) bool { return slices.Contains(words, w) })
	}
	narrow := has("-i", "-o", "-s", "-d", "--in-interface", "--out-interface", "--source", "--destination", "--ctstate", "--state")
	switch {
	case has("-D", "--delete"):
		return false
	case has("-P", "--policy"):
		return has("FORWARD") && has("ACCEPT")
	case has("FORWARD") && has("ACCEPT"), has("MASQUERADE"):
		return !narrow
	}
	return false
}

// foreignFile is what is wrong with a file that root runs: somebody else may write it, or a
// folder above it.
func foreignFile(h *facts.Host, name string) (bad []finding.Evidence, err error) {
	for at := path.Clean(name); ; at = path.Dir(at) {
		info, err := h.Stat(at)
		if proxyMissing(err) && at != name {
			return bad, nil
		}
		if err != nil {
			return bad, err
		}
		mode := info.Mode.Perm()
		sticky := info.Mode.IsDir() && info.Mode&fs.ModeSticky != 0
		if info.UID != 0 || mode&0o002 != 0 && !sticky || mode&0o020 != 0 && info.GID != 0 {
			bad = append(bad, audit.At(at, 0, fmt.Sprintf("%04o %d:%d", mode, info.UID, info.GID)))
		}
		if at == "/" {
			return bad, nil
		}
	}
}
