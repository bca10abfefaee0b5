package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gatehouse/internal/finding"
	"gatehouse/internal/fix"
)

// machine starts the programs of fixes: the system's own, by its own path, with nothing of
// whoever called us.
type machine struct {
	config string // the configuration of Gatehouse, by which Home Assistant is asked
	// starting: the machine itself is only starting, and what is told waits for us.
	starting bool
}

// whileStarting is what is started instead while the machine starts; none where nothing has
// to be. A unit that waits for this one cannot be waited for, and Home Assistant, which does
// not run yet, starts with the files that lie there then.
func whileStarting(argv []string) ([]string, error) {
	switch {
	case argv[0] == "homeassistant" && argv[1] == "http":
		return nil, errors.New("not started yet: Home Assistant")
	case argv[0] == "homeassistant":
		return nil, nil
	case argv[0] == "systemctl" && argv[1] != "daemon-reload":
		return append([]string{"systemctl", "--no-block"}, argv[1:]...), nil
	}
	return argv, nil
}

// programTime is how long a program may take; initramfs on a small computer takes longest.
const programTime = 3 * time.Minute

// systemPath is where the system's own programs are.
const systemPath = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

// Run implements fix.Machine. Where systemd does not run there is nobody to tell.
func (m machine) Run(ctx context.Context, argv []string) ([]byte, error) {
	if m.starting {
		var err error
		if argv, err = whileStarting(argv); argv == nil {
			return nil, err
		}
	}
	if argv[0] == "homeassistant" {
		return runHome(ctx, m.config, argv[1:])
	}
	if argv[0] == "systemctl" && !systemdRuns() {
		return nil, nil
	}
	program, err := lookPath(argv[0])
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", []string{"PATH=" + systemPath, "LC_ALL=C.UTF-8", "HOME=/root"}, &out, &out
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	return out.Bytes(), err
}

// lookPath finds a program of the system.
func lookPath(name string) (string, error) {
	for _, dir := range strings.Split(systemPath, ":") {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, os.ErrNotExist)
}

// systemdRuns reports whether systemd is the system's first process (sd_booted(3)).
func systemdRuns() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// thisProgram is this program's file; the one that an update has put in its place, if so.
func thisProgram() (string, error) {
	exe, err := os.Executable()
	if exe, ok := strings.CutSuffix(exe, " (deleted)"); err == nil && ok {
		_, err = os.Stat(exe)
		return exe, err
	}
	return exe, err
}

// unitWord is a word of a command as a unit has it (systemd.service(5)).
func unitWord(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(word) + `"`
}

// leaveFixKeeper starts what puts everything back if this process is killed, or nobody
// confirms in time. It has nothing of this terminal, and under systemd nothing of this login:
// what ends with a session must not end with it.
func leaveFixKeeper(config, root string) error {
	exe, err := thisProgram()
	if err != nil {
		return err
	}
	args, err := configArgs(config)
	if err != nil {
		return err
	}
	args = append(args, "--quiet", fixKeeperVerb, "--root", root)
	if systemdRuns() && os.Geteuid() == 0 {
		if run, err := lookPath("systemd-run"); err == nil {
			cmd := exec.Command(run, append([]string{"--quiet", "--collect", "--property=Type=exec", "--property=Restart=on-failure", "--description=Takes back what Gatehouse changed, unless it is confirmed", "--", exe}, args...)...)
			cmd.Dir, cmd.Env = "/", []string{"PATH=" + systemPath}
			if cmd.Run() == nil {
				return nil
			}
		}
	}
	return leave(keeperEnv(), args...)
}

// itself is this program with other arguments, with nothing of whoever called us but env.
func itself(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Args[0] = "gatehouse" // as whoever lists processes sees it
	cmd.Dir, cmd.Env = "/", env
	return cmd
}

// leave starts what stays when this process is gone, with nothing of its terminal.
func leave(env []string, args ...string) error {
	keeper := itself(context.Background(), env, args...)
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := keeper.Start(); err != nil {
		return err
	}
	return keeper.Process.Release()
}

// configArgs are the arguments that name the configuration; none where there is no such file.
func configArgs(config string) ([]string, error) {
	config, err := filepath.Abs(config)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(config); err != nil {
		return nil, nil
	}
	return []string{"--config", config}, nil
}

