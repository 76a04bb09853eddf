package docs_test

import (
	"go/ast"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/policy"
)

// inTable reports whether some table of the document has the words in code in
// its first cell.
func inTable(document, words string) bool {
	for line := range strings.Lines(document) {
		if cells := strings.Split(line, "|"); len(cells) > 2 && strings.Contains(cells[1], "`"+words+"`") {
			return true
		}
	}
	return false
}

func TestTheIntegratorsGuideHasEveryClaimOfAnAccessToken(t *testing.T) {
	t.Parallel()
	guide, found := read(t, "integrators.md"), 0
	ast.Inspect(parse(t, "../provider/internal/oauth/claims.go"), func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "AccessClaims" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			tag, _ := strconv.Unquote(field.Tag.Value)
			name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
			found++
			if !inTable(guide, name) {
				t.Errorf("integrators.md does not say what the claim %s means", name)
			}
		}
		return true
	})
	if found == 0 {
		t.Error("AccessClaims was not found")
	}
}

func TestTheIntegratorsGuideHasEveryPermission(t *testing.T) {
	t.Parallel()
	guide := read(t, "integrators.md")
	for _, p := range policy.AllPermissions() {
		if !strings.Contains(guide, "\n| `"+p.Name+"` | "+p.Sentence+" |\n") {
			t.Errorf("integrators.md does not say of %s: %s", p.Name, p.Sentence)
		}
	}
}

func TestTheIntegratorsGuideHasEveryReasonOfADecision(t *testing.T) {
	t.Parallel()
	guide := read(t, "integrators.md")
	for _, file := range []string{"../policy/policy.go", "../provider/internal/access/evaluation.go"} {
		reasons := constants(t, file, "reason")
		if len(reasons) == 0 {
			t.Errorf("%s has no reasons", file)
		}
		for _, reason := range reasons {
			if !inTable(guide, reason) {
				t.Errorf("integrators.md does not say what to do about the reason %s", reason)
			}
		}
	}
}

// constants are the values of a file's constants whose names begin with prefix,
// in capitals or not.
func constants(t *testing.T, file, prefix string) (values []string) {
	t.Helper()
	for _, decl := range parse(t, file).Decls {
		list, ok := decl.(*ast.GenDecl)
		if !ok || list.Tok != token.CONST {
			continue
		}
		for _, spec := range list.Specs {
			c := spec.(*ast.ValueSpec)
			if strings.HasPrefix(strings.ToLower(c.Names[0].Name), prefix) && len(c.Values) == 1 {
				values = append(values, literal(c.Values[0]))
			}
		}
	}
	return values
}

func TestTheIntegratorsGuideHasEveryErrorOfTheWire(t *testing.T) {
	t.Parallel()
	guide := read(t, "integrators.md")
	for _, r := range errorRows(t) {
		if r.code != "" && !inTable(guide, r.code) {
			t.Errorf("integrators.md does not say what to do about %s (%s)", r.code, r.err)
		}
	}
}

func TestTheIntegratorsGuideHasEveryErrorOfVerify(t *testing.T) {
	t.Parallel()
	guide := read(t, "integrators.md")
	for _, file := range packageFiles(t)["provider/verify"] {
		for _, name := range exportedErrors(parse(t, file)) {
			if !inTable(guide, name) {
				t.Errorf("integrators.md does not say what verify.%s means", name)
			}
		}
	}
}
