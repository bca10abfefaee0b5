package ha

import (
	"testing"
	"testing/fstest"
)

// The configuration is one tree, with what it includes, its packages, and an error where
// a part cannot be read.
func TestReadConfiguration(t *testing.T) {
	n, err := ReadConfiguration(fstest.MapFS{
		"configuration.yaml": {Data: []byte("homeassistant:\n  packages: !include_dir_named packages\nautomation lights: !include a.yaml\nscript: !include missing.yaml\nrest:\n  password: !secret p\n  verify_ssl: no\n")},
		"a.yaml":             {Data: []byte("- alias: one\n  trigger: []\n")},
		"packages/x.yaml":    {Data: []byte("automation:\n  - alias: two\n")},
		"secrets.yaml":       {Data: []byte("p: hunter\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := n.Sections("automation")
	if err != nil || len(all) != 2 || all[0].Value.Items[0].File != "a.yaml" || all[1].Value.Items[0].Get("alias").Place.String() != "packages/x.yaml:2" {
		t.Errorf("automations: %v, %v", all, err)
	}
	if _, err := n.Sections("script"); err == nil || n.Unread() == nil {
		t.Error("a file that is missing is no error")
	}
	if p := n.Get("rest", "password"); !p.Secret || p.Value() != "hunter" || p.Place.String() != "configuration.yaml:6" {
		t.Errorf("the secret: %v", p)
	}
	if n.Get("rest", "verify_ssl").True() || n.Get("no", "thing").True() || len(n.Get("rest", "verify_ssl").List()) != 1 {
		t.Error("values")
	}
}

func FuzzReadConfiguration(f *testing.F) {
	f.Add("a: &a [1, *a]\n")
	f.Add("a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nc: {<<: [*b, *b, *b]}\n")
	f.Add("homeassistant: !include configuration.yaml\n")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ReadConfiguration(fstest.MapFS{"configuration.yaml": {Data: []byte(text)}}); err == nil {
			_, _ = n.Sections("homeassistant")
			_ = n.Unread()
		}
	})
}
