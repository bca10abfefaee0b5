package checks

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func haSecWWW() audit.Check {
	return audit.Check{
		ID: "hasec.www", Title: "Nothing private lies in the folder that everybody may read", Severity: finding.Crit,
		Why:       "Home Assistant hands out what is in www to whoever asks for /local/…, without a login. A backup or a key there is published.",
		Fix:       "Move these files out of www; what was there is to be taken for known: change keys and passwords that were in it.",
		Reference: []string{"HA docs: integrations/http, hosting files"},
		Needs:     audit.NeedHA,
		Judge: func(h *facts.Host) audit.Verdict {
			dir := h.HAPath("www")
			if _, err := h.Stat(h.HADir); err != nil {
				return audit.Unknown(err)
			}
			there, err := h.Exists(dir)
			switch {
			case err != nil:
				return audit.Unknown(err)
			case !there:
				return audit.NotApplicable("there is no folder www")
			}
			files, walkErr := h.HAWalk()
			names := []string{}
			var evidence []finding.Evidence
			bad := func(name, why string) {
				names = append(names, name)
				evidence = append(evidence, audit.At(h.HAPath(name), 0, why))
			}
			for _, f := range files {
				if f.Name != "www" && !strings.HasPrefix(f.Name, "www/") {
					continue
				}
				if f.Name == "www" && f.Info.Mode&fs.ModeSymlink != 0 {
					return audit.Unknown(errors.New(dir + ": a link to a folder elsewhere, which is not looked into"))
				}
				if f.Info.Mode&fs.ModeSymlink != 0 {
					target := f.Info.Target
					if !path.IsAbs(target) {
						target = path.Join(path.Dir(h.HAPath(f.Name)), target)
					}
					if !strings.HasPrefix(path.Clean(target)+"/", dir+"/") {
						bad(f.Name, "leads out of it, to "+f.Info.Target)
					}
					continue
				}
				if !f.Info.Mode.IsRegular() {
					continue
				}
				if why := haPublicFile(f.Name); why != "" {
					bad(f.Name, why)
					continue
				}
				const small = 64 << 10
				if f.Info.Size <= small && !slices.Contains([]string{".js", ".css", ".map", ".html", ".svg", ".png", ".jpg"}, path.Ext(f.Name)) {
					head, err := h.HAHead(h.HAPath(f.Name), small)
					if err != nil {
						walkErr = errors.Join(walkErr, err)
						continue
					}
					if bytes.Contains(head, []byte("PRIVATE KEY-----")) {
						bad(f.Name, "a private key")
					}
				}
			}
			if walkErr != nil && len(evidence) == 0 {
				return audit.Unknown(walkErr)
			}
			return audit.PassIf(len(evidence) == 0, names, evidence...)
		},
		Repair: haRepairWWW(),
	}
}

// haPublicFile says what is wrong with a file's being public; empty if nothing seems to be.
func haPublicFile(name string) string {
	base := strings.ToLower(path.Base(name))
	stem, packed := strings.CutSuffix(base, ".gz")
	ext := path.Ext(base)
	switch {
	case strings.Contains(name, "/.storage/"), strings.HasPrefix(base, "auth_provider."), slices.Contains([]string{"auth", "core.config_entries", "backup.json", ".ha_run.lock"}, base):
		return "of Home Assistant's own store"
	case packed && slices.Contains([]string{".js", ".css", ".map", ".html", ".svg", ".json", ".woff2"}, path.Ext(stem)):
		return "" // a card that is packed for the way
	case slices.Contains([]string{".tar", ".tgz", ".gz", ".zip", ".7z", ".bak", ".old", ".xz"}, ext):
		return "an archive"
	case slices.Contains([]string{".pem", ".key", ".p12", ".pfx", ".ovpn", ".kdbx"}, ext), strings.HasPrefix(base, "id_rsa"), strings.HasPrefix(base, "id_ed25519"):
		return "a key"
	case slices.Contains([]string{".db", ".sqlite", ".sqlite3", ".db-wal"}, ext):
		return "a database"
	case slices.Contains([]string{".yaml", ".yml", ".conf", ".env", ".ini"}, ext), base == "secrets.txt", base == ".env":
		return "a configuration"
	case ext == ".log":
		return "a log"
	case slices.Contains([]string{".jpg", ".jpeg", ".png", ".mp4", ".gif", ".webm"}, ext) && !strings.Contains(name, "community/"):
		for _, word := range []string{"snapshot", "camera", "doorbell", "recording", "motion", "cctv"} {
			if strings.Contains(strings.ToLower(name), word) {
				return "a picture of a camera, by its name"
			}
		}
	}
	return ""
}
