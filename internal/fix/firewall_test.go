package fix

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/finding"
)

// When the rules of the firewall are taken back our tables go, whatever is left of their
// file; nothing else of the kernel's rules is named.
func TestFirewallIsTakenBackWhole(t *testing.T) {
	load := finding.Action{Kind: finding.ActionRun, Of: "firewall"}
	back := backwards([]finding.Action{{Kind: finding.ActionValidate, Of: "nft"}, load}, func(finding.Action) bool { return true })
	if len(back) != 1 {
		t.Fatalf("%v, want one action", back)
	}
	argv, err := argvOf(back[0])
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(argv, " ")
	if !strings.Contains(text, "delete table inet gatehouse") || !strings.Contains(text, "delete table ip6 gatehouse") || strings.Contains(text, "flush") || slices.Contains(argv, "-f") {
		t.Errorf("takes back by %q", argv)
	}
}
