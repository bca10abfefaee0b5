package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// zoneCommand writes into the home's zone by a program of the owner's, which the
// configuration names: with "present NAME TEXT" behind its arguments, "cleanup NAME TEXT",
// or "lead NAME ADDRESS…" with all addresses that the name is to have. It runs as the gateway does, without a shell, knows of our environment the path,
// the home directory and the language alone, and reads nothing.
type zoneCommand struct{ argv []string }

// commandTime is how long it may take.
const commandTime = 2 * time.Minute

// Present has a text written.
func (z *zoneCommand) Present(ctx context.Context, name, text string) error {
	return z.run(ctx, "present", name, text)
}

// CleanUp has it taken away.
func (z *zoneCommand) CleanUp(ctx context.Context, name, text string) error {
	return z.run(ctx, "cleanup", name, text)
}

// Lead has the name lead to addresses, and to no others. It is for the program to know what
// stands there now, and how long others may remember it.
func (z *zoneCommand) Lead(ctx context.Context, name string, want, _ []netip.Addr, _ time.Duration) error {
	words := []string{name}
	for _, a := range want {
		words = append(words, a.String())
	}
	return z.run(ctx, "lead", words...)
}

func (z *zoneCommand) run(ctx context.Context, what string, words ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, z.argv[0], append(append(slices.Clone(z.argv[1:]), what), words...)...)
	cmd.Dir = "/"
	for _, key := range []string{"PATH", "HOME", "LANG"} {
		if value, ok := os.LookupEnv(key); ok {
			cmd.Env = append(cmd.Env, key+"="+value)
		}
	}
	// With what it started, which may outlive it otherwise.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	said := &tail{}
	cmd.Stdout, cmd.Stderr = said, said
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("%s %s: %w: %s", z.argv[0], what, err, said)
}

// tail keeps the end of what is written to it, fit for one line.
type tail struct{ b bytes.Buffer }

const tailSize = 400

func (t *tail) Write(p []byte) (int, error) {
	t.b.Write(p)
	if over := t.b.Len() - tailSize; over > 0 {
		t.b.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(t.b.String(), "?"), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}
