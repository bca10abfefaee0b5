package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v4"
)

// Nested is a value of a file of nested ones, by its path: "api.insecure".
type Nested struct {
	Path  string // in lower case, with points; the parts of a list are numbers
	Value string
	File  string
	Line  int // 0 where the format does not say
}

// Traefik is what Traefik is told: by its own file, by the files of its file provider,
// and by the command lines of compose files.
type Traefik struct {
	Static  []Nested
	Dynamic []Nested
	Compose []Nested // the compose files in which a Traefik stands, whole
}

// Find is the setting of a path.
func Find(all []Nested, path string) (Nested, bool) {
	for _, s := range slices.Backward(all) {
		if s.Path == path {
			return s, true
		}
	}
	return Nested{}, false
}

// composePlaces are where compose files usually lie.
func composePlaces() []string {
	var all []string
	for _, dir := range []string{"/opt", "/opt/*", "/srv", "/srv/*", "root", "root/*", "/home/*", "/home/*/*", "/docker", "/docker/*"} {
		for _, name := range []string{"docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"} {
			all = append(all, path.Join(dir, name))
		}
	}
	return all
}

// errComposeClosed means that there may be compose files where we may not look, and that
// nothing else is amiss.
var errComposeClosed = errors.New("there may be a compose file in a folder that is closed")

// composeFiles are the compose files at the usual places that speak of a proxy, those that
// can be read.
func (h *Host) composeFiles() ([][]Nested, error) {
	return remember(h, "proxy compose", func() ([][]Nested, error) {
		var all [][]Nested
		var errs, closed []error
		for _, place := range composePlaces() {
			names, err := h.Glob(place)
			if err != nil {
				closed = append(closed, err)
			}
			for _, name := range names {
				t, err := h.Text(name)
				if err == nil && !strings.Contains(string(t.Bytes), "traefik") && !strings.Contains(string(t.Bytes), "nginx-proxy-manager") {
					continue // of something else
				}
				s, err := h.yamlSettings(name)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				all = append(all, s)
			}
		}
		if len(errs) == 0 && len(closed) > 0 {
			return all, fmt.Errorf("%w: %w", errComposeClosed, errors.Join(closed...))
		}
		return all, errors.Join(append(errs, closed...)...)
	})
}

// Traefik reads Traefik's configuration. The error wraps fs.ErrNotExist where there is none.
func (h *Host) Traefik() (Traefik, error) {
	return remember(h, "traefik", func() (Traefik, error) {
		var t Traefik
		found := false
		for _, name := range []string{"/etc/traefik/traefik.yml", "/etc/traefik/traefik.yaml", "/etc/traefik/traefik.toml"} {
			s, err := h.settingsIn(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return t, err
			}
			t.Static, found = s, true
			break
		}
		compose, err := h.composeFiles()
		if err != nil && !found {
			return t, err
		}
		for _, file := range compose {
			for _, s := range file {
				parts := strings.Split(s.Path, ".")
				if len(parts) != 3 || parts[0] != "services" || parts[2] != "image" || !strings.Contains(path.Base(s.Value), "traefik") {
					continue
				}
				found = true
				t.Compose = append(t.Compose, file...)
				prefix := "services." + parts[1] + ".command"
				for _, c := range file {
					if c.Path == prefix || strings.HasPrefix(c.Path, prefix+".") {
						for _, word := range strings.Fields(c.Value) {
							if name, value, ok := strings.Cut(strings.TrimLeft(word, "-"), "="); strings.HasPrefix(word, "--") {
								if !ok {
									value = "true"
								}
								t.Static = append(t.Static, Nested{strings.ToLower(name), value, c.File, c.Line})
							}
						}
					}
				}
			}
		}
		if !found {
			return t, &fs.PathError{Op: "open", Path: "/etc/traefik/traefik.yml", Err: fs.ErrNotExist}
		}
		var files []string
		if s, ok := Find(t.Static, "providers.file.filename"); ok {
			files = append(files, s.Value)
		}
		if s, ok := Find(t.Static, "providers.file.directory"); ok {
			for _, ext := range []string{"*.yml", "*.yaml", "*.toml"} {
				names, err := h.Glob(path.Join(s.Value, ext))
				if err != nil {
					return t, err
				}
				files = append(files, names...)
			}
		}
		for _, name := range files {
			if !path.IsAbs(name) {
				continue
			}
			s, err := h.settingsIn(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a path of the container that it runs in
			}
			if err != nil {
				return t, err
			}
			t.Dynamic = append(t.Dynamic, s...)
		}
		return t, nil
	})
}

