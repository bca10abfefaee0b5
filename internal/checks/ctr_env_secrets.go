package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func ctrEnvSecrets() audit.Check {
	return audit.Check{
		ID: "ctr.env-secrets", Title: "No password stands in a compose file or in an open .env", Severity: finding.High,
		Why:       "Compose files are copied, shared and kept in version control, and everybody who may use Docker can read a container's environment.",
		Fix:       "Put it into a file of its own with mode 0600 and give it as a secret (secrets:, NAME_FILE=/run/secrets/…), or into .env with mode 0600.",
		Reference: []string{"Docker docs: Manage secrets securely in Docker Compose", "CIS Docker 4.10"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			v := judgeContainers(h, func(c facts.ContainerSpec) (bad []finding.Evidence) {
				for _, s := range c.All("environment") {
					name, value, _ := strings.Cut(s.Value, "=")
					if secretName(name) && value != "" && !strings.HasPrefix(value, "$") && !strings.HasPrefix(value, "/run/secrets/") {
						bad = append(bad, audit.At(c.File, s.Line, fmt.Sprintf("%s: %s, %d characters", c.Name, name, len(value))))
					}
				}
				return bad
			})
			files, err := h.ComposeFiles()
			for _, f := range files {
				for _, name := range composeEnvFiles(f) {
					e, eerr := openSecrets(h, name)
					if eerr != nil {
						err = eerr
					}
					v.Evidence = append(v.Evidence, e...)
				}
			}
			if len(v.Evidence) > 0 {
				return audit.Fail(len(v.Evidence), v.Evidence...)
			}
			if v.Result == finding.Pass && err != nil {
				return audit.Unknown(err)
			}
			return v
		},
		Profile: audit.ProfileHome,
		Repair:  envSecretsRepair,
	}
}

// openSecrets returns the secrets in a file of an environment that others may read.
func openSecrets(h *facts.Host, name string) ([]finding.Evidence, error) {
	info, err := h.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode.Perm()&0o077 == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t, err := h.Text(name)
	if err != nil {
		return nil, err
	}
	var all []finding.Evidence
	for n, line := range t.Lines {
		key, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok && !strings.HasPrefix(key, "#") && secretName(key) && strings.Trim(value, `"' `) != "" {
			all = append(all, audit.At(t.Path, n+1, fmt.Sprintf("%s in a file of mode %04o", strings.TrimSpace(key), info.Mode.Perm())))
		}
	}
	return all, nil
}

// secretName reports whether a name of the environment is one of a secret.
func secretName(name string) bool {
	name = strings.ToUpper(strings.TrimSpace(name))
	if strings.HasSuffix(name, "_FILE") || strings.HasSuffix(name, "_PATH") || strings.Contains(name, "PUBLIC") {
		return false
	}
	for _, end := range []string{"PASSWORD", "PASSWD", "PASS", "_PW", "SECRET", "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY", "ACCESS_KEY", "SECRET_KEY", "AUTH_KEY", "AUTHKEY", "ENCRYPTION_KEY"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// composeEnvFiles are the files that containers of a compose file get their variables from,
// each once.
func composeEnvFiles(f facts.ComposeFile) []string {
	names := []string{path.Dir(f.Path) + "/.env"}
	for _, c := range f.Containers {
		for _, s := range c.All("env_file") {
			name := s.Value
			if !path.IsAbs(name) {
				name = path.Join(path.Dir(f.Path), name)
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
