package web

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/templates"
)

// Frame is what a page of this request has around it: the site's name and
// colour, the language that the person asked for, this answer's nonce.
func (h *Web) Frame(r *http.Request) templates.Frame {
	site := Site(r.Context())
	name := site.Name
	if name == "" {
		name = "Chatelaine"
	}
	links := *r.URL
	links.Path = site.Base + links.Path
	return templates.Frame{
		SiteName: name, Logo: site.Logo, Color: site.Color, Base: site.Base,
		Locale: locale(r),
		Nonce:  Nonce(r.Context()), LocaleLinks: templates.LocaleLinks(&links),
	}
}

// languageCookie keeps the language that somebody chose, over forms and redirects.
const languageCookie = "language"

const languageMaxAge = 180 * 24 * time.Hour

func locale(r *http.Request) string {
	chosen := askedLocales(r)
	if chosen == "" {
		chosen, _ = Cookie(r, languageCookie)
	}
	return templates.Match(r.Header.Get("Accept-Language"), chosen)
}

// askedLocales is the ui_locales parameter (OpenID Connect Core, section 3.1.2.1).
func askedLocales(r *http.Request) string {
	if !strings.Contains(r.URL.RawQuery, "ui_locales=") {
		return ""
	}
	return r.URL.Query().Get("ui_locales")
}

func keepLanguage(w http.ResponseWriter, r *http.Request) {
	if asked := askedLocales(r); asked != "" {
		SetCookie(w, r, languageCookie, templates.Match("", asked), languageMaxAge)
	}
}

// Render answers with a page. formActions are the origins, besides our own, to
// which a form on it may lead, also by redirect: the validated redirect URI's.
func (h *Web) Render(w http.ResponseWriter, r *http.Request, status int, page templates.Page, formActions ...string) error {
	var body bytes.Buffer
	if err := h.Pages.Render(&body, page); err != nil {
		return err
	}
	header := w.Header()
	pageHeaders(header, r, templates.WindowOf(page), formActions)
	header.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body.Bytes())
	}
	return nil
}

// pageHeaders let nobody frame a page, and cut it off from the page that opened
// it, unless its window says otherwise.
func pageHeaders(header http.Header, r *http.Request, window templates.Window, formActions []string) {
	nonce := Nonce(r.Context())
	actions := "'self'"
	for _, a := range formActions {
		if a != "" && !strings.ContainsAny(a, " ;,'\"\r\n") {
			actions += " " + a
		}
	}
	ancestors := "'none'"
	if window.Mode == templates.ModeFrame {
		ancestors = window.Origin
	} else {
		header.Set("X-Frame-Options", "DENY") // it can't name an origin
	}
	if window.Mode == templates.ModePopup {
		header.Set("Cross-Origin-Opener-Policy", "unsafe-none")
	} else {
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"'; style-src 'self' 'nonce-"+nonce+"'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action "+actions+"; base-uri 'none'; frame-ancestors "+ancestors)
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	if Secure(r.Context()) {
		header.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
	header["Cache-Control"] = noStore
}

// PageError answers with the error page by the table. The detail is what Public
// attached, for the developer; the cause is only logged.
func (h *Web) PageError(w http.ResponseWriter, r *http.Request, err error) {
	row := h.explain(w, r, err)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		h.errorPage(w, r, row.Status, h.refused(r, refusal.Reason))
		return
	}
	frame := h.Frame(r)
	frame.LocaleLinks = nil // they would repeat what was refused
	page := templates.ErrorPage{Frame: frame, Status: row.Status, Key: row.Key, Detail: PublicText(err), RequestID: RequestID(r.Context())}
	h.errorPage(w, r, row.Status, page)
}

func (h *Web) errorPage(w http.ResponseWriter, r *http.Request, status int, page templates.Page) {
	if err := h.Render(w, r, status, page); err != nil {
		Log(r.Context()).Error().Err(err).Msg("render the error page")
		h.writeJSONError(w, unknownRow, "")
	}
}
