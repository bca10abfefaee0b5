package checks

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
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
		Reference: []string{"MariaDB docs: bind_address", "PostgreSQL docs: 19.3, 20.1", "InfluxDB 1 docs: auth-enabled"},
		Needs:     audit.NeedHost,
		Judge: func(h *facts.Host) audit.Verdict {
			evidence, err := openPorts(h, 3306, 5432, 8086, 6379, 27017)
			seen := len(evidence) > 0
			for _, judge := range []func(*facts.Host) ([]finding.Evidence, bool, error){openMySQL, openPostgres, openInflux, emptyRecorderPassword} {
				open, there, jerr := judge(h)
				evidence, seen = append(evidence, open...), seen || there
				if jerr != nil {
					err = jerr
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
		ByHand: "Which machines and containers use the data base over the network only you know; they would lose it.",
	}
}

// inside reports whether all addresses of a list are this machine's own.
func inside(list string) bool {
	for _, a := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		if addr, err := netip.ParseAddr(a); a != "localhost" && (err != nil || !addr.Unmap().IsLoopback()) {
			return false
		}
	}
	return true
}

// openMySQL: a MariaDB or MySQL without a word listens on all addresses.
func openMySQL(h *facts.Host) (open []finding.Evidence, there bool, err error) {
	files := []string{"/etc/my.cnf", "/etc/mysql/my.cnf"}
	for _, pattern := range []string{"/etc/my.cnf.d/*.cnf", "/etc/mysql/conf.d/*.cnf", "/etc/mysql/mysql.conf.d/*.cnf", "/etc/mysql/mariadb.conf.d/*.cnf"} {
		found, err := h.Glob(pattern)
		if err != nil {
			return nil, false, err
		}
		files = append(files, found...)
	}
	bind, quiet := finding.Evidence{}, false
	for _, name := range []string{"mariadb.service", "mysql.service", "mysqld.service"} {
		u, err := h.Unit(name)
		if err != nil {
			return nil, false, err
		}
		if u.File != "" && !u.Masked && !there {
			there, bind = true, audit.At(u.File, 0, "bind-address is not set: all addresses")
		}
	}
	said := false
	for _, file := range files {
		t, err := h.Text(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, there, err
		}
		section := ""
		for n, line := range t.Lines {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
			if strings.HasPrefix(line, "[") {
				section = strings.Trim(strings.TrimSpace(line), "[]")
				server := strings.HasPrefix(section, "mysqld") || strings.HasPrefix(section, "mariadb") && !strings.HasPrefix(section, "mariadb-client") || section == "server"
				if !server {
					section = ""
				} else if !there {
					there, bind = true, audit.At(file, n+1, "bind-address is not set: all addresses")
				}
				continue
			}
			if section == "" {
				continue
			}
			name, value, _ := strings.Cut(line, "=")
			value = strings.Trim(strings.TrimSpace(value), `'"`)
			switch strings.ReplaceAll(strings.TrimSpace(name), "_", "-") {
			case "bind-address":
				bind, said = audit.At(file, n+1, value), true
			case "skip-networking":
				quiet = value == "" || value == "1" || strings.EqualFold(value, "on") || strings.EqualFold(value, "true")
			}
		}
	}
	if there && !quiet && (!said || !inside(bind.Value)) {
		open = append(open, bind)
	}
	return open, there, nil
}

// openPostgres judges each cluster for itself; without a word it listens on localhost.
func openPostgres(h *facts.Host) (open []finding.Evidence, there bool, err error) {
	var clusters []string
	for _, pattern := range []string{"/etc/postgresql/*/*/postgresql.conf", "/etc/postgresql/*/*/pg_hba.conf", "/var/lib/pgsql/data/postgresql.conf", "/var/lib/pgsql/data/pg_hba.conf", "/var/lib/pgsql/*/data/postgresql.conf"} {
		found, err := h.Glob(pattern)
		if err != nil {
			return nil, false, err
		}
		for _, f := range found {
			if !slices.Contains(clusters, path.Dir(f)) {
				clusters = append(clusters, path.Dir(f))
			}
		}
	}
	for _, dir := range clusters {
		own, err := h.Glob(dir + "/conf.d/*.conf")
		if err != nil {
			return open, true, err
		}
		files := append([]string{dir + "/postgresql.conf"}, own...)
		if rest, ok := strings.CutPrefix(dir, "/etc/postgresql/"); ok {
			files = append(files, "/var/lib/postgresql/"+rest+"/postgresql.auto.conf")
		} else {
			files = append(files, dir+"/postgresql.auto.conf")
		}
		listen := finding.Evidence{}
		for _, file := range files {
			t, err := h.Text(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return open, true, err
			}
			for n, line := range t.Lines {
				line, _, _ = strings.Cut(line, "#")
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				if strings.EqualFold(strings.TrimSpace(name), "listen_addresses") {
					listen = audit.At(file, n+1, strings.Trim(strings.TrimSpace(value), "'"))
				}
			}
		}
		if !inside(listen.Value) {
			open = append(open, listen)
		}
		t, err := h.Text(dir + "/pg_hba.conf")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return open, true, err
		}
		for n, line := range t.Lines {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
			f := strings.Fields(line)
			if len(f) > 3 && (strings.HasPrefix(f[0], "host") || f[0] == "local") && f[len(f)-1] == "trust" {
				open = append(open, audit.At(t.Path, n+1, line))
			}
		}
	}
	return open, len(clusters) > 0, nil
}

// openInflux: InfluxDB 1 asks nobody and listens on all addresses until it is told otherwise.
func openInflux(h *facts.Host) (open []finding.Evidence, there bool, err error) {
	t, err := h.Text("/etc/influxdb/influxdb.conf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	section, address, asks, on := "", audit.At(t.Path, 0, "bind-address is not set: all addresses, and nobody is asked"), false, true
	host := ""
	for n, line := range t.Lines {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "#")
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(strings.TrimSpace(line), "[]")
		}
		name, value, ok := strings.Cut(line, "=")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		if !ok || section != "http" {
			continue
		}
		switch strings.TrimSpace(name) {
		case "bind-address":
			host, _, _ = net.SplitHostPort(value)
			address = audit.At(t.Path, n+1, value+", and nobody is asked")
		case "auth-enabled":
			asks = value == "true"
		case "enabled":
			on = value != "false"
		}
	}
	if on && !asks && (host == "" || !inside(host)) {
		open = append(open, address)
	}
	return open, true, nil
}

// emptyRecorderPassword: Home Assistant signs in to its data base without a password, which
// is one that everybody has.
func emptyRecorderPassword(h *facts.Host) (open []finding.Evidence, there bool, err error) {
	if h.HADir == "" {
		return nil, false, nil
	}
	root, err := h.HAConfiguration()
	if err != nil {
		return nil, false, nil // that is hasec.recorder's to say
	}
	all, _ := root.Sections("recorder")
	for _, f := range all {
		node := f.Value.Get("db_url")
		if node == nil {
			continue
		}
		u, err := url.Parse(node.Value())
		if err != nil || u.User == nil || u.Host == "" || u.Query().Has("unix_socket") {
			continue
		}
		there = true
		if password, _ := u.User.Password(); password == "" {
			open = append(open, haAtNode(h, node, "db_url without a password"))
		}
	}
	return open, there, nil
}
