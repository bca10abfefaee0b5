package facts

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v4"
)

// ContainerSpec is a container as its compose file says it, or as Docker remembers it.
type ContainerSpec struct {
	Name     string
	Image    string
	File     string
	Line     int
	Compose  bool // what is said is what a person wrote
	Settings []ContainerSetting
}

// ContainerSetting is something that is said of a container, by the words of compose
// files: "privileged", "volumes", "ports", "environment"…
type ContainerSetting struct {
	Key   string
	Value string // of a port "0.0.0.0:8123:8123/tcp", of a volume "/etc:/host:ro"
	Line  int
}

// All returns what a setting is.
func (c ContainerSpec) All(key string) []ContainerSetting {
	var all []ContainerSetting
	for _, s := range c.Settings {
		if s.Key == key {
			all = append(all, s)
		}
	}
	return all
}

// Is reports whether a setting has a value, and where.
func (c ContainerSpec) Is(key, value string) (ContainerSetting, bool) {
	for _, s := range c.Settings {
		if s.Key == key && strings.EqualFold(s.Value, value) {
			return s, true
		}
	}
	return ContainerSetting{}, false
}

// HomeAssistant reports whether it is Home Assistant, by its image.
func (c ContainerSpec) HomeAssistant() bool {
	image, _, _ := strings.Cut(c.Image, "@")
	return strings.Contains(image, "home-assistant/home-assistant") || strings.Contains(image, "homeassistant/home-assistant") ||
		strings.Contains(image, "linuxserver/homeassistant") || strings.HasSuffix(strings.Split(path.Base(image), ":")[0], "-homeassistant") && strings.Contains(image, "home-assistant/")
}

// ContainerMount is what a container sees of the host.
type ContainerMount struct {
	Source, Target string
	ReadOnly       bool
	Line           int
}

// Mounts returns the host's folders and files that a container sees.
func (c ContainerSpec) Mounts() []ContainerMount {
	var all []ContainerMount
	for _, s := range c.All("volumes") {
		f := strings.Split(s.Value, ":")
		if len(f) < 2 || !path.IsAbs(f[0]) {
			continue // a volume of Docker's own, or below the compose file
		}
		m := ContainerMount{Source: path.Clean(f[0]), Target: f[1], Line: s.Line}
		if len(f) > 2 {
			m.ReadOnly = slices.Contains(strings.Split(f[2], ","), "ro")
		}
		all = append(all, m)
	}
	return all
}

// Published is a port of the host that leads into a container.
type Published struct {
	HostIP string // empty: every address
	Port   int    // of the host; 0 where Docker chooses, or of a range its first
	Inside int
	Proto  string
	Line   int
	Text   string
}

// Loopback reports whether only the host itself reaches it.
func (p Published) Loopback() bool {
	return strings.HasPrefix(p.HostIP, "127.") || p.HostIP == "::1" || p.HostIP == "[::1]" || p.HostIP == "localhost"
}

// Ports returns the ports of the host that lead into a container.
func (c ContainerSpec) Ports() []Published {
	var all []Published
	for _, s := range c.All("ports") {
		text, proto, ok := strings.Cut(s.Value, "/")
		if !ok {
			proto = "tcp"
		}
		p := Published{Proto: proto, Line: s.Line, Text: s.Value}
		inside := text
		if n := strings.LastIndexByte(text, ':'); n >= 0 {
			inside = text[n+1:]
			host := text[:n]
			if n := strings.LastIndexByte(host, ':'); n >= 0 && !strings.HasSuffix(host, "]") {
				p.HostIP, host = strings.Trim(host[:n], "[]"), host[n+1:]
			}
			p.Port = firstPort(host)
		}
		if p.HostIP == "0.0.0.0" || p.HostIP == "::" {
			p.HostIP = ""
		}
		p.Inside = firstPort(inside)
		all = append(all, p)
	}
	return all
}

func firstPort(s string) int {
	s, _, _ = strings.Cut(s, "-")
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 65535 {
		return 0
	}
	return n
}

// ComposeFile is a file of compose, with what it says.
type ComposeFile struct {
	Path       string
	Containers []ContainerSpec
}

// The bounds of what is read of containers.
const (
	maxComposeFiles = 400
	maxComposeNodes = 100000
	maxContainers   = 2000
)

// composeDirs are where people keep their compose files.
func composeDirs() []string {
	return []string{"/opt", "/opt/*", "/opt/*/*", "/srv", "/srv/*", "/srv/*/*", "/root", "/root/*", "/root/*/*", "/home/*", "/home/*/*", "/home/*/*/*",
		"/docker", "/docker/*", "/data", "/data/*", "/var/lib/docker/compose/*", "/etc/docker/compose/*", "/mnt/*", "/mnt/*/*", "/usr/local/*"}
}

