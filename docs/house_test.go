package docs_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/policy"
)

// neverAnswered are exported errors that no handler can return, each with why.
// Every other one has a row in its package's Errors.
var neverAnswered = map[string]string{
	"store.ErrSeal":         "another master key or damage: a 500, and the cause in the log",
	"store.ErrDamaged":      "a damaged record: a 500, and the cause in the log",
	"store.ErrNoKey":        "a fault in our own code: a 500",
	"store.ErrReadOnly":     "a fault in our own code: a 500",
	"store.ErrFinished":     "a fault in our own code: a 500",
	"store.ErrHalfRestored": "the store does not open",
	"store.ErrNotEmpty":     "restore says it on the terminal",
	"store.ErrBackup":       "restore says it on the terminal",
	"store.ErrMasterKey":    "the store does not open",
	"store.ErrKeyFile":      "the store does not open",
	"bolt.ErrInUse":         "the store does not open",
	"postgres.ErrAsync":     "the store does not open",
}

// row is one line of a package's Errors, as far as the documents depend on it.
type row struct{ file, err, code, key string }

func TestEveryExportedErrorHasARowInTheTable(t *testing.T) {
	t.Parallel()
	rows := map[string]bool{}
	for _, r := range errorRows(t) {
		rows[r.err] = true
	}
	for dir, files := range packageFiles(t) {
		if !strings.HasPrefix(dir, "provider/internal/") && dir != "store" && !strings.HasPrefix(dir, "store/") {
			continue
		}
		for _, file := range files {
			parsed := parse(t, file)
			for _, name := range exportedErrors(parsed) {
				full := parsed.Name.Name + "." + name
				if _, excused := neverAnswered[full]; !rows[full] && !excused {
					t.Errorf("%s: %s has no row in an Errors table", file, full)
				}
			}
		}
	}
}

func TestProviderJoinsTheRowsOfEveryPackage(t *testing.T) {
	t.Parallel()
	joined := ""
	for _, file := range packageFiles(t)["provider"] {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		joined += string(text)
	}
	seen := map[string]bool{}
	for _, r := range errorRows(t) {
		name := filepath.Base(filepath.Dir(r.file))
		if !seen[name] && !strings.Contains(joined, name+".Errors") {
			t.Errorf("provider does not join %s.Errors", name)
		}
		seen[name] = true
	}
}

// statusWords are keys for which the page's words by status say enough.
var statusWords = []string{"bad_request", "too_large", "not_found", "busy", "unavailable", "conflict", "internal", "forbidden", "unauthorized"}

func TestEveryMessageKeyOfAnErrorHasWords(t *testing.T) {
	t.Parallel()
	words := locale(t)
	for _, r := range errorRows(t) {
		if r.key != "" && words["error."+r.key+".title"] == "" && !slices.Contains(statusWords, r.key) {
			t.Errorf("%s: the key %q of %s has no words in templates/locales/en.json", r.file, r.key, r.err)
		}
	}
}

func TestEveryPermissionHasWords(t *testing.T) {
	t.Parallel()
	words := locale(t)
	for _, p := range policy.AllPermissions() {
		if words["scope."+p.Name] == "" {
			t.Errorf("the permission %s has no words for the consent page", p.Name)
		}
		if !strings.HasSuffix(p.Sentence, ".") {
			t.Errorf("the permission %s has no sentence", p.Name)
		}
	}
}

func TestEveryDecisionRecordSaysWhatItMust(t *testing.T) {
	t.Parallel()
	records, err := filepath.Glob("decisions/*.md")
	if err != nil || len(records) == 0 {
		t.Fatal("there are no decision records", err)
	}
	numbers := map[string]string{}
	for _, record := range records {
		text := read(t, record)
		for _, part := range []string{"**Context.**", "**Choice.**", "**Price.**", "**Look again**"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s does not say %s", record, part)
			}
		}
		name := filepath.Base(record)
		if !regexp.MustCompile(`^\d{4}-[a-z0-9-]+\.md$`).MatchString(name) || !strings.HasPrefix(text, "# ") {
			t.Errorf("%s: a record is called NNNN-title.md and begins with its title", record)
		}
		if other, taken := numbers[name[:4]]; taken {
			t.Errorf("%s and %s have the same number", record, other)
		}
		numbers[name[:4]] = record
	}
}

func TestTheChangelogHasAPlaceForWhatIsNotReleased(t *testing.T) {
	t.Parallel()
	text := read(t, "../CHANGELOG.md")
	_, unreleased, found := strings.Cut(text, "\n## Unreleased\n")
	if !found {
		t.Fatal("CHANGELOG.md has no section Unreleased")
	}
	if strings.Index(text, "\n## ") != strings.Index(text, "\n## Unreleased\n") {
		t.Error("Unreleased is not the first section")
	}
	if !strings.Contains(unreleased, "\n- ") {
		t.Error("Unreleased says nothing")
	}
}

func TestTheImageIsBuiltByTheGoOfTheModule(t *testing.T) {
	t.Parallel()
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	image := regexp.MustCompile(`(?m)^FROM golang:(\d+\.\d+)`).FindStringSubmatch(read(t, "../Dockerfile"))
	if module == nil || image == nil || module[1] != image[1] {
		t.Errorf("go.mod says Go %v, the Dockerfile %v", module, image)
	}
}

