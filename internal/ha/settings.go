package ha

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"path"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Settings is what Home Assistant's own files say about how it is reached.
type Settings struct {
	Version   Release // zero if there is no .HA_VERSION: Home Assistant has not run yet
	Onboarded bool    // every step of its onboarding is done
	HTTP      HTTPSettings
	Source    Source
	File      string // where the settings of HTTP stand; empty for SourceDefault
	Line      int    // their first line
	// Pending is a change on trial (2026.8 and newer): Home Assistant runs with it and
	// goes back to HTTP by itself after five minutes, unless somebody promotes it.
	Pending *HTTPSettings
	// PendingError says that the trial has failed; Home Assistant runs with HTTP then.
	PendingError string
}

// Source says where HTTP settings come from. The zero Source is none: what was not
// read never looks like a default.
type Source string

// The sources.
const (
	SourceStorage Source = "storage" // .storage/http, from 2026.8 on
	SourceYAML    Source = "yaml"    // configuration.yaml
	SourceDefault Source = "default" // neither says anything
)

// HTTPSettings are the options of Home Assistant's http integration.
type HTTPSettings struct {
	ServerHost             []string // empty: all addresses
	ServerPort             int
	SSLCertificate         string
	SSLKey                 string
	SSLPeerCertificate     string
	SSLProfile             string
	CORSAllowedOrigins     []string
	UseXForwardedFor       bool
	TrustedProxies         []netip.Prefix
	LoginAttemptsThreshold int // -1: never ban
	IPBanEnabled           bool
	UseXFrameOptions       bool
	Places                 map[string]Place // where each option that is set stands, by its name
}

// Place is a line of a file of the configuration folder.
type Place struct {
	File string
	Line int
}

