package ha

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// SetHTTP gives an option of the http settings in configuration.yaml, or in the file that it
// includes for them, these values; none takes it out, so that the default holds. It says
// what EditHTTP says: the changed file, its text and the text to be written, proved by reading
// it again, and an error where a person has to do it.
func SetHTTP(fsys fs.FS, option string, values ...string) (file string, before, after []byte, err error) {
	if err := stillInYAML(fsys); err != nil {
		return "", nil, nil, err
	}
	var was Settings
	if err := was.readYAML(fsys); err != nil {
		// An option that is wrong may be the one that is set right.
		var wrong *SettingError
		if !errors.As(err, &wrong) {
			return "", nil, nil, err
		}
		return "", nil, nil, fmt.Errorf("set %s: %w", option, err)
	}
	want := was.HTTP
	want.Places = clonePlaces(was.HTTP.Places)
	if len(values) == 0 {
		if err := want.reset(option); err != nil {
			return "", nil, nil, err
		}
	} else if err := want.set(option, optionValue{texts: values, list: len(values) > 1}, Place{}); err != nil {
		return "", nil, nil, err
	}
	e := &httpEditor{fsys: fsys, was: was.HTTP}
	if err := e.open(nil); err != nil {
		return "", nil, nil, err
	}
	file, before = e.file, e.text // a list may be shortened before it is set
	change := func() error { return e.set(option, values...) }
	_, value, _ := e.find(option)
	switch {
	case value != nil && value.Tag == "!secret":
		return "", nil, nil, &SettingError{Place{e.file, value.Line}, option, "stands in secrets.yaml"}
	case len(values) == 0:
		change = func() error { return e.remove(option) }
	case value != nil && value.Kind == yaml.SequenceNode && !isFlow(value):
		if err := e.keepItems(option, value, values); err != nil {
			return "", nil, nil, err
		}
	case value != nil && value.Kind == yaml.SequenceNode && len(value.Content) == 0:
		change = func() error {
			from, to, err := e.extent(option, value)
			e.replace(from, to, yamlLiteral(values))
			return err
		}
	}
	if err := change(); err != nil {
		return "", nil, nil, err
	}
	after = e.apply()
	if err := proveEdit(fsys, file, before, after, want, func(name string) bool { return name == option }); err != nil {
		return "", nil, nil, err
	}
	return file, before, after, nil
}

// keepItems takes those lines of a list out that are not among its new values, so that the
// others keep their comments.
func (e *httpEditor) keepItems(option string, list *yaml.Node, values []string) error {
	drop := func(n *yaml.Node) bool {
		return n.Kind == yaml.ScalarNode && strings.HasPrefix(n.Tag, "!!") && !slices.Contains(values, n.Value)
	}
	if !slices.ContainsFunc(list.Content, func(n *yaml.Node) bool { return !drop(n) }) {
		return nil
	}
	lines := map[int]bool{}
	for _, n := range list.Content {
		if drop(n) {
			lines[n.Line] = true
		}
	}
	text, err := RewriteYAML(e.file, e.text, func(v YAMLEntry) YAMLChange {
		return YAMLChange{Remove: v.Item && lines[v.Line] && len(v.Keys) > 0 && v.Keys[len(v.Keys)-1] == option && v.Kind == TextNode}
	})
	if err != nil {
		return err
	}
	return e.open(text)
}

// reset gives an option its default.
func (h *HTTPSettings) reset(option string) error {
	d := defaultHTTP()
	switch option {
	case "server_host":
		h.ServerHost = d.ServerHost
	case "server_port":
		h.ServerPort = d.ServerPort
	case "cors_allowed_origins":
		h.CORSAllowedOrigins = d.CORSAllowedOrigins
	case "trusted_proxies":
		h.TrustedProxies = d.TrustedProxies
	case "use_x_forwarded_for":
		h.UseXForwardedFor = d.UseXForwardedFor
	case "use_x_frame_options":
		h.UseXFrameOptions = d.UseXFrameOptions
	case "ip_ban_enabled":
		h.IPBanEnabled = d.IPBanEnabled
	case "login_attempts_threshold":
		h.LoginAttemptsThreshold = d.LoginAttemptsThreshold
	default:
		return fmt.Errorf("%s has no default that is known", option)
	}
	return nil
}
