package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100 on
// every architecture that Go runs on under Linux.
const clockTick = 10 * time.Millisecond

// process is a server under measurement: itself and all its children.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
}

// start runs a program in a process group of its own; what it says goes to logFile.
func start(logFile string, stdout *os.File, name string, args ...string) (*process, error) {
	log, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if stdout != nil {
		cmd.Stdout = stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop ends the process group and waits for its leader.
func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
	_ = p.log.Close()
}

// cpu is the processor time that the process and its living children have used.
func (p *process) cpu() (time.Duration, error) {
	var total time.Duration
	err := p.each(func(dir string) error {
		fields, err := statFields(dir)
		if err != nil {
			return err
		}
		user, err1 := strconv.ParseInt(fields[11], 10, 64)
		system, err2 := strconv.ParseInt(fields[12], 10, 64)
		total += time.Duration(user+system) * clockTick
		return errors.Join(err1, err2)
	})
	return total, err
}

// memory is the resident memory of the process and its children in bytes, shared
// pages counted once for each of them.
func (p *process) memory() (int64, error) {
	var pages int64
	err := p.each(func(dir string) error {
		text, err := os.ReadFile(filepath.Join(dir, "statm"))
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
		pages += n
		return err
	})
	return pages * int64(os.Getpagesize()), err
}

// each calls do with the /proc folder of every member of the process group, and of every
// process that descends from one: servers take children out of their group.
func (p *process) each(do func(dir string) error) error {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	group := strconv.Itoa(p.cmd.Process.Pid)
	parents, found := make(map[string]string), make(map[string]bool)
	for _, dir := range all {
		fields, err := statFields(dir)
		if err != nil {
			continue // gone meanwhile
		}
		pid := filepath.Base(dir)
		parents[pid], found[pid] = fields[1], fields[2] == group
	}
	ours := func(pid string) bool {
		for ; pid != "" && pid != "0"; pid = parents[pid] {
			if found[pid] {
				return true
			}
		}
		return false
	}
	any := false
	for _, dir := range all {
		if !ours(filepath.Base(dir)) {
			continue
		}
		any = true
		if err := do(dir); err != nil {
			return err
		}
	}
	if !any {
		return fmt.Errorf("process %s is gone: its log is %s", group, p.log.Name())
	}
	return nil
}

// statFields are the fields of /proc/PID/stat behind the name, so that 0 is the state.
func statFields(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return nil, err
	}
	_, rest, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')-1:]), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 22 {
		return nil, fmt.Errorf("read %s/stat: %q", dir, text)
	}
	return fields, nil
}
