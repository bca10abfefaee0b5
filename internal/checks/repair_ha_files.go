package checks

import (
	"path"
	"slices"
	"strings"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
	"gatehouse/internal/ha"
)

// haClose takes rights away from files that a verdict names.
func haClose(does, breaks string, judge func(*facts.Host) []finding.Evidence, taken func(h *facts.Host, name string, info facts.Info) uint32) func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, does, breaks)
		for _, e := range judge(h) {
			if !strings.HasPrefix(e.Value, "mode ") {
				d.Refuse("gatehouse audit --explain hasec.backups", "%s: %s, which a person has to change", e.File, e.Value)
				return d.Fix()
			}
			info, err := h.Stat(e.File)
			if err != nil {
				return finding.Fix{}, err
			}
			d.Mode(e.File, facts.ModeBits(info.Mode)&^taken(h, e.File, info))
		}
		return d.Fix()
	}
}

func haRepairStore() func(*facts.Host) (finding.Fix, error) {
	return haClose("Closes Home Assistant's accounts and keys to everybody but its own account.", "A program that read them as somebody else, as a backup may, no longer does.",
		func(h *facts.Host) []finding.Evidence { return haAuthStorePerms().Judge(h).Evidence }, func(*facts.Host, string, facts.Info) uint32 { return 0o077 })
}

func haRepairSecrets() func(*facts.Host) (finding.Fix, error) {
	return haClose("Closes secrets.yaml and the configuration to other accounts of this machine.", "A program that read them as somebody else, as a backup may, no longer does.",
		func(h *facts.Host) []finding.Evidence { return haSecPerms().Judge(h).Evidence }, func(_ *facts.Host, _ string, info facts.Info) uint32 {
			if info.Mode.IsDir() {
				return 0o027
			}
			return 0o077
		})
}

func haRepairBackups() func(*facts.Host) (finding.Fix, error) {
	return haClose("Closes Home Assistant's backups to strangers on this machine.", "A program that fetched them as a stranger no longer does.",
		func(h *facts.Host) []finding.Evidence { return haSecBackups().Judge(h).Evidence }, func(*facts.Host, string, facts.Info) uint32 { return 0o007 })
}

func haRepairWritable() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Has nobody but its owner write Home Assistant's configuration and code.", "Somebody who edited these files by their group, as over a share, has to do it as their owner.")
		const most = 500 // rounds: the finding names some at a time
		for range most {
			v := haSecWritable().Judge(d.Host)
			if v.Result != finding.Fail {
				break
			}
			for _, e := range v.Evidence {
				info, err := d.Host.Stat(e.File)
				if err != nil {
					return finding.Fix{}, err
				}
				taken := uint32(0o022)
				if info.GID == info.UID || info.GID == 0 {
					taken = 0o002
				}
				d.Mode(e.File, facts.ModeBits(info.Mode)&^taken)
			}
			if d.Err() != nil {
				break
			}
		}
		return d.Fix()
	}
}

func haRepairDatabase() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Closes the history and the log to strangers on this machine, and has the log say no more than usual about sign-ins and MQTT.", "What you look for with a thorough log is no longer written down.")
		loud := map[finding.Evidence]bool{}
		for _, e := range haSecDatabase().Judge(h).Evidence {
			if strings.HasPrefix(e.Value, "mode ") {
				info, err := h.Stat(e.File)
				if err != nil {
					return finding.Fix{}, err
				}
				d.Mode(e.File, facts.ModeBits(info.Mode)&^0o007)
				continue
			}
			loud[finding.Evidence{File: e.File, Line: e.Line}] = true
		}
		if len(loud) == 0 {
			return d.Fix()
		}
		root, err := h.HAConfiguration()
		if err != nil {
			return finding.Fix{}, err
		}
		loggers, err := root.Sections("logger")
		if err != nil {
			return finding.Fix{}, err
		}
		nodes := haNodes{}
		for _, l := range loggers {
			all := []*ha.Node{l.Value.Get("default")}
			if logs := l.Value.Get("logs"); logs != nil {
				for _, f := range logs.Fields {
					if strings.HasPrefix(f.Key, "homeassistant") {
						all = append(all, f.Value)
					}
				}
			}
			for _, n := range all {
				if n != nil && loud[finding.Evidence{File: h.HAPath(n.File), Line: n.Line}] && (strings.EqualFold(n.Value(), "debug") || strings.EqualFold(n.Value(), "notset")) {
					nodes.add(n)
				}
			}
		}
		nodes.rewrite(d, ha.YAMLChange{Put: "info"})
		d.Validate("homeassistant")
		haAnew(d)
		return d.Fix()
	}
}

func haRepairWWW() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Takes keys, backups and configurations out of the folder that everybody may read; they are kept until the fix is forgotten.",
			"A dashboard that shows such a file no longer does; what lay there is to be taken for known.")
		for _, e := range haSecWWW().Judge(h).Evidence {
			if strings.HasPrefix(e.Value, "a picture") {
				d.Refuse("have it written to /media, which asks for a login, and change the automation that writes it", "%s: %s, and what writes it would write it again", e.File, e.Value)
				return d.Fix()
			}
			d.Delete(e.File)
		}
		return d.Fix()
	}
}

func haRepairGit() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Has git leave out what is secret in the configuration.", "A file of these names is no longer taken into git by itself.")
		git, err := h.HAGit()
		if err != nil {
			return finding.Fix{}, err
		}
		for _, name := range git.Tracked {
			if haPrivate(name) {
				d.Refuse("git rm --cached "+name+", then change every secret that was ever in it", "git holds %s already, and keeps it in its history for ever", name)
				return d.Fix()
			}
		}
		file := h.HAPath(".gitignore")
		lines := "# (gatehouse) what is nobody's business\nsecrets.yaml\n/.storage/\n/.cloud/\n/home-assistant_v2.db*\n/home-assistant.log*\n/backups/\n*.key\n*.pem\n*.p12\n*.pfx\nid_*\n"
		if there, err := h.Exists(file); err != nil {
			return finding.Fix{}, err
		} else if there {
			d.Edit(file, func(text string) (string, error) {
				if text != "" && !strings.HasSuffix(text, "\n") {
					text += "\n"
				}
				return text + lines, nil
			})
			return d.Fix()
		}
		d.Write(file, 0o644, lines)
		if dir, err := h.Stat(h.HADir); err == nil {
			d.Owner(file, dir.UID, dir.GID)
		}
		return d.Fix()
	}
}

func haRepairCommandLine() func(*facts.Host) (finding.Fix, error) {
	return func(h *facts.Host) (finding.Fix, error) {
		d := fix.Begin(h, "Gives the program that says who may sign in to root, and lets nobody else write it.", "Whoever else changed this program has to become root for it.")
		all, err := haProviders(h)
		if err != nil {
			return finding.Fix{}, err
		}
		var programs []string
		for _, p := range all {
			if p.Get("type").Value() == "command_line" {
				programs = append(programs, path.Clean(p.Get("command").Value()))
			}
		}
		for _, e := range haAuthCommandLine().Judge(h).Evidence {
			if !slices.Contains(programs, e.File) {
				d.Refuse("move the program to /usr/local/bin and name it there", "%s: somebody else may put another program in its place", e.File)
				return d.Fix()
			}
			info, err := h.Stat(e.File)
			if err != nil {
				return finding.Fix{}, err
			}
			d.Owner(e.File, 0, 0)
			d.Mode(e.File, uint32(info.Mode.Perm())&0o755|0o555)
		}
		d.Guard()
		return d.Fix()
	}
}
