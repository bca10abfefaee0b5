package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// manOf writes the manual with the real command line.
func manOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var out, problems bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &problems, getenv: func(string) string { return "" }}
	root := a.command()
	if cmd, _, err := root.Find([]string{"man"}); err != nil || cmd == root {
		root.AddCommand(a.newManCommand())
	}
	root.SetArgs([]string{"man", dir})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(out.String()) {
		if _, err := os.Stat(name); err != nil {
			t.Errorf("says that it wrote %s: %v", name, err)
		}
	}
	return dir
}

func TestManual(t *testing.T) {
	dir := manOf(t)
	top, err := os.ReadFile(filepath.Join(dir, "man1", "gatehouse.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".TH \"GATEHOUSE\" 1", ".SH NAME\ngatehouse \\- ", "\n.SH EXIT STATUS\n", `.B \-\-config FILE`, ".BR gatehouse\\-man (1)", ".BR gatehouse.toml (5)"} {
		if !strings.Contains(string(top), want) {
			t.Errorf("gatehouse.1: does not say %q", want)
		}
	}
	file, err := os.ReadFile(filepath.Join(dir, "man5", "gatehouse.toml.5"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ha_url = ", "session_idle = ", "threshold = 5"} {
		if !strings.Contains(string(file), want) {
			t.Errorf("gatehouse.toml.5: does not say %q", want)
		}
	}
	// Pages of pages of commands: none names one that is not there.
	pages, err := filepath.Glob(filepath.Join(dir, "man1", "*.1"))
	if err != nil || len(pages) < 2 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		_, also, _ := strings.Cut(string(text), ".SH SEE ALSO\n")
		for _, line := range strings.Split(strings.TrimSpace(also), "\n") {
			name, ok := strings.CutPrefix(line, ".BR ")
			if !ok {
				continue
			}
			name = strings.ReplaceAll(strings.Fields(name)[0], `\-`, "-")
			if found, _ := filepath.Glob(filepath.Join(dir, "man?", name+".?")); len(found) != 1 {
				t.Errorf("%s: names %s, of which there are %d pages", filepath.Base(page), name, len(found))
			}
		}
		for n, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".TH ") && !strings.HasPrefix(line, ".SH ") &&
				!strings.HasPrefix(line, ".B ") && !strings.HasPrefix(line, ".BR ") && !strings.HasPrefix(line, ".I ") &&
				line != ".TP" && line != ".PP" && line != ".nf" && line != ".fi" {
				t.Errorf("%s:%d: %q begins like a request", filepath.Base(page), n+1, line)
			}
		}
	}
}

func TestRoff(t *testing.T) {
	for in, want := range map[string]string{
		"a-b":        `a\-b`,
		`a\b`:        `a\eb`,
		".conf\n'x'": "\\&.conf\n\\&'x'",
		"":           "",
	} {
		if got := roff(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// What the shell is given to complete commands is what it can read.
func TestCompletions(t *testing.T) {
	var text bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &text, err: &text, getenv: func(string) string { return "" }}
	if status := a.run(t.Context(), []string{"completion", "bash"}); status != statusDone {
		t.Fatalf("exit status %d: %s", status, text.Bytes())
	}
	check := exec.Command("bash", "-n")
	check.Stdin = &text
	if said, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a")
	for _, text := range []string{"first", "second"} {
		if err := writeFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != text {
			t.Errorf("holds %q, %v", got, err)
		}
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(dir, "taken"), nil, 0o600); err == nil {
		t.Error("wrote over a directory")
	}
	if err := writeFile(filepath.Join(dir, "missing", "a"), nil, 0o600); err == nil {
		t.Error("wrote into a directory that is not there")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left something behind: %v", entries)
	}
}
