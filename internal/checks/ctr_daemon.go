package checks

import (
	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrDaemon() audit.Check {
	return audit.Check{
		ID: "ctr.daemon", Title: "Docker keeps containers apart, running and short of words", Severity: finding.Low,
		Why:       "By default every container on the standard network reaches every other, stops when Docker is updated, and may fill the disk with what it logs.",
		Fix:       "In /etc/docker/daemon.json: \"icc\": false, \"live-restore\": true, \"log-opts\": {\"max-size\": \"10m\", \"max-file\": \"3\"}. Leave userns-remap alone on a machine that has containers: it hides them.",
		Reference: []string{"CIS Docker 2.2", "CIS Docker 2.14", "CIS Docker 2.9"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			d, err := h.DockerDaemon()
			if err != nil {
				return audit.Unknown(err)
			}
			if !d.There {
				return audit.NotApplicable("Docker is not installed")
			}
			var evidence []finding.Evidence
			if d.Settings["icc"] != false {
				evidence = append(evidence, audit.At(d.File, d.Line("icc"), "icc is on"))
			}
			if d.Settings["live-restore"] != true {
				evidence = append(evidence, audit.At(d.File, d.Line("live-restore"), "live-restore is off"))
			}
			options, _ := d.Settings["log-opts"].(map[string]any)
			driver, _ := d.Settings["log-driver"].(string)
			if options["max-size"] == nil && (driver == "" || driver == "json-file") {
				evidence = append(evidence, audit.At(d.File, d.Line("log-opts"), "logs grow without end"))
			}
			return audit.PassIf(len(evidence) == 0, d.Settings["userns-remap"], evidence...)
		},
		Profile: audit.ProfileStrict,
		Repair:  dockerDaemonRepair,
	}
}
