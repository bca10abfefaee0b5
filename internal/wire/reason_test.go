package wire

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// Every reason is on the list, once.
func TestReasonsAreAllOfThem(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := v.Type.(*ast.Ident); !ok || kind.Name != "Reason" {
			return true
		}
		declared++
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil || !slices.Contains(Reasons(), Reason(text)) {
			t.Errorf("%s is not on the list", v.Names[0].Name)
		}
		return true
	})
	if all := Reasons(); declared != len(all) || len(slices.Compact(slices.Sorted(slices.Values(all)))) != len(all) {
		t.Errorf("%d are declared, %d on the list", declared, len(all))
	}
}

// What people and their devices do by mistake, on bad lines and in numbers is no attack;
// what no program of theirs sends is one.
func TestHostile(t *testing.T) {
	innocent := []Reason{
		ReasonTruncated,                                   // a look whether the port is open, a lift that closes its doors
		ReasonHandshake,                                   // a root that is not trusted
		ReasonOldTLS,                                      // an old device
		ReasonPlain,                                       // http typed for https
		ReasonHTTP2,                                       // whose it was is not known
		ReasonLongLine, ReasonLongHead, ReasonManyHeaders, // cookies of all that was ever installed
		ReasonSlowHead, ReasonSlowBody, ReasonSlowReader, ReasonSlowHello, // a bad line
		ReasonTooMany, ReasonTooManyOfOne, ReasonTooFast, // many behind one address
		ReasonProxy, ReasonProxyHeader, ReasonSlowProxy, // the proxy's doing, or its absence
		ReasonNotAllowed, // a rule says so already
		ReasonKey,        // counted as what it is, a wrong key
		ReasonUser,       // another name typed, a touch that did not come
	}
	for _, r := range Reasons() {
		if want := !slices.Contains(innocent, r); r.Hostile() != want {
			t.Errorf("%q: %t", r, !want)
		}
	}
	for _, r := range innocent {
		if !slices.Contains(Reasons(), r) {
			t.Errorf("%q is no reason", r)
		}
	}
	if Reason("").Hostile() || Reason("something else").Hostile() {
		t.Error("what is no reason is hostile")
	}
}
