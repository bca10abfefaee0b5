package facts

import (
	"cmp"
	"errors"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"

	"gatehouse/internal/ha"
)

// HALiteral is a secret that stands in a file of the configuration, and not what it is.
type HALiteral struct {
	File   string // as a path of the host
	Line   int
	Key    string
	Kind   string // "password", "a token of GitHub"
	Length int
}

// HALiterals looks for secrets in the YAML of the configuration: that of Home Assistant
// with all that it includes, and what lies beside it for others. The error says what
// could not be read.
func (h *Host) HALiterals() ([]HALiteral, error) {
	return remember(h, "ha literals", func() ([]HALiteral, error) {
		root, err := h.HAConfiguration()
		if err != nil {
			return nil, err
		}
		errs := []error{root.Unread()}
		trees := []*ha.Node{root}
		for _, dir := range []string{".", "esphome"} {
			names, err := h.Dir(h.HAPath(dir))
			if err != nil {
				errs = append(errs, err)
			}
			for _, name := range names {
				if path.Ext(name) != ".yaml" || slices.Contains([]string{"secrets.yaml", "configuration.yaml", "known_devices.yaml", "ip_bans.yaml"}, name) {
					continue
				}
				tree, err := ha.ReadYAML(h.HAFiles(), path.Join(dir, name))
				if err != nil {
					errs = append(errs, err)
					continue
				}
				trees = append(trees, tree)
			}
		}
		shapes := haSecretShapes()
		seen := map[ha.Place]bool{}
		var all []HALiteral
		for _, tree := range trees {
			tree.Walk(func(keys []string, n *ha.Node) {
				if n.Kind != ha.TextNode || n.Secret || n.Tag != "" || len(keys) == 0 || seen[n.Place] {
					return
				}
				kind := haKindOfSecret(shapes, keys, n)
				if kind == "" {
					return
				}
				seen[n.Place] = true
				all = append(all, HALiteral{h.HAPath(n.File), n.Line, keys[len(keys)-1], kind, len(n.Text)})
			})
		}
		slices.SortFunc(all, func(a, b HALiteral) int {
			return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
		})
		return all, errors.Join(errs...)
	})
}

type haSecretShape struct {
	kind string
	form *regexp.Regexp
}

// haSecretShapes are the forms by which keys are known, wherever they stand.
func haSecretShapes() []haSecretShape {
	var all []haSecretShape
	for _, s := range [][2]string{
		{"a token of GitHub", `\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})`},
		{"a token of GitLab", `\bglpat-[A-Za-z0-9_-]{16,}`},
		{"a token of Slack", `\bxox[abpors]-[A-Za-z0-9-]{10,}`},
		{"an API key", `\bsk-[A-Za-z0-9_-]{20,}`},
		{"a key of AWS", `\b(AKIA|ASIA)[A-Z0-9]{16}\b`},
		{"a key of Google", `\bAIza[A-Za-z0-9_-]{35}`},
		{"a signed token", `\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`},
		{"a private key", `-----BEGIN [A-Z ]*PRIVATE KEY-----`},
		{"a token of a bot", `\b[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}`},
		{"a bearer token", `\b[Bb]earer [A-Za-z0-9._~+/=-]{16,}`},
		{"a basic login", `\b[Bb]asic [A-Za-z0-9+/]{12,}={0,2}$`},
		{"a password in an address", `\b[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@`},
	} {
		all = append(all, haSecretShape{s[0], regexp.MustCompile(s[1])})
	}
	return all
}

// haKindOfSecret is what secret a value is; empty if it is none.
func haKindOfSecret(shapes []haSecretShape, keys []string, n *ha.Node) string {
	v := strings.TrimSpace(n.Text)
	if v == "" || len(v) > 1<<16 || haPlaceholder(v) {
		return ""
	}
	for _, s := range shapes {
		if s.form.MatchString(v) {
			return s.kind
		}
	}
	key := strings.ToLower(keys[len(keys)-1])
	is := func(names ...string) bool {
		for _, name := range names {
			if key == name || strings.HasSuffix(key, "_"+name) {
				return true
			}
		}
		return false
	}
	entity := regexp.MustCompile(`^[a-z][a-z0-9_]*\.[a-z0-9_]+$`).MatchString(v)
	words := strings.ContainsAny(v, " \n") && haEntropy(v) < 4.2
	switch {
	case entity:
	case is("password", "passwd", "passphrase", "psk"):
		return "password"
	case is("token", "api_key", "apikey", "client_secret", "access_token", "refresh_token", "private_key", "auth_token", "secret_key") && len(v) >= 8 && !words && !haWordOnly(v):
		return "token"
	case is("webhook_id") && len(v) >= 20 && haEntropy(v) >= 3 && !slices.Contains([]string{"automations.yaml", "scripts.yaml"}, n.File):
		return "id of a webhook" // those files are Home Assistant's own, which keeps no secrets apart
	case is("key", "secret", "authorization", "credential") && len(v) >= 16 && haEntropy(v) >= 3.5 && !words && !strings.ContainsAny(v, "/{") || key == "key" && len(keys) > 1 && keys[len(keys)-2] == "encryption" && len(v) == 44:
		return "key"
	}
	return ""
}

// haPlaceholder reports whether a value stands for another one.
func haPlaceholder(v string) bool {
	low := strings.ToLower(v)
	for _, mark := range []string{"{{", "{%", "${", "your_", "your-", "xxxx", "****", "<", "!secret"} {
		if strings.HasPrefix(low, mark) || mark[0] == '{' && strings.Contains(low, mark) || mark == "${" && strings.Contains(low, mark) {
			return true
		}
	}
	return slices.Contains([]string{"none", "null", "true", "false", "redacted", "secret", "password", "example"}, low)
}

// haWordOnly reports whether a value is a plain word, which no key is.
func haWordOnly(v string) bool {
	return strings.Trim(v, "abcdefghijklmnopqrstuvwxyz_") == "" && len(v) < 16
}

// haEntropy is how many bits a character of a text says.
func haEntropy(s string) float64 {
	count := map[rune]float64{}
	total := 0.0
	for _, r := range s {
		count[r]++
		total++
	}
	bits := 0.0
	for _, n := range count {
		bits -= n / total * math.Log2(n/total)
	}
	return bits
}
