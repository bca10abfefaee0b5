package facts

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// sshdRuns is how many configurations are shown to the real sshd.
var sshdRuns = flag.Int("sshd-runs", 400, "configurations that are shown to the real sshd")

// realRuns is how many configurations are shown to each of the other real programs.
var realRuns = flag.Int("real-runs", 200, "configurations that are shown to each of the real systemd-sysctl, sudo and PAM")

// runRapid runs a property so many times, or as often as -rapid.checks says.
func runRapid(t *testing.T, runs int, check func(*rapid.T)) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	before := f.Value.String()
	if before == f.DefValue {
		if err := f.Value.Set(fmt.Sprint(runs)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Value.Set(before) }()
	}
	rapid.Check(t, check)
}

// realProgram returns the first of some files that is there: what is compared with.
func realProgram(t *testing.T, pkg string, files ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("asks the real program some hundred times")
	}
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	t.Fatalf("there is no %s to compare with: apt-get install %s", files[0], pkg)
	return ""
}
