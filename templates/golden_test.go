package templates

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/*.golden.html anew")

func render(t *testing.T, page Page) string {
	t.Helper()
	r := New()
	var b bytes.Buffer
	if err := r.Render(&b, page); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// hashes are left out of golden files: a changed style is not a changed page.
var hashes = regexp.MustCompile(`(/static/[a-z_]+)\.[0-9a-f]{12}\.`)

func TestEveryPageAndStateLooksAsItDid(t *testing.T) {
	t.Parallel()
	for name, page := range samples("en") {
		golden(t, name, page)
	}
	golden(t, "sign_in_wrong.ar", samples("ar")["sign_in_wrong"])
	golden(t, "consent.de", samples("de")["consent"])
	golden(t, "refused.fr", samples("fr")["refused"])
}

func golden(t *testing.T, name string, page Page) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		got := hashes.ReplaceAllString(render(t, page), "$1.HASH.")
		file := filepath.Join("testdata", name+".golden.html")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
		}
	})
}

func TestEveryGoldenFileBelongsToASample(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob("testdata/*.golden.html")
	if err != nil {
		t.Fatal(err)
	}
	if want := len(samples("en")) + 3; len(found) != want {
		t.Errorf("%d golden files for %d samples", len(found), want)
	}
}