// ComposeFiles finds the compose files at the usual places, and where Docker remembers
// them. The error says what could not be looked at.
func (h *Host) ComposeFiles() ([]ComposeFile, error) {
	return remember(h, "compose files", func() ([]ComposeFile, error) {
		var names []string
		var errs []error
		for _, dir := range composeDirs() {
			found, err := h.Glob(dir + "/*compose*.y*ml")
			if err != nil {
				errs = append(errs, err)
			}
			for _, name := range found {
				stem, _, _ := strings.Cut(path.Base(name), ".y")
				if slices.Contains([]string{"docker-compose", "compose", "docker-compose.override", "compose.override"}, stem) {
					names = append(names, name)
				}
			}
		}
		slices.Sort(names)
		names = slices.Compact(names)
		if len(names) > maxComposeFiles {
			return nil, fmt.Errorf("%d compose files: %w", len(names), ErrTooLarge)
		}
		var all []ComposeFile
		for _, n := range names {
			if info, err := h.Stat(n); err == nil && !info.Mode.IsRegular() {
				continue
			}
			t, err := h.Text(n)
			if isMissing(err) {
				continue
			}
			if err == nil {
				var found []ContainerSpec
				if found, err = parseCompose(t); err == nil {
					all = append(all, ComposeFile{t.Path, found})
					continue
				}
			}
			errs = append(errs, err)
		}
		return all, errors.Join(errs...)
	})
}

