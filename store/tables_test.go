package store

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestTablesListsEveryTable reads the package's source for variables made of
// Table[…]{…}: one that is not listed would never be swept, nor left out of a
// restore.
func TestTablesListsEveryTable(t *testing.T) {
	t.Parallel()
	declared := declaredTables(t)
	if len(declared) == 0 {
		t.Fatal("found no tables: has their form changed?")
	}
	if len(Tables()) != len(declared) {
		t.Errorf("Tables() has %d, the source has %d: %v", len(Tables()), len(declared), declared)
	}
	seen := map[Kind]bool{}
	for _, table := range Tables() {
		if seen[table.Name()] {
			t.Errorf("two tables of kind %s", table.Name())
		}
		seen[table.Name()] = true
	}
}

func declaredTables(t *testing.T) (names []string) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i, value := range v.Values {
					lit, ok := value.(*ast.CompositeLit)
					if !ok {
						continue
					}
					if ix, ok := lit.Type.(*ast.IndexExpr); ok {
						if id, ok := ix.X.(*ast.Ident); ok && id.Name == "Table" {
							names = append(names, v.Names[i].Name)
						}
					}
				}
			}
		}
	}
	return names
}
