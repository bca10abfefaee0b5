package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsBackupRecent() audit.Check {
	return audit.Check{
		ID: "fs.backup-recent", Title: "There is a backup from this week, and not only on this disk", Severity: finding.High,
		Why:       "A disk dies, a thief takes the machine, a program encrypts what it finds: only a backup somewhere else, and a fresh one, brings your house back.",
		Fix:       "In Home Assistant under Settings, System, Backups: turn on automatic ones, daily, to a place outside of this machine (a share, the cloud), and try to restore one.",
		Reference: []string{"HA docs: common-tasks/general, backups", "Securing Debian 4.18"},
		Needs:     audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			if kind, err := h.Kind(); err != nil {
				return audit.Unknown(err)
			} else if kind == facts.KindContainer && h.HADir == "" {
				return audit.NotApplicable("this is " + string(kind))
			}
			dirs := []string{}
			if h.HADir != "" {
				dirs = append(dirs, h.HADir+"/backups")
			}
			if !h.HAOnly {
				dirs = append(dirs, "/backup", "/backups", "/var/backups/borg", "/srv/backup", "/mnt/backup", "/media/backup", "/var/backups/homeassistant",
					"/usr/share/hassio/backup", "/mnt/data/supervisor/backup")
			}
			var newest, newestAway time.Time
			var at, away string
			for _, dir := range dirs {
				names, err := h.Dir(dir)
				if err != nil {
					if info, statErr := h.Stat(dir); statErr == nil && !info.Mode.IsDir() {
						continue
					}
					return audit.Unknown(err)
				}
				elsewhere, err := onAnotherDisk(h, dir)
				if err != nil {
					return audit.Unknown(err)
				}
				for _, n := range names {
					info, err := h.Stat(dir + "/" + n)
					if err != nil || !info.Mode.IsRegular() && !info.Mode.IsDir() || info.Mode.IsRegular() && info.Size == 0 {
						continue
					}
					if info.ModTime.After(newest) {
						newest, at = info.ModTime, dir+"/"+n
					}
					if elsewhere && info.ModTime.After(newestAway) {
						newestAway, away = info.ModTime, dir+"/"+n
					}
				}
			}
			targets, line, err := backupAgents(h)
			if err != nil {
				return audit.Unknown(err)
			}
			const week = 7 * 24 * time.Hour
			fresh := func(t time.Time) bool { return !t.IsZero() && h.Now.Sub(t) < week }
			switch {
			case fresh(newestAway):
				return audit.Pass(newestAway.UTC().Format(time.DateOnly), audit.At(away, 0, "on another file system"))
			case fresh(line.done) && len(targets) > 0:
				return audit.Pass(targets, audit.At(line.file, 0, "last automatic backup "+line.done.UTC().Format(time.DateOnly)))
			}
			if unseen, err := otherBackups(h); err != nil {
				return audit.Unknown(err)
			} else if unseen != "" {
				return audit.Unknown(fmt.Errorf("%s makes backups here, and what it made lies where it cannot be seen", unseen))
			}
			if err := h.HAUnseen(); err != nil {
				return audit.Unknown(err)
			}
			evidence := []finding.Evidence{audit.At(line.file, 0, "no backup goes to another place")}
			if !line.done.IsZero() {
				evidence[0].Value = "last automatic backup " + line.done.UTC().Format(time.DateOnly) + ", to " + strings.Join(append(targets, line.local...), ", ")
			}
			if at != "" {
				evidence = append(evidence, audit.At(at, 0, "on this disk, "+newest.UTC().Format(time.DateOnly)))
				return audit.Fail(newest.UTC().Format(time.DateOnly), evidence...)
			}
			return audit.Fail("none", evidence...)
		},
		ByHand: "Where a backup shall go, and who keeps its key, is yours to choose.",
	}
}

// onAnotherDisk reports whether a directory is on a file system of another disk than the
// root's.
func onAnotherDisk(h *facts.Host, dir string) (bool, error) {
	if h.HAOnly {
		return false, nil
	}
	there, err := h.Exists(dir)
	if err != nil || !there {
		return false, err
	}
	own, _, err := h.MountOf(dir)
	if err != nil {
		return false, err
	}
	root, _, err := h.MountAt("/")
	return err == nil && own.Source != "" && own.Source != root.Source && own.Type != "overlay" && own.Type != "tmpfs", err
}

type backupState struct {
	file  string
	local []string
	done  time.Time
}

// backupAgents are the places outside of this machine that Home Assistant's automatic
// backups go to, and when one was last completed.
func backupAgents(h *facts.Host) (away []string, s backupState, err error) {
	s.file = "/backup"
	if h.HADir == "" {
		return nil, s, nil
	}
	s.file = h.HADir + "/.storage/backup"
	t, err := h.Text(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s, nil
	}
	if err != nil {
		return nil, s, err
	}
	var stored struct {
		Data struct {
			Config struct {
				CreateBackup struct {
					AgentIDs []string `json:"agent_ids"`
				} `json:"create_backup"`
				Last string `json:"last_completed_automatic_backup"`
			} `json:"config"`
		} `json:"data"`
	}
	if err := json.Unmarshal(t.Bytes, &stored); err != nil {
		return nil, s, fmt.Errorf("%s: %w", s.file, err)
	}
	for _, id := range stored.Data.Config.CreateBackup.AgentIDs {
		if id == "backup.local" || id == "hassio.local" {
			s.local = append(s.local, id)
			continue
		}
		away = append(away, strings.SplitN(id, ".", 2)[0])
	}
	if last := stored.Data.Config.Last; last != "" {
		if s.done, err = time.Parse(time.RFC3339, last); err != nil {
			return nil, s, fmt.Errorf("%s: %w", s.file, err)
		}
	}
	return away, s, nil
}

// otherBackups names a program that makes backups of this host to where we cannot look.
func otherBackups(h *facts.Host) (string, error) {
	if h.HAOnly {
		return "", nil
	}
	for _, one := range []struct{ name, file string }{
		{"borgmatic", "/etc/borgmatic/config.yaml"}, {"borgmatic", "/etc/borgmatic.d"}, {"restic", "/etc/restic"}, {"rsnapshot", "/etc/rsnapshot.conf"},
		{"Proxmox", "/etc/vzdump.conf"}, {"backupninja", "/etc/backup.d"}, {"UrBackup", "/etc/default/urbackupclient"}, {"Duplicati", "/etc/default/duplicati"},
		{"Bacula", "/etc/bacula/bacula-fd.conf"}, {"Timeshift", "/etc/timeshift/timeshift.json"},
	} {
		there, err := h.Exists(one.file)
		if err != nil {
			return "", err
		}
		if there {
			return one.name, nil
		}
	}
	return "", nil
}