// String is file:line.
func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Trusts reports whether Home Assistant believes what a proxy at this address says
// about its clients.
func (s HTTPSettings) Trusts(addr netip.Addr) bool {
	if !s.UseXForwardedFor {
		return false
	}
	for _, p := range s.TrustedProxies {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// SettingError is an option that Home Assistant does not take as it stands: it was
// read, and it is wrong. Every other error of ReadSettings means that something could
// not be judged.
type SettingError struct {
	Place
	Option string
	Why    string
}

func (e *SettingError) Error() string {
	return fmt.Sprintf("%s: http option %s: %s", e.Place, e.Option, e.Why)
}

// defaultHTTP is what holds where nothing is set. Below the Supervisor Home Assistant
// may use port 80 instead; it writes that down (.storage/http).
func defaultHTTP() HTTPSettings {
	return HTTPSettings{
		ServerPort:             8123,
		CORSAllowedOrigins:     []string{"https://cast.home-assistant.io"},
		LoginAttemptsThreshold: -1,
		IPBanEnabled:           true,
		UseXFrameOptions:       true,
		Places:                 map[string]Place{},
	}
}

const (
	configurationFile = "configuration.yaml"
	storageFile       = ".storage/http"
	maxSettingsFile   = 4 << 20 // bytes
)

// ReadSettings reads the configuration folder of Home Assistant. To keep links from
// leading out of it, hand in the FS of an os.Root.
//
// With an error, what could be read is returned as well, and what could not has the
// zero value: HTTP is only to be used if Source is not empty.
func ReadSettings(fsys fs.FS) (Settings, error) {
	var s Settings
	var errs []error
	version, err := readFile(fsys, ".HA_VERSION", 100)
	switch {
	case err == nil:
		s.Version, err = ParseRelease(strings.TrimSpace(string(version)))
		err = inFile(".HA_VERSION", err)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	errs = append(errs, err)
	versionKnown := err == nil

	s.Onboarded, err = readOnboarded(fsys)
	errs = append(errs, err)
	if versionKnown {
		errs = append(errs, s.readHTTP(fsys))
	}
	return s, errors.Join(errs...)
}

// readHTTP reads the http settings from the place that this release reads them from.
// From 2026.8 on that is .storage/http; a file of version 1 was written by an older
// release for its recovery mode and says nothing.
func (s *Settings) readHTTP(fsys fs.FS) error {
	if s.Version == (Release{}) || s.Version.AtLeast(2026, 8) {
		found, err := s.readStorage(fsys)
		if found || err != nil {
			return err
		}
	}
	return s.readYAML(fsys)
}

// readFile reads a file that is not larger than it should be.
func readFile(fsys fs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", name)
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case int64(len(text)) > most:
		return nil, fmt.Errorf("read %s: larger than %d bytes", name, most)
	}
	return text, nil
}

func inFile(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// stored is a file of Home Assistant's .storage.
type stored struct {
	Version int            `json:"version"`
	Key     string         `json:"key"`
	Data    jsontext.Value `json:"data"`
}

func readStored(fsys fs.FS, name string) (text []byte, s stored, err error) {
	if text, err = readFile(fsys, name, maxSettingsFile); err != nil {
		return nil, s, err
	}
	s, err = parseStored(name, text)
	return text, s, err
}

func parseStored(name string, text []byte) (s stored, err error) {
	if err := json.Unmarshal(text, &s); err != nil {
		return s, inFile(name, err)
	}
	if s.Key != path.Base(name) || s.Version < 1 || len(s.Data) == 0 {
		return s, fmt.Errorf("read %s: not a file of Home Assistant's storage", name)
	}
	return s, nil
}

// onboardingSteps are all that a finished onboarding has done (components/onboarding/const.py).
var onboardingSteps = []string{"user", "core_config", "analytics", "integration"}

func readOnboarded(fsys fs.FS) (bool, error) {
	const name = ".storage/onboarding"
	_, s, err := readStored(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var data struct {
		Done []string `json:"done"`
	}
	if err := json.Unmarshal(s.Data, &data); err != nil {
		return false, inFile(name, err)
	}
	done := map[string]bool{}
	for _, step := range data.Done {
		done[step] = true
	}
	for _, step := range onboardingSteps {
		if !done[step] {
			return false, nil
		}
	}
	return true, nil
}

// readStorage reads .storage/http (ha-protocol 4.1); found is false if there is none
// that says anything.
func (s *Settings) readStorage(fsys fs.FS) (found bool, err error) {
	text, file, err := readStored(fsys, storageFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return s.fromStorage(text, file)
}

func (s *Settings) fromStorage(text []byte, file stored) (found bool, err error) {
	switch {
	case file.Version == 1:
		return false, nil
	case file.Version > 3:
		return false, fmt.Errorf("read %s: version %d is newer than what is known", storageFile, file.Version)
	}
	var data struct {
		Stable  map[string]jsontext.Value `json:"stable"`
		Pending map[string]jsontext.Value `json:"pending"`
		Done    bool                      `json:"yaml_migration_done"`
	}
	if err := json.Unmarshal(file.Data, &data); err != nil {
		return false, inFile(storageFile, err)
	}
	if data.Stable == nil {
		return false, fmt.Errorf("read %s: no stable settings", storageFile)
	}
	lines := jsonLines(text)
	stable, err := storedHTTP(data.Stable, lines, "/data/stable")
	if err != nil {
		return false, err
	}
	if data.Pending != nil {
		pending, err := storedHTTP(data.Pending, lines, "/data/pending")
		if err != nil {
			return false, err
		}
		s.Pending = &pending
		if e, ok := data.Pending["error"]; ok && e.Kind() != 'n' {
			if err := json.Unmarshal(e, &s.PendingError); err != nil {
				return false, inFile(storageFile, err)
			}
		}
	}
	s.HTTP, s.Source, s.File, s.Line = stable, SourceStorage, storageFile, lines["/data/stable"]
	return true, nil
}

// storedHTTP reads one slot of .storage/http.
func storedHTTP(slot map[string]jsontext.Value, lines map[jsontext.Pointer]int, at jsontext.Pointer) (HTTPSettings, error) {
	h := defaultHTTP()
	for name, value := range slot {
		place := Place{storageFile, lines[at.AppendToken(name)]}
		var set optionValue
		var err error
		switch value.Kind() {
		case 'n':
			set.null = true
		case '[':
			set.list = true
			err = json.Unmarshal(value, &set.texts)
		case '"':
			set.texts = []string{""}
			err = json.Unmarshal(value, &set.texts[0])
		case 't', 'f', '0':
			set.texts = []string{string(value)}
		default:
			err = errors.New("not a value that an option has")
		}
		if err != nil {
			return h, &SettingError{place, name, err.Error()}
		}
		switch name {
		case "created_at", "error", "error_message":
			continue
		}
		if set.null {
			continue // as if it were not there
		}
		if err := h.set(name, set, place); err != nil {
			return h, err
		}
	}
	return h, nil
}

// jsonLines says on which line each value of a document begins, by its pointer.
func jsonLines(text []byte) map[jsontext.Pointer]int {
	lines := map[jsontext.Pointer]int{}
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	line, at := 1, 0
	for {
		if _, err := dec.ReadToken(); err != nil {
			return lines
		}
		end := int(dec.InputOffset())
		line += bytes.Count(text[at:end], []byte{'\n'})
		at = end
		if p := dec.StackPointer(); lines[p] == 0 {
			lines[p] = line
		}
	}
}

// YAMLProxyLines are the lines for configuration.yaml that make Home Assistant
// believe a proxy at addr, in releases before 2026.8.
func YAMLProxyLines(addr netip.Addr) string {
	return "http:\n  use_x_forwarded_for: true\n  trusted_proxies: [\"" + addr.Unmap().WithZone("").String() + "\"]\n"
}