// keeperEnv is what the keeper has to know to find the same journal.
func keeperEnv() (env []string) {
	for _, name := range []string{"HOME", "XDG_STATE_HOME"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// trialUnit are the steps by which a machine that starts anew takes a trial back, or goes on
// with it; none where there is no systemd.
func trialUnit(config string) []finding.Step {
	exe, err := thisProgram()
	if err != nil || !systemdRuns() {
		return nil
	}
	args, err := configArgs(config)
	if err != nil {
		return nil
	}
	command := unitWord(exe)
	for _, word := range args {
		command += " " + unitWord(word)
	}
	const name = "gatehouse-trial.service"
	text := trialText(command)
	steps := []finding.Step{{Kind: finding.StepCreate, Path: "/etc/systemd/system/" + name, After: &finding.Entry{Type: finding.EntryFile, Mode: 0o644, Content: &text}}}
	const wants = "/etc/systemd/system/multi-user.target.wants"
	if _, err := os.Lstat(wants); errors.Is(err, os.ErrNotExist) {
		steps = append(steps, finding.Step{Kind: finding.StepCreate, Path: wants, After: &finding.Entry{Type: finding.EntryDirectory, Mode: 0o755}})
	}
	return append(steps, finding.Step{Kind: finding.StepCreate, Path: wants + "/" + name, After: &finding.Entry{Type: finding.EntryLink, Mode: 0o777, Target: "../" + name}})
}

// trialText is the unit itself. What cannot be taken back before the network is there, such
// as settings that Home Assistant's API changes, keeps nothing from starting: the keeper
// tries it again.
func trialText(command string) string {
	return fmt.Sprintf(`# Written by gatehouse; it goes when the fix that is on trial is confirmed or taken back.
[Unit]
Description=Takes back what Gatehouse changed, unless it is confirmed
After=local-fs.target
Before=network-pre.target nftables.service ssh.service sshd.service

[Service]
Type=exec
TimeoutStartSec=5min
ExecStartPre=-%[1]s undo --interrupted
ExecStart=%[1]s %[2]s

[Install]
WantedBy=multi-user.target
`, command, fixKeeperVerb)
}

// login is how whoever runs this came in.
type login struct {
	server string    // the process of the SSH server that let them in; "" where there is none
	began  time.Time // when that was
	shared bool      // in a terminal that outlives logins, as tmux has it
	// detached: started by the system for somebody who may be anywhere, as run0 does.
	detached bool
}

func (l login) name() string { return l.server }

// session finds out how whoever runs this came in, by the processes above this one.
func session() (l login) {
	group, _ := os.ReadFile("/proc/self/cgroup") // where there is none, there is no systemd
	l.detached = ofNoLogin(string(group))
	pid := os.Getpid()
	for range 64 {
		name, parent, ticks, err := process(pid)
		if err != nil || parent <= 0 {
			return l
		}
		switch {
		case strings.HasPrefix(name, "tmux") || strings.HasPrefix(name, "SCREEN") || slices.Contains([]string{"screen", "zellij", "dtach", "abduco", "mosh-server", "etterminal", "etserver", "ttyd"}, name):
			l.shared = true
		case (name == "sshd" || name == "sshd-session" || name == "dropbear") && l.server == "":
			l.server, l.began = fmt.Sprintf("%s[%d] of tick %d", name, pid, ticks), beganAt(ticks)
		}
		pid = parent
	}
	return l
}

// ofNoLogin reports whether a process of these control groups (cgroups(7)) is a service that
// was started for somebody, and so has lost how they came in.
func ofNoLogin(groups string) bool {
	for line := range strings.Lines(groups) {
		unit := path.Base(strings.TrimSpace(line))
		if strings.HasPrefix(unit, "run-") && strings.HasSuffix(unit, ".service") || strings.HasPrefix(unit, "container-shell@") || unit == "cron.service" || unit == "atd.service" {
			return true
		}
	}
	return false
}

// process reads a process's name, its parent, and when it began, in ticks since the machine
// did (proc_pid_stat(5)).
func process(pid int) (name string, parent int, ticks int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", 0, 0, err
	}
	unreadable := errors.New("a process that cannot be read")
	begin, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if begin < 0 || end < begin {
		return "", 0, 0, unreadable
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 20 {
		return "", 0, 0, unreadable
	}
	parent, err = strconv.Atoi(fields[1])
	if err == nil {
		ticks, err = strconv.ParseInt(fields[19], 10, 64)
	}
	return string(text[begin+1 : end]), parent, ticks, err
}

// beganAt is the time of a tick; long ago where it cannot be told.
func beganAt(ticks int64) time.Time {
	const perSecond = 100 // USER_HZ, which is 100 on every Linux
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return time.Time{}
	}
	up, err := strconv.ParseFloat(strings.Fields(string(text) + " x")[0], 64)
	if err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration((up - float64(ticks)/perSecond) * float64(time.Second)))
}

// since says why a login proves nothing of a trial: it was there before.
func (l login) since(t *fix.Transaction) error {
	hint := `log in once more, and say "gatehouse confirm" in that login`
	const slack = 100 * time.Millisecond // of the clock of processes
	switch {
	case l.shared:
		return &problem{status: statusNo, err: errors.New("a terminal that outlives logins does not show that somebody still gets in"), hint: hint + ", outside of tmux or screen"}
	case l.detached && l.server == "":
		return &problem{status: statusNo, err: errors.New("started by the system itself, this does not show that somebody still gets in"), hint: hint + ", by sudo or su"}
	case l.server != "" && (l.name() == t.From || l.began.Before(t.TrialBegan().Add(-slack))):
		return &problem{status: statusNo, err: errors.New("this login is older than the change, and does not show that somebody still gets in"), hint: hint}
	}
	return nil // whoever sits at the machine itself is not locked out
}
