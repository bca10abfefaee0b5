package filter

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write writes a file anew, as a download that is moved into place does.
func write(t testing.TB, path, text string) {
	t.Helper()
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, path); err != nil {
		t.Fatal(err)
	}
}

// record is what a made-up database says of a network.
type record map[string]any

func (r record) value() mmdbtype.DataType { return typed(map[string]any(r)) }

func typed(v any) mmdbtype.DataType {
	switch v := v.(type) {
	case string:
		return mmdbtype.String(v)
	case int:
		return mmdbtype.Uint32(v)
	case record:
		return v.value()
	case map[string]any:
		m := mmdbtype.Map{}
		for name, inner := range v {
			m[mmdbtype.String(name)] = typed(inner)
		}
		return m
	}
	panic("no such type in a made-up database")
}

// The layouts of those who make such files.
func maxmindCountry(code string) record {
	return record{"country": record{"iso_code": code, "names": record{"en": "Somewhere"}}, "continent": record{"code": "EU"}}
}

func maxmindASN(n int, name string) record {
	return record{"autonomous_system_number": n, "autonomous_system_organization": name}
}

func ipinfoLite(code, asn, name string) record {
	return record{"country": "Somewhere", "country_code": code, "asn": asn, "as_name": name, "as_domain": "house.test"}
}

// database returns a MaxMind DB of a type.
func database(t testing.TB, kind string, networks map[string]record) string {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, Description: map[string]string{"en": "made up"},
		IncludeReservedNetworks: true, RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	for network, r := range networks {
		_, n, err := net.ParseCIDR(network)
		if err == nil {
			err = w.Insert(n, r.value())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// filterOf makes a filter of rules, of lists by file name, and of databases.
func filterOf(t testing.TB, rules []Rule, files map[string]string) *Filter {
	t.Helper()
	f, err := New(configOf(t, t.TempDir(), rules, files))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// configOf writes the files and has the rules speak of them: DIR stands for their folder.
func configOf(t testing.TB, dir string, rules []Rule, files map[string]string) Config {
	t.Helper()
	cfg := Config{Rules: rules}
	for name, text := range files {
		path := filepath.Join(dir, name)
		write(t, path, text)
		switch name {
		case "countries.mmdb":
			cfg.Countries = path
		case "asns.mmdb":
			cfg.Networks = path
		case "both.mmdb":
			cfg.Countries, cfg.Networks = path, path
		}
	}
	for i := range rules {
		for k := range rules[i].From {
			rules[i].From[k] = strings.Replace(rules[i].From[k], "DIR", dir, 1)
		}
	}
	return cfg
}

func from(words ...string) []string { return words }
