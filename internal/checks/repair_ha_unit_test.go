package checks

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// haUnitRules are the rules of Home Assistant's unit that have a repair.
func haUnitRules() (rules []fix.Rule) {
	for _, c := range []audit.Check{haProcNotRoot(), haProcPrivileges(), haProcFiles(), haProcKernel(), haProcSyscalls(), haProcDevices(), haProcRestart()} {
		rules = append(rules, rule(c))
	}
	return rules
}

// haUnitHome is a root on the disk in which root runs Home Assistant, and what is planned for it.
func haUnitHome(t *testing.T) (root string, plan fix.Plan) {
	t.Helper()
	root = t.TempDir()
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n", "etc/group": "root:x:0:\ndialout:x:20:\n", "etc/shadow": "root:*:20000:0:99999:7:::\n",
		"etc/systemd/system/ha.service": "[Service]\nExecStart=/srv/ha/bin/hass -c /config --skip-pip\n",
		"config/configuration.yaml":     "frontend:\n", "config/.HA_VERSION": "2026.2.3\n", "config/.storage/core.config_entries": `{"version":1,"key":"core.config_entries","data":{"entries":[]}}`,
	} {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	disk, err := facts.OpenDisk(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	plan = fix.Make(&facts.Host{Tree: disk, Root: true, Now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), HADir: "/config"}, haUnitRules())
	for _, l := range plan.Left {
		if !l.Fine { // one repair may do what another one would
			t.Fatalf("%+v", l)
		}
	}
	return root, plan
}

// carryOut writes what a plan changes below a root.
func carryOut(t *testing.T, root string, plan fix.Plan) {
	t.Helper()
	for _, f := range plan.Fixes {
		for _, s := range f.Steps {
			at := filepath.Join(root, s.Path)
			var err error
			switch {
			case s.Kind == finding.StepCreate && s.After.Type == finding.EntryDirectory:
				err = os.Mkdir(at, os.FileMode(s.After.Mode))
			case s.After.Content != nil:
				err = os.WriteFile(at, []byte(*s.After.Content), os.FileMode(s.After.Mode))
			}
			if err == nil && os.Getuid() == 0 {
				err = os.Lchown(at, int(s.After.UID), int(s.After.GID))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What systemd itself thinks of the unit: unsafe before, and little exposed afterwards.
func TestUnitIsLittleExposed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts systemd-analyze")
	}
	exposure := func(root string) float64 {
		out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--root="+root, "--no-pager", "ha.service").CombinedOutput()
		m := regexp.MustCompile(`exposure level for ha.service: ([0-9.]+)`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("systemd-analyze did not judge the unit (Debian: apt-get install systemd): %v\n%s", err, out)
		}
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	root, plan := haUnitHome(t)
	before := exposure(root)
	carryOut(t, root, plan)
	after := exposure(root)
	t.Logf("exposure %.1f before, %.1f afterwards", before, after)
	if before < 9 || after > 3 {
		t.Errorf("exposure %.1f before, %.1f afterwards", before, after)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--root="+root, "ha.service").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "ha.service") && !strings.Contains(line, "/srv/ha/bin/hass") && !strings.Contains(line, "sysinit.target") {
			t.Errorf("systemd says %q, %v", line, err)
		}
	}
}
