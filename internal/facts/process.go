package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Process is a program that runs.
type Process struct {
	ID   int
	Args []string
}

// Processes are the programs that run, by what they were started with; what the kernel runs
// itself is none. The error says what could not be looked at, beside what was found.
func (h *Host) Processes() ([]Process, error) {
	type found struct {
		all    []Process
		closed error
	}
	f, err := remember(h, "running", func() (found, error) {
		ids, err := h.processes()
		if err != nil {
			return found{}, err
		}
		var f found
		for _, id := range ids {
			text, err := h.Tree.ReadFile(fmt.Sprintf("proc/%d/cmdline", id), maxText)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				f.closed = err
			case len(text) > 0:
				// The kernel puts a zero byte after each word; a drawing may put a line's end.
				words := strings.FieldsFunc(string(text), func(r rune) bool { return r == 0 || r == '\n' })
				f.all = append(f.all, Process{id, words})
			}
		}
		return f, nil
	})
	return f.all, errors.Join(err, f.closed)
}
