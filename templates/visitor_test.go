package templates

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// typescriptVersion is the TypeScript that the widget's client is checked with.
const typescriptVersion = "5.9.3"

// TestTheWidgetsClientInNode runs testdata/visitor/visitor.test.mjs with node's
// own test runner.
func TestTheWidgetsClientInNode(t *testing.T) {
	t.Parallel()
	node := need(t, "node")
	dir := t.TempDir()
	put(t, filepath.Join(dir, "visitor.mjs"), "static/visitor.js")
	put(t, filepath.Join(dir, "visitor.test.mjs"), "testdata/visitor/visitor.test.mjs")
	run := exec.Command(node, "--test", "visitor.test.mjs")
	run.Dir = dir
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTheWidgetsClientKeepsItsTypes checks the client by what its comments say of
// types, and visitor.d.ts by a widget that uses it.
func TestTheWidgetsClientKeepsItsTypes(t *testing.T) {
	t.Parallel()
	node := need(t, "node")
	compiler := filepath.Join(npmPackage(t, "typescript", typescriptVersion), "lib", "tsc.js")
	dir := t.TempDir()
	for _, name := range []string{"static/visitor.js", "static/visitor.d.ts", "testdata/visitor/widget.ts"} {
		put(t, filepath.Join(dir, filepath.Base(name)), name)
	}
	for _, name := range []string{"visitor.js", "widget.ts"} {
		run := exec.Command(node, compiler, "--noEmit", "--checkJs", "--allowJs", "--strict", "--noUnusedLocals", "--noImplicitReturns",
			"--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2023,dom,dom.iterable", name)
		run.Dir = dir
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func put(t *testing.T, to, from string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