func TestEveryDirectDependencyIsExplained(t *testing.T) {
	t.Parallel()
	explained := read(t, "dependencies.md")
	for line := range strings.Lines(read(t, "../go.mod")) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.Contains(line, "// indirect") || !strings.HasPrefix(fields[1], "v") || !strings.Contains(fields[0], "/") {
			continue
		}
		name := regexp.MustCompile(`/v\d+$`).ReplaceAllString(fields[0], "")
		short := strings.TrimPrefix(strings.TrimPrefix(name, "github.com/"), "golang.org/")
		if !strings.Contains(explained, name) && !strings.Contains(explained, short) && !strings.Contains(explained, filepath.Base(name)) {
			t.Errorf("docs/dependencies.md does not say why we need %s", fields[0])
		}
	}
}

func TestThePromisesAboutSecurityNameTestsThatExist(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, root := range []string{"../provider", "../store", "../policy", "../templates", "../mfa", "../cmd", "."} {
		_ = filepath.WalkDir(root, func(path string, _ fs.DirEntry, _ error) error {
			if strings.HasSuffix(path, "_test.go") || strings.Contains(path, "storetest") && strings.HasSuffix(path, ".go") {
				tests.WriteString(read(t, path))
			}
			return nil
		})
	}
	for line := range strings.Lines(read(t, "security.md")) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || strings.HasPrefix(strings.TrimSpace(cells[1]), "---") || strings.TrimSpace(cells[3]) == "proof" {
			continue
		}
		names := regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 {
			t.Errorf("no test stands behind: %s", strings.TrimSpace(cells[1]))
		}
		for _, name := range names {
			if !strings.Contains(tests.String(), "func "+name[1]+"(") && !strings.Contains(tests.String(), `"`+name[1]+`":`) {
				t.Errorf("security.md names %s, which is no test", name[1])
			}
		}
	}
}

// TestWhatTheOperationsGuideQuotesIsSaid looks for each quoted message, its … apart,
// in the program.
func TestWhatTheOperationsGuideQuotesIsSaid(t *testing.T) {
	t.Parallel()
	var program strings.Builder
	for _, files := range packageFiles(t) {
		for _, file := range files {
			program.WriteString(read(t, file))
		}
	}
	_, section, found := strings.Cut(read(t, "operations.md"), "\n## What to do when")
	if !found {
		t.Fatal("operations.md has no section about what to do when")
	}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		quoted := regexp.MustCompile("`([^`]+)`").FindStringSubmatch(cells[1])
		if quoted == nil {
			continue
		}
		for part := range strings.SplitSeq(quoted[1], "…") {
			if part = strings.Trim(part, " :"); len(part) > 3 && !strings.Contains(program.String(), part) {
				t.Errorf("operations.md quotes %q, which the program does not say", part)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func locale(t *testing.T) map[string]string {
	t.Helper()
	words := map[string]string{}
	if err := json.Unmarshal([]byte(read(t, "../templates/locales/en.json")), &words); err != nil {
		t.Fatal(err)
	}
	return words
}

// exportedErrors are the package-level variables called Err….
func exportedErrors(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		vars, ok := decl.(*ast.GenDecl)
		if !ok || vars.Tok != token.VAR {
			continue
		}
		for _, spec := range vars.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if strings.HasPrefix(name.Name, "Err") && name.Name != "Errors" {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

// errorRows are all composite literals of ErrorRow in the house.
func errorRows(t *testing.T) (rows []row) {
	t.Helper()
	for dir, files := range packageFiles(t) {
		if !strings.HasPrefix(dir, "provider") {
			continue
		}
		for _, file := range files {
			parsed := parse(t, file)
			ast.Inspect(parsed, func(n ast.Node) bool {
				list, ok := n.(*ast.CompositeLit)
				if !ok {
					return true
				}
				array, ok := list.Type.(*ast.ArrayType)
				if !ok || lastName(array.Elt) != "ErrorRow" {
					return true
				}
				for _, element := range list.Elts {
					if lit, ok := element.(*ast.CompositeLit); ok {
						rows = append(rows, rowOf(parsed.Name.Name, file, lit))
					}
				}
				return true
			})
		}
	}
	if len(rows) == 0 {
		t.Fatal("there is no error table")
	}
	return rows
}

func rowOf(pkg, file string, lit *ast.CompositeLit) row {
	fields := map[string]ast.Expr{}
	for i, value := range lit.Elts {
		name := []string{"Err", "Status", "OAuth", "Key"}[i]
		if pair, ok := value.(*ast.KeyValueExpr); ok {
			name, value = pair.Key.(*ast.Ident).Name, pair.Value
		}
		fields[name] = value
	}
	r := row{file: file, code: literal(fields["OAuth"]), key: literal(fields["Key"])}
	switch err := fields["Err"].(type) {
	case *ast.Ident:
		r.err = pkg + "." + err.Name
	case *ast.SelectorExpr:
		r.err = lastName(err.X) + "." + err.Sel.Name
	}
	return r
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok {
		return strings.Trim(lit.Value, "\"`")
	}
	return ""
}
