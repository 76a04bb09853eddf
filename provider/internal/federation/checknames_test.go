package federation

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/templates"
)

// checkNames are the names of all checks in the sources of the packages: constants
// Check…, and what is passed to check, note and must, or stands in a rule.
func checkNames(t *testing.T) []string {
	t.Helper()
	names := map[string]bool{}
	text := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && !strings.HasSuffix(s, " ") { // else a part of one
				names[s] = true
			}
		}
	}
	for _, dir := range []string{".", "saml", "jwt", "oidc", "profile"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(source, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.ValueSpec:
					if strings.HasPrefix(n.Names[0].Name, "Check") && len(n.Values) == 1 {
						text(n.Values[0])
					}
				case *ast.CallExpr:
					if called, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 1 && slices.Contains([]string{"check", "note", "must"}, called.Sel.Name) {
						name := 0
						if len(n.Args) == 5 || called.Sel.Name == "must" { // after a code, or what must hold
							name = 1
						}
						text(n.Args[name])
					}
				case *ast.CompositeLit: // of a rule
					if len(n.Elts) == 5 {
						if code, ok := n.Elts[0].(*ast.Ident); ok && strings.HasPrefix(code.Name, "Code") {
							text(n.Elts[1])
						}
					}
				}
				return true
			})
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func TestEveryCheckHasWordsInEveryLanguage(t *testing.T) {
	t.Parallel()
	names := checkNames(t)
	for _, known := range []string{"xml", "form", "subject_confirmation", "email_domain", "auth_time", "azp", "answer iss", "discovery", "rehearsal"} {
		if !slices.Contains(names, known) {
			t.Errorf("%s is not found in the sources, so that others may be missing: %q", known, names)
		}
	}
	names = append(names, "attribute roles", "sub", "external_id", "iat", "nbf", "exp")
	pages := templates.New()
	for _, locale := range templates.Locales() {
		for _, name := range names {
			var b bytes.Buffer
			page := templates.RehearsedPage{Frame: templates.Frame{Locale: locale}, Checks: []templates.CheckLine{{Name: name, OK: true}}}
			if err := pages.Render(&b, page); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "<bdi>"+name+"</bdi>") {
				t.Errorf("%s has no words for the check %q", locale, name)
			}
		}
	}
}
