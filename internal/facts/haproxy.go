package facts

import (
	"fmt"
	"slices"
)

// HAProxy are the sections of HAProxy's configuration, each with its lines.
func (h *Host) HAProxy() ([]Directive, error) {
	return remember(h, "haproxy", func() ([]Directive, error) {
		in := &including{h: h}
		t, err := in.text("/etc/haproxy/haproxy.cfg")
		if err != nil {
			return nil, err
		}
		sections := []string{"global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers", "mailers", "program",
			"http-errors", "ring", "cache", "fcgi-app", "log-forward", "crt-store", "traces", "acme"}
		var all []Directive
		for n, line := range t.Lines {
			words, err := lineWords(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", t.Path, n+1, err)
			}
			if len(words) == 0 || words[0][0:min(1, len(words[0]))] == "." {
				continue // .if and others: both ways count
			}
			if err := in.one(t.Path, n+1); err != nil {
				return nil, err
			}
			d := Directive{Name: words[0], Args: words[1:], File: t.Path, Line: n + 1}
			switch {
			case slices.Contains(sections, d.Name):
				d.Block = []Directive{}
				all = append(all, d)
			case len(all) == 0:
				return nil, fmt.Errorf("%s:%d: stands in no section", t.Path, n+1)
			default:
				last := &all[len(all)-1]
				last.Block = append(last.Block, d)
			}
		}
		return all, nil
	})
}
