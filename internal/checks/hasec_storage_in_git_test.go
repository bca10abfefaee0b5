package checks

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

// What git keeps already is found in its index, which no drawing can show.
func TestGitKeepsSecrets(t *testing.T) {
	for name, want := range map[string]finding.Result{"configuration.yaml": finding.Pass, "secrets.yaml": finding.Fail, ".storage/auth": finding.Fail,
		"custom_components/x/test.pem": finding.Pass, "keys/id_ed25519": finding.Fail} {
		index := binary.BigEndian.AppendUint32([]byte("DIRC\x00\x00\x00\x02"), 1)
		entry := append(make([]byte, 62), name...)
		for entry = append(entry, 0); len(entry)%8 != 0; {
			entry = append(entry, 0)
		}
		tree, err := facts.Draw("-- config/.gitignore --\nsecrets.yaml\n-- config/.git/index --\n" + string(append(index, entry...)) + "\n")
		if err != nil {
			t.Fatal(err)
		}
		f := audit.Run(&facts.Host{Tree: tree, HADir: "/config"}, []audit.Check{haSecGit()}, nil)[0]
		if f.Result != want {
			t.Errorf("%s: %s, want %s: %v %s", name, f.Result, want, f.Evidence, f.Why)
		}
	}
}

// What was taken out of git again stays in its history, as git itself wrote it: loose, and
// packed with differences.
func TestGitHistoryKeepsSecrets(t *testing.T) {
	root := t.TempDir()
	config := filepath.Join(root, "config")
	git := func(args ...string) {
		t.Helper()
		c := exec.Command("git", append([]string{"-C", config, "-c", "user.name=olga", "-c", "user.email=olga@house.example"}, args...)...)
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if text, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v (it has to be installed): %v: %s", args, err, text)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(config, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(config, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	judge := func() finding.Finding {
		t.Helper()
		disk, err := facts.OpenDisk(root)
		if err != nil {
			t.Fatal(err)
		}
		defer disk.Close()
		return audit.Run(&facts.Host{Tree: disk, HADir: "/config"}, []audit.Check{haSecGit()}, nil)[0]
	}
	write("configuration.yaml", "homeassistant:\n")
	write(".gitignore", "secrets.yaml\n.storage/\n")
	git("init", "-q", "-b", "main")
	for n := range 40 { // many alike, so that there is something to pack as differences
		write("automations.yaml", strings.Repeat("- alias: light\n", 40+n))
		write("packages/"+strings.Repeat("p", n+1)+".yaml", "a:\n")
		git("add", "-A")
		git("commit", "-q", "-m", "x")
	}
	if f := judge(); f.Result != finding.Pass {
		t.Fatalf("nothing private: %s %v %s", f.Result, f.Evidence, f.Why)
	}
	git("checkout", "-q", "-b", "old")
	write("esphome/secrets.yaml", "wifi: x\n")
	git("add", "-f", "esphome/secrets.yaml")
	git("commit", "-q", "-m", "secrets")
	git("checkout", "-q", "main")
	kept := func(how string) {
		t.Helper()
		if f := judge(); f.Result != finding.Fail || !slices.ContainsFunc(f.Evidence, func(e finding.Evidence) bool { return strings.HasPrefix(e.Value, "esphome/secrets.yaml") }) {
			t.Errorf("%s: %s %v %s", how, f.Result, f.Evidence, f.Why)
		}
	}
	kept("loose")
	git("gc", "-q", "--aggressive", "--prune=now")
	kept("packed")
	packs, err := filepath.Glob(filepath.Join(config, ".git/objects/pack/*.pack"))
	if err != nil || len(packs) != 1 {
		t.Fatalf("%v, %v", packs, err)
	}
	if err := os.Chmod(packs[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(packs[0], 200); err != nil {
		t.Fatal(err)
	}
	if f := judge(); f.Result != finding.Unknown {
		t.Errorf("half a pack: %s", f.Result)
	}
}
