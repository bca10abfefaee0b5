package checks

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"gatehouse/internal/facts"
	"gatehouse/internal/ha"
)

// haProgram is what automations or scripts do: as it stands in the configuration, or in a
// blueprint that one of them uses.
type haProgram struct {
	root *ha.Node
	used string   // of a blueprint: where it is used
	with *ha.Node // of a blueprint: what was entered there
}

// haPrograms are those of a block of automations ("automation") or scripts ("script"). The
// error says that there may be more.
func haPrograms(h *facts.Host, domain string, block *ha.Node) ([]haProgram, error) {
	all := []haProgram{{root: block}}
	errs := []error{block.Unread()}
	block.Walk(func(_ []string, n *ha.Node) {
		use := n.Get("use_blueprint")
		if use == nil {
			return
		}
		name := use.Get("path").Value()
		file := path.Join("blueprints", domain, name)
		if name == "" || !fs.ValidPath(name) {
			errs = append(errs, fmt.Errorf("%s:%d: it is not known which blueprint is used", h.HAPath(use.File), use.Line))
			return
		}
		root, err := ha.ReadYAML(h.HAFiles(), file)
		if err != nil {
			errs = append(errs, err)
			return
		}
		errs = append(errs, root.Unread())
		all = append(all, haProgram{root, fmt.Sprintf(", used in %s:%d", use.File, use.Line), use.Get("input")})
	})
	return all, errors.Join(errs...)
}

// value is what stands for a value when the program runs: what was entered for it, or what
// the blueprint says otherwise. It is n itself where nothing was.
func (p haProgram) value(n *ha.Node) *ha.Node {
	if n == nil || n.Tag != "!input" {
		return n
	}
	if entered := p.with.Get(n.Text); entered != nil {
		return entered
	}
	otherwise := n
	var look func(inputs *ha.Node)
	look = func(inputs *ha.Node) { // in sections, perhaps
		if inputs == nil {
			return
		}
		for _, f := range inputs.Fields {
			if d := f.Value.Get("default"); f.Key == n.Text && d != nil {
				otherwise = d
			}
			look(f.Value.Get("input"))
		}
	}
	look(p.root.Get("blueprint", "input"))
	return otherwise
}
