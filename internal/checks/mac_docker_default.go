package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/go-json-experiment/json"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func confinementDockerDefault() audit.Check {
	return audit.Check{
		ID: "mac.docker-default", Title: "No container runs outside of AppArmor and the filter of system calls", Severity: finding.High,
		Why:       "A container that is privileged or unconfined is root on the machine itself with one more step; the documentation of many a program asks for that where one device would do.",
		Fix:       "Take privileged: true and security_opt: …unconfined out of the compose file; give devices:, group_add: or single cap_add: instead, and make the container anew.",
		Reference: []string{"Docker docs: engine/security/apparmor", "Docker docs: engine/security/seccomp", "CIS Docker 5.1"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			names, err := h.Dir("/var/lib/docker/containers")
			if err != nil {
				return audit.Unknown(err)
			}
			if len(names) == 0 {
				for _, d := range []string{"/var/lib/docker/containers", "/var/lib/containers/storage/overlay-containers"} {
					there, err := h.Exists(d)
					if err != nil {
						return audit.Unknown(err)
					}
					if there && d != "/var/lib/docker/containers" {
						return audit.Unknown(errors.New("containers of Podman cannot be looked into"))
					}
				}
				return audit.NotApplicable("Docker has no containers here")
			}
			var bad []finding.Evidence
			for _, id := range names {
				file := "/var/lib/docker/containers/" + id + "/hostconfig.json"
				t, err := h.Text(file)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return audit.Unknown(err)
				}
				var c struct {
					Privileged  bool
					SecurityOpt []string
				}
				if err := json.Unmarshal(t.Bytes, &c); err != nil {
					return audit.Unknown(fmt.Errorf("%s: %w", file, err))
				}
				if c.Privileged {
					bad = append(bad, audit.At(file, 0, containerName(h, id)+": privileged"))
				}
				for _, o := range c.SecurityOpt {
					switch strings.ReplaceAll(o, ":", "=") {
					case "apparmor=unconfined", "seccomp=unconfined", "label=disable", "systempaths=unconfined":
						bad = append(bad, audit.At(file, 0, containerName(h, id)+": "+o))
					}
				}
			}
			return audit.PassIf(len(bad) == 0, more(len(names), "containers"), bad...)
		},
		ByHand: "The container has to be made again, and may have been left out because it does not work inside.",
	}
}

// containerName is what Docker calls a container, or the beginning of its id.
func containerName(h *facts.Host, id string) string {
	short := id[:min(12, len(id))]
	t, err := h.Text("/var/lib/docker/containers/" + id + "/config.v2.json")
	if err != nil {
		return short
	}
	var c struct{ Name string }
	if json.Unmarshal(t.Bytes, &c) != nil || c.Name == "" {
		return short
	}
	return strings.TrimPrefix(c.Name, "/")
}
