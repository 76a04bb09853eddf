package templates

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestStaticFilesAreServedByTheirHashForEver(t *testing.T) {
	t.Parallel()
	page := render(t, SignInPage{})
	found := regexp.MustCompile(`/static/[a-z]+\.[0-9a-f]{12}\.(css|js|svg)`).FindAllString(page, -1)
	if len(found) != 3 {
		t.Fatalf("the page names %v", found)
	}
	for _, path := range found {
		w := httptest.NewRecorder()
		Static().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s: status %d, %d bytes", path, w.Code, w.Body.Len())
		}
		if got := w.Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
}

func TestOtherNamesAndMethodsAreNotServed(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/static/", "/static/site.css", "/static/site.000000000000.css", "/static/../templates.go", "/static/..%2ftemplates.go", "/static/" + strings.Repeat("a", 4096), "/static/x%00.css"} {
		w := httptest.NewRecorder()
		Static().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	w := httptest.NewRecorder()
	Static().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/static/"+staticName("site.css"), nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", w.Code)
	}
}

// A widget's page names it once, and gets what is new within minutes.
func TestTheWidgetsClientIsServedToEverySiteByAPlainName(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]string{"visitor.js": "text/javascript; charset=utf-8", "visitor.d.ts": "text/plain; charset=utf-8"} {
		r := httptest.NewRequest(http.MethodGet, "/static/"+name, nil)
		w := httptest.NewRecorder()
		Static().ServeHTTP(w, r)
		for header, want := range map[string]string{
			"Content-Type": kind, "Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s %q, want %q", name, header, got, want)
			}
		}
		if strings.Contains(w.Header().Get("Access-Control-Allow-Credentials"), "true") || w.Body.Len() == 0 {
			t.Errorf("%s: credentials are let through, or it is empty", name)
		}
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		w = httptest.NewRecorder()
		if Static().ServeHTTP(w, r); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("%s asked again: status %d, %d bytes", name, w.Code, w.Body.Len())
		}
	}
	w := httptest.NewRecorder()
	if Static().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/static/"+staticName("site.js"), nil)); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("what is the pages' own is let through to other sites")
	}
}

// A shop's page waits for it.
func TestTheWidgetsClientIsSmall(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(assets()["visitor.js"].data)
	z.Close()
	if b.Len() > 8<<10 {
		t.Errorf("compressed it has %d bytes", b.Len())
	}
}

// A strict Content-Security-Policy would drop them, and a lax one would be needed.
func TestPagesHaveNoInlineStyleOrScript(t *testing.T) {
	t.Parallel()
	for name, source := range sources(t) {
		if m := regexp.MustCompile(`(?i)\sstyle=|\son[a-z]+=|<script>|<style>|javascript:`).FindString(source); m != "" {
			t.Errorf("%s has %q", name, m)
		}
	}
	for _, a := range assets() {
		if strings.Contains(string(a.data), "//") && regexp.MustCompile(`url\(|@import|https?://[^w]`).Match(a.data) {
			t.Errorf("%s loads from elsewhere", a.name)
		}
	}
}
