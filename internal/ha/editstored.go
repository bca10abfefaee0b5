package ha

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// EditStoredHTTP changes the settings in the text of .storage/http, while Home Assistant
// does not run. They hold at once: no trial is made of them, and one that there was is
// dropped. Every other member stays as it is; the text is indented as Home Assistant
// does it. The port has to be given.
//
// It is an error if the file is not as Home Assistant writes it, or if it has still to
// take its settings over from configuration.yaml.
func EditStoredHTTP(text []byte, l Listener) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("edit %s: %w", storageFile, err) }
	l, err := l.check()
	if err != nil {
		return fail(err)
	}
	if l.Port == 0 {
		return fail(errors.New("without a port Home Assistant does not start"))
	}
	file, err := parseStored(storageFile, text)
	if err != nil {
		return nil, err
	}
	var was Settings
	found, err := was.fromStorage(text, file)
	if err != nil {
		return nil, err
	}
	if !found {
		return fail(errors.New("it says nothing that Home Assistant reads"))
	}
	proxies := []string{}
	for _, p := range l.wanted(was.HTTP).TrustedProxies {
		proxies = append(proxies, p.String())
	}
	change := func(stable members) members {
		if len(l.Hosts) == 0 {
			stable = slices.DeleteFunc(stable, func(m member) bool { return m.name == "server_host" })
		} else {
			stable = stable.with("server_host", l.Hosts)
		}
		stable = stable.with("server_port", l.Port)
		if len(l.Proxies) > 0 {
			stable = stable.with("use_x_forwarded_for", true).with("trusted_proxies", proxies)
		}
		return stable
	}
	after, err := editMember(text, "data", func(data members) (members, error) {
		if string(data.get("yaml_migration_done")) != "true" {
			return nil, errors.New("it has not taken over the settings of configuration.yaml yet")
		}
		stable, err := readMembers(data.get("stable"))
		if err != nil {
			return nil, err
		}
		return data.with("stable", change(stable)).with("pending", nil), nil
	})
	if err != nil {
		return fail(err)
	}
	var now Settings
	if file, err = parseStored(storageFile, after); err == nil {
		found, err = now.fromStorage(after, file)
	}
	if err != nil {
		return fail(fmt.Errorf("read it again: %w", err))
	}
	if !found || now.Pending != nil || !now.HTTP.equal(l.wanted(was.HTTP)) {
		return fail(errors.New("its settings cannot be changed with certainty"))
	}
	return after, nil
}

// member is one member of an object, whose order is kept.
type member struct {
	name  string
	value any
}

type members []member

func (m members) get(name string) jsontext.Value {
	for _, e := range m {
		if v, ok := e.value.(jsontext.Value); ok && e.name == name {
			return v
		}
	}
	return nil
}

// with returns the members with one set in its place, or at the end.
func (m members) with(name string, value any) members {
	m = slices.Clone(m)
	for i := range m {
		if m[i].name == name {
			m[i].value = value
			return m
		}
	}
	return append(m, member{name, value})
}

// MarshalJSONTo writes the object.
func (m members) MarshalJSONTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, e := range m {
		if err := enc.WriteToken(jsontext.String(e.name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(enc, e.value); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

func readMembers(text []byte) (members, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	if begin, err := dec.ReadToken(); err != nil || begin.Kind() != '{' {
		return nil, errors.New("it is not as Home Assistant writes it")
	}
	var m members
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		text := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		m = append(m, member{text, value.Clone()})
	}
	return m, nil
}

// editMember changes an object that is a member of another, and writes it all as Home
// Assistant does (helpers/json.py: two spaces, no line end at the end).
func editMember(text []byte, name string, change func(members) (members, error)) ([]byte, error) {
	whole, err := readMembers(text)
	if err != nil {
		return nil, err
	}
	inside, err := readMembers(whole.get(name))
	if err != nil {
		return nil, err
	}
	if inside, err = change(inside); err != nil {
		return nil, err
	}
	return json.Marshal(whole.with(name, inside), jsontext.WithIndent("  "), jsontext.PreserveRawStrings(true))
}

// HTTPMetadata are the members of a set of settings of the web server that are Home
// Assistant's notes about it: they are not sent back, and two sets that differ in them alone say
// the same (components/http/config.py).
func HTTPMetadata() []string { return []string{"created_at", "error", "error_message"} }

func storedMetadata(name string) bool { return slices.Contains(HTTPMetadata(), name) }

// StoredOptions are the settings that hold in the text of .storage/http, as an object, one
// member a line. It is an error if they hold no longer or not yet: while a trial of others
// runs, or before they were taken over from configuration.yaml.
func StoredOptions(text []byte) (string, error) {
	file, err := parseStored(storageFile, text)
	if err != nil {
		return "", err
	}
	var now Settings
	found, err := now.fromStorage(text, file)
	switch {
	case err != nil:
		return "", err
	case !found:
		return "", fmt.Errorf("read %s: it says nothing that Home Assistant reads", storageFile)
	case now.Pending != nil:
		return "", fmt.Errorf("read %s: other settings are on trial", storageFile)
	}
	data, err := readMembers(file.Data)
	if err != nil {
		return "", inFile(storageFile, err)
	}
	if string(data.get("yaml_migration_done")) != "true" {
		return "", fmt.Errorf("read %s: it has not taken over the settings of configuration.yaml yet", storageFile)
	}
	stable, err := readMembers(data.get("stable"))
	if err != nil {
		return "", inFile(storageFile, err)
	}
	stable = slices.DeleteFunc(stable, func(m member) bool { return storedMetadata(m.name) })
	out, err := json.Marshal(stable, jsontext.WithIndent("  "))
	return string(out), err
}

// WithOption changes one member of settings that StoredOptions returned; nil takes it away.
func WithOption(options, name string, value any) (string, error) {
	all, err := readMembers([]byte(options))
	if err != nil {
		return "", fmt.Errorf("change %s: %w", name, err)
	}
	if value == nil {
		all = slices.DeleteFunc(all, func(m member) bool { return m.name == name })
	} else {
		all = all.with(name, value)
	}
	out, err := json.Marshal(all, jsontext.WithIndent("  "))
	return string(out), err
}

// WithStoredOptions is the text of .storage/http with other settings in it that hold at once,
// as Home Assistant would write it.
func WithStoredOptions(text []byte, options string) ([]byte, error) {
	stable, err := readMembers([]byte(options))
	if err != nil {
		return nil, fmt.Errorf("edit %s: %w", storageFile, err)
	}
	after, err := editMember(text, "data", func(data members) (members, error) {
		old, err := readMembers(data.get("stable"))
		if err != nil {
			return nil, err
		}
		for _, m := range old {
			if storedMetadata(m.name) {
				stable = append(stable, m)
			}
		}
		return data.with("stable", stable).with("pending", nil), nil
	})
	if err != nil {
		return nil, fmt.Errorf("edit %s: %w", storageFile, err)
	}
	if _, err := StoredOptions(after); err != nil {
		return nil, err
	}
	return after, nil
}
