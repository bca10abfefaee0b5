package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func filesystemsDiskEncryption() audit.Check {
	return audit.Check{
		ID: "fs.disk-encryption", Title: "The disk says nothing to who takes it out", Severity: finding.Info,
		Why:       "Whoever takes the machine, or finds the old SD card, has every password and key of your house, the recordings of its cameras and its history.",
		Fix:       "Encrypt at the next installation (LUKS); with a TPM, or dropbear in the initramfs, the machine still starts without anybody there. Encrypt backups in any case.",
		Reference: []string{"Securing Debian 3.2", "crypttab(5)", "cryptsetup(8)"},
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			place := "/"
			if h.HADir != "" {
				place = h.HADir
			}
			m, ok, err := h.MountOf(place)
			if err != nil {
				return audit.Unknown(err)
			}
			if !ok {
				return audit.Unknown(errors.New("nothing says what the root file system lies on"))
			}
			secret, why, err := encrypted(h, m.Source)
			if err != nil {
				return audit.Unknown(err)
			}
			return audit.PassIf(secret, why, audit.At(m.File, m.Line, place+" on "+m.Source+": "+why))
		},
	}
}

// encrypted reports whether a device is one of dm-crypt's, or lies on one: on the running
// host by the kernel, else by /etc/crypttab.
func encrypted(h *facts.Host, source string) (bool, string, error) {
	name := path.Base(source)
	if h.Live {
		if !strings.HasPrefix(source, "/dev/") {
			return false, "", fmt.Errorf("%s is no disk that can be looked at", source)
		}
		if info, err := h.Lstat(source); err == nil && info.Target != "" {
			name = path.Base(info.Target)
		}
		return cryptBelow(h, name, 0)
	}
	t, err := h.Text("/etc/crypttab")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, "", err
	}
	for _, line := range t.Lines {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if source == "/dev/mapper/"+f[0] {
			return true, "dm-crypt", nil
		}
		if strings.HasPrefix(source, "/dev/mapper/") || strings.HasPrefix(source, "UUID=") {
			return false, "", fmt.Errorf("%s may lie on the encrypted %s: only the running machine can tell", source, f[0])
		}
	}
	return false, "not encrypted", nil
}

// cryptBelow looks for dm-crypt under a block device of the running host.
func cryptBelow(h *facts.Host, name string, depth int) (bool, string, error) {
	const deepest = 8
	if depth > deepest {
		return false, "", errors.New("too many devices on top of each other")
	}
	block := "/sys/class/block/" + name
	there, err := h.Exists(block)
	if err != nil {
		return false, "", err
	}
	if !there {
		return false, "", fmt.Errorf("%s is not there", block)
	}
	t, err := h.Text(block + "/dm/uuid")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, "", err
	}
	if len(t.Lines) > 0 && strings.HasPrefix(t.Lines[0], "CRYPT-") {
		return true, "dm-crypt", nil
	}
	slaves, err := h.Dir(block + "/slaves")
	if err != nil {
		return false, "", err
	}
	for _, s := range slaves {
		secret, why, err := cryptBelow(h, s, depth+1)
		if err != nil || !secret {
			return false, why, err
		}
	}
	if len(slaves) > 0 {
		return true, "dm-crypt", nil
	}
	return false, "not encrypted", nil
}
