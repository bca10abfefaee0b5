package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// errNoTerminal says that a question could not be asked.
var errNoTerminal = errors.New("there is no terminal to ask in")

// An asker asks in the terminal. Every question has a flag that answers it, so that
// nothing has to be asked where nobody is.
type asker struct {
	in  *os.File  // where answers come from; a terminal, or nothing is asked
	out io.Writer // where questions go: standard error, so that results stay alone
}

func (a *asker) terminal() bool { return a.in != nil && term.IsTerminal(int(a.in.Fd())) }

// line asks for one line. An empty answer means usual, which is shown; the question
// is asked again where there is no usual answer or ok says what is wrong.
func (a *asker) line(ctx context.Context, question, usual, flag string, ok func(string) error) (string, error) {
	if !a.terminal() {
		return "", fmt.Errorf("%w: say %s", errNoTerminal, flag)
	}
	for {
		fmt.Fprint(a.out, question)
		if usual != "" {
			fmt.Fprintf(a.out, " [%s]", usual)
		}
		fmt.Fprint(a.out, ": ")
		answer, err := a.read(ctx, a.readLine)
		if err != nil {
			return "", err
		}
		if answer = strings.TrimSpace(answer); answer == "" {
			answer = usual
		}
		if answer == "" {
			continue
		}
		if wrong := ok(answer); wrong != nil {
			fmt.Fprintf(a.out, "  %v\n", wrong)
			continue
		}
		return answer, nil
	}
}

// yes asks a question whose answer is no unless the person says yes.
func (a *asker) yes(ctx context.Context, question, flag string) (bool, error) {
	if !a.terminal() {
		return false, fmt.Errorf("%w: say %s", errNoTerminal, flag)
	}
	fmt.Fprintf(a.out, "%s [y/N]: ", question)
	answer, err := a.read(ctx, a.readLine)
	if err != nil {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

// secret asks for something that is not shown while it is typed.
func (a *asker) secret(ctx context.Context, question, flag string) (string, error) {
	if !a.terminal() {
		return "", fmt.Errorf("%w: say %s", errNoTerminal, flag)
	}
	fmt.Fprintf(a.out, "%s: ", question)
	fd := int(a.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for a secret: %w", err)
	}
	answer, err := a.read(ctx, func() (string, error) {
		typed, err := term.ReadPassword(fd)
		return string(typed), err
	})
	if ctx.Err() != nil {
		// Whoever gives up in the middle gets their echo back.
		_ = term.Restore(fd, before)
	}
	fmt.Fprintln(a.out)
	return answer, err
}

// read waits for an answer or for the end of ctx. A read that nobody waits for any
// more ends with the process.
func (a *asker) read(ctx context.Context, from func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := from()
		got <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case g := <-got:
		if g.err != nil {
			return "", fmt.Errorf("read the answer: %w", g.err)
		}
		return g.text, nil
	}
}

// readLine reads up to the end of a line and nothing behind it, which may be the
// answer to a question that is still to come.
func (a *asker) readLine() (string, error) {
	var line strings.Builder
	for b := make([]byte, 1); ; {
		n, err := a.in.Read(b)
		if n == 1 && b[0] == '\n' {
			return line.String(), nil
		}
		line.Write(b[:n])
		if err != nil {
			if errors.Is(err, io.EOF) && line.Len() > 0 {
				return line.String(), nil
			}
			return "", err
		}
		if line.Len() > 4096 {
			return "", errors.New("the answer is too long")
		}
	}
}
