package provider_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// described is docs/openapi.yaml as far as it is compared with the server.
type described struct {
	OpenAPI    string                          `yaml:"openapi"`
	Paths      map[string]map[string]operation `yaml:"paths"`
	Components map[string]map[string]any       `yaml:"components"`
}

type operation struct {
	ID          string                `yaml:"operationId"`
	Summary     string                `yaml:"summary"`
	Security    []map[string][]string `yaml:"security"`
	RequestBody any                   `yaml:"requestBody"`
	Responses   map[string]any        `yaml:"responses"`
}

func readDescription(t *testing.T) (d described, whole map[string]any) {
	t.Helper()
	text, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, into := range []any{&d, &whole} {
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	return d, whole
}

// protocol are the beginnings of the paths that programs ask; the others are pages.
var protocol = []string{"/oauth/", "/access/", "/visitors/", "/.well-known/", "/healthz", "/readyz"}

// registered are the routes of the protocol as the source registers them: method
// and path, or the path alone where the handler looks at the method.
func registered(t *testing.T) (routes []string) {
	t.Helper()
	var files []string
	for _, dir := range []string{"*.go", "internal/*/*.go"} {
		found, err := filepath.Glob(dir)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 2 {
				return true
			}
			handle, ok := call.Fun.(*ast.SelectorExpr)
			pattern, text := call.Args[0].(*ast.BasicLit)
			if !ok || !text || handle.Sel.Name != "Handle" {
				return true
			}
			route, _ := strconv.Unquote(pattern.Value)
			path := route[strings.Index(route, "/"):]
			if slices.ContainsFunc(protocol, func(p string) bool { return strings.HasPrefix(path, p) }) {
				routes = append(routes, route)
			}
			return true
		})
	}
	return routes
}

func TestEveryRouteOfTheProtocolIsDescribed(t *testing.T) {
	t.Parallel()
	d, _ := readDescription(t)
	routes := registered(t)
	if len(routes) < 15 {
		t.Fatalf("only %d routes were found", len(routes))
	}
	for _, route := range routes {
		method, path, exact := strings.Cut(route, " ")
		if !exact {
			path = route
		}
		if operations, ok := d.Paths[path]; !ok || exact && operations[strings.ToLower(method)].ID == "" {
			t.Errorf("docs/openapi.yaml does not describe %s", route)
		}
	}
	for path, operations := range d.Paths {
		for method := range operations {
			if !slices.Contains(routes, path) && !slices.Contains(routes, strings.ToUpper(method)+" "+path) {
				t.Errorf("docs/openapi.yaml describes %s %s, which there is not", strings.ToUpper(method), path)
			}
		}
	}
}

func TestTheDescriptionHoldsTogether(t *testing.T) {
	t.Parallel()
	d, whole := readDescription(t)
	if d.OpenAPI != "3.1.0" {
		t.Errorf("openapi is %q", d.OpenAPI)
	}
	var check func(at any)
	check = func(at any) {
		switch at := at.(type) {
		case map[string]any:
			if ref, ok := at["$ref"].(string); ok && !resolves(whole, ref) {
				t.Errorf("%s leads nowhere", ref)
			}
			for _, v := range at {
				check(v)
			}
		case []any:
			for _, v := range at {
				check(v)
			}
		}
	}
	check(whole)
	seen := map[string]bool{}
	for path, operations := range d.Paths {
		for method, o := range operations {
			if o.ID == "" || o.Summary == "" || len(o.Responses) == 0 || seen[o.ID] {
				t.Errorf("%s %s lacks an id of its own, a summary or answers", method, path)
			}
			seen[o.ID] = true
			for _, one := range o.Security {
				for scheme := range one {
					if d.Components["securitySchemes"][scheme] == nil {
						t.Errorf("%s %s: there is no %s", method, path, scheme)
					}
				}
			}
		}
	}
}

func resolves(at any, ref string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		members, ok := at.(map[string]any)
		if !ok {
			return false
		}
		at = members[part]
	}
	return at != nil
}

// TestTheServerAnswersAsItIsDescribed asks without anything that is needed: what
// is said of refusals is compared, and that other methods are refused.
func TestTheServerAnswersAsItIsDescribed(t *testing.T) {
	t.Parallel()
	d, _ := readDescription(t)
	h := start(t, storetest.Bolt, "")
	for path, operations := range d.Paths {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			r := httptest.NewRequest(method, h.issuer+strings.ReplaceAll(path, "{id}", "x"), nil)
			if method == http.MethodPost {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Origin", h.issuer)
			}
			w := httptest.NewRecorder()
			h.server.ServeHTTP(w, r)
			o, known := operations[strings.ToLower(method)]
			switch {
			case !known && w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound:
				t.Errorf("%s %s is not described and answered %d", method, path, w.Code)
			case known && o.Responses[strconv.Itoa(w.Code)] == nil:
				t.Errorf("%s %s answered %d, which is not described: %.200s", method, path, w.Code, w.Body)
			}
		}
	}
}
