package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// texts returns every text of a catalogue by its name; those of scripts by
// "Script.name", and "Script.Errors.word".
func texts(v reflect.Value, prefix string) map[string]string {
	all := map[string]string{}
	for k := range v.NumField() {
		name := prefix + v.Type().Field(k).Name
		if v.Field(k).Kind() == reflect.Struct {
			maps.Copy(all, texts(v.Field(k), name+"."))
			continue
		}
		all[name] = v.Field(k).String()
	}
	return all
}

func catalogue(l language) map[string]string { return texts(reflect.ValueOf(*l.words), "") }

func TestEveryTextInEveryLanguage(t *testing.T) {
	place := regexp.MustCompile(`\{\w+\}`)
	all := languages()
	first := catalogue(all[0])
	for _, l := range all {
		same := 0
		for name, text := range catalogue(l) {
			if strings.TrimSpace(text) != text || text == "" {
				t.Errorf("%s: %s is %q", l.tag, name, text)
			}
			if strings.ContainsAny(text, "<>&\n") || strings.Contains(text, "  ") || strings.Contains(text, "'") {
				t.Errorf("%s: %s holds markup or a crooked apostrophe: %q", l.tag, name, text)
			}
			want, got := place.FindAllString(first[name], -1), place.FindAllString(text, -1)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Errorf("%s: %s has %v, want %v", l.tag, name, got, want)
			}
			if l.tag != all[0].tag && text == first[name] {
				same++
			}
		}
		if same > 8 {
			t.Errorf("%s: %d texts are not translated", l.tag, same)
		}
	}
}

// TestEveryTextIsUsed holds that no text is kept that nobody reads: each stands in a
// template, in the code or in a script.
func TestEveryTextIsUsed(t *testing.T) {
	used := map[string]bool{}
	fset := token.NewFileSet()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasPrefix(f.Name(), "messages") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				used[s.Sel.Name] = true
			}
			return true
		})
	}
	for pattern, sources := range map[string]fs.FS{`(?:\$|\.)\.?T\.(\w+)|[{ ]\.((?:App|Codes)\w+)[} ]`: templateFiles, `words\.(\w+)`: staticFiles} {
		err := fs.WalkDir(sources, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(sources, path)
			for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
				for _, name := range m[1:] {
					if sources == fs.FS(staticFiles) {
						name = "Script." + name
					}
					used[name] = true
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	script := reflect.TypeFor[scriptWords]()
	for name := range catalogue(languages()[0]) {
		key, isScript := strings.CutPrefix(name, "Script.")
		if strings.HasPrefix(key, "Errors.") {
			continue // TestEveryFailureHasItsWords
		}
		if isScript {
			f, _ := script.FieldByName(key)
			name = "Script." + f.Tag.Get("json")
		}
		if !used[name] {
			t.Errorf("%s is not used", name)
		}
	}
}

// TestEveryFailureHasItsWords holds that what the API answers has a sentence, and that
// each sentence is for something.
func TestEveryFailureHasItsWords(t *testing.T) {
	words := map[string]bool{}
	kind := reflect.TypeFor[errorWords]()
	for k := range kind.NumField() {
		words[kind.Field(k).Tag.Get("json")] = true
	}
	// A script of ours never causes these.
	for _, word := range []string{"not-found", "method", "foreign", "type", "body", "members"} {
		if words[word] {
			t.Errorf("%q has words and is never said", word)
		}
		words[word] = true
	}
	said := map[string]bool{"failed": true, "offline": true, // by fail itself, and by api.js
		"InvalidStateError": true, "NotAllowedError": true, "NotSupportedError": true, "SecurityError": true} // by browsers
	for _, f := range failures() {
		if !words[f.word] {
			t.Errorf("%q has no words", f.word)
		}
		said[f.word] = true
	}
	for word := range words {
		if !said[word] {
			t.Errorf("%q is never said", word)
		}
	}
}

var accepts = map[string]string{
	"":                                    "en",
	"de":                                  "de",
	"de-AT,de;q=0.9,en;q=0.8":             "de",
	"DE-CH":                               "de",
	"en-US,en;q=0.9,de;q=0.8":             "en",
	"fr-FR,fr;q=0.9,de;q=0.5,en;q=0.4":    "de",
	"fr,es":                               "en",
	"en;q=0.1, de;q=0.2":                  "de",
	"de;q=0":                              "en",
	"de;q=2":                              "en",
	"de;q=x,en":                           "en",
	"den":                                 "en",
	"*":                                   "en",
	"de;level=1":                          "en",
	strings.Repeat("x,", 300) + "de":      "en",
	",,;;--, de ; Q=0.7 ,":                "de",
	"de;q=NaN":                            "en",
	"en;q=0.30000001,de;q=0.300000010001": "de",
}

func TestLanguage(t *testing.T) {
	h := newHouse(t)
	for accept, want := range accepts {
		if got := h.language(accept); got.tag != want {
			t.Errorf("%.50q: %s, want %s", accept, got.tag, want)
		}
	}
	b := h.browser()
	b.header = map[string]string{"Accept-Language": "de-DE"}
	w := b.get(pathSignIn)
	if wants(t, w, 200, `lang="de"`, "Anmelden"); w.Header().Get("Content-Language") != "de" {
		t.Error("the header says another language")
	}
}

func FuzzLanguage(f *testing.F) {
	for accept := range accepts {
		f.Add(accept)
	}
	p := &Pages{languages: languages()}
	f.Fuzz(func(t *testing.T, accept string) {
		if got := p.language(accept); got.words == nil {
			t.Errorf("%q has no texts", accept)
		}
	})
}
