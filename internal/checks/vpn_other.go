package checks

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func vpnOther() audit.Check {
	return audit.Check{
		ID: "vpn.other", Title: "Other VPNs encrypt what they carry, and keep their keys to themselves", Severity: finding.High,
		Why:       "A VPN with cipher none only looks like one; and a key that any account can read lets others in under your name.",
		Fix:       "Take auth none and cipher none out of OpenVPN's configuration, and set its keys and those of strongSwan, Tailscale and ZeroTier to 0600, owned by root.",
		Reference: []string{"openvpn(8): cipher, auth", "swanctl.conf(5)", "Tailscale: state files", "ZeroTier: identity.secret"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			found := []string{}
			var bad []finding.Evidence
			var errs []error
			glob := func(name string, patterns ...string) (files []string) {
				for _, p := range patterns {
					names, err := h.Glob(p)
					if err != nil {
						errs = append(errs, err)
					}
					files = append(files, names...)
				}
				if len(files) > 0 && !slices.Contains(found, name) {
					found = append(found, name)
				}
				return files
			}
			secret := func(file string) {
				info, err := h.Stat(file)
				switch {
				case err != nil:
					errs = append(errs, err)
				case !info.Mode.IsRegular():
				case info.Mode.Perm()&0o037 != 0 || info.Mode.Perm()&0o040 != 0 && info.GID >= 1000:
					bad = append(bad, audit.At(file, 0, fmt.Sprintf("%04o %d:%d", info.Mode.Perm(), info.UID, info.GID)))
				}
			}
			for _, file := range glob("OpenVPN", "/etc/openvpn/*.conf", "/etc/openvpn/server/*.conf", "/etc/openvpn/client/*.conf") {
				t, err := h.Text(file)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				weak, keys := openVPN(t)
				bad = append(bad, weak...)
				for _, k := range keys {
					secret(k)
				}
			}
			for _, file := range glob("strongSwan", "/etc/ipsec.secrets", "/etc/swanctl/private/*", "/etc/swanctl/rsa/*", "/etc/swanctl/ecdsa/*", "/etc/ipsec.d/private/*", "/etc/swanctl/conf.d/*.conf") {
				secret(file)
			}
			for _, file := range glob("strongSwan", "/etc/swanctl/swanctl.conf", "/etc/swanctl/conf.d/*.conf", "/etc/ipsec.conf") {
				t, err := h.Text(file)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				for n, line := range t.Lines {
					key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
					if key = strings.TrimSpace(key); !slices.Contains([]string{"esp", "ike", "proposals", "esp_proposals", "ah_proposals"}, key) {
						continue
					}
					for _, part := range strings.FieldsFunc(value, func(r rune) bool { return r == '-' || r == ',' || r == ' ' || r == '!' }) {
						if part == "null" || part == "des" || part == "3des" || part == "md5" || part == "modp768" || part == "modp1024" {
							bad = append(bad, audit.At(file, n+1, strings.TrimSpace(line)))
							break
						}
					}
				}
			}
			for _, file := range glob("Tailscale", "/var/lib/tailscale/tailscaled.state") {
				secret(file)
			}
			for _, file := range glob("ZeroTier", "/var/lib/zerotier-one/identity.secret", "/var/lib/zerotier-one/authtoken.secret") {
				secret(file)
			}
			switch {
			case len(bad) > 0:
				return audit.Fail(found, bad...)
			case len(errs) > 0:
				return audit.Unknown(errors.Join(errs...))
			case len(found) == 0:
				return audit.NotApplicable("no other VPN was found")
			}
			return audit.Pass(found)
		},
		Profile: audit.ProfileHome,
		Repair:  vpnRepairKeys(),
	}
}

// openVPN is what is weak in a configuration of OpenVPN, and which files hold its secrets.
func openVPN(t facts.Text) (weak []finding.Evidence, secrets []string) {
	for n, line := range t.Lines {
		f := strings.Fields(strings.SplitN(strings.SplitN(line, "#", 2)[0], ";", 2)[0])
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "<key>", "<secret>", "<tls-crypt>", "<tls-auth>", "<pkcs12>":
			secrets = append(secrets, t.Path)
		}
		if len(f) < 2 {
			continue
		}
		value := strings.ToLower(f[1])
		switch f[0] {
		case "auth", "cipher", "data-ciphers", "ncp-ciphers", "data-ciphers-fallback":
			if slices.ContainsFunc(strings.Split(value, ":"), func(c string) bool { return c == "none" || strings.HasPrefix(c, "bf-") || strings.HasPrefix(c, "des-") }) {
				weak = append(weak, audit.At(t.Path, n+1, strings.Join(f, " ")))
			}
		case "key", "secret", "tls-crypt", "tls-auth", "tls-crypt-v2", "pkcs12", "askpass", "auth-user-pass":
			if f[1] != "[inline]" && f[1] != "none" {
				name := f[1]
				if !path.IsAbs(name) {
					name = path.Join(path.Dir(t.Path), name)
				}
				secrets = append(secrets, name)
			}
		}
	}
	return weak, secrets
}
