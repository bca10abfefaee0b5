package checks

import (
	"encoding/binary"
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
