package checks

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// homeAssistantExposure are the checks of the ways by which strangers reach Home Assistant.
func homeAssistantExposure() []audit.Check {
	return []audit.Check{
		haExpLocalOrigin(), haExpWebhooks(), haExpTunnels(), haExpIframe(), haExpCloud(), haExpAPI(), haExpName(),
	}
}

// haTunnelLine is a line of a tunnel's configuration that leads to Home Assistant.
type haTunnelLine struct {
	finding.Evidence
	tells bool // it may tell Home Assistant who is asking
}

// haTunnelEnds are the lines by which something on this host hands connections on to Home
// Assistant's port: Tor, SSH and cloudflared.
func haTunnelEnds(h *facts.Host, port int) ([]haTunnelLine, error) {
	var found []haTunnelLine
	var errs []error
	// Tor's own reading first: with what torrc includes, and a port that is left out.
	t, err := h.Tor()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, service := range t.Services {
		for _, d := range facts.Named(service.Options, "hiddenserviceport") {
			if target := onionTarget(d); haNamesPort(target, port) {
				found = append(found, haTunnelLine{audit.At(d.File, d.Line, "hiddenserviceport "+strings.Join(d.Args, " ")), false})
			}
		}
	}
	for _, way := range []struct {
		pattern, mark string
		tells         bool
	}{
		{"/etc/tor/torrc", "hiddenserviceport", false}, {"/etc/tor/torrc.d/*", "hiddenserviceport", false},
		{"/usr/share/tor/tor-service-defaults-torrc", "hiddenserviceport", false},
		{"~/.ssh/authorized_keys", "permitopen=", false},
		{"/etc/cloudflared/config.yml", "service:", true}, {"/etc/cloudflared/config.yaml", "service:", true},
		{"~/.cloudflared/config.y*ml", "service:", true},
	} {
		files, err := haInHomes(h, way.pattern)
		errs = append(errs, err)
		for _, file := range files {
			t, err := h.Text(file)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			for n, line := range t.Lines {
				line = strings.TrimSpace(line)
				low := strings.ToLower(line)
				at := strings.Index(low, way.mark)
				if at < 0 || strings.HasPrefix(line, "#") {
					continue
				}
				value := line[at:]
				ends := haNamesPort(value, port)
				if way.mark == "hiddenserviceport" {
					words := strings.Fields(value)
					ends = ends || len(words) == 2 && words[1] == strconv.Itoa(port) || len(words) > 2 && words[2] == strconv.Itoa(port)
				}
				if way.mark == "permitopen=" { // nothing of the key behind the options
					ends = false
					for _, option := range strings.Split(strings.Split(value, " ")[0], ",") {
						if strings.HasPrefix(strings.ToLower(option), way.mark) && haNamesPort(option, port) {
							value, ends = option, true
						}
					}
				}
				if ends && !slices.ContainsFunc(found, func(l haTunnelLine) bool { return l.File == file && l.Line == n+1 }) {
					found = append(found, haTunnelLine{audit.At(file, n+1, haWithoutLogin(value)), way.tells})
				}
			}
		}
	}
	return found, errors.Join(errs...)
}

// haInHomes are the files that fit a pattern, which may begin in every home ("~/").
func haInHomes(h *facts.Host, pattern string) ([]string, error) {
	rest, everywhere := strings.CutPrefix(pattern, "~")
	if !everywhere {
		return h.Glob(pattern)
	}
	homes := []string{"/root", "/home/*"}
	users, err := h.Users()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // an image without accounts of its own
	}
	for _, u := range users {
		if path.IsAbs(u.Home) && u.Home != "/" && path.Dir(u.Home) != "/home" && !strings.ContainsAny(u.Home, `*?[\`) && !slices.Contains(homes, u.Home) {
			homes = append(homes, u.Home)
		}
	}
	errs := []error{err}
	var found []string
	for _, home := range homes {
		files, err := h.Glob(home + rest)
		found, errs = append(found, files...), append(errs, err)
	}
	return found, errors.Join(errs...)
}
