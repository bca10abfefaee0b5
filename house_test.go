// Package house_test holds the laws of the house by reading its files: which
// package stands on which floor and what it may reach, and what nobody may
// write. A law that breaks says why it stands. Do not change the tables below
// to make a build pass: a new edge is a decision about the design, and its
// reason is written beside it.
package house_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the name of the module, as in go.mod.
const module = "gatehouse"

// floors is the house from the ground up, one floor a line. A package imports
// only floors below its own, in its tests too: so no two packages can ever need
// each other, and what stands low can be read without what stands on it.
// ARCHITECTURE.md prints this text.
const floors = `
floor 0   internal/finding internal/ha internal/ledger internal/guard internal/guard/filter internal/config internal/event internal/wire internal/router internal/nft internal/resolver internal/zone
floor 1   internal/policy internal/ha/client internal/ha/hatest internal/pki internal/acme internal/ddns internal/facts internal/report internal/notify
floor 2   internal/identity internal/door/https internal/door/lan internal/door/onion internal/door/wireguard internal/door/ssh internal/audit internal/fix
floor 3   internal/gateway internal/web internal/checks internal/agent
floor 4   cmd/gatehouse bench
`

// A reach is a rule about who may come to depend on what. What a package reaches
// is what it imports, and what that imports, and so on, its tests left out.
type reach struct {
	who    []string // packages; a trailing slash means everything below
	only   []string // when not nil, the packages of this module that they may reach
	never  []string // packages that they may not reach; a trailing slash means everything below
	direct bool     // never speaks of imports alone: what stands between may reach it
	why    string
}

var reaches = []reach{
	{
		who:   []string{"internal/gateway", "internal/web", "internal/door/"},
		never: []string{"internal/facts", "internal/router", "internal/nft", "internal/audit", "internal/checks", "internal/fix", "internal/agent"},
		why:   "what faces strangers must not hold the code that reads or changes the host",
	},
	{
		who:   []string{"internal/gateway", "internal/web", "internal/door/"},
		never: []string{"internal/acme", "internal/ddns", "internal/zone"},
		why:   "what faces strangers must not hold what can change the home's zone or order a certificate; main hands it functions",
	},
	{
		who:  []string{"internal/policy"},
		only: []string{"internal/ha"},
		why:  "a decision depends on what was asked and on nothing else, so that its tests can try everything",
	},
	{
		who:   []string{"internal/policy"},
		never: []string{"os", "net", "net/http", "time"},
		why:   "Decide is pure: no clock, no file, no network",
	},
	{
		who:    []string{"internal/policy", "internal/guard"},
		never:  []string{"log/slog", "log", "os", "net/http"},
		direct: true,
		why:    "what judges a stranger is pure: time and storage come in from outside",
	},
	{
		who:    []string{"internal/ha"},
		never:  []string{"net", "net/http", "crypto/tls", "os", "os/exec"},
		direct: true,
		why:    "ha is knowledge: it parses and classifies, opens no socket and reads files only through an fs.FS",
	},
	{
		who:   []string{"internal/"},
		never: []string{"internal/config"},
		why:   "only main sees the configuration file; every package takes ready values and can be tested without one",
	},
	{
		who:   []string{"internal/gateway", "internal/web", "internal/identity", "internal/door/", "internal/wire"},
		never: []string{"internal/ha/hatest"},
		why:   "the made-up home compares passwords in the clear: it belongs to the tests and to the demonstration",
	},
	{
		who:    []string{"internal/"},
		never:  []string{"os/exec", "plugin"},
		direct: true,
		why:    "no part that serves starts a program",
	},
	{
		who:    []string{"internal/", "cmd/"},
		never:  []string{"unsafe", "net/http/pprof", "expvar", "net/rpc"},
		direct: true,
		why:    "memory safety is a reason to use Go, and a debugging door is a door",
	},
	{
		who:    []string{"internal/", "cmd/"},
		never:  []string{"math/rand", "math/rand/v2"},
		direct: true,
		why:    "secrets, numbers and ids come from crypto/rand; nobody has to tell which is which",
	},
}

