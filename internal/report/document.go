package report

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"gatehouse/internal/finding"
)

// schemaVersion goes up when a field changes its meaning or goes away; new fields do not
// raise it. docs/audit.schema.json describes the document.
const schemaVersion = 1

// document is the JSON form of a report. Other programs read it.
type document struct {
	SchemaVersion int               `json:"schema_version"`
	Gatehouse     string            `json:"gatehouse"`
	At            time.Time         `json:"at"`
	Root          string            `json:"root"`
	HADir         string            `json:"ha_dir"`
	AsRoot        bool              `json:"as_root"`
	Grade         *string           `json:"grade"` // null where too much could not be judged
	Summary       summary           `json:"summary"`
	First         []string          `json:"first"` // ids of what to do first
	Checks        []finding.Finding `json:"checks"`
	Waivers       []Waiver          `json:"waivers"`
	Since         *Since            `json:"since"`
}

type summary struct {
	Pass          int `json:"pass"`
	Fail          int `json:"fail"`
	Unknown       int `json:"unknown"`
	NotApplicable int `json:"notapplicable"`
	Waived        int `json:"waived"`
}

// doFirst is how many things there are to do first.
const doFirst = 3

func (r *Report) document() document {
	d := document{SchemaVersion: schemaVersion, Gatehouse: r.Version, At: r.At.Truncate(time.Second), Root: r.Root, HADir: r.HADir, AsRoot: r.AsRoot,
		Summary: summary{r.count(finding.Pass), r.count(finding.Fail), r.count(finding.Unknown), r.count(finding.NotApplicable), r.count(finding.Waived)},
		First:   []string{}, Checks: make([]finding.Finding, 0, len(r.Checks)), Waivers: r.Waivers, Since: r.Since}
	if g := r.Grade(); g != "" {
		d.Grade = &g
	}
	for _, f := range r.First(doFirst) {
		d.First = append(d.First, f.ID)
	}
	for _, f := range r.Checks {
		f.Effective = tame(f.Effective)
		d.Checks = append(d.Checks, f)
	}
	return d
}

// tame makes a value that JSON cannot say a text.
func tame(v any) any {
	if _, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true)); err != nil {
		return fmt.Sprint(v)
	}
	return v
}

func (r *Report) writeJSON(w io.Writer) error { return writeDocument(w, r.document()) }

func writeDocument(w io.Writer, d any) error {
	if err := json.MarshalWrite(w, d, jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true), json.Deterministic(true), json.FormatNilSliceAsNull(false)); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// Read reads a report that was written as JSON, by this release or a later one.
func Read(text []byte) (*Report, error) {
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("not a report of an audit in JSON: %w", err)
	}
	switch {
	case d.SchemaVersion != schemaVersion:
		return nil, fmt.Errorf("a report of schema version %d; this release reads %d", d.SchemaVersion, schemaVersion)
	case d.Checks == nil:
		return nil, errors.New("not a report of an audit: it holds no checks")
	}
	return &Report{Version: d.Gatehouse, At: d.At, Root: d.Root, HADir: d.HADir, AsRoot: d.AsRoot, Checks: d.Checks, Waivers: d.Waivers, Since: d.Since}, nil
}
