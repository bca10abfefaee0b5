package finding

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/go-json-experiment/json"
)

// Fix is what would repair a finding, as data: what the owner is shown is what is done,
// and every step says how it is undone.
type Fix struct {
	ID     string   `json:"id"`              // of the check
	Does   string   `json:"does"`            // what it does, in a sentence
	Breaks string   `json:"breaks,omitzero"` // what may stop working, in a sentence
	Steps  []Step   `json:"steps"`           // in this order; undone in the other
	After  []Action `json:"after,omitzero"`  // what makes the steps felt, in this order; again after they were undone
	// Guarded: it could lock the owner out, and is taken back by itself unless it is confirmed.
	Guarded bool `json:"guarded,omitzero"`
}

// Digest names a fix by all that it would do: two fixes with one digest do the same.
func (f Fix) Digest() string {
	text, err := json.Marshal(f, json.Deterministic(true))
	if err != nil {
		panic(fmt.Sprintf("a fix is plain data: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// StepKind says what a step does.
type StepKind string

// The kinds of steps.
const (
	StepCreate StepKind = "create" // a file, directory or symbolic link that was not there
	StepEdit   StepKind = "edit"   // the content of a file, and perhaps its mode and owner
	StepMode   StepKind = "mode"   // mode or owner alone
	StepDelete StepKind = "delete" // what is taken away is kept in the journal
	StepSysctl StepKind = "sysctl" // a setting of the running kernel
	StepHTTP   StepKind = "http"   // the settings of Home Assistant's web server, by its API
)

// StepKinds returns every kind.
func StepKinds() []StepKind {
	return []StepKind{StepCreate, StepEdit, StepMode, StepDelete, StepSysctl, StepHTTP}
}

// Step is one change of one thing.
type Step struct {
	Kind StepKind `json:"kind"`
	// Path is the file, as a path of the host with no symbolic link in it; of a sysctl its
	// name with slashes, as "net/ipv4/ip_forward"; of an http step Home Assistant's own file.
	Path   string `json:"path"`
	Before *Entry `json:"before,omitzero"` // nil: there is nothing
	After  *Entry `json:"after,omitzero"`  // nil: there will be nothing
	// Secret: the content is not for everybody's eyes.
	Secret bool `json:"secret,omitzero"`
	// Final: it cannot be undone before the machine starts again, as some sysctls.
	Final bool `json:"final,omitzero"`
}

// EntryType says what an entry of a directory is.
type EntryType string

// The types of entries.
const (
	EntryFile      EntryType = "file"
	EntryDirectory EntryType = "directory"
	EntryLink      EntryType = "link"
	EntryValue     EntryType = "value" // no entry, but a sysctl, or settings as JSON
)

// Entry is how something is, or shall be.
type Entry struct {
	Type    EntryType `json:"type"`
	Mode    uint32    `json:"mode"` // permissions with set-user-id (04000), set-group-id and sticky bits
	UID     uint32    `json:"uid"`
	GID     uint32    `json:"gid"`
	Content *string   `json:"content,omitzero"` // of a file that is written, or a sysctl; nil where it stays
	Target  string    `json:"target,omitzero"`  // of a link
	Size    int64     `json:"size,omitzero"`    // of a file that is deleted
}

// ActionKind says what is done so that steps are felt.
type ActionKind string

// The kinds of actions.
const (
	ActionValidate ActionKind = "validate" // a program looks at its configuration; nothing is kept that it does not take
	ActionUnit     ActionKind = "unit"     // systemd is told something of a unit
	ActionRun      ActionKind = "run"      // a program of a closed list
)

// Action is a program that is started after the steps: one of a closed list, on a running
// machine only.
type Action struct {
	Kind ActionKind `json:"kind"`
	// Of is the validator ("sshd"), the verb of systemctl and its unit ("reload ssh.service"),
	// or the program of the closed list.
	Of string `json:"of"`
}
