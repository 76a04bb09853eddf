// Package docs_test holds the documents to the code: who imports whom, which
// third parties stand behind which wall, and that every package says what it is.
package docs_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
)

const module = "github.com/chatelaine-id/chatelaine/"

// packageFiles are the Go files of each folder, tests and examples for readers apart.
func packageFiles(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata" || d.Name() == "examples" || d.Name() == "bin" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != ".." { // a module of its own
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			dir := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, "../")))
			files[dir] = append(files[dir], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func imports(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, spec := range parsed.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

// table reads the Markdown table after a marker: first cell → the code words of the second.
func table(t *testing.T, marker string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "<!-- "+marker+" -->\n")
	if !found {
		t.Fatalf("architecture.md has no table marked %q", marker)
	}
	rows := map[string][]string{}
	for i, line := range strings.Split(rest, "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(line, "|")
		if i < 2 || len(cells) < 3 {
			continue
		}
		rows[strings.Trim(cells[1], " `")] = strings.Fields(strings.ReplaceAll(cells[2], "`", ""))
	}
	return rows
}

func TestEveryImportOfOursStandsInTheArchitecture(t *testing.T) {
	t.Parallel()
	allowed := table(t, "imports")
	packages := packageFiles(t)
	for dir, files := range packages {
		may, known := allowed[dir]
		if !known {
			t.Errorf("package %s is not in docs/architecture.md", dir)
			continue
		}
		for _, file := range files {
			for _, path := range imports(t, file) {
				ours, isOurs := strings.CutPrefix(path, module)
				if isOurs && !slices.ContainsFunc(may, func(m string) bool {
					ok, _ := filepath.Match(m, ours)
					return ok
				}) {
					t.Errorf("%s imports %s, which docs/architecture.md does not allow %s", file, ours, dir)
				}
			}
		}
	}
}

func TestThirdPartiesStayBehindTheirWalls(t *testing.T) {
	t.Parallel()
	walls := table(t, "walls")
	for dir, files := range packageFiles(t) {
		for _, file := range files {
			for _, path := range imports(t, file) {
				for wall, inside := range walls {
					if strings.HasPrefix(path, wall) && !slices.Contains(inside, dir) {
						t.Errorf("%s imports %s, which only %v may", file, path, inside)
					}
				}
			}
		}
	}
}

func TestEveryKindOfRecordStandsInTheArchitecture(t *testing.T) {
	t.Parallel()
	described := map[string]bool{}
	for kinds := range table(t, "kinds") {
		for _, kind := range strings.Fields(strings.ReplaceAll(kinds, "`", "")) {
			described[kind] = true
		}
	}
	for _, kept := range store.Tables() {
		if name := string(kept.Name()); !described[name] {
			t.Errorf("docs/architecture.md does not say what a %s is and how long it lives", name)
		} else {
			delete(described, name)
		}
	}
	for kind := range described {
		t.Errorf("docs/architecture.md speaks of the kind %s, which there is not", kind)
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for dir, files := range packageFiles(t) {
		said := slices.ContainsFunc(files, func(file string) bool {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			return parsed.Doc != nil && len(parsed.Doc.Text()) > 60
		})
		if !said {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

func TestDocumentsLinkOnlyToFilesThatExist(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, _ := filepath.Glob("decisions/*.md")
	top, _ := filepath.Glob("../*.md")
	for _, document := range slices.Concat(documents, decisions, top) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "](")[1:] {
			target, _, _ := strings.Cut(part, ")")
			target, _, _ = strings.Cut(target, "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", document, target)
			}
		}
	}
}
