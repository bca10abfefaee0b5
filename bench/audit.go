package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

// run is what one run of a program cost, with all that it started and waited for.
type run struct {
	cpu, took time.Duration
	peak      int64 // the largest of its processes, in bytes
	judged    int   // checks or tests
}

// usage is what one run says of a run.
type usage struct {
	Status int   `json:"status"`
	CPU    int64 `json:"cpu"`  // ns
	Took   int64 `json:"took"` // ns
	Peak   int64 `json:"peak"` // bytes
}

// runOnce runs a program and writes to a file what it used. A process begins with the
// peak of the one that started it (getrusage(2)), so a fresh, small one does.
func runOnce(ctx context.Context, file string, args []string) error {
	if len(args) == 0 {
		return errors.New("-once wants a program")
	}
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	began := time.Now()
	if err := c.Run(); c.ProcessState == nil {
		return err
	}
	used, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("the system does not say what a process has used")
	}
	text, err := json.Marshal(usage{c.ProcessState.ExitCode(), int64(c.ProcessState.UserTime() + c.ProcessState.SystemTime()), int64(time.Since(began)), used.Maxrss << 10})
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// audits is what it costs to look at this machine.
type audits struct {
	rounds              int
	asRoot              bool
	inodes              uint64 // in use on the file system of /
	quick, walk, lynis  run
	container           bool // so it is taken for one, and most is not asked
	fileQuick, fileWalk run  // the same files as a machine's, offline; only then
	lynisVersion        string
	tree, treeWithout   run
	treeFiles, treeDirs int
}

// auditor is a program that looks at a machine.
type auditor struct {
	program string
	args    []string
	fine    []int // its exit status, where it has done its work
	count   func(said []byte) (int, error)
}

// once runs an auditor.
func (a auditor) once(ctx context.Context, dir string) (run, error) {
	self, err := os.Executable()
	if err != nil {
		return run{}, err
	}
	file := filepath.Join(dir, "usage.json")
	var said, errs bytes.Buffer
	c := exec.CommandContext(ctx, self, append([]string{"-once", file, "--", a.program}, a.args...)...)
	c.Stdout, c.Stderr = &said, &errs
	var used usage
	if err := c.Run(); err != nil {
		return run{}, fmt.Errorf("%s: %w\n%s", a.program, err, errs.String())
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &used)
	}
	if err == nil && !slices.Contains(a.fine, used.Status) {
		err = fmt.Errorf("%v ended with %d\n%s", a.args, used.Status, errs.String())
	}
	n := 0
	if err == nil {
		n, err = a.count(said.Bytes())
	}
	if err != nil {
		return run{}, fmt.Errorf("%s: %w", a.program, err)
	}
	return run{cpu: time.Duration(used.CPU), took: time.Duration(used.Took), peak: used.Peak, judged: n}, nil
}

