package checks

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"gatehouse/internal/audit"
	"gatehouse/internal/facts"
	"gatehouse/internal/finding"
)

func svcDB() audit.Check {
	return audit.Check{
		ID: "svc.db", Title: "Data bases answer this machine only", Severity: finding.High,
		Why:       "The recorder's data base says who was at home when, for years; and data bases are guessed at all day.",
		Fix:       "bind-address = 127.0.0.1 (MariaDB), listen_addresses = 'localhost' (PostgreSQL), or 127.0.0.1: before the port in the compose file; give every account a password.",
		Reference: []string{"MariaDB docs: bind_address", "PostgreSQL docs: 19.3"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			evidence, err := openPorts(h, 3306, 5432, 8086, 6379, 27017)
			files := []string{"/etc/mysql/my.cnf"}
			for _, pattern := range []string{"/etc/mysql/conf.d/*.cnf", "/etc/mysql/mariadb.conf.d/*.cnf", "/etc/postgresql/*/*/postgresql.conf", "/etc/postgresql/*/*/pg_hba.conf"} {
				found, gerr := h.Glob(pattern)
				if gerr != nil {
					err = gerr
				}
				files = append(files, found...)
			}
			seen := len(evidence) > 0
			bind, listen := finding.Evidence{}, finding.Evidence{}
			for _, file := range files {
				t, terr := h.Text(file)
				if errors.Is(terr, fs.ErrNotExist) {
					continue
				}
				if terr != nil {
					err = terr
					continue
				}
				seen = true
				for n, line := range t.Lines {
					line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
					f := strings.Fields(line)
					if path.Base(file) == "pg_hba.conf" {
						if len(f) > 3 && strings.HasPrefix(f[0], "host") && f[len(f)-1] == "trust" {
							evidence = append(evidence, audit.At(file, n+1, line))
						}
						continue
					}
					name, value, _ := strings.Cut(line, "=")
					value = strings.Trim(strings.TrimSpace(value), `'"`)
					switch strings.TrimSpace(name) {
					case "bind-address", "bind_address":
						bind = audit.At(file, n+1, value)
					case "listen_addresses":
						listen = audit.At(file, n+1, value)
					}
				}
			}
			for _, e := range []finding.Evidence{bind, listen} {
				if strings.Contains(e.Value, "*") || strings.Contains(e.Value, "0.0.0.0") || e.Value == "::" {
					evidence = append(evidence, e)
				}
			}
			switch {
			case len(evidence) > 0:
				return audit.Fail("open", evidence...)
			case err != nil:
				return audit.Unknown(err)
			case !seen:
				return audit.NotApplicable("there is no data base server")
			}
			return audit.Pass("closed")
		},
	}
}