// composeNode follows an alias; nothing is copied.
func composeNode(n *yaml.Node) *yaml.Node {
	for range 8 {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

// pairs calls f for a mapping's members; what is merged in (<<) comes first.
func composePairs(n *yaml.Node, depth int, left *int, f func(key *yaml.Node, value *yaml.Node)) {
	n = composeNode(n)
	if n == nil || n.Kind != yaml.MappingNode || depth > 8 {
		return
	}
	for _, merged := range []bool{true, false} {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if *left--; *left < 0 {
				return
			}
			k, v := n.Content[i], composeNode(n.Content[i+1])
			if isMerge := k.Value == "<<"; isMerge != merged || v == nil {
				continue
			}
			if !merged {
				f(k, v)
				continue
			}
			if v.Kind == yaml.SequenceNode {
				for _, c := range v.Content {
					composePairs(c, depth+1, left, f)
				}
			} else {
				composePairs(v, depth+1, left, f)
			}
		}
	}
}

func parseCompose(t Text) ([]ContainerSpec, error) {
	if len(t.Bytes) > 1<<20 {
		return nil, fmt.Errorf("%s: %w", t.Path, ErrTooLarge)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(t.Bytes, &doc); err != nil {
		return nil, fmt.Errorf("%s: not YAML", t.Path)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	root := composeNode(doc.Content[0])
	if root == nil || root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: no compose file", t.Path, doc.Line)
	}
	var all []ContainerSpec
	left := maxComposeNodes
	var bad error
	composePairs(root, 0, &left, func(k, services *yaml.Node) {
		if k.Value != "services" {
			return
		}
		if services.Kind != yaml.MappingNode {
			bad = fmt.Errorf("%s:%d: no services", t.Path, k.Line)
		}
		composePairs(services, 0, &left, func(k, service *yaml.Node) {
			if len(all) >= maxContainers {
				return
			}
			if service.Kind != yaml.MappingNode {
				bad = fmt.Errorf("%s:%d: no service", t.Path, k.Line)
				return
			}
			c := ContainerSpec{Name: k.Value, File: t.Path, Line: k.Line, Compose: true}
			composePairs(service, 0, &left, func(k, v *yaml.Node) { c.compose(k, v, &left) })
			for _, s := range c.All("image") {
				c.Image = s.Value
			}
			all = append(all, c)
		})
	})
	if left < 0 {
		return nil, fmt.Errorf("%s: %w", t.Path, ErrTooLarge)
	}
	return all, bad
}

// compose takes over what a service says, in the short form that compose has for it.
func (c *ContainerSpec) compose(k, v *yaml.Node, left *int) {
	key := k.Value
	add := func(value string, line int) {
		if line == 0 {
			line = k.Line
		}
		c.Settings = append(c.Settings, ContainerSetting{key, value, line})
	}
	member := func(n *yaml.Node, names ...string) string {
		found := ""
		composePairs(n, 0, left, func(k, v *yaml.Node) {
			if slices.Contains(names, k.Value) && found == "" {
				found = v.Value
			}
		})
		return found
	}
	switch v.Kind {
	case yaml.ScalarNode:
		c.Settings = slices.DeleteFunc(c.Settings, func(s ContainerSetting) bool { return s.Key == key })
		add(v.Value, v.Line)
	case yaml.SequenceNode:
		for _, n := range v.Content {
			if *left--; *left < 0 {
				return
			}
			n = composeNode(n)
			switch {
			case n == nil:
			case n.Kind == yaml.ScalarNode:
				add(n.Value, n.Line)
			case key == "ports":
				add(cmp.Or(member(n, "host_ip"), "0.0.0.0")+":"+member(n, "published")+":"+member(n, "target")+"/"+cmp.Or(member(n, "protocol"), "tcp"), n.Line)
			case key == "volumes":
				mode := "rw"
				if member(n, "read_only") == "true" {
					mode = "ro"
				}
				add(member(n, "source")+":"+member(n, "target")+":"+mode, n.Line)
			default:
				add(cmp.Or(member(n, "source", "path"), "…"), n.Line)
			}
		}
	case yaml.MappingNode:
		composePairs(v, 0, left, func(k, v *yaml.Node) {
			switch {
			case v.Kind == yaml.ScalarNode && key == "environment" && v.Tag != "!!null":
				add(k.Value+"="+v.Value, k.Line)
			case v.Kind == yaml.ScalarNode:
				add(k.Value+"="+v.Value, k.Line)
			default: // deploy.resources.limits…
				composePairs(v, 0, left, func(k2, v2 *yaml.Node) {
					if v2.Kind == yaml.ScalarNode {
						add(k.Value+"."+k2.Value+"="+v2.Value, k2.Line)
						return
					}
					composePairs(v2, 0, left, func(k3, v3 *yaml.Node) { add(k.Value+"."+k2.Value+"."+k3.Value+"="+v3.Value, k3.Line) })
				})
			}
		})
	}
}

// dockerConfig is what Docker keeps of a container in config.v2.json.
type dockerConfig struct {
	Name   string
	Config struct {
		Image  string
		User   string
		Env    []string
		Cmd    []string
		Labels map[string]string
	}
}

// dockerHostConfig is what it keeps in hostconfig.json.
type dockerHostConfig struct {
	Binds        []string
	Privileged   bool
	NetworkMode  string
	PidMode      string
	CapAdd       []string
	CapDrop      []string
	SecurityOpt  []string
	Memory       int64
	PidsLimit    *int64
	PortBindings map[string][]struct{ HostIP, HostPort string }
	Mounts       []struct {
		Type, Source, Target string
		ReadOnly             bool
	}
}

// DockerDir is where Docker keeps what it knows.
const DockerDir = "/var/lib/docker"

// DockerContainers reads the containers that Docker remembers, running or not.
func (h *Host) DockerContainers() ([]ContainerSpec, error) {
	return remember(h, "docker containers", func() ([]ContainerSpec, error) {
		dir := DockerDir + "/containers"
		ids, err := h.Dir(dir)
		if err != nil {
			return nil, err
		}
		if len(ids) > maxContainers {
			return nil, fmt.Errorf("%s: %w", dir, ErrTooLarge)
		}
		var all []ContainerSpec
		for _, id := range ids {
			var c dockerConfig
			if err := h.dockerFile(dir+"/"+id+"/config.v2.json", &c); err != nil {
				if isMissing(err) {
					continue // being made, or being removed
				}
				return nil, err
			}
			var host dockerHostConfig
			file := dir + "/" + id + "/hostconfig.json"
			if err := h.dockerFile(file, &host); err != nil {
				return nil, err
			}
			all = append(all, containerOf(file, c, host))
		}
		return all, nil
	})
}

func (h *Host) dockerFile(name string, into any) error {
	t, err := h.Text(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(t.Bytes, into, json.MatchCaseInsensitiveNames(true)); err != nil {
		return fmt.Errorf("%s: not what Docker writes", name)
	}
	return nil
}

func containerOf(file string, c dockerConfig, host dockerHostConfig) ContainerSpec {
	all := ContainerSpec{Name: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image, File: file}
	add := func(key string, values ...string) {
		for _, v := range values {
			if v != "" {
				all.Settings = append(all.Settings, ContainerSetting{key, v, 0})
			}
		}
	}
	add("image", c.Config.Image)
	add("user", c.Config.User)
	add("environment", c.Config.Env...)
	add("command", c.Config.Cmd...)
	add("volumes", host.Binds...)
	for _, m := range host.Mounts {
		mode := "rw"
		if m.ReadOnly {
			mode = "ro"
		}
		if m.Type == "bind" {
			add("volumes", m.Source+":"+m.Target+":"+mode)
		}
	}
	if host.Privileged {
		add("privileged", "true")
	}
	add("network_mode", host.NetworkMode)
	add("pid", host.PidMode)
	add("cap_add", host.CapAdd...)
	add("cap_drop", host.CapDrop...)
	add("security_opt", host.SecurityOpt...)
	if host.Memory > 0 {
		add("mem_limit", strconv.FormatInt(host.Memory, 10))
	}
	if host.PidsLimit != nil && *host.PidsLimit > 0 {
		add("pids_limit", strconv.FormatInt(*host.PidsLimit, 10))
	}
	var inside []string
	for p := range host.PortBindings {
		inside = append(inside, p)
	}
	slices.Sort(inside)
	for _, p := range inside {
		for _, b := range host.PortBindings[p] {
			ip := b.HostIP
			if strings.Contains(ip, ":") {
				ip = "[" + ip + "]"
			}
			add("ports", cmp.Or(ip, "0.0.0.0")+":"+b.HostPort+":"+p)
		}
	}
	if file, ok := c.Config.Labels["com.docker.compose.project.config_files"]; ok {
		add("compose", file)
	}
	return all
}

// ErrNoContainers: there is no engine for containers, and no compose file.
var ErrNoContainers = errors.New("no containers: no Docker and no compose file was found")

// Containers returns all containers, of compose files and of Docker's memory. Where there
// are none at all the error is ErrNoContainers; another error says what could not be
// looked at, beside what was found.
func (h *Host) Containers() ([]ContainerSpec, error) {
	files, err1 := h.ComposeFiles()
	remembered, err2 := h.DockerContainers()
	var all []ContainerSpec
	for _, f := range files {
		all = append(all, f.Containers...)
	}
	for _, c := range remembered {
		// What a compose file that was read says of it is said already.
		if s := c.All("compose"); len(s) > 0 && slices.ContainsFunc(files, func(f ComposeFile) bool { return slices.Contains(strings.Split(s[0].Value, ","), f.Path) }) {
			continue
		}
		all = append(all, c)
	}
	err := errors.Join(err1, err2)
	if len(all) == 0 && err == nil {
		err = ErrNoContainers
	}
	return all, err
}

// DockerDaemon is how the Docker daemon is set up.
type DockerDaemon struct {
	There    bool
	Settings map[string]any // of daemon.json
	File     string
	lines    []string
	Hosts    []UnitSetting // where it listens: of daemon.json and of its unit
	TLS      bool          // it asks for certificates of those who come
}

// Line is where a setting stands in daemon.json; 0 if it does not.
func (d DockerDaemon) Line(key string) int {
	return 1 + slices.IndexFunc(d.lines, func(l string) bool { return strings.Contains(l, `"`+key+`"`) })
}

// DockerDaemon reads daemon.json and the command line in docker.service.
func (h *Host) DockerDaemon() (DockerDaemon, error) {
	return remember(h, "docker daemon", func() (DockerDaemon, error) {
		d := DockerDaemon{File: "/etc/docker/daemon.json"}
		t, err := h.Text(d.File)
		switch {
		case err == nil:
			d.There, d.lines = true, t.Lines
			if len(strings.TrimSpace(string(t.Bytes))) > 0 {
				if err := json.Unmarshal(t.Bytes, &d.Settings); err != nil {
					return d, fmt.Errorf("%s: not JSON", d.File)
				}
			}
		case !errors.Is(err, fs.ErrNotExist):
			return d, err
		}
		hosts, _ := d.Settings["hosts"].([]any)
		for _, a := range hosts {
			if s, ok := a.(string); ok {
				d.Hosts = append(d.Hosts, UnitSetting{Value: s, File: d.File, Line: d.Line("hosts")})
			}
		}
		d.TLS = d.Settings["tlsverify"] == true
		u, err := h.Unit("docker.service")
		if err != nil && !isMissing(err) {
			return d, err
		}
		d.There = d.There || u.File != ""
		for _, s := range u.All("Service", "ExecStart") {
			words := strings.Fields(s.Value)
			for n, w := range words {
				value := ""
				switch {
				case (w == "-H" || w == "--host") && n+1 < len(words):
					value = words[n+1]
				case strings.HasPrefix(w, "-H"):
					value = strings.TrimPrefix(strings.TrimPrefix(w, "-H"), "=")
				case strings.HasPrefix(w, "--host="):
					value = strings.TrimPrefix(w, "--host=")
				case w == "--tlsverify" || w == "--tlsverify=true":
					d.TLS = true
				}
				if value != "" {
					d.Hosts = append(d.Hosts, UnitSetting{"Service", "ExecStart", value, s.File, s.Line})
				}
			}
		}
		for _, mark := range []string{DockerDir, "/usr/bin/dockerd", "/var/run/docker.sock"} {
			if d.There {
				break
			}
			if d.There, err = h.Exists(mark); err != nil {
				return d, err
			}
		}
		return d, nil
	})
}

// HostNetwork reports whether a container stands in the host's own network, where ports
// are not published.
func (c ContainerSpec) HostNetwork() bool {
	_, yes := c.Is("network_mode", "host")
	return yes
}
