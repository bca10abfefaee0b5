package checks

import (
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
)

// judgeMount judges the options of a place's mount: all of them have to be there.
func judgeMount(h *facts.Host, point string, missing audit.Verdict, options ...string) audit.Verdict {
	m, ok, err := h.MountAt(point)
	if err != nil {
		return audit.Unknown(err)
	}
	if !ok {
		return missing
	}
	var lacks []string
	for _, o := range options {
		if !m.Has(o) {
			lacks = append(lacks, o)
		}
	}
	effective := strings.Join(m.Options, ",")
	if len(lacks) > 0 {
		return audit.Fail(effective, audit.At(m.File, m.Line, point+" without "+strings.Join(lacks, ","))).Explicitly(true)
	}
	return audit.Pass(effective, audit.At(m.File, m.Line, point)).Explicitly(true)
}
