package facts

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// haStorage reads a file of .storage and says on which line each value near its top
// stands. The error quotes nothing of it: it may be a secret.
func haStorage[T any](h *Host, name string) (data T, lines map[jsontext.Pointer]int, err error) {
	file := ".storage/" + name
	at, err := resolve(h.Tree, h.HAPath(file), true)
	if err != nil {
		return data, nil, err
	}
	text, err := h.Tree.ReadFile(at, maxStored)
	if err != nil {
		return data, nil, err
	}
	var f struct {
		Key  string         `json:"key"`
		Data jsontext.Value `json:"data"`
	}
	if json.Unmarshal(text, &f) != nil || f.Key != name || json.Unmarshal(f.Data, &data) != nil {
		return data, nil, fmt.Errorf("%s: it is not as Home Assistant writes it", h.HAPath(file))
	}
	return data, haLines(text), nil
}

// haLines says on which line a document's values begin, three deep.
func haLines(text []byte) map[jsontext.Pointer]int {
	const deepest = 4
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
		if dec.StackDepth() > deepest {
			continue
		}
		if p := dec.StackPointer(); lines[p] == 0 {
			lines[p] = line
		}
	}
}

// HAUser is an account of Home Assistant.
type HAUser struct {
	ID, Name  string
	Username  string // of its password; empty without one
	Owner     bool
	Admin     bool // the owner is one
	Active    bool
	System    bool // Home Assistant made it for itself
	LocalOnly bool
	Providers []string // by which it may sign in
	Line      int
}

// HAToken is a sign-in of Home Assistant, without what is secret in it.
type HAToken struct {
	UserID, ClientID, ClientName string
	Type                         string // "normal", "long_lived_access_token", "system"
	Created, LastUsed            time.Time
	LastIP                       string
	Line                         int
}

// HAAuth is .storage/auth.
type HAAuth struct {
	Users  []HAUser
	Tokens []HAToken
}

// User is the account with an id; the zero HAUser if there is none.
func (a HAAuth) User(id string) HAUser {
	for _, u := range a.Users {
		if u.ID == id {
			return u
		}
	}
	return HAUser{}
}

// HAAuth reads who may sign in.
func (h *Host) HAAuth() (HAAuth, error) {
	return remember(h, "ha auth", func() (HAAuth, error) {
		d, lines, err := haStorage[struct {
			Users []struct {
				ID        string   `json:"id"`
				Name      *string  `json:"name"`
				Owner     bool     `json:"is_owner"`
				Active    bool     `json:"is_active"`
				System    bool     `json:"system_generated"`
				LocalOnly bool     `json:"local_only"`
				Groups    []string `json:"group_ids"`
			} `json:"users"`
			Credentials []struct {
				UserID string         `json:"user_id"`
				Type   string         `json:"auth_provider_type"`
				Data   jsontext.Value `json:"data"`
			} `json:"credentials"`
			Tokens []struct {
				UserID     string  `json:"user_id"`
				ClientID   *string `json:"client_id"`
				ClientName *string `json:"client_name"`
				Type       string  `json:"token_type"`
				Created    string  `json:"created_at"`
				LastUsed   *string `json:"last_used_at"`
				LastIP     *string `json:"last_used_ip"`
			} `json:"refresh_tokens"`
		}](h, "auth")
		if err != nil {
			return HAAuth{}, err
		}
		if len(d.Users) == 0 {
			return HAAuth{}, fmt.Errorf("%s: no users", h.HAPath(".storage/auth"))
		}
		var a HAAuth
		for i, u := range d.Users {
			user := HAUser{ID: u.ID, Name: deref(u.Name), Owner: u.Owner, Active: u.Active, System: u.System, LocalOnly: u.LocalOnly,
				Admin: u.Owner || slices.Contains(u.Groups, "system-admin"), Line: lines[jsontext.Pointer("/data/users/"+strconv.Itoa(i))]}
			for _, c := range d.Credentials {
				if c.UserID != u.ID {
					continue
				}
				user.Providers = append(user.Providers, c.Type)
				var data struct {
					Username string `json:"username"`
				}
				if c.Type == "homeassistant" && json.Unmarshal(c.Data, &data) == nil {
					user.Username = data.Username
				}
			}
			a.Users = append(a.Users, user)
		}
		for i, t := range d.Tokens {
			if t.Type == "" {
				t.Type = "normal"
			}
			a.Tokens = append(a.Tokens, HAToken{t.UserID, deref(t.ClientID), deref(t.ClientName), t.Type, isoTime(t.Created), isoTime(deref(t.LastUsed)),
				deref(t.LastIP), lines[jsontext.Pointer("/data/refresh_tokens/"+strconv.Itoa(i))]})
		}
		return a, nil
	})
}