// A ban is a name of the standard library that is not used outside tests. The
// packages that may use it are named with the reason in freed.
type ban struct{ from, name, why string }

var freed = map[string]string{
	"internal/identity encoding/json.Unmarshal": "reads what it wrote and sealed itself, in the form of the passkey library's own types",
}

var bans = []ban{
	{"encoding/json", "Unmarshal", "takes names twice and in any case, so two readers may see two things; use go-json-experiment/json"},
	{"encoding/json", "NewDecoder", "takes names twice and in any case, so two readers may see two things; use go-json-experiment/json"},
	{"net/http", "ListenAndServe", "Go's lenient server and no deadlines: doors are served by wire"},
	{"net/http", "ListenAndServeTLS", "Go's lenient server and no deadlines: doors are served by wire"},
	{"net/http", "DefaultClient", "shared by everybody, without a deadline, and it obeys HTTP_PROXY"},
	{"net/http", "DefaultServeMux", "shared by everybody"},
	{"net/http", "DefaultTransport", "shared by everybody, and it obeys HTTP_PROXY"},
	{"net/http", "Get", "uses the client that everybody shares"},
	{"net/http", "Post", "uses the client that everybody shares"},
	{"net/http", "PostForm", "uses the client that everybody shares"},
	{"log", "Fatal", "ends the process past every deferred close; return the error"},
	{"log", "Fatalf", "ends the process past every deferred close; return the error"},
	{"os", "Exit", "ends the process past every deferred close; return the error (main alone exits)"},
}

// noNames are package names that say nothing about what is inside.
var noNames = []string{"util", "utils", "common", "types", "helpers", "helper", "misc", "shared", "base", "lib", "core", "tools", "model", "models"}

// hosts are the addresses outside that the product may name at all. Everything
// else in a program of ours that looks like one must be a reserved name.
var hosts = map[string]string{
	"docs.kernel.org":                      "named as a reference by checks; never asked",
	"wiki.debian.org":                      "likewise",
	"docs.docker.com":                      "likewise",
	"security-tracker.debian.org":          "likewise",
	"cast.home-assistant.io":               "the origin that Home Assistant itself allows by default; a setting is written back unchanged",
	"home-assistant.io":                    "Home Assistant's Android app signs in with this client id; it is compared, never fetched",
	"wear.googleapis.com":                  "where Home Assistant's Android app has its watch's sign-in led back to; it is compared, never fetched",
	"wear.googleapis-cn.com":               "the same in China",
	"www.home-assistant.io":                "a page of documentation that a hint names; it is shown, never fetched",
	"my.home-assistant.io":                 "a link that both companion apps open; it is shown, never fetched",
	"www.apache.org":                       "the licence names its own home",
	"home":                                 "parses a path on its own; nothing is asked",
	"host":                                 "explains a form",
	"localhost":                            "this machine",
	"desk.localhost":                       "this machine",
	"homeassistant.local":                  "the name that a home announces in its own network",
	"supervisor":                           "Home Assistant's supervisor, inside its own network",
	"docker":                               "the name that a request over docker's Unix socket carries",
	"unix":                                 "the name that a request over a Unix socket carries",
	"schemas.xmlsoap.org":                  "the name space of SOAP; it is never fetched",
	"www.w3.org":                           "the name space of SVG; it is never fetched",
	"homeassistant":                        "a container's usual name in its own network",
	"host.docker.internal":                 "a container's name for its host",
	"acme-v02.api.letsencrypt.org":         "Let's Encrypt: asked for a certificate where the owner named it",
	"acme-staging-v02.api.letsencrypt.org": "its staging side, where a new name is tried first",
	"acme.zerossl.com":                     "ZeroSSL: likewise",
	"ca.home.example":                      "an address in a hint",
	"github.com":                           "credits; never fetched",
	"gatehouse":                            "the name that a request over the control socket carries",
}

