package checks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func services() []audit.Check {
	return []audit.Check{
		svcMosquitto(), svcNodeRED(), svcCameras(), cronTargets(), svcLegacy(), svcSamba(), svcZigbee2MQTT(), svcZWaveJS(), svcESPHome(), svcAdminUIs(), svcDB(), svcUnitWritable(), svcUnneeded(), svcFailed(), svcMTA(), cronPerms(), svcCtrlAltDel(), cronAllow(),
	}
}

// openPorts returns where others than this machine reach one of the ports: on the running
// machine by its sockets, otherwise by what containers publish.
func openPorts(h *facts.Host, ports ...int) ([]finding.Evidence, error) {
	var all []finding.Evidence
	containers, err := h.Containers()
	if errors.Is(err, facts.ErrNoContainers) {
		err = nil
	}
	for _, c := range containers {
		for _, p := range c.Ports() {
			if !p.Loopback() && slices.Contains(ports, p.Port) {
				all = append(all, audit.At(c.File, p.Line, c.Name+": "+p.Text))
			}
		}
	}
	if !h.Live {
		return all, err
	}
	sockets, serr := h.Sockets()
	for _, s := range sockets {
		if !s.Loopback() && s.Proto == "tcp" && slices.Contains(ports, int(s.At.Port())) {
			all = append(all, atSocket(s))
		}
	}
	if len(sockets) == 0 && serr != nil {
		err = serr
	}
	return all, err
}

// serviceFiles judges each file of a service.
func serviceFiles(h *facts.Host, absent string, names []string, fixed []string, judge func(t facts.Text) ([]finding.Evidence, error)) audit.Verdict {
	files, err := h.Kept(names...)
	for _, f := range fixed {
		there, ferr := h.Exists(f)
		if ferr != nil {
			err = ferr
		}
		if there && !slices.Contains(files, f) {
			files = append(files, f)
		}
	}
	var evidence []finding.Evidence
	for _, f := range files {
		t, terr := h.Text(f)
		if terr == nil {
			var bad []finding.Evidence
			bad, terr = judge(t)
			evidence = append(evidence, bad...)
		}
		if terr != nil {
			err = terr
		}
	}
	switch {
	case len(evidence) > 0:
		return audit.Fail(files, evidence...)
	case err != nil:
		return audit.Unknown(err)
	case len(files) == 0:
		return audit.NotApplicable(absent)
	}
	return audit.Pass(files)
}

// unlessContained turns "there is none" into "not known" where a container of that program
// is set up, whose configuration was not found.
func unlessContained(h *facts.Host, v audit.Verdict, image string) audit.Verdict {
	if v.Result != finding.NotApplicable {
		return v
	}
	all, err := h.Containers()
	if err != nil && !errors.Is(err, facts.ErrNoContainers) {
		return audit.Unknown(err)
	}
	for _, c := range all {
		if strings.Contains(c.Image, image) {
			return audit.Unknown(fmt.Errorf("%s: %s is set up, and where its configuration is kept was not found", c.File, c.Name))
		}
	}
	return v
}
