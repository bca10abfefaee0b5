package checks

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func tlsRenewal() audit.Check {
	return audit.Check{
		ID: "tls.renewal", Title: "The certificate is renewed by itself, and the proxy hears of it", Severity: finding.High,
		Why:       "Certificates last three months. One that nobody renews, or that the proxy does not load, locks everybody out on the worst day.",
		Fix:       "Enable certbot.timer (or the job of acme.sh), and add a deploy hook that reloads the proxy in /etc/letsencrypt/renewal-hooks/deploy. Where renewals fail, certbot renew says why.",
		Reference: []string{"certbot: automated renewals, renewal hooks", "RFC 8555", "Caddy: automatic HTTPS"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			sites, err := h.ProxySites()
			var errs []error
			if err != nil {
				errs = append(errs, err)
			}
			used, err := h.UsedCertificates()
			if err != nil && len(errs) == 0 {
				errs = append(errs, err)
			}
			said := []string{}
			var bad []finding.Evidence
			for _, s := range sites {
				if s.Proxy == "Caddy" && s.TLS && !slices.ContainsFunc(used, func(u facts.UsedCertificate) bool { return u.By == "Caddy" }) {
					said = append(said, "Caddy by itself")
				}
				if t, err := h.Traefik(); s.Proxy == "Traefik" && err == nil && slices.ContainsFunc(t.Static, func(s facts.Nested) bool { return strings.HasPrefix(s.Path, "certificatesresolvers.") }) {
					said = append(said, "Traefik by itself")
				}
			}
			lineages, err := h.Glob("/etc/letsencrypt/renewal/*.conf")
			if err != nil {
				errs = append(errs, err)
			}
			scheduled, err := renewalJob(h)
			if err != nil {
				errs = append(errs, err)
			}
			hooks, err := h.Dir("/etc/letsencrypt/renewal-hooks/deploy")
			if err != nil {
				errs = append(errs, err)
			}
			for _, name := range lineages {
				t, err := h.Text(name)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				reloads := len(hooks) > 0
				for _, line := range t.Lines {
					key, value, _ := strings.Cut(line, "=")
					key, value = strings.TrimSpace(key), strings.TrimSpace(value)
					reloads = reloads || (key == "renew_hook" || key == "deploy_hook" || key == "post_hook") && value != "" && value != "None" ||
						key == "installer" && (value == "nginx" || value == "apache")
				}
				said = append(said, "certbot: "+scheduled)
				if scheduled == "" {
					bad = append(bad, audit.At(name, 0, "no timer and no job renews it"))
				} else if !reloads {
					bad = append(bad, audit.At(name, 0, "nothing reloads the proxy after a renewal"))
				}
				leaf := "/etc/letsencrypt/live/" + strings.TrimSuffix(path.Base(name), ".conf") + "/cert.pem"
				if all, err := h.Certificates(leaf); err == nil {
					bad = append(bad, overdue(h, leaf, all[0])...)
				} else if !proxyMissing(err) {
					errs = append(errs, err)
				}
			}
			if len(lineages) > 0 {
				failed, err := certbotFailed(h)
				if err != nil {
					errs = append(errs, err)
				}
				bad = append(bad, failed...)
			}
			for _, u := range used {
				if strings.HasPrefix(u.File, "/etc/letsencrypt/") {
					continue
				}
				all, err := h.Certificates(u.File)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				if all[0].NotAfter.Sub(all[0].NotBefore) > 100*24*time.Hour {
					continue // not one of those that are made for renewal
				}
				said = append(said, u.By+": "+scheduled)
				if scheduled == "" {
					bad = append(bad, audit.At(u.File, 0, "no timer and no job renews it"))
				}
				bad = append(bad, overdue(h, u.File, all[0])...)
			}
			switch {
			case len(bad) > 0:
				return audit.Fail(said, bad...)
			case len(errs) > 0:
				return audit.Unknown(errors.Join(errs...))
			case len(said) == 0:
				return audit.NotApplicable("no certificate that has to be renewed was found")
			}
			return audit.Pass(said)
		},
		Profile: audit.ProfileHome,
		Repair:  tlsRepairRenewal(),
	}
}

// overdue says that a certificate should have been renewed by now: programs begin when a
// third of its time is left, and try every day.
func overdue(h *facts.Host, file string, c facts.Certificate) []finding.Evidence {
	whole, left := c.NotAfter.Sub(c.NotBefore), c.NotAfter.Sub(h.Now)
	if left*9 >= whole*2 {
		return nil
	}
	const day = 24 * time.Hour
	if left < 0 {
		return []finding.Evidence{audit.At(file, 0, "ended on "+c.NotAfter.Format(time.DateOnly)+", so the renewals failed")}
	}
	return []finding.Evidence{audit.At(file, 0, fmt.Sprintf("%d days are left of %d, so the renewals failed", left/day, whole/day))}
}

// certbotFailed says that certbot's last run renewed something in vain, by its newest log.
func certbotFailed(h *facts.Host) ([]finding.Evidence, error) {
	const log = "/var/log/letsencrypt/letsencrypt.log"
	t, err := h.Text(log)
	if proxyMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for n, line := range slices.Backward(t.Lines) {
		if _, after, ok := strings.Cut(line, " renew failure(s), "); ok && strings.Contains(after, "parse failure(s)") {
			return []finding.Evidence{audit.At(log, n+1, strings.TrimSpace(line))}, nil
		}
		if strings.Contains(line, "no renewal failures") || strings.Contains(line, "certbot version:") { // where a run begins
			return nil, nil
		}
	}
	return nil, nil
}

// renewalJob is what renews certificates by itself; empty if nothing does.
func renewalJob(h *facts.Host) (string, error) {
	for _, name := range []string{"certbot.timer", "snap.certbot.renew.timer", "acme.sh.timer", "acme-sh.timer", "lego.timer", "certbot-renew.timer"} {
		_, err := h.Lstat("/etc/systemd/system/timers.target.wants/" + name)
		if err == nil {
			return name, nil
		}
		if !proxyMissing(err) {
			return "", err
		}
	}
	files := []string{"/etc/crontab"}
	for _, pattern := range []string{"/etc/cron.d/*", "/etc/cron.daily/*", "/etc/cron.weekly/*", "/var/spool/cron/crontabs/*"} {
		names, err := h.Glob(pattern)
		if err != nil {
			return "", err
		}
		files = append(files, names...)
	}
	for _, name := range files {
		t, err := h.Text(name)
		if proxyMissing(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		for _, line := range t.Lines {
			line = strings.TrimSpace(line)
			// Debian's own job does nothing where systemd runs.
			if !strings.HasPrefix(line, "#") && !strings.Contains(line, "/run/systemd/system") &&
				(strings.Contains(line, "certbot") && strings.Contains(line, "renew") || strings.Contains(line, "acme.sh") || strings.Contains(line, "lego") && strings.Contains(line, "renew") || strings.Contains(line, "dehydrated")) {
				return name, nil
			}
		}
	}
	return "", nil
}