// machine matches what only one machine has: absolute folders of somebody's
// account, and mirrors of package registries.
var machine = regexp.MustCompile(`(^|[^\w.~/-])/(work|root|home/[a-z]\w*|Users/\w+)/|(?i)\b(nexus|artifactory|pypi-proxy|goproxy-|npm-proxy)[\w.-]*\.\w+|"resolved": *"http`)

// everyHome is a home directory that any machine may have, as the auditor speaks of it.
var everyHome = regexp.MustCompile(`/(root|home/[a-z]\w*)/`)

// foreignMethods counts the methods of interfaces of other modules that ours embed.
var foreignMethods = map[string]int{
	"http.Handler": 1, "io.Reader": 1, "io.Writer": 1, "io.Closer": 1, "io.ReadWriter": 2, "io.ReadCloser": 2, "io.WriteCloser": 2,
	"io.ReadWriteCloser": 3, "net.Listener": 3, "fmt.Stringer": 1, "error": 1, "http.ResponseWriter": 3, "http.Flusher": 1, "http.Hijacker": 1, "fs.FS": 1,
}

// A file is one source file of ours.
type file struct {
	name string // slash-separated, from the module's root
	text []byte
	ast  *ast.File
	test bool
}

// A pkg is a folder of Go files. Its external tests (package x_test) are kept with it.
type pkg struct {
	dir   string // from the module's root; "." is the root
	files []*file
}

// house is everything that was read.
type house struct {
	fset *token.FileSet
	pkgs map[string]*pkg
	text map[string][]byte // every text file, Go or not
}

