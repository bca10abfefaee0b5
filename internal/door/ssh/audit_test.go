package ssh

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// ssh-audit, which knows what is weak in SSH, finds nothing to complain of. What is newer than
// the one that Debian has is named here: it cannot know it.
func TestSSHAudit(t *testing.T) {
	program := need(t, "ssh-audit", "ssh-audit")
	h := openHome(t, nil)
	out, err := exec.Command(program, "-n", "-v", "-p", h.port, "127.0.0.1").CombinedOutput()
	text := string(out)
	if !strings.Contains(text, "mlkem768x25519-sha256") || !strings.Contains(text, "chacha20-poly1305@openssh.com") || !strings.Contains(text, "kex-strict-s-v00@openssh.com") {
		t.Fatalf("it has not looked at the door: %v\n%s", err, text)
	}
	newer := []string{"mlkem768x25519-sha256", "kex-strict-s-v00@openssh.com"}
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "[warn]") && !strings.Contains(line, "[fail]") {
			continue
		}
		words := strings.Fields(line)
		if !strings.Contains(line, "unknown algorithm") || !slices.ContainsFunc(words, func(w string) bool { return slices.Contains(newer, w) }) {
			t.Error(strings.TrimSpace(line))
		}
	}
	for _, word := range []string{"OpenSSH", "Go", "Gatehouse", "gatehouse"} {
		if banner, _, _ := strings.Cut(text, "\n# "); strings.Contains(banner, word) {
			t.Errorf("it says what it is: %s", banner)
		}
	}
}
