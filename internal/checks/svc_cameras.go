package checks

import (
	"cmp"
	"errors"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcCameras() audit.Check {
	return audit.Check{
		ID: "svc.cameras", Title: "Nobody sees the cameras without signing in", Severity: finding.Crit,
		Why:       "Frigate's port 5000 and go2rtc's 1984 and 8554 ask for nothing: who reaches them looks into the house; go2rtc can also be made to run commands.",
		Fix:       "Publish Frigate's port 8971 instead of 5000, bind go2rtc to 127.0.0.1 (api: listen: \"127.0.0.1:1984\") or give it username and password.",
		Reference: []string{"Frigate docs: Authentication", "go2rtc README: Module API"},
		Needs:     audit.NeedHost | audit.AlsoHA,
		Judge: func(h *facts.Host) audit.Verdict {
			var evidence []finding.Evidence
			seen := false
			asks, aerr := streamsAsk(h)
			all, err := h.Containers()
			if errors.Is(err, facts.ErrNoContainers) {
				err = nil
			}
			for _, c := range all {
				frigate, go2rtc := strings.Contains(c.Image, "frigate"), strings.Contains(c.Image, "go2rtc")
				if !frigate && !go2rtc {
					continue
				}
				seen = true
				if c.HostNetwork() && frigate {
					evidence = append(evidence, containerAt(c, "network_mode", "network_mode: host"))
				}
				for _, p := range c.Ports() {
					if !p.Loopback() && (frigate && p.Inside == 5000 || p.Inside == 1984 || p.Inside == 8554 && !asks) {
						evidence = append(evidence, audit.At(c.File, p.Line, c.Name+": "+p.Text))
					}
				}
			}
			if aerr != nil {
				err = aerr
			}
			files, ferr := h.Kept("go2rtc.yaml", "config/go2rtc.yaml")
			if ferr != nil {
				err = ferr
			}
			for _, f := range files {
				seen = true
				s, yerr := h.YAMLSettings(f)
				if yerr != nil {
					err = yerr
					continue
				}
				listen, _ := facts.Find(s, "api.listen")
				user, ok := facts.Find(s, "api.username")
				if !strings.HasPrefix(listen.Value, "127.") && !strings.HasPrefix(listen.Value, "localhost:") && (!ok || user.Value == "") {
					evidence = append(evidence, audit.At(f, listen.Line, "api.listen "+cmp.Or(listen.Value, ":1984")))
				}
			}
			if h.Live {
				sockets, serr := h.Sockets()
				if len(sockets) == 0 && serr != nil {
					err = serr
				}
				for _, s := range sockets {
					if !s.Loopback() && (s.Process == "go2rtc" && (s.At.Port() == 1984 || s.At.Port() == 8554) || s.Process == "frigate" && s.At.Port() == 5000) {
						seen = true
						evidence = append(evidence, atSocket(s))
					}
				}
			}
			switch {
			case len(evidence) > 0:
				return audit.Fail("open", evidence...)
			case err != nil:
				return audit.Unknown(err)
			case !seen:
				return audit.NotApplicable("there is no Frigate and no go2rtc")
			}
			return audit.Pass("closed")
		},
		ByHand: "A new password is yours to choose, and whatever shows the cameras has to be told.",
	}
}

// streamsAsk reports whether go2rtc, by itself or in Frigate, asks for a password before it
// sends what a camera sees (RTSP).
func streamsAsk(h *facts.Host) (bool, error) {
	files, err := h.Kept("go2rtc.yaml", "config/go2rtc.yaml", "frigate.yml", "frigate/config.yml", "frigate/config/config.yml", "config/config.yml")
	if err != nil {
		return false, err
	}
	for _, f := range files {
		s, err := h.YAMLSettings(f)
		if err != nil {
			return false, err
		}
		for _, key := range []string{"rtsp.password", "go2rtc.rtsp.password"} {
			if set, ok := facts.Find(s, key); ok && set.Value != "" {
				return true, nil
			}
		}
	}
	return false, nil
}