// readHouse reads every file below the root that belongs to the project: not what
// is built, installed or made by a run.
func readHouse(t *testing.T) *house {
	t.Helper()
	h := &house{fset: token.NewFileSet(), pkgs: map[string]*pkg{}, text: map[string][]byte{}}
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			// Tests of other packages, which run at the same time, leave temporary folders.
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "node_modules", "bin", "out":
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, 0) < 0 {
			h.text[name] = text
		}
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
			return nil
		}
		tree, err := parser.ParseFile(h.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if h.pkgs[dir] == nil {
			h.pkgs[dir] = &pkg{dir: dir}
		}
		h.pkgs[dir].files = append(h.pkgs[dir].files, &file{name, text, tree, strings.HasSuffix(name, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.pkgs) < 5 {
		t.Fatalf("only %d packages were found: the laws would hold for nothing", len(h.pkgs))
	}
	return h
}

// all walks every Go file in a stable order.
func (h *house) all(yield func(*pkg, *file) bool) {
	for _, dir := range slices.Sorted(maps.Keys(h.pkgs)) {
		for _, f := range h.pkgs[dir].files {
			if !yield(h.pkgs[dir], f) {
				return
			}
		}
	}
}

// at names a place in the source.
func (h *house) at(n ast.Node) string { return h.fset.Position(n.Pos()).String() }

// imports lists what a file imports; packages of this module come as their folder.
func imports(f *file) (names []string) {
	for _, spec := range f.ast.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		if name == module {
			name += "/."
		}
		names = append(names, strings.TrimPrefix(name, module+"/"))
	}
	return names
}

// floorOf reads the text of floors.
func floorOf(t *testing.T) map[string]int {
	t.Helper()
	at := map[string]int{}
	for _, line := range strings.Split(strings.TrimSpace(floors), "\n") {
		words := strings.Fields(line)
		n, err := strconv.Atoi(words[1])
		if err != nil || words[0] != "floor" {
			t.Fatalf("floors: cannot read %q", line)
		}
		for _, name := range words[2:] {
			if _, twice := at[name]; twice {
				t.Errorf("floors: %s stands on two floors", name)
			}
			at[name] = n
		}
	}
	return at
}

func TestImportsGoDown(t *testing.T) {
	h, floor := readHouse(t), floorOf(t)
	for p, f := range h.all {
		if p.dir == "." {
			if !f.test {
				t.Errorf("%s: the root of the module holds the laws and no code", f.name)
			}
			continue
		}
		own, ok := floor[p.dir]
		if !ok {
			t.Errorf("%s: package %s has no floor; a package more is a decision (see floors in house_test.go)", f.name, p.dir)
			continue
		}
		for _, name := range imports(f) {
			if h.pkgs[name] == nil || name == p.dir { // a package's external tests import it
				continue
			}
			if below, ok := floor[name]; !ok || below >= own {
				t.Errorf("%s: %s (floor %d) imports %s (floor %d): imports go down only; take a function or a small interface instead", f.name, p.dir, own, name, below)
			}
		}
	}
}

// matches reports whether a package is named by a pattern of a reach.
func matches(name, pattern string) bool {
	return name == pattern || strings.HasSuffix(pattern, "/") && strings.HasPrefix(name, pattern)
}

// reached returns what a package of ours comes to depend on, with the way there.
func (h *house) reached(dir string, direct bool) map[string]string {
	found := map[string]string{}
	var visit func(dir, way string)
	visit = func(dir, way string) {
		for _, f := range h.pkgs[dir].files {
			if f.test {
				continue
			}
			for _, name := range imports(f) {
				if _, seen := found[name]; seen {
					continue
				}
				found[name] = way + " → " + name
				if h.pkgs[name] != nil && !direct {
					visit(name, found[name])
				}
			}
		}
	}
	visit(dir, dir)
	return found
}

func TestNobodyReachesTooFar(t *testing.T) {
	h := readHouse(t)
	for _, rule := range reaches {
		if rule.why == "" {
			t.Errorf("a rule for %v gives no reason", rule.who)
		}
		for dir := range h.pkgs {
			if dir == "." || !slices.ContainsFunc(rule.who, func(p string) bool { return matches(dir, p) }) {
				continue
			}
			for name, way := range h.reached(dir, rule.direct) {
				if rule.only != nil && h.pkgs[name] != nil && !slices.Contains(rule.only, name) {
					t.Errorf("%s: %s", way, rule.why)
				}
				if slices.ContainsFunc(rule.never, func(p string) bool { return matches(name, p) }) {
					t.Errorf("%s: %s", way, rule.why)
				}
			}
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	h := readHouse(t)
	for _, dir := range slices.Sorted(maps.Keys(h.pkgs)) {
		if dir == "." {
			continue
		}
		var comments []string
		for _, f := range h.pkgs[dir].files {
			if f.ast.Doc != nil && f.ast.Doc.Text() != "" {
				if f.test {
					t.Errorf("%s: a package comment belongs to the package, not to its tests", f.name)
					continue
				}
				comments = append(comments, f.name)
				first := strings.Fields(f.ast.Doc.Text())
				if name := f.ast.Name.Name; name != "main" && (len(first) < 3 || first[0] != "Package" || first[1] != name) {
					t.Errorf("%s: the comment of package %s begins %q", f.name, name, strings.Join(first[:min(3, len(first))], " "))
				}
			}
			if slices.Contains(noNames, strings.TrimSuffix(f.ast.Name.Name, "_test")) {
				t.Errorf("%s: package %s says nothing about what is inside; find its noun", f.name, f.ast.Name.Name)
			}
		}
		if len(comments) != 1 {
			t.Errorf("%s: has %d package comments, wants exactly one: %v", dir, len(comments), comments)
		}
	}
}

func TestGofmt(t *testing.T) {
	h := readHouse(t)
	for _, f := range h.all {
		formatted, err := format.Source(f.text)
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
		} else if !bytes.Equal(formatted, f.text) {
			t.Errorf("%s: not formatted; run gofmt -w %s", f.name, f.name)
		}
	}
}

func TestNothingRunsBeforeMain(t *testing.T) {
	h := readHouse(t)
	for _, f := range h.all {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init runs for everybody who imports this, in an order that nobody reads", h.at(fn))
			}
		}
	}
}

func TestInterfacesAreSmall(t *testing.T) {
	h := readHouse(t)
	for p, f := range h.all {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			face, ok := n.(*ast.InterfaceType)
			if !ok {
				return true
			}
			count, err := h.methods(p, face, 0)
			if err != nil {
				t.Errorf("%s: %v", h.at(face), err)
			} else if count > 3 {
				t.Errorf("%s: an interface of %d methods: at most 3, owned by who calls them", h.at(face), count)
			}
			return true
		})
	}
}

