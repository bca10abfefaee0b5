package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func host(t *testing.T, drawing string) *facts.Host {
	t.Helper()
	tree, err := facts.Draw(drawing)
	if err != nil {
		t.Fatal(err)
	}
	return &facts.Host{Tree: tree}
}

// What a check does not say, cannot say or crashes over is unknown, with a reason; what it
// cannot be about is not applicable.
func TestThirdOutcome(t *testing.T) {
	machine, container := "-- etc/os-release --\nID=debian\n", "-- .dockerenv --\n"
	for name, c := range map[string]struct {
		drawing string
		check   Check
		want    finding.Result
		why     string
	}{
		"good":                  {machine, Check{Judge: func(*facts.Host) Verdict { return Pass("x") }}, finding.Pass, ""},
		"crashes":               {machine, Check{Judge: func(*facts.Host) Verdict { panic("oh") }}, finding.Unknown, "oh"},
		"says nothing":          {machine, Check{Judge: func(*facts.Host) Verdict { return Verdict{} }}, finding.Unknown, "says nothing"},
		"does not say why":      {machine, Check{Judge: func(*facts.Host) Verdict { return Verdict{Result: finding.NotApplicable} }}, finding.Unknown, "does not say why"},
		"waives itself":         {machine, Check{Judge: func(*facts.Host) Verdict { return Verdict{Result: finding.Waived} }}, finding.Unknown, "says nothing"},
		"may not look":          {machine, Check{Judge: func(*facts.Host) Verdict { return Unknown(fmt.Errorf("open x: %w", fs.ErrPermission)) }}, finding.Unknown, "only root may look"},
		"no Home Assistant":     {machine, Check{Needs: NeedHA, Judge: func(*facts.Host) Verdict { return Pass(nil) }}, finding.NotApplicable, "Home Assistant"},
		"not the live host":     {machine, Check{Needs: NeedLive, Judge: func(*facts.Host) Verdict { return Pass(nil) }}, finding.Unknown, "running machine"},
		"a container":           {container, Check{Needs: NeedHost, Judge: func(*facts.Host) Verdict { return Pass(nil) }}, finding.NotApplicable, "a container"},
		"an appliance":          {"-- etc/os-release --\nID=haos\n", Check{Needs: NeedHost, Judge: func(*facts.Host) Verdict { return Pass(nil) }}, finding.NotApplicable, "looks after itself"},
		"an error of its facts": {machine, Check{Judge: func(*facts.Host) Verdict { return Unknown(errors.New("half a file")) }}, finding.Unknown, "half a file"},
	} {
		c.check.ID, c.check.Why, c.check.Fix = "t.x", "It matters.", "Mend it."
		f := Run(host(t, c.drawing), []Check{c.check}, nil)[0]
		if f.Result != c.want || !strings.Contains(f.Why, c.why) || f.Fix != "" || f.Topic != "t" || f.Evidence == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	bad := Run(host(t, machine), []Check{{ID: "t.x", Why: "It matters.", Fix: "Mend it.", Judge: func(*facts.Host) Verdict { return Fail(1, At("/f", 2, "v")).Explicitly(true) }}}, nil)[0]
	if bad.Result != finding.Fail || bad.Fix != "Mend it." || bad.Why != "It matters." || bad.Explicit == nil || !*bad.Explicit {
		t.Errorf("%+v", bad)
	}
}

// Where there may be a Home Assistant that could not be looked for, what asks for its
// directory is neither good nor about nothing; what fails without it, fails.
func TestHomeThatMayBeThere(t *testing.T) {
	for _, c := range []struct {
		needs Need
		says  Verdict
		want  finding.Result
	}{
		{NeedHA, Pass(nil), finding.Unknown},
		{AlsoHA, Pass(nil), finding.Unknown},
		{AlsoHA, NotApplicable("there is nothing"), finding.Unknown},
		{AlsoHA, Fail(nil), finding.Fail},
		{0, Pass(nil), finding.Pass},
	} {
		h := host(t, "-- etc/os-release --\nID=debian\n")
		h.HAClosed = []string{"/var/lib/homeassistant"}
		f := Run(h, []Check{{ID: "t.x", Needs: c.needs, Judge: func(*facts.Host) Verdict { return c.says }}}, nil)[0]
		if f.Result != c.want || c.want == finding.Unknown && !strings.Contains(f.Why, "/var/lib/homeassistant") {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

func TestSeverities(t *testing.T) {
	if !finding.Crit.AtLeast(finding.High) || finding.Low.AtLeast(finding.Med) || finding.Severity("odd").AtLeast(finding.Info) {
		t.Error("worse is not what it says")
	}
	if _, ok := finding.ParseSeverity("odd"); ok {
		t.Error("odd is a severity")
	}
}
