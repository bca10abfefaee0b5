package facts

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pamDrawer draws files of a service's stack. Modules whose value is open have the numbers
// from 0 on, those that always return the same the numbers from 32 on.
type pamDrawer struct {
	dir         string
	open, fixed int
}

func (p *pamDrawer) file(r *rapid.T, most int, includes ...string) string {
	choose := func(label string, all ...string) string { return rapid.SampledFrom(all).Draw(r, label) }
	var b strings.Builder
	for range rapid.IntRange(0, most).Draw(r, "lines") {
		kind := choose("type", "auth", "auth", "auth", "account", "session", "-auth", "AUTH")
		gap := choose("gap", " ", "\t", " \\\n ", "  ")
		switch k := rapid.IntRange(0, 12).Draw(r, "kind"); {
		case k == 0:
			b.WriteString(choose("odd", "# auth required pam_x.so", "", "  ", "#", "# folded \\", "@include none", "auth include none", "auth wrong pam_x.so", "auth", "auth required") + "\n")
			continue
		case k <= 2 && len(includes) > 0:
			fmt.Fprintf(&b, "@include%s%s", choose("gap", " ", "\t"), choose("file", includes...))
		case k <= 5 && len(includes) > 0:
			fmt.Fprintf(&b, "%s%s%s%s%s", kind, gap, choose("how", "include", "substack", "substack"), gap, choose("file", includes...))
		default:
			control := choose("control", "required", "requisite", "sufficient", "optional", "Required", "[]")
			if control == "[]" {
				var all []string
				for _, value := range rapid.SliceOfN(rapid.SampledFrom([]string{"success", "auth_err", "ignore", "new_authtok_reqd", "default"}), 0, 3).Draw(r, "values") {
					all = append(all, value+"="+choose("action", "ok", "done", "bad", "die", "ignore", "reset", "1", "2", "3"))
				}
				control = "[" + strings.Join(all, " ") + "]"
			}
			module, args := "pam_open.so", fmt.Sprintf("id=%d", p.open)
			const most = 5 // all values of more take long
			switch what := choose("module", "open", "open", "open", "permit", "deny"); {
			case what == "permit", what == "open" && p.open == most:
				module, args = "pam_permit.so", fmt.Sprintf("id=%d returns=0", 32+p.fixed)
				p.fixed++
			case what == "deny":
				value := map[string]int{"auth": 7, "account": 7, "session": 14}[strings.ToLower(strings.TrimPrefix(kind, "-"))]
				module, args = "pam_deny.so", fmt.Sprintf("id=%d returns=%d", 32+p.fixed, value)
				p.fixed++
			default:
				p.open++
			}
			fmt.Fprintf(&b, "%s%s%s%s%s%s%s", kind, gap, control, gap, filepath.Join(p.dir, module), gap, args+choose("more", "", "", " [a b]", " x=y"))
		}
		b.WriteString(choose("end", "\n", "\n", " \n", " # why\n", "\t#why\n", " # why \\\n"))
	}
	return b.String()
}

// A module is reached where libpam comes to it with some values of the modules before:
// all of them are tried.
func TestPAMAgrees(t *testing.T) {
	gcc := realProgram(t, "gcc libpam0g-dev", "/usr/bin/gcc", "/usr/bin/cc")
	realProgram(t, "libpam0g-dev", "/usr/include/security/pam_appl.h")
	dir := t.TempDir()
	for _, args := range [][]string{{"-shared", "-fPIC", "-o", dir + "/pam_open.so", "testdata/pam/module.c"}, {"-rdynamic", "-o", dir + "/dispatch", "testdata/pam/dispatch.c", "-lpam"}} {
		if out, err := exec.Command(gcc, append([]string{"-O1", "-Wall", "-Werror"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	for _, name := range []string{"pam_permit.so", "pam_deny.so"} {
		if err := os.Symlink("pam_open.so", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(filepath.Join(dir, "dispatch"))
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = c.Wait() })
	answers := bufio.NewScanner(stdout)

	agreed, not, refused, idle, runs := 0, 0, 0, 0, 0
	runRapid(t, *realRuns, func(r *rapid.T) {
		runs++
		p := &pamDrawer{dir: dir}
		files := map[string]string{}
		conf := filepath.Join(dir, "pam.d")
		one, two := filepath.Join(conf, "one"), filepath.Join(conf, "two")
		files["svc"] = p.file(r, 5, one, two)
		files["one"] = p.file(r, 3, two)
		files["two"] = p.file(r, 3)
		files["other"] = p.file(r, 2, two)
		if err := os.MkdirAll(conf, 0o755); err != nil {
			r.Fatal(err)
		}
		drawn, show := map[string]string{}, strings.Builder{}
		for name, text := range files {
			drawn["etc/pam.d/"+name], drawn[filepath.Join(conf, name)] = text, text
			fmt.Fprintf(&show, "-- %s --\n%s", name, text)
			if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
				r.Fatal(err)
			}
		}
		if _, err := fmt.Fprintln(stdin, conf, p.open); err != nil {
			t.Fatal(err)
		}
		stack, err := (&Host{Tree: drawnFiles(drawn)}).PAM("svc")
		said := map[string]string{} // all of it is read, or the next stack would get the rest
		for _, kind := range []string{"auth", "account", "session"} {
			if !answers.Scan() {
				t.Fatalf("libpam ended at %s", show.String())
			}
			said[kind] = answers.Text()
		}
		for _, kind := range []string{"auth", "account", "session"} {
			sign, real, _ := strings.Cut(said[kind], " ")
			if err != nil || sign == "!" {
				if err == nil {
					idle++ // libpam would not begin
				}
				continue
			}
			reached := map[string]bool{}
			for id := range strings.FieldsSeq(real) {
				reached[id] = true
			}
			lines := 0
			for _, l := range stack {
				if id, ok := l.Arg("id"); ok && l.Type == kind {
					lines++
					if !l.Reached {
						not++
					}
					agreed++
					// What is included twice has its number twice.
					twice := 0
					for _, other := range stack {
						if again, _ := other.Arg("id"); again == id && other.Type == kind && other.Module != "" {
							twice++
						}
					}
					if l.Reached != reached[id] && (twice < 2 || l.Reached) {
						r.Fatalf("%s: %s:%d (id %s) reached: %v; libpam comes to %s%s\n%s", kind, l.File, l.Line, id, l.Reached, sign, real, show.String())
					}
				}
			}
			if lines == 0 && real != "" {
				r.Fatalf("%s: we know no line, libpam comes to %s\n%s", kind, real, show.String())
			}
		}
		if err != nil {
			refused++
		}
	})
	t.Logf("%d stacks: %d lines agree, %d of them not reached, %d stacks cannot be judged, %d times libpam does not begin", runs, agreed, not, refused, idle)
	if agreed < runs || not == 0 || idle > runs/20 {
		t.Errorf("only %d lines were compared in %d stacks, %d of them not reached", agreed, runs, not)
	}
}