// methods counts what an interface asks for, with what it embeds.
func (h *house) methods(p *pkg, face *ast.InterfaceType, depth int) (int, error) {
	if depth > 8 {
		return 0, errors.New("interfaces embedded without end")
	}
	count := 0
	for _, m := range face.Methods.List {
		if len(m.Names) > 0 {
			count += len(m.Names)
			continue
		}
		switch e := m.Type.(type) {
		case *ast.UnaryExpr, *ast.BinaryExpr: // a constraint
		case *ast.Ident:
			if e.Name == "comparable" || e.Name == "any" {
				continue
			}
			if n, ok := foreignMethods[e.Name]; ok {
				count += n
				continue
			}
			inner := p.interfaceNamed(e.Name)
			if inner == nil {
				continue // a type in a constraint
			}
			n, err := h.methods(p, inner, depth+1)
			if err != nil {
				return 0, err
			}
			count += n
		case *ast.SelectorExpr:
			name := fmt.Sprintf("%s.%s", e.X, e.Sel.Name)
			n, ok := foreignMethods[name]
			if !ok {
				return 0, fmt.Errorf("embeds %s: say in foreignMethods how many methods that is", name)
			}
			count += n
		}
	}
	return count, nil
}

func (p *pkg) interfaceNamed(name string) (found *ast.InterfaceType) {
	for _, f := range p.files {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == name {
				found, _ = spec.Type.(*ast.InterfaceType)
			}
			return found == nil
		})
	}
	return found
}

// nothingImports makes the type checker resolve names without other packages.
type nothingImports struct{}

func (nothingImports) Import(string) (*types.Package, error) {
	return nil, errors.New("not needed to resolve names")
}

// changing are the builtins that change their first argument.
var changing = []string{"delete", "clear", "copy"}

// TestPackagesKeepNoState allows a variable of a package to be a table, an error,
// something compiled once, an embedded file or a pool of buffers; never something
// that a run changes.
func TestPackagesKeepNoState(t *testing.T) {
	h := readHouse(t)
	for _, dir := range slices.Sorted(maps.Keys(h.pkgs)) {
		var trees []*ast.File
		for _, f := range h.pkgs[dir].files {
			if !f.test {
				trees = append(trees, f.ast)
			}
		}
		if len(trees) == 0 {
			continue
		}
		info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
		checker := types.Config{Importer: nothingImports{}, Error: func(error) {}}
		checked, _ := checker.Check(dir, h.fset, trees, info) // errors speak of other packages
		owned := map[types.Object]bool{}
		for _, name := range checked.Scope().Names() {
			if v, ok := checked.Scope().Lookup(name).(*types.Var); ok {
				owned[v] = true
			}
		}
		for _, tree := range trees {
			h.mayStand(t, tree)
			h.isNotChanged(t, tree, info, owned)
		}
	}
}

// mayStand checks how the variables of a package are made.
func (h *house) mayStand(t *testing.T, tree *ast.File) {
	for _, d := range tree.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.VAR {
			continue
		}
		for _, s := range decl.Specs {
			spec := s.(*ast.ValueSpec)
			if spec.Names[0].Name == "_" {
				continue
			}
			if len(spec.Values) == 0 {
				if !embedded(decl, spec) {
					t.Errorf("%s: %s has no value, so a run gives it one: pass it instead", h.at(spec), spec.Names[0].Name)
				}
				continue
			}
			for k, value := range spec.Values {
				if why := holdsState(value); why != "" {
					t.Errorf("%s: %s %s: make it a field of what uses it", h.at(spec), spec.Names[min(k, len(spec.Names)-1)].Name, why)
				}
			}
		}
	}
}

