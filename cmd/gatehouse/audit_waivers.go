package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"gatehouse/internal/audit"
	"gatehouse/internal/checks"
	"gatehouse/internal/config"
	"gatehouse/internal/report"
)

// waiversName is the file of waivers, beside the configuration.
const waiversName = "waivers.toml"

// waiver is one as it is written.
type waiver struct {
	ID     string          `toml:"id"`
	Reason string          `toml:"reason"`
	Until  *toml.LocalDate `toml:"until"`
}

// readWaivers reads the file; none where it is not there.
func readWaivers(name string) ([]report.Waiver, error) {
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, &problem{status: statusCannot, err: fmt.Errorf("read the waivers: %w", err), hint: "run this as root"}
	}
	all, wrong := parseWaivers(name, text)
	if wrong != nil {
		return nil, &problem{status: statusUsage, err: wrong, problems: wrong.Problems}
	}
	return all, nil
}

// parseWaivers reads waivers. What is wrong with them is told with its line.
func parseWaivers(name string, text []byte) ([]report.Waiver, *config.Error) {
	var file struct {
		Waiver []waiver `toml:"waiver"`
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&file); err != nil {
		return nil, &config.Error{File: name, Problems: whatIsWrong(err)}
	}
	lines := waiverLines(text)
	var all []report.Waiver
	var wrong []config.Problem
	for n, w := range file.Waiver {
		line := 0
		if n < len(lines) {
			line = lines[n]
		}
		say := func(key, message, hint string) {
			wrong = append(wrong, config.Problem{Line: line, Key: "waiver." + key, Message: message, Hint: hint})
		}
		switch {
		case w.ID == "":
			say("id", "a waiver says not which check it is about", `write id = "ssh.…"`)
		case !isCheck(w.ID):
			say("id", "there is no check "+w.ID, nearestCheck(w.ID))
		case slices.ContainsFunc(all, func(o report.Waiver) bool { return o.ID == w.ID }):
			say("id", w.ID+" is waived twice", "leave one of them out")
		}
		if strings.TrimSpace(w.Reason) == "" {
			say("reason", "a waiver says not why", `write reason = "…"`)
		}
		if w.Until == nil {
			say("until", "a waiver says not until when it counts", "write until = 2027-01-31")
			continue
		}
		all = append(all, report.Waiver{ID: w.ID, Reason: w.Reason, Until: w.Until.String()})
	}
	if len(wrong) > 0 {
		return nil, &config.Error{File: name, Problems: wrong}
	}
	return all, nil
}

func isCheck(id string) bool {
	return slices.ContainsFunc(append(checks.All(), (&auditing{}).passwordChecks(context.Background())...), func(c audit.Check) bool { return c.ID == id })
}

// whatIsWrong turns what the decoder says into our own words.
func whatIsWrong(err error) (all []config.Problem) {
	var unknown *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		for k := range unknown.Errors {
			line, _ := unknown.Errors[k].Position()
			key := strings.Join(unknown.Errors[k].Key(), ".")
			all = append(all, config.Problem{Line: line, Key: key, Message: "unknown key " + key, Hint: "[[waiver]] has id, reason and until"})
		}
		return all
	case errors.As(err, &bad):
		line, _ := bad.Position()
		return []config.Problem{{Line: line, Message: strings.TrimPrefix(bad.Error(), "toml: "), Hint: `a waiver is [[waiver]] with id = "…", reason = "…" and until = 2027-01-31`}}
	}
	return []config.Problem{{Message: strings.TrimPrefix(err.Error(), "toml: ")}}
}

// waiverLines returns the lines on which the waivers begin.
func waiverLines(text []byte) (lines []int) {
	parser := unstable.Parser{}
	parser.Reset(text)
	for parser.NextExpression() {
		e := parser.Expression()
		if e.Kind != unstable.ArrayTable {
			continue
		}
		if key := e.Key(); key.Next() && string(key.Node().Data) == "waiver" {
			lines = append(lines, parser.Shape(key.Node().Raw).Start.Line)
		}
	}
	return lines
}
