package facts

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Apache is the configuration of Apache with all that it includes; names in lower case.
// What stands in an IfModule counts as read, unless that asks for a module to be missing.
func (h *Host) Apache() ([]Directive, error) {
	return remember(h, "apache", func() ([]Directive, error) {
		all, err := (&apache{including{h: h}, "/etc/apache2"}).file("/etc/apache2/apache2.conf")
		if errors.Is(err, fs.ErrNotExist) {
			return (&apache{including{h: h}, "/etc/httpd"}).file("/etc/httpd/conf/httpd.conf")
		}
		return all, err
	})
}

type apache struct {
	including
	dir string
}

func (a *apache) file(name string) ([]Directive, error) {
	t, err := a.text(name)
	if err != nil {
		return nil, err
	}
	type open struct {
		d    Directive
		into []Directive
	}
	stack := []open{{}}
	for n := 0; n < len(t.Lines); n++ {
		at := n + 1
		line := strings.TrimSpace(t.Lines[n])
		for strings.HasSuffix(line, `\`) && n+1 < len(t.Lines) {
			n++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(t.Lines[n])
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if end, ok := strings.CutPrefix(line, "</"); ok {
			top := stack[len(stack)-1]
			if len(stack) == 1 || !strings.EqualFold(strings.Trim(end, "> \t"), top.d.Name) {
				return nil, fmt.Errorf("%s:%d: %q ends nothing", t.Path, at, line)
			}
			stack = stack[:len(stack)-1]
			into := &stack[len(stack)-1].into
			switch {
			case top.d.Name == "ifmodule" && strings.HasPrefix(top.d.Arg(0), "!"):
			case top.d.Name == "ifmodule":
				*into = append(*into, top.into...)
			default:
				top.d.Block = append([]Directive{}, top.into...)
				*into = append(*into, top.d)
			}
			continue
		}
		section := strings.HasPrefix(line, "<")
		words, err := lineWords(strings.TrimSuffix(strings.TrimPrefix(line, "<"), ">"))
		if err != nil || len(words) == 0 {
			return nil, fmt.Errorf("%s:%d: not a statement of Apache", t.Path, at)
		}
		if err := a.one(t.Path, at); err != nil {
			return nil, err
		}
		d := Directive{Name: strings.ToLower(words[0]), Args: words[1:], File: t.Path, Line: at}
		if section {
			if stack = append(stack, open{d: d}); len(stack) > maxBlockDepth {
				return nil, fmt.Errorf("%s:%d: %w", t.Path, at, errTooMuch)
			}
			continue
		}
		into := &stack[len(stack)-1].into
		if d.Name == "serverroot" && strings.HasPrefix(d.Arg(0), "/") {
			a.dir = d.Arg(0)
		}
		if d.Name == "include" || d.Name == "includeoptional" {
			part, err := a.each(absolute(a.dir, d.Arg(0)), t.Path, at, d.Name == "includeoptional", a.any)
			if err != nil {
				return nil, err
			}
			*into = append(*into, part...)
			continue
		}
		*into = append(*into, d)
	}
	if len(stack) > 1 {
		return nil, fmt.Errorf("%s:%d: a block that does not end", t.Path, stack[len(stack)-1].d.Line)
	}
	return stack[0].into, nil
}

// any reads a file, or all files of a directory.
func (a *apache) any(name string) ([]Directive, error) {
	info, err := a.h.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode.IsDir() {
		return a.file(name)
	}
	return a.each(path.Join(name, "*"), name, 0, true, a.any)
}