func embedded(decl *ast.GenDecl, spec *ast.ValueSpec) bool {
	for _, group := range []*ast.CommentGroup{decl.Doc, spec.Doc} {
		if group != nil && slices.ContainsFunc(group.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	return false
}

// holdsState says why a value is made to be changed, or nothing.
func holdsState(value ast.Expr) string {
	name := func(e ast.Expr) string {
		if s, ok := e.(*ast.SelectorExpr); ok {
			return fmt.Sprintf("%s.%s", s.X, s.Sel.Name)
		}
		return fmt.Sprint(e)
	}
	switch v := value.(type) {
	case *ast.CallExpr:
		if n := name(v.Fun); n == "make" || n == "new" {
			return "is made empty to be filled"
		}
	case *ast.UnaryExpr:
		if v.Op == token.AND {
			return "is a pointer to something that can change"
		}
	case *ast.CompositeLit:
		n := name(v.Type)
		if n != "sync.Pool" && (strings.HasPrefix(n, "sync.") || strings.HasPrefix(n, "atomic.")) {
			return "is a lock or a counter for all"
		}
		if _, isMap := v.Type.(*ast.MapType); isMap && len(v.Elts) == 0 {
			return "is an empty map"
		}
	}
	return ""
}

// isNotChanged checks that nothing is assigned to a variable of a package, neither
// ours nor another's.
func (h *house) isNotChanged(t *testing.T, tree *ast.File, info *types.Info, owned map[types.Object]bool) {
	check := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
				continue
			case *ast.ParenExpr:
				e = x.X
				continue
			case *ast.SliceExpr:
				e = x.X
				continue
			case *ast.SelectorExpr:
				if id, ok := x.X.(*ast.Ident); ok {
					if _, other := info.Uses[id].(*types.PkgName); other {
						t.Errorf("%s: changes %s.%s of another package", h.at(x), id.Name, x.Sel.Name)
						return
					}
				}
				e = x.X
				continue
			case *ast.Ident:
				if owned[info.Uses[x]] {
					t.Errorf("%s: changes %s, which belongs to the whole package", h.at(x), x.Name)
				}
			}
			return
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				for _, e := range s.Lhs {
					check(e)
				}
			}
		case *ast.IncDecStmt:
			check(s.X)
		case *ast.RangeStmt:
			if s.Tok == token.ASSIGN {
				check(s.Key)
				check(s.Value)
			}
		case *ast.UnaryExpr:
			if s.Op == token.AND {
				if _, literal := s.X.(*ast.CompositeLit); !literal {
					if id, ok := s.X.(*ast.Ident); ok {
						check(id)
					}
				}
			}
		case *ast.CallExpr:
			if id, ok := s.Fun.(*ast.Ident); ok && slices.Contains(changing, id.Name) && len(s.Args) > 0 {
				check(s.Args[0])
			}
		}
		return true
	})
}

func TestNobodyCallsWhatIsBanned(t *testing.T) {
	h := readHouse(t)
	for p, f := range h.all {
		if f.test || p.dir == "bench" {
			continue
		}
		known := map[string]string{} // the file's name of a package → its path
		for _, spec := range f.ast.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if spec.Name != nil {
				known[spec.Name.Name] = name
			} else {
				known[path.Base(name)] = name
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			from := known[fmt.Sprint(sel.X)]
			for _, b := range bans {
				if b.from != from || b.name != sel.Sel.Name || freed[p.dir+" "+from+"."+b.name] != "" {
					continue
				}
				if b.name != "Exit" || f.ast.Name.Name != "main" {
					t.Errorf("%s: %s.%s %s", h.at(sel), from, b.name, b.why)
				}
			}
			return true
		})
	}
}

// TestNothingIsSkippedQuietly allows a skip only where -short was asked for: a
// missing other end fails its test and says how to get it.
func TestNothingIsSkippedQuietly(t *testing.T) {
	h := readHouse(t)
	for _, f := range h.all {
		if !f.test {
			continue
		}
		var shorts [][2]token.Pos // the bodies of `if testing.Short()`
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.IfStmt); ok && asksShort(s.Cond) {
				shorts = append(shorts, [2]token.Pos{s.Body.Pos(), s.Body.End()})
			}
			return true
		})
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
				return true
			}
			if !slices.ContainsFunc(shorts, func(b [2]token.Pos) bool { return b[0] < call.Pos() && call.Pos() < b[1] }) {
				t.Errorf("%s: skips without -short: fail and say what is missing and how to get it", h.at(call))
			}
			return true
		})
	}
	for name, text := range h.text {
		if ext := path.Ext(name); (ext == ".mjs" || ext == ".js") && regexp.MustCompile(`\b(it|test|describe|walk)\.(skip|todo|only)\b`).Match(text) {
			t.Errorf("%s: skips or singles out a test", name)
		}
	}
}