// HAPassword says how an account's password is kept. The hash itself is left where it is.
type HAPassword struct {
	Username string
	Kind     string // "bcrypt", "placeholder", "unknown"
	Cost     int    // of bcrypt
	Line     int
}

// HAPasswords reads .storage/auth_provider.homeassistant.
func (h *Host) HAPasswords() ([]HAPassword, error) {
	return remember(h, "ha passwords", func() ([]HAPassword, error) {
		d, lines, err := haStorage[struct {
			Users []struct {
				Username string `json:"username"`
				Password string `json:"password"`
			} `json:"users"`
		}](h, "auth_provider.homeassistant")
		if err != nil {
			return nil, err
		}
		var all []HAPassword
		for i, u := range d.Users {
			p := HAPassword{u.Username, "unknown", 0, lines[jsontext.Pointer("/data/users/"+strconv.Itoa(i))]}
			if u.Password == "" {
				p.Kind = "placeholder"
			} else if hash, err := base64.StdEncoding.DecodeString(u.Password); err == nil {
				p.Kind, p.Cost = haHashKind(string(hash))
			}
			all = append(all, p)
		}
		return all, nil
	})
}

// haHashKind is what sort of hash it is: bcrypt with its cost, or none.
func haHashKind(hash string) (kind string, cost int) {
	part := strings.Split(hash, "$")
	if len(hash) < 60 && strings.TrimRight(hash, "\x00!*") == "" {
		return "placeholder", 0
	}
	if len(part) != 4 || part[0] != "" || !slices.Contains([]string{"2a", "2b", "2y"}, part[1]) || len(part[3]) != 53 {
		return "unknown", 0
	}
	cost, err := strconv.Atoi(part[2])
	if err != nil {
		return "unknown", 0
	}
	return "bcrypt", cost
}

