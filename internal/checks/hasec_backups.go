package checks

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haSecBackups() audit.Check {
	return audit.Check{
		ID: "hasec.backups", Title: "Home Assistant's backups are encrypted, and not for everybody to read", Severity: finding.High,
		Why:       "A backup holds everything: accounts, tokens, the history of the house. One that is not encrypted is worth as much as the house itself, wherever a copy of it lies.",
		Fix:       "Under Settings, System, Backups set an encryption key and keep it elsewhere; delete old backups that are not encrypted, and chmod 600 the others.",
		Reference: []string{"HA docs: common-tasks/general, backups"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			barred, err := haBarred(h)
			if err != nil {
				return audit.Unknown(err)
			}
			var files []string
			for _, dir := range []string{h.HAPath("backups"), "/usr/share/hassio/backup", "/mnt/data/supervisor/backup"} {
				if h.HAOnly && dir != h.HAPath("backups") {
					continue
				}
				names, err := h.Dir(dir)
				if err != nil {
					return audit.Unknown(err)
				}
				for _, name := range names {
					if path.Ext(name) == ".tar" {
						files = append(files, dir+"/"+name)
					}
				}
			}
			var evidence []finding.Evidence
			var unread error
			for _, file := range files {
				info, err := h.Stat(file)
				if err != nil {
					unread = err
					continue
				}
				if info.Mode.Perm()&0o007&^barred != 0 {
					evidence = append(evidence, audit.At(file, 0, fmt.Sprintf("mode %04o", info.Mode.Perm())))
				}
				protected, err := haBackupProtected(h, file)
				if err != nil {
					unread = err
				} else if !protected {
					evidence = append(evidence, audit.At(file, 0, "not encrypted"))
				}
			}
			made, err := h.HABackups()
			switch at := h.HAPath(".storage/backup"); {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				unread = err
			case made.Scheduled && !made.Key:
				evidence = append(evidence, audit.At(at, 0, "backups are made by themselves, without a key"))
			case made.Scheduled:
				for _, place := range made.Plain {
					evidence = append(evidence, audit.At(at, 0, place+" gets them without encryption"))
				}
			}
			if unread != nil && len(evidence) == 0 {
				return audit.Unknown(unread)
			}
			return audit.PassIf(len(evidence) == 0, len(files), evidence...)
		},
		Profile: audit.ProfileHome,
		Repair:  haRepairBackups(),
	}
}

// haBackupProtected reports whether a backup says of itself that it is encrypted. What it
// says stands at its very beginning (backup.json).
func haBackupProtected(h *facts.Host, file string) (bool, error) {
	head, err := h.HAHead(file, 64<<10)
	if err != nil {
		return false, err
	}
	_, after, found := bytes.Cut(head, []byte("backup.json"))
	if found {
		_, after, found = bytes.Cut(after, []byte(`"protected"`))
	}
	after = bytes.TrimLeft(after, ": \t\r\n")
	switch {
	case found && bytes.HasPrefix(after, []byte("true")):
		return true, nil
	case found && bytes.HasPrefix(after, []byte("false")):
		return false, nil
	}
	return false, errors.New(file + ": it does not say whether it is encrypted")
}
