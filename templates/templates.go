// Package templates owns the pages people see: one struct a page, the HTML,
// style, script and pictures they are made of, and every word in every language.
//
// A page is text baked in: when a page is first shown in a language, its source
// is parsed with that language's words already in place, so that showing it
// looks nothing up. Sources write [[key]] where words go; the words are in
// locales/*.json, and packed beside it in the binary. What a caller passes is escaped by html/template, and web
// addresses are checked against the schemes that each place allows.
//
// It must not read requests, set headers or know who is signed in; web does.
// It imports nothing else of ours.
//
// Routes: Static serves /static/, whose file names carry a hash of the content.
package templates

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"sync"
)

//go:generate go run ./packwords
//go:embed *.html locales/*.json.gz static/*
var files embed.FS

// Page is a page of this package, ready to be shown.
type Page interface {
	file() string // its source, without .html
	frame() Frame
	window() Window
	check() error // refuses what must never be sent to a browser
}

// Renderer shows pages. It is safe for concurrent use.
type Renderer struct {
	languages map[string]*language
	buffers   sync.Pool
}

// language is one locale's words and the pages already parsed with them.
type language struct {
	words func() (words, error) // read once
	mu    sync.RWMutex
	pages map[string]*template.Template
}

// New shows every page. Words are read and pages parsed when first shown, so that
// starting costs nothing; the tests read and parse them all.
func New() *Renderer {
	r := &Renderer{languages: map[string]*language{}}
	r.buffers.New = func() any { return new(bytes.Buffer) }
	for _, tag := range localeTags {
		r.languages[tag] = &language{
			words: sync.OnceValues(func() (words, error) { return readWords(tag) }),
			pages: map[string]*template.Template{},
		}
	}
	return r
}

// Render writes the page in its Frame's locale (English if there is no such).
// Nothing is written unless the whole page could be made.
func (r *Renderer) Render(w io.Writer, page Page) error {
	if err := page.check(); err != nil {
		return fmt.Errorf("render %s: %w", page.file(), err)
	}
	tmpl, err := r.language(page.frame().Locale).page(page.file())
	if err != nil {
		return err
	}
	buf := r.buffers.Get().(*bytes.Buffer)
	defer r.buffers.Put(buf)
	buf.Reset()
	if err := tmpl.Execute(buf, page); err != nil {
		return fmt.Errorf("render %s: %w", page.file(), err)
	}
	_, err = w.Write(buf.Bytes())
	return err
}

func (r *Renderer) language(tag string) *language {
	if l, ok := r.languages[tag]; ok {
		return l
	}
	return r.languages[localeTags[0]]
}

func (l *language) page(file string) (*template.Template, error) {
	l.mu.RLock()
	tmpl, ok := l.pages[file]
	l.mu.RUnlock()
	if ok {
		return tmpl, nil
	}
	w, err := l.words()
	if err != nil {
		return nil, err
	}
	if tmpl, err = parse(file, w); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pages[file] = tmpl
	return tmpl, nil
}
