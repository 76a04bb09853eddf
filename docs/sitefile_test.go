package docs_test

import (
	"go/ast"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// siteFileCode is where the structs of the site file stand.
func siteFileCode() []string {
	return []string{"../provider/internal/admin/file.go", "../provider/internal/admin/fileconnection.go"}
}

// siteFields are the fields of the site file by struct: yaml name → what the
// document calls its type.
func siteFields(t *testing.T) map[string]map[string]string {
	t.Helper()
	structs := map[string]map[string]string{}
	read := func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		body, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range body.Fields.List {
			if field.Tag == nil {
				continue
			}
			tag, _ := strconv.Unquote(field.Tag.Value)
			name, _, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ",")
			if name == "" || name == "-" {
				continue
			}
			if structs[spec.Name.Name] == nil {
				structs[spec.Name.Name] = map[string]string{}
			}
			structs[spec.Name.Name][name] = typeWords(field.Type)
		}
		return true
	}
	for _, file := range siteFileCode() {
		ast.Inspect(parse(t, file), read)
	}
	delete(structs, "siteFile")
	return structs
}

func typeWords(e ast.Expr) string {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if list, ok := e.(*ast.ArrayType); ok {
		if lastName(list.Elt) == "string" {
			return "list of texts"
		}
		return "list"
	}
	switch name := lastName(e); name {
	case "string", "secret", "longText", "instant":
		return "text"
	case "bool":
		return "yes or no"
	case "int":
		return "number"
	}
	return "mapping"
}

func TestTheSiteFileIsDocumentedFieldByField(t *testing.T) {
	t.Parallel()
	text := read(t, "site-file.md")
	for name, fields := range siteFields(t) {
		_, rest, found := strings.Cut(text, "<!-- fields "+name+" -->\n")
		if !found {
			t.Errorf("site-file.md has no table of %s", name)
			continue
		}
		documented := map[string]string{}
		for i, line := range strings.Split(rest, "\n") {
			if !strings.HasPrefix(line, "|") {
				break
			}
			if cells := strings.Split(line, "|"); i >= 2 {
				documented[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
			}
		}
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			switch got, want := documented[field], fields[field]; {
			case got == "":
				t.Errorf("site-file.md does not describe %s of %s", field, name)
			case got != want:
				t.Errorf("site-file.md calls %s of %s a %s; it is a %s", field, name, got, want)
			}
			delete(documented, field)
		}
		for field := range documented {
			t.Errorf("site-file.md describes %s of %s, which there is not", field, name)
		}
	}
}
