package house_test

import (
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// document returns a file of the root's as text.
func (h *house) document(t *testing.T, name string) string {
	t.Helper()
	text, ok := h.text[name]
	if !ok {
		t.Fatalf("%s is missing", name)
	}
	return string(text)
}

// rows returns the cells of every row of a document's tables, heads left out.
func rows(text string) (all [][]string) {
	lines := strings.Split(text, "\n")
	for k, line := range lines {
		rule := func(n int) bool {
			return n < len(lines) && regexp.MustCompile(`^\|( *:?-+:? *\|)+$`).MatchString(lines[n])
		}
		if !strings.HasPrefix(line, "|") || rule(k) || rule(k+1) {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for n := range cells {
			cells[n] = strings.TrimSpace(cells[n])
		}
		all = append(all, cells)
	}
	return all
}

// required reads go.mod: module → whether its line says // indirect.
func required(t *testing.T, text string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require )?\t?([a-z0-9.-]+\.[a-z]+/[^\s]+|[a-z0-9.-]+\.[a-z]+/\S+|rsc\.io/\S+) v\S+( // indirect)?$`).FindAllStringSubmatch(text, -1) {
		found[m[1]] = m[2] != ""
	}
	if len(found) == 0 {
		t.Fatal("go.mod requires nothing that this test can read")
	}
	return found
}

// TestDependenciesHaveReasons compares docs/dependencies.md with what is imported.
func TestDependenciesHaveReasons(t *testing.T) {
	h := readHouse(t)
	mod := h.document(t, "go.mod")
	indirect := required(t, mod)
	moduleOf := func(name string) string {
		for {
			if _, ok := indirect[name]; ok || name == "." {
				return name
			}
			name = path.Dir(name)
		}
	}
	used := map[string]string{}    // module → a file that imports it
	shipped := map[string]string{} // the same, tests and bench left out
	for p, f := range h.all {
		for _, name := range imports(f) {
			if first, _, _ := strings.Cut(name, "/"); h.pkgs[name] != nil || !strings.Contains(first, ".") {
				continue
			}
			m := moduleOf(name)
			if m == "." {
				t.Errorf("%s: imports %s, which go.mod does not require", f.name, name)
				continue
			}
			used[m] = f.name
			if !f.test && p.dir != "bench" && p.dir != "internal/ha/hatest" {
				shipped[m] = f.name
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^(?:tool )?\t?(\S+/cmd/\S+)$`).FindAllStringSubmatch(mod, -1) {
		used[moduleOf(m[1])] = "go.mod (tool)"
	}

	program, others, found := strings.Cut(h.document(t, "docs/dependencies.md"), "## In the tests alone")
	if !found {
		t.Fatal("docs/dependencies.md: has no part for the tests alone")
	}
	said := map[string]bool{}
	for part, text := range map[string]string{"program": program, "others": others} {
		for _, row := range rows(text) {
			m := strings.Trim(row[0], "`")
			if said[m] {
				t.Errorf("docs/dependencies.md: names %s twice", m)
			}
			said[m] = true
			if len(row) < 2 || len(row[1]) < 10 {
				t.Errorf("docs/dependencies.md: gives no reason for %s", m)
			}
			if used[m] == "" {
				t.Errorf("docs/dependencies.md: nothing imports %s", m)
			} else if (shipped[m] != "") != (part == "program") {
				t.Errorf("docs/dependencies.md: %s stands in the wrong part (imported by %s)", m, used[m])
			}
		}
	}
	for _, m := range slices.Sorted(maps.Keys(used)) {
		if !said[m] {
			t.Errorf("docs/dependencies.md: has no line for %s, imported by %s", m, used[m])
		}
		if indirect[m] && used[m] != "go.mod (tool)" { // go mod tidy calls tools indirect
			t.Errorf("go.mod: says that %s is indirect, but %s imports it; run go mod tidy", m, used[m])
		}
	}
}

// tests returns the names of all tests, fuzz tests and walks that exist.
func (h *house) tests() map[string]bool {
	found := map[string]bool{}
	for name, text := range h.text {
		switch {
		case strings.HasSuffix(name, "_test.go"):
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(\w+ \*testing\.[TF]\)`).FindAllSubmatch(text, -1) {
				found[string(m[1])] = true
			}
		case strings.HasPrefix(name, "tests/browser/walks/"):
			// A title ends where what differs from home to home begins.
			for _, m := range regexp.MustCompile("house\\.walk\\(`([^`$]+)").FindAllSubmatch(text, -1) {
				found["browser:"+strings.TrimRight(string(m[1]), " (")] = true
			}
		}
	}
	return found
}

// TestThreatsNameTheirTests: each line of THREATS.md names the test that holds it,
// and the test exists.
func TestThreatsNameTheirTests(t *testing.T) {
	h := readHouse(t)
	exists := h.tests()
	threats := 0
	for _, row := range rows(h.document(t, "THREATS.md")) {
		if len(row) < 3 {
			t.Errorf("THREATS.md: %q does not say threat, answer and test", row)
			continue
		}
		threats++
		names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[len(row)-1], -1)
		if len(names) == 0 {
			t.Errorf("THREATS.md: no test holds %q", row[0])
		}
		for _, m := range names {
			if !exists[m[1]] {
				t.Errorf("THREATS.md: %q is to be held by %s, which does not exist", row[0], m[1])
			}
		}
	}
	if threats < 20 {
		t.Errorf("THREATS.md: only %d lines were read", threats)
	}
}

// TestArchitectureIsTheHouse: ARCHITECTURE.md shows the floors as they are held,
// as far as they are built.
func TestArchitectureIsTheHouse(t *testing.T) {
	h := readHouse(t)
	text := h.document(t, "ARCHITECTURE.md")
	if want := h.built(); !strings.Contains(text, want) {
		t.Errorf("ARCHITECTURE.md: does not show the floors as they are:\n%s", want)
	}
	said := map[string]bool{}
	for _, row := range rows(text) {
		said[strings.Trim(row[0], "`")] = true
	}
	for dir := range h.pkgs {
		if dir != "." && !said[strings.TrimPrefix(dir, "internal/")] {
			t.Errorf("ARCHITECTURE.md: has no line that says what %s is", dir)
		}
	}
}

// built returns the floors with the packages that exist, from the top.
func (h *house) built() string {
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(floors), "\n") {
		words := strings.Fields(line)
		said := "floor " + words[1] + "  "
		for _, name := range words[2:] {
			if h.pkgs[name] != nil {
				said += " " + strings.TrimPrefix(name, "internal/")
			}
		}
		lines = append(lines, said)
	}
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

// TestDocumentsSpeakOfWhatExists: every make target, file and verb that a document
// names is there.
func TestDocumentsSpeakOfWhatExists(t *testing.T) {
	h := readHouse(t)
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(h.document(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	verbs := map[string]bool{"--help": true, "--version": true, "completion": true}
	for name, text := range h.text {
		if strings.HasPrefix(name, "cmd/gatehouse/") && !strings.HasSuffix(name, "_test.go") {
			for _, m := range regexp.MustCompile(`(?:Use:\s+|\bgroup\()"([a-z]+)`).FindAllSubmatch(text, -1) {
				verbs[string(m[1])] = true
			}
		}
	}
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "THREATS.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/dependencies.md", "docs/guard.md", "docs/performance.md"} {
		text := h.document(t, name)
		for _, m := range regexp.MustCompile("(?m)(?:`|^ *)make ([a-z]+)").FindAllStringSubmatch(text, -1) {
			if !targets[m[1]] {
				t.Errorf("%s: the Makefile has no target %q", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile("(?m)(?:`|^ *(?:sudo )?)(?:bin/)?gatehouse ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			if !verbs[m[1]] {
				t.Errorf("%s: there is no verb %q", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s: links to %s, which is not there", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile("`([\\w./-]+)`").FindAllStringSubmatch(text, -1) {
			if first, _, ok := strings.Cut(m[1], "/"); ok && slices.Contains([]string{"internal", "cmd", "docs", "tests", "scripts", "lab", "bench", ".ci"}, first) {
				if _, err := os.Stat(m[1]); err != nil {
					t.Errorf("%s: names %s, which is not there", name, m[1])
				}
			}
		}
	}
}

// TestOneCommandTestsAll: .ci/run and the README speak of the same command.
func TestOneCommandTestsAll(t *testing.T) {
	h := readHouse(t)
	if !strings.Contains(h.document(t, ".ci/run"), "\nexec make test\n") {
		t.Error(".ci/run does not run make test")
	}
	info, err := os.Stat(".ci/run")
	if err != nil || info.Mode()&0o100 == 0 {
		t.Errorf(".ci/run is not executable: %v", err)
	}
	first := regexp.MustCompile("(?s)```\\w*\n(.*?)```").FindStringSubmatch(h.document(t, "README.md"))
	if first == nil || !strings.Contains(first[1], "make run") || !strings.Contains(first[1], "make test") {
		t.Error("README.md does not open with make run and make test")
	}
}
