package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

// asset is a static file as it is served.
type asset struct {
	name string // with the hash of its content: site.1a2b3c4d.css
	kind string
	data []byte
}

var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	".ts":  "text/plain; charset=utf-8",
}

// published are the files that other sites' pages load, by a name that stays while
// the content changes.
var published = []string{"visitor.js", "visitor.d.ts"}

// assets are the static files by their plain name, read once.
var assets = sync.OnceValue(func() map[string]asset {
	all := map[string]asset{}
	entries, _ := fs.ReadDir(files, "static")
	for _, e := range entries {
		data, _ := files.ReadFile("static/" + e.Name())
		sum := sha256.Sum256(data)
		ext := path.Ext(e.Name())
		all[e.Name()] = asset{
			name: strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext,
			kind: contentTypes[ext], data: data,
		}
	}
	return all
})

// staticName is the hashed name of a static file.
func staticName(plain string) string { return assets()[plain].name }

// Static serves /static/: the hashed names for ever, what is published by its
// plain name for a few minutes, and nothing else. It expects the path with
// /static/ in front and without the site's prefix.
func Static() http.Handler {
	byName := map[string]asset{}
	for _, a := range assets() {
		byName["/static/"+a.name] = a
	}
	for _, plain := range published {
		byName["/static/"+plain] = assets()[plain]
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := byName[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.kind)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if path.Base(r.URL.Path) != a.name {
			publish(h, a)
			if r.Header.Get("If-None-Match") == h.Get("ETag") {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		w.Write(a.data)
	})
}

// publish lets any site's page load a file; there is nothing of anybody's in it.
func publish(h http.Header, a asset) {
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("ETag", `"`+a.name+`"`)
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}