// asksShort reports whether a condition holds only with -short: testing.Short()
// itself, or that and something else.
func asksShort(cond ast.Expr) bool {
	switch c := cond.(type) {
	case *ast.BinaryExpr:
		return c.Op == token.LAND && (asksShort(c.X) || asksShort(c.Y))
	case *ast.CallExpr:
		sel, ok := c.Fun.(*ast.SelectorExpr)
		return ok && fmt.Sprint(sel.X) == "testing" && sel.Sel.Name == "Short"
	}
	return false
}

// TestNothingIsLeftOut looks for tests that a build constraint hides, and for what
// was left for later.
func TestNothingIsLeftOut(t *testing.T) {
	h := readHouse(t)
	for _, f := range h.all {
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				if tag, ok := strings.CutPrefix(c.Text, "//go:build "); ok && f.test && !slices.Contains([]string{"linux", "unix", "race", "!race"}, tag) {
					t.Errorf("%s: a test that is built only with %q is never run", h.at(c), tag)
				}
				if strings.HasPrefix(c.Text, "//lint:ignore ") && len(strings.Fields(c.Text)) < 5 {
					t.Errorf("%s: says not why", h.at(c))
				}
				if regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`).MatchString(c.Text) {
					t.Errorf("%s: do it, or write in an issue what is missing", h.at(c))
				}
			}
		}
	}
}

// TestFilesKnowNoMachine keeps out of every file what only one machine has.
func TestFilesKnowNoMachine(t *testing.T) {
	h := readHouse(t)
	for _, name := range slices.Sorted(maps.Keys(h.text)) {
		if name == "house_test.go" || strings.Contains(name, "testdata/fuzz/") {
			continue
		}
		// The auditor speaks of every machine's homes, root's among them.
		homes := strings.HasPrefix(name, "internal/checks/") || strings.HasPrefix(name, "internal/facts/") || strings.HasPrefix(name, "docs/checks/")
		for k, line := range bytes.Split(h.text[name], []byte("\n")) {
			if homes {
				line = everyHome.ReplaceAll(line, nil)
			}
			if found := machine.Find(line); found != nil {
				t.Errorf("%s:%d: %q belongs to one machine", name, k+1, found)
			}
		}
	}
}

// TestNothingPointsOutside: no cloud, no account, no telemetry. A program of ours
// names no address that is not in the table of hosts, with what it is for.
func TestNothingPointsOutside(t *testing.T) {
	h := readHouse(t)
	address := regexp.MustCompile(`(?:https?|wss?)://([A-Za-z0-9][A-Za-z0-9.-]*)`)
	reserved := regexp.MustCompile(`(^|\.)(example|example\.(com|org|net)|test|invalid|localhost)$|^(127\.0\.0\.1|192\.0\.2\.\d+|198\.51\.100\.\d+|203\.0\.113\.\d+|192\.168\.\d+\.\d+|10\.\d+\.\d+\.\d+)$`)
	for name, text := range h.text {
		in := strings.HasPrefix(name, "internal/") || strings.HasPrefix(name, "cmd/")
		if ext := path.Ext(name); !in || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata/") || ext == ".md" {
			continue
		}
		for _, m := range address.FindAllSubmatch(text, -1) {
			host := strings.ToLower(strings.TrimSuffix(string(m[1]), "."))
			if _, ok := hosts[host]; !ok && !reserved.MatchString(host) {
				t.Errorf("%s: names %s; nothing leaves the house unless the owner turned it on (see hosts in house_test.go)", name, host)
			}
		}
	}
}