// HASecondFactors are the ids of the users that have a second factor by a module
// ("totp", "notify").
func (h *Host) HASecondFactors(module string) ([]string, error) {
	return remember(h, "ha factor "+module, func() ([]string, error) {
		d, _, err := haStorage[struct {
			Users map[string]jsontext.Value `json:"users"`
		}](h, "auth_module."+module)
		var ids []string
		for id, v := range d.Users {
			if v.Kind() != 'n' {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids, err
	})
}

// HACore is what Home Assistant says of itself: its name and its addresses.
type HACore struct {
	Name, External, Internal string
	places                   map[string]HAPlace
}

// HAPlace is a line of a file, as a path of the host.
type HAPlace struct {
	File string
	Line int
}

// At is where "external_url", "internal_url" or "location_name" stands.
func (c HACore) At(key string) HAPlace { return c.places[key] }

// HACore reads the basic settings: configuration.yaml's where it has them, then those of
// .storage/core.config, which is not there before somebody has changed one.
func (h *Host) HACore() (HACore, error) {
	return remember(h, "ha core", func() (HACore, error) {
		root, err := h.HAConfiguration()
		if err != nil {
			return HACore{}, err
		}
		d, lines, err := haStorage[struct {
			Name     string  `json:"location_name"`
			External *string `json:"external_url"`
			Internal *string `json:"internal_url"`
		}](h, "core.config")
		if err != nil && !haAbsent(err) {
			return HACore{}, err
		}
		c := HACore{d.Name, deref(d.External), deref(d.Internal), map[string]HAPlace{}}
		block := root.Get("homeassistant")
		if block != nil && block.Err != nil {
			return HACore{}, block.Err
		}
		for key, value := range map[string]*string{"external_url": &c.External, "internal_url": &c.Internal, "location_name": &c.Name} {
			c.places[key] = HAPlace{h.HAPath(".storage/core.config"), lines[jsontext.Pointer("/data/"+key)]}
			name := key
			if key == "location_name" {
				name = "name"
			}
			if n := block.Get(name); n != nil {
				if n.Err != nil {
					return HACore{}, n.Err
				}
				*value = n.Value()
				c.places[key] = HAPlace{h.HAPath(n.File), n.Line}
			}
		}
		return c, nil
	})
}

// HAEntry is a config entry: an integration that somebody set up.
type HAEntry struct {
	Domain, Title string
	Disabled      bool
	Verify        *bool  // data.verify_ssl
	AppID, App    string // of a companion app: its id and release
	Line          int
}

// HAEntries reads .storage/core.config_entries, without credentials.
func (h *Host) HAEntries() ([]HAEntry, error) {
	return remember(h, "ha entries", func() ([]HAEntry, error) {
		d, lines, err := haStorage[struct {
			Entries []struct {
				Domain   string         `json:"domain"`
				Title    string         `json:"title"`
				Disabled *string        `json:"disabled_by"`
				Data     jsontext.Value `json:"data"`
			} `json:"entries"`
		}](h, "core.config_entries")
		if err != nil {
			return nil, err
		}
		var all []HAEntry
		for i, e := range d.Entries {
			entry := HAEntry{Domain: e.Domain, Title: e.Title, Disabled: e.Disabled != nil, Line: lines[jsontext.Pointer("/data/entries/"+strconv.Itoa(i))]}
			var data struct {
				Verify *bool `json:"verify_ssl"`
			}
			if json.Unmarshal(e.Data, &data) == nil {
				entry.Verify = data.Verify
			}
			if e.Domain == "mobile_app" {
				var app struct {
					AppID   string `json:"app_id"`
					Version string `json:"app_version"`
				}
				if json.Unmarshal(e.Data, &app) == nil {
					entry.AppID, entry.App = app.AppID, app.Version
				}
			}
			all = append(all, entry)
		}
		return all, nil
	})
}

// HAExposed is an entity that an assistant may use.
type HAExposed struct {
	Entity     string
	Class      string   // of what sort it is, where the registry says so: "garage"
	Assistants []string // "conversation", "cloud.alexa", "cloud.google_assistant"
	NoNumber   bool     // Google is to ask for no number
	File       string
	Line       int
}

// HAExposed reads which entities somebody exposed: those of the registry say it there,
// others in .storage/homeassistant.exposed_entities.
func (h *Host) HAExposed() ([]HAExposed, error) {
	return remember(h, "ha exposed", func() ([]HAExposed, error) {
		type options map[string]jsontext.Value
		told := func(o options) (all []string, noNumber bool) {
			for name, v := range o {
				var a struct {
					Expose   bool `json:"should_expose"`
					NoNumber bool `json:"disable_2fa"`
				}
				if json.Unmarshal(v, &a) == nil && a.Expose {
					all = append(all, name)
					noNumber = noNumber || a.NoNumber
				}
			}
			slices.Sort(all)
			return all, noNumber
		}
		var all []HAExposed
		r, lines, err := haStorage[struct {
			Entities []struct {
				ID       string  `json:"entity_id"`
				Class    *string `json:"device_class"` // somebody's choice
				Original *string `json:"original_device_class"`
				Disabled *string `json:"disabled_by"`
				Options  options `json:"options"`
			} `json:"entities"`
		}](h, "core.entity_registry")
		if err != nil {
			return nil, err
		}
		for i, e := range r.Entities {
			// One that is disabled is not there for anybody.
			if to, noNumber := told(e.Options); len(to) > 0 && e.Disabled == nil {
				all = append(all, HAExposed{e.ID, cmp.Or(deref(e.Class), deref(e.Original)), to, noNumber, h.HAPath(".storage/core.entity_registry"), lines[jsontext.Pointer("/data/entities/"+strconv.Itoa(i))]})
			}
		}
		x, lines, err := haStorage[struct {
			Entities map[string]struct {
				Assistants options `json:"assistants"`
			} `json:"exposed_entities"`
		}](h, "homeassistant.exposed_entities")
		if haAbsent(err) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		for id, e := range x.Entities {
			if to, noNumber := told(e.Assistants); len(to) > 0 {
				all = append(all, HAExposed{id, "", to, noNumber, h.HAPath(".storage/homeassistant.exposed_entities"), lines[jsontext.Pointer("/data/exposed_entities").AppendToken(id)]})
			}
		}
		slices.SortFunc(all, func(a, b HAExposed) int { return strings.Compare(a.Entity, b.Entity) })
		return all, nil
	})
}

// HACloud is what .storage/cloud says of the subscription's ways in.
type HACloud struct {
	SignedIn    bool
	Remote      bool
	Alexa       bool
	Google      bool
	RemoteLine  int
	RemoteKnown bool // it is written down
}

// HACloud reads them.
func (h *Host) HACloud() (HACloud, error) {
	return remember(h, "ha cloud", func() (HACloud, error) {
		d, lines, err := haStorage[struct {
			Username *string `json:"username"`
			Remote   *bool   `json:"remote_enabled"`
			Alexa    *bool   `json:"alexa_enabled"`
			Google   *bool   `json:"google_enabled"`
		}](h, "cloud")
		if err != nil {
			return HACloud{}, err
		}
		on := func(b *bool) bool { return b == nil || *b } // until somebody turns it off
		return HACloud{d.Username == nil || *d.Username != "", d.Remote != nil && *d.Remote, on(d.Alexa), on(d.Google), lines["/data/remote_enabled"], d.Remote != nil}, nil
	})
}

// HAOnboarding are the first steps that nobody has taken yet (components/onboarding).
func (h *Host) HAOnboarding() (missing []string, err error) {
	d, _, err := haStorage[struct {
		Done []string `json:"done"`
	}](h, "onboarding")
	if err != nil {
		return nil, err
	}
	for _, step := range []string{"user", "core_config", "analytics", "integration"} {
		if !slices.Contains(d.Done, step) {
			missing = append(missing, step)
		}
	}
	return missing, nil
}

// HABackups is how Home Assistant makes backups by itself.
type HABackups struct {
	Scheduled bool
	Key       bool     // there is one to encrypt them with
	Plain     []string // places that get them without encryption all the same
}

// HABackups reads it from .storage/backup.
func (h *Host) HABackups() (HABackups, error) {
	d, _, err := haStorage[struct {
		Config struct {
			Agents map[string]struct {
				Protected *bool `json:"protected"`
			} `json:"agents"`
			Create struct {
				Agents   []string `json:"agent_ids"`
				Password *string  `json:"password"`
			} `json:"create_backup"`
			Schedule struct {
				Recurrence string `json:"recurrence"`
				State      string `json:"state"`
			} `json:"schedule"`
		} `json:"config"`
	}](h, "backup")
	if err != nil {
		return HABackups{}, err
	}
	never := slices.Contains([]string{"", "never"}, d.Config.Schedule.Recurrence) && slices.Contains([]string{"", "never"}, d.Config.Schedule.State)
	b := HABackups{Scheduled: !never, Key: deref(d.Config.Create.Password) != ""}
	for _, id := range d.Config.Create.Agents {
		if a, ok := d.Config.Agents[id]; ok && a.Protected != nil && !*a.Protected {
			b.Plain = append(b.Plain, id)
		}
	}
	return b, nil
}

// HACustomIntegration is a program of a stranger's inside Home Assistant.
type HACustomIntegration struct {
	Domain, Version string
	Repositories    []string // of GitHub, "owner/name" in small letters
	File            string   // its manifest
	Unread          error
}

// HACustom reads which there are.
func (h *Host) HACustom() ([]HACustomIntegration, error) {
	return remember(h, "ha custom", func() ([]HACustomIntegration, error) {
		names, err := h.Dir(h.HAPath("custom_components"))
		if err != nil {
			return nil, err
		}
		var all []HACustomIntegration
		for _, name := range names {
			file := h.HAPath("custom_components/" + name + "/manifest.json")
			info, err := h.Stat(h.HAPath("custom_components/" + name))
			if err != nil || !info.Mode.IsDir() || strings.HasPrefix(name, ".") || name == "__pycache__" {
				continue
			}
			c := HACustomIntegration{Domain: name, File: file}
			var m struct {
				Version       string `json:"version"`
				Documentation string `json:"documentation"`
				Issues        string `json:"issue_tracker"`
			}
			t, err := h.Text(file)
			if haAbsent(err) {
				continue // without a manifest Home Assistant does not load it
			}
			if err == nil {
				if json.Unmarshal(t.Bytes, &m) != nil {
					err = fmt.Errorf("%s: not a manifest", file)
				}
			}
			c.Version, c.Unread = m.Version, err
			for _, link := range []string{m.Documentation, m.Issues} {
				if _, rest, ok := strings.Cut(strings.ToLower(link), "github.com/"); ok {
					if part := strings.Split(rest, "/"); len(part) > 1 {
						c.Repositories = append(c.Repositories, part[0]+"/"+strings.TrimSuffix(part[1], ".git"))
					}
				}
			}
			all = append(all, c)
		}
		return all, nil
	})
}

// HACSEntry is a repository that HACS has taken out.
type HACSEntry struct {
	Repository string
	Critical   bool
}

// HACSRemoved reads HACS' own list of what it has taken out.
func (h *Host) HACSRemoved() ([]HACSEntry, error) {
	return remember(h, "hacs removed", func() ([]HACSEntry, error) {
		var all []HACSEntry
		for _, name := range []string{"hacs.removed", "hacs.critical"} {
			list, _, err := haStorage[[]struct {
				Repository string `json:"repository"`
				Type       string `json:"removal_type"`
			}](h, name)
			if haAbsent(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, r := range list {
				all = append(all, HACSEntry{r.Repository, name == "hacs.critical" || r.Type == "critical"})
			}
		}
		return all, nil
	})
}

// HAFrame is a page inside a page.
type HAFrame struct {
	File string
	Line int
}

// HAFrames are the cards that show another page over http.
func (h *Host) HAFrames() ([]HAFrame, error) {
	return remember(h, "ha frames", func() ([]HAFrame, error) {
		names, err := h.Dir(h.HAPath(".storage"))
		if err != nil {
			return nil, err
		}
		var all []HAFrame
		for _, name := range names {
			if name != "lovelace" && !strings.HasPrefix(name, "lovelace.") {
				continue
			}
			t, err := h.Text(h.HAPath(".storage/" + name))
			if err != nil {
				return nil, err
			}
			if !jsontext.Value(t.Bytes).IsValid() {
				return nil, fmt.Errorf("%s: it is not as Home Assistant writes it", t.Path)
			}
			dec := jsontext.NewDecoder(bytes.NewReader(t.Bytes))
			type object struct {
				frame, plain bool
				line         int
			}
			open := map[int]*object{}
			line, at, key := 1, 0, ""
			for {
				token, err := dec.ReadToken()
				if err != nil {
					break
				}
				end := int(dec.InputOffset())
				line += bytes.Count(t.Bytes[at:end], []byte{'\n'})
				at = end
				depth := dec.StackDepth()
				switch token.Kind() {
				case '{':
					open[depth] = &object{}
				case '}':
					if o := open[depth+1]; o != nil && o.frame && o.plain {
						all = append(all, HAFrame{t.Path, o.line})
					}
				case '"':
					kind, n := dec.StackIndex(depth)
					o := open[depth]
					switch {
					case kind == '{' && n%2 == 1:
						key = token.String()
					case kind == '{' && o != nil && key == "type":
						o.frame = token.String() == "iframe"
					case kind == '{' && o != nil && key == "url":
						o.plain, o.line = strings.HasPrefix(strings.ToLower(token.String()), "http:"), line
					}
				}
			}
		}
		return all, nil
	})
}

// HASupervisor is which Supervisor looks after Home Assistant.
type HASupervisor struct {
	Version string
	File    string
	Line    int
}

// HASupervisor reads it from the Supervisor's own folder. The error wraps fs.ErrNotExist
// where there is none.
func (h *Host) HASupervisor() (HASupervisor, error) {
	return remember(h, "ha supervisor", func() (HASupervisor, error) {
		files := []string{"/usr/share/hassio/config.json", "/mnt/data/supervisor/config.json", "/var/lib/homeassistant/config.json"}
		if h.HAOnly {
			files = nil
		}
		for _, file := range files {
			t, err := h.Text(file)
			if haAbsent(err) {
				continue
			}
			if err != nil {
				return HASupervisor{}, err
			}
			var d struct {
				Version string `json:"version"`
			}
			if json.Unmarshal(t.Bytes, &d) != nil || d.Version == "" {
				return HASupervisor{}, fmt.Errorf("%s: it is not as the Supervisor writes it", file)
			}
			return HASupervisor{d.Version, file, haLines(t.Bytes)["/version"]}, nil
		}
		return HASupervisor{}, fs.ErrNotExist
	})
}
