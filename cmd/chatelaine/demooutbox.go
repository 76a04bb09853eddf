package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider"
)

// maxOutbox is how many mails the demo keeps.
const maxOutbox = 200

// outbox takes the demo's mails. Its pages show links that set passwords, so
// their address holds the random key, as the administrator panel's does.
type outbox struct {
	mu      sync.Mutex
	count   int
	letters []outboxLetter // the newest first
	opened  time.Time      // mails of before are of the making of the site
}

type outboxLetter struct {
	provider.Letter
	Number int
	Base   string
	Lines  []outboxLine
}

// outboxLine is a line of the text, which may be a link.
type outboxLine struct{ Text, URL string }

func (o *outbox) take(_ context.Context, l provider.Letter) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.Date.Before(o.opened) {
		return nil
	}
	o.count++
	kept := outboxLetter{Letter: l, Number: o.count}
	for line := range strings.Lines(l.Text) {
		text := strings.TrimRight(line, "\r\n")
		kept.Lines = append(kept.Lines, outboxLine{Text: text, URL: linkLine(text)})
	}
	o.letters = slices.Insert(o.letters, 0, kept)
	o.letters = o.letters[:min(len(o.letters), maxOutbox)]
	return nil
}

// open forgets the mails that the making of the sample site brought.
func (o *outbox) open(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.letters, o.opened = nil, now
}

// linkLine is a line that is nothing but a link, else empty.
func linkLine(text string) string {
	if (strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")) && !strings.ContainsAny(text, " \t") {
		return text
	}
	return ""
}

func (o *outbox) all(base string) []outboxLetter {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := slices.Clone(o.letters)
	for i := range all {
		all[i].Base = base
	}
	return all
}

// outbox is the list of mails.
func (x *desk) outbox(w http.ResponseWriter, r *http.Request) {
	if x.staged(w, r) {
		x.render(w, "outbox.html", x.demo.outbox.all("/outbox/"+x.stageKey))
	}
}

// letter is the mail of a request's path; nil if it was answered.
func (x *desk) letter(w http.ResponseWriter, r *http.Request) *outboxLetter {
	if !x.staged(w, r) {
		return nil
	}
	n, _ := strconv.Atoi(r.PathValue("letter"))
	all := x.demo.outbox.all("/outbox/" + x.stageKey)
	i := slices.IndexFunc(all, func(l outboxLetter) bool { return l.Number == n })
	if i < 0 {
		http.NotFound(w, r)
		return nil
	}
	return &all[i]
}

func (x *desk) outboxLetter(w http.ResponseWriter, r *http.Request) {
	if l := x.letter(w, r); l != nil {
		x.render(w, "letter.html", l)
	}
}

// outboxHTML is the HTML of a mail, as a mail program shows it: it may style
// itself and lead elsewhere, and nothing else.
func (x *desk) outboxHTML(w http.ResponseWriter, r *http.Request) {
	l := x.letter(w, r)
	if l == nil {
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; sandbox allow-top-navigation-by-user-activation")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, l.HTML)
}