func (h *Host) settingsIn(name string) ([]Nested, error) {
	if strings.HasSuffix(name, ".toml") {
		return h.tomlSettings(name)
	}
	return h.yamlSettings(name)
}

func (h *Host) tomlSettings(name string) ([]Nested, error) {
	t, err := h.Text(name)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	if err := toml.Unmarshal(t.Bytes, &v); err != nil {
		return nil, fmt.Errorf("%s: not TOML", name)
	}
	var all []Nested
	flatTOML(&all, t.Path, "", v, 0)
	slices.SortFunc(all, func(a, b Nested) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

func flatTOML(all *[]Nested, file, at string, v any, depth int) {
	if depth > maxBlockDepth || len(*all) > maxDirectives {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatTOML(all, file, strings.TrimPrefix(at+"."+strings.ToLower(k), "."), x, depth+1)
		}
	case []any:
		for n, x := range v {
			flatTOML(all, file, at+"."+strconv.Itoa(n), x, depth+1)
		}
	default:
		*all = append(*all, Nested{at, fmt.Sprint(v), file, 0})
	}
}

// yamlSettings reads a file of YAML, flat. Aliases are not followed.
func (h *Host) yamlSettings(name string) ([]Nested, error) {
	t, err := h.Text(name)
	if err != nil {
		return nil, err
	}
	if len(t.Bytes) > 1<<20 {
		return nil, fmt.Errorf("%s: %w", name, ErrTooLarge)
	}
	var node yaml.Node
	if err := yaml.Unmarshal(t.Bytes, &node); err != nil {
		return nil, fmt.Errorf("%s: not YAML", name)
	}
	var all []Nested
	if err := flatYAML(&all, t.Path, "", &node, 0); err != nil {
		return nil, err
	}
	return all, nil
}

func flatYAML(all *[]Nested, file, at string, node *yaml.Node, depth int) error {
	if depth > maxBlockDepth || len(*all) > maxDirectives {
		return fmt.Errorf("%s:%d: %w", file, node.Line, errTooMuch)
	}
	switch node.Kind {
	case yaml.DocumentNode:
		for _, c := range node.Content {
			if err := flatYAML(all, file, at, c, depth+1); err != nil {
				return err
			}
		}
	case yaml.MappingNode:
		for n := 0; n+1 < len(node.Content); n += 2 {
			if node.Content[n].Value == "<<" {
				continue
			}
			if err := flatYAML(all, file, strings.TrimPrefix(at+"."+strings.ToLower(node.Content[n].Value), "."), node.Content[n+1], depth+1); err != nil {
				return err
			}
		}
		if len(node.Content) == 0 {
			*all = append(*all, Nested{at, "", file, node.Line})
		}
	case yaml.SequenceNode:
		for n, c := range node.Content {
			if err := flatYAML(all, file, at+"."+strconv.Itoa(n), c, depth+1); err != nil {
				return err
			}
		}
	case yaml.ScalarNode:
		value := node.Value
		if node.Tag == "!!null" {
			value = ""
		}
		*all = append(*all, Nested{at, value, file, node.Line})
	}
	return nil
}

// NginxProxyManagers are the ports under which compose files open the administration of a
// Nginx Proxy Manager, each with its address: "0.0.0.0:81".
func (h *Host) NginxProxyManagers() ([]Nested, error) {
	files, err := h.composeFiles()
	var all []Nested
	for _, file := range files {
		for _, s := range file {
			parts := strings.Split(s.Path, ".")
			if len(parts) != 3 || parts[0] != "services" || parts[2] != "image" || !strings.Contains(s.Value, "nginx-proxy-manager") {
				continue
			}
			for _, p := range file {
				if !strings.HasPrefix(p.Path, "services."+parts[1]+".ports.") {
					continue
				}
				ports := strings.Split(strings.TrimSuffix(p.Value, "/tcp"), ":")
				if ports[len(ports)-1] != "81" {
					continue
				}
				address := "0.0.0.0"
				if len(ports) > 2 {
					address = strings.Join(ports[:len(ports)-2], ":")
				}
				all = append(all, Nested{p.Path, address + ":81", p.File, p.Line})
			}
		}
	}
	return all, err
}
