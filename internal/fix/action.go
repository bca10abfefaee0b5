package fix

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gatehouse/internal/finding"
)

// A Machine starts programs. It is given by whoever may: nothing in this package does.
type Machine interface {
	// Run starts a program and returns what it says. The error says how it ended.
	Run(ctx context.Context, argv []string) (output []byte, err error)
}

// validators are the programs that look at their own configuration and change nothing.
func validators() map[string][]string {
	return map[string][]string{
		"sshd": {"sshd", "-t"},
		"sudo": {"visudo", "-c", "-q"},
		"nft":  {"nft", "-c", "-f", "/etc/nftables.conf"},
		// Home Assistant is asked by its API: whoever runs programs knows how.
		"homeassistant": {"homeassistant", "check"},
		"nginx":         {"nginx", "-t", "-q"},
		"apache":        {"apachectl", "-t"},
		"haproxy":       {"haproxy", "-c", "-q", "-f", "/etc/haproxy/haproxy.cfg"},
		"caddy":         {"caddy", "validate", "--config", "/etc/caddy/Caddyfile"},
		"tor":           {"tor", "--verify-config", "--quiet"},
		"accounts":      {"pwck", "-r", "-q"},
		"squid":         {"squid", "-k", "parse"},
	}
}

// firewallFile holds our own rules.
const firewallFile = "/etc/nftables.d/gatehouse.nft"

// programs are those that make files felt, beside systemd.
func programs() map[string][]string {
	return map[string][]string{
		"homeassistant-restart": {"homeassistant", "restart"},
		"update-grub":           {"update-grub"},
		"update-initramfs":      {"update-initramfs", "-u"},
		"nft":                   {"nft", "-f", "/etc/nftables.conf"},
		"augenrules":            {"augenrules", "--load"},
		"postfix-reload":        {"postfix", "reload"},
		"exim-reload":           {"update-exim4.conf"},
		"newaliases":            {"newaliases"},
		"firewall":              {"nft", "-f", firewallFile},
		"firewall-off":          {"nft", "add table inet gatehouse; delete table inet gatehouse; add table ip6 gatehouse; delete table ip6 gatehouse"},
		"ufw-reload":            {"ufw", "reload"},
	}
}

// unitName is what systemd calls a unit, or one's configuration that is verified.
func unitName() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@\\-]*\.(service|socket|timer|mount|path|target)$`)
}

// argvOf is the program of an action; an error where it is not of the closed list.
func argvOf(a finding.Action) ([]string, error) {
	switch a.Kind {
	case finding.ActionValidate:
		if unit, ok := strings.CutPrefix(a.Of, "unit "); ok && unitName().MatchString(unit) {
			return []string{"systemd-analyze", "verify", "--man=no", unit}, nil
		}
		if argv := validators()[a.Of]; argv != nil {
			return argv, nil
		}
	case finding.ActionRun:
		if argv := programs()[a.Of]; argv != nil {
			return argv, nil
		}
	case finding.ActionUnit:
		verb, unit, _ := strings.Cut(a.Of, " ")
		switch {
		case a.Of == "daemon-reload":
			return []string{"systemctl", "daemon-reload"}, nil
		case unitName().MatchString(unit) && slices.Contains([]string{"start", "stop", "restart", "try-restart", "reload", "reload-or-restart", "try-reload-or-restart"}, verb):
			return []string{"systemctl", verb, unit}, nil
		}
	}
	return nil, fmt.Errorf("%s %q is on no list of what may be run", a.Kind, a.Of)
}

// backwards is what makes it felt that the steps were undone, of the actions that were
// carried out. Services that were started are stopped and the other way round.
func backwards(all []finding.Action, acted func(finding.Action) bool) (back []finding.Action) {
	for _, a := range all {
		if a.Kind == finding.ActionValidate || !acted(a) {
			continue
		}
		if a.Kind == finding.ActionUnit {
			switch verb, unit, _ := strings.Cut(a.Of, " "); verb {
			case "start":
				a.Of = "stop " + unit
			case "stop":
				a.Of = "start " + unit
			}
		}
		if a.Kind == finding.ActionRun && a.Of == "firewall" {
			a.Of = "firewall-off" // its file may be gone, and our table shall be
		}
		back = append(back, a)
	}
	return back
}