// medianRun is the median of each figure.
func medianRun(all []run) run {
	middle := func(of func(run) int64) int64 {
		var v []int64
		for _, r := range all {
			v = append(v, of(r))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return run{
		cpu:    time.Duration(middle(func(r run) int64 { return int64(r.cpu) })),
		took:   time.Duration(middle(func(r run) int64 { return int64(r.took) })),
		peak:   middle(func(r run) int64 { return r.peak }),
		judged: all[0].judged,
	}
}

// gatehouseAudit audits with a small home of its own: what else there is on this machine
// is no part of it.
func gatehouseAudit(binary, home string, args ...string) auditor {
	return auditor{binary, append([]string{"audit", "--format", "json", "--ha", home}, args...), []int{0, 1, 3}, func(said []byte) (int, error) {
		var report struct {
			Checks []struct {
				Result string `json:"result"`
			} `json:"checks"`
		}
		err := json.Unmarshal(said, &report)
		judged := 0
		for _, c := range report.Checks {
			if c.Result != "notapplicable" {
				judged++
			}
		}
		return judged, err
	}}
}

// offline audits what lies on the disk of this machine without the mark of a container, by
// which most would not be asked: an overlay hides it.
func offline(binary, dir, home string, args ...string) auditor {
	const script = `set -e; cd "$1"; shift; mkdir -p upper work merged; [ -e upper/.dockerenv ] || mknod upper/.dockerenv c 0 0
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work merged; exec "$@"`
	merged := filepath.Join(dir, "merged")
	a := gatehouseAudit(binary, filepath.Join(merged, home), append([]string{"--root", merged}, args...)...)
	a.args = append([]string{"--mount", "sh", "-c", script, "sh", dir, a.program}, a.args...)
	a.program = "unshare"
	return a
}

// lynisAudit keeps what Lynis writes in dir, and has it ask nobody on the network.
func lynisAudit(dir string) (auditor, error) {
	profile := filepath.Join(dir, "lynis.prf")
	if err := os.WriteFile(profile, []byte("skip-upgrade-test=yes\nskip-test=NETW-2705\n"), 0o600); err != nil {
		return auditor{}, err
	}
	tests := regexp.MustCompile(`Tests performed\s*:\s*(\d+)`)
	args := []string{"audit", "system", "--quick", "--no-colors", "--profile", profile, "--logfile", filepath.Join(dir, "lynis.log"), "--report-file", filepath.Join(dir, "lynis.dat")}
	return auditor{"lynis", args, []int{0}, func(said []byte) (int, error) {
		m := tests.FindSubmatch(said)
		if m == nil {
			return 0, fmt.Errorf("it does not say how many tests it made:\n%s", said[max(0, len(said)-2000):])
		}
		return strconv.Atoi(string(m[1]))
	}}, nil
}

// measureAudits has Gatehouse and Lynis look at this machine in turns, and Gatehouse at a
// made-up tree of many files.
func measureAudits(ctx context.Context, p plan, binary, dir string) (*audits, error) {
	version, err := exec.CommandContext(ctx, "lynis", "show", "version").Output()
	if err != nil {
		return nil, fmt.Errorf("lynis is missing: apt-get install lynis: %w", err)
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs("/", &disk); err != nil {
		return nil, err
	}
	a := &audits{rounds: p.audits, asRoot: os.Geteuid() == 0, inodes: disk.Files - disk.Ffree, lynisVersion: strings.TrimSpace(string(version))}
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"configuration.yaml": "homeassistant:\n", ".HA_VERSION": "2026.11.0\n"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	lynis, err := lynisAudit(dir)
	if err != nil {
		return nil, err
	}
	turns := []turn{
		{"Gatehouse without the walk", gatehouseAudit(binary, home, "--no-walk"), &a.quick},
		{"Gatehouse", gatehouseAudit(binary, home), &a.walk},
	}
	if _, err := os.Stat("/.dockerenv"); err == nil && a.asRoot {
		a.container = true
		turns = append(turns, turn{"Gatehouse offline without the walk", offline(binary, dir, home, "--no-walk"), &a.fileQuick}, turn{"Gatehouse offline", offline(binary, dir, home), &a.fileWalk})
	}
	if err := inTurns(ctx, dir, p.audits, turns); err != nil {
		return nil, err
	}
	if err := inTurns(ctx, dir, 1, []turn{{"Lynis", lynis, &a.lynis}}); err != nil {
		return nil, err
	}

	tree := filepath.Join(dir, "tree")
	defer func() { _ = os.RemoveAll(tree) }()
	a.treeFiles, a.treeDirs = p.auditFiles, max(1, p.auditFiles/1000)
	fmt.Fprintf(os.Stderr, "audit: making %d files\n", a.treeFiles)
	if err := makeTree(ctx, tree, a.treeDirs, a.treeFiles/a.treeDirs); err != nil {
		return nil, err
	}
	inTree := filepath.Join(tree, "config")
	return a, inTurns(ctx, dir, p.audits, []turn{
		{"Gatehouse in the tree without the walk", gatehouseAudit(binary, inTree, "--root", tree, "--no-walk"), &a.treeWithout},
		{"Gatehouse in the tree", gatehouseAudit(binary, inTree, "--root", tree), &a.tree},
	})
}

type turn struct {
	name   string
	with   auditor
	median *run
}

// inTurns runs each of them so often, after a first time that does not count if there are
// more: then what is read lies in memory for all of them alike.
func inTurns(ctx context.Context, dir string, rounds int, all []turn) error {
	runs := make([][]run, len(all))
	for round := range rounds + 1 {
		for n, t := range all {
			if round == 0 && rounds == 1 {
				continue
			}
			fmt.Fprintf(os.Stderr, "audit, round %d of %d: %s\n", round, rounds, t.name)
			r, err := t.with.once(ctx, dir)
			if err != nil {
				return err
			}
			if round > 0 {
				runs[n] = append(runs[n], r)
			}
		}
	}
	for n, t := range all {
		*t.median = medianRun(runs[n])
	}
	return nil
}

// makeTree makes folders of empty files, and the little that an audit wants to see.
func makeTree(ctx context.Context, tree string, dirs, each int) error {
	if err := os.MkdirAll(filepath.Join(tree, "config"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tree, "config/configuration.yaml"), nil, 0o600); err != nil {
		return err
	}
	for d := range dirs {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := filepath.Join(tree, "srv", fmt.Sprintf("folder%04d", d))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for f := range each {
			file, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("file%04d", f)), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
			if err != nil {
				return err
			}
			if err := file.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// table is the result as Markdown.
func (a *audits) table(w io.Writer, binary string) {
	times := "once, too"
	if a.rounds > 1 {
		times = fmt.Sprintf("%d times in turns after a first time, medians", a.rounds)
	}
	who := "as root"
	if !a.asRoot {
		who = "as an ordinary user"
	}
	fmt.Fprintf(w, "%s; Gatehouse %s, Lynis %s, both %s.\n\n", machine(), programVersion(binary, "--version"), a.lynisVersion, who)
	fmt.Fprintf(w, "This machine, with %.1f million files on the file system of /; Gatehouse %s, Lynis once. ×: compared with Lynis.\n\n", float64(a.inodes)/1e6, times)
	io.WriteString(w, "| audit | judged | CPU s | × | peak memory MB | × | took s |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	type line struct {
		name string
		run
	}
	lines := []line{{"Gatehouse without the walk", a.quick}, {"Gatehouse", a.walk}}
	if a.container {
		lines = append(lines, line{"Gatehouse, offline, without the walk", a.fileQuick}, line{"Gatehouse, offline", a.fileWalk})
	}
	for _, r := range append(lines, line{"Lynis", a.lynis}) {
		fmt.Fprintf(w, "| %s | %d | %.3f | %.4f | %.1f | %.2f | %.2f |\n", r.name, r.judged, r.cpu.Seconds(), float64(r.cpu)/float64(a.lynis.cpu),
			float64(r.peak)/1e6, float64(r.peak)/float64(a.lynis.peak), r.took.Seconds())
	}
	if a.container {
		io.WriteString(w, "\nThis machine is taken for a container, where most checks make no sense and nothing is walked through. Offline is the same disk, seen through an overlay that hides the mark of the container: its files are all judged, at the price of the overlay.\n")
	}
	fmt.Fprintf(w, "\nA made-up tree of %d files in %d folders, offline (`--root`): the walk takes %.2f s of CPU, which is %.2f s a million files; the audit takes %.2f s in all and %.1f MB at its peak.\n",
		a.treeFiles, a.treeDirs, (a.tree.cpu - a.treeWithout.cpu).Seconds(), (a.tree.cpu-a.treeWithout.cpu).Seconds()*1e6/float64(a.treeFiles), a.tree.took.Seconds(), float64(a.tree.peak)/1e6)
}
