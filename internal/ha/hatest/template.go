package hatest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// What of templates this home understands: the functions that read states, and
// text and numbers. Everything else is an error, as an unknown name is in Home
// Assistant.
var (
	expressions = regexp.MustCompile(`\{\{(.*?)\}\}`)
	calls       = regexp.MustCompile(`^(states|is_state|state_attr)\(\s*(.*?)\s*\)$`)
	quoted      = regexp.MustCompile(`^(?:'([^']*)'|"([^"]*)")$`)
	names       = regexp.MustCompile(`^[A-Za-z_]\w*$`)
	sums        = regexp.MustCompile(`^(\d+)\s*([+*-])\s*(\d+)$`)
)

// rendering is what came of a template.
type rendering struct {
	text    string
	unknown string // a name that nobody knows and that stands for nothing
	failed  *templateError
}

// templateError is why a template was not rendered.
type templateError struct{ kind, why string }

func (e *templateError) Error() string { return e.kind + ": " + e.why }

func undefined(name string) *templateError {
	return &templateError{"UndefinedError", "'" + name + "' is undefined"}
}

// render fills in a template.
func (h *Home) render(template string, variables object) rendering {
	var r rendering
	out := expressions.ReplaceAllStringFunc(template, func(found string) string {
		expression := strings.TrimSpace(found[2 : len(found)-2])
		if names.MatchString(expression) && variables[expression] == nil {
			r.unknown = expression
			return ""
		}
		value, err := h.evaluate(expression, variables)
		if err != nil && r.failed == nil {
			r.failed = err
		}
		return value
	})
	if strings.Contains(out, "{{") || strings.Contains(out, "{%") {
		r.failed = &templateError{"TemplateSyntaxError", "unexpected 'end of template'"}
	}
	r.text = strings.TrimSpace(out)
	return r
}

func (h *Home) evaluate(expression string, variables object) (string, *templateError) {
	if v, ok := variables[expression]; ok {
		return fmt.Sprint(v), nil
	}
	if m := quoted.FindStringSubmatch(expression); m != nil {
		return m[1] + m[2], nil
	}
	if _, err := strconv.ParseFloat(expression, 64); err == nil {
		return expression, nil
	}
	if m := sums.FindStringSubmatch(expression); m != nil {
		a, _ := strconv.Atoi(m[1])
		b, _ := strconv.Atoi(m[3])
		return strconv.Itoa(map[string]int{"+": a + b, "-": a - b, "*": a * b}[m[2]]), nil
	}
	m := calls.FindStringSubmatch(expression)
	if m == nil {
		name, _, _ := strings.Cut(expression, "(")
		return "", undefined(name)
	}
	var args []string
	for arg := range strings.SplitSeq(m[2], ",") {
		q := quoted.FindStringSubmatch(strings.TrimSpace(arg))
		if q == nil {
			return "", undefined(strings.TrimSpace(arg))
		}
		args = append(args, q[1]+q[2])
	}
	s, known := h.rooms.get(args[0])
	switch {
	case m[1] == "states" && !known:
		return "unknown", nil
	case m[1] == "states":
		return s.State, nil
	case len(args) < 2:
		return "", &templateError{"TypeError", m[1] + "() missing 1 required positional argument"}
	case m[1] == "is_state":
		return title(strconv.FormatBool(known && s.State == args[1])), nil
	case s.Attributes[args[1]] == nil:
		return "None", nil
	}
	return fmt.Sprint(s.Attributes[args[1]]), nil
}

// native is the value that a rendered text stands for.
func native(s string) any {
	switch s {
	case "True", "False":
		return s == "True"
	case "None":
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		return n
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && !strings.ContainsAny(s, "xXpPnNiI_") {
		return f
	}
	return s
}
