package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	torrcFile         = "/etc/tor/torrc"
	torrcDefaultsFile = "/usr/share/tor/tor-service-defaults-torrc"
)

// Tor is the configuration of a Tor service.
type Tor struct {
	Options  []Directive // in lower case, without those of services
	Services []OnionService
}

// OnionService is a HiddenServiceDir with the options that belong to it.
type OnionService struct {
	Dir     Directive
	Options []Directive
}

// Option are the lines of an option that hold.
func (t Tor) Option(name string) []Directive { return Named(t.Options, name) }

// Last is the line of an option that holds in a service; the last one does.
func (s OnionService) Last(name string) (Directive, bool) {
	all := Named(s.Options, name)
	if len(all) == 0 {
		return Directive{}, false
	}
	return all[len(all)-1], true
}

// Path is the directory of the service.
func (s OnionService) Path() string { return path.Clean("/" + s.Dir.Arg(0)) }

// Tor reads torrc with what it includes, and the defaults of the distribution below it.
// The error wraps fs.ErrNotExist where there is no torrc.
func (h *Host) Tor() (Tor, error) {
	return remember(h, "torrc", func() (Tor, error) {
		main, err := (&including{h: h}).torrc(torrcFile)
		if err != nil {
			return Tor{}, err
		}
		defaults, err := (&including{h: h}).torrc(torrcDefaultsFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Tor{}, err
		}
		// What torrc says of an option takes the place of the defaults, all lines of it,
		// unless it begins with +; a / alone takes it back.
		said := map[string]bool{}
		for _, d := range main {
			if !strings.HasPrefix(d.Name, "+") {
				said[strings.TrimPrefix(d.Name, "/")] = true
			}
		}
		var t Tor
		for _, d := range slices.Concat(defaults, main) {
			d.Name = strings.TrimPrefix(d.Name, "+")
			switch {
			case strings.HasPrefix(d.Name, "/"), d.File == torrcDefaultsFile && said[d.Name]:
			case d.Name == "hiddenservicedir":
				t.Services = append(t.Services, OnionService{Dir: d})
			case strings.HasPrefix(d.Name, "hiddenservice") && d.Name != "hiddenservicesinglehopmode" && d.Name != "hiddenservicenonanonymousmode":
				if len(t.Services) == 0 {
					return Tor{}, fmt.Errorf("%s:%d: belongs to no HiddenServiceDir", d.File, d.Line)
				}
				last := &t.Services[len(t.Services)-1]
				last.Options = append(last.Options, d)
			default:
				t.Options = append(t.Options, d)
			}
		}
		return t, nil
	})
}

func (in *including) torrc(name string) ([]Directive, error) {
	info, err := in.h.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode.IsDir() {
		return in.each(path.Join(name, "*"), name, 0, true, in.torrc)
	}
	t, err := in.text(name)
	if err != nil {
		return nil, err
	}
	var all []Directive
	for n := 0; n < len(t.Lines); n++ {
		at, line := n+1, strings.TrimSpace(t.Lines[n])
		for strings.HasSuffix(line, `\`) && n+1 < len(t.Lines) {
			n++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(t.Lines[n])
		}
		words, err := lineWords(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", t.Path, at, err)
		}
		if len(words) == 0 {
			continue
		}
		if err := in.one(t.Path, at); err != nil {
			return nil, err
		}
		d := Directive{Name: strings.ToLower(words[0]), Args: words[1:], File: t.Path, Line: at}
		if d.Name == "%include" {
			part, err := in.each(absolute("/etc/tor", d.Arg(0)), t.Path, at, false, in.torrc)
			if err != nil {
				return nil, err
			}
			all = append(all, part...)
			continue
		}
		if form := strings.TrimLeft(d.Name, "+/"); form == "" || strings.Trim(form, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return nil, fmt.Errorf("%s:%d: not an option of Tor", t.Path, at)
		}
		all = append(all, d)
	}
	return all, nil
}
