package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/templates"
)

var errTeapot = errors.New("short and stout")

func newWeb(t *testing.T, log *bytes.Buffer) *Web {
	t.Helper()
	pages := templates.New()
	rows := append([]ErrorRow{{errTeapot, http.StatusTeapot, "teapot", "bad_request"}}, Errors...)
	return New(Options{Pages: pages, Rows: rows, Log: zerolog.New(log)})
}

func answer(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnErrorOutsideTheTableShowsOnlyItsRequestID(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := newWeb(t, &log)
	fail := func(http.ResponseWriter, *http.Request) error { return errors.New("dial postgres://secret@db") }
	for name, handler := range map[string]http.Handler{"page": h.Page(fail), "JSON": h.JSON(fail), "problem": h.Problem(fail)} {
		w := answer(h.Handler(handler), httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "postgres") || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
		if id := w.Header().Get("X-Request-Id"); id == "" || !strings.Contains(log.String(), id) {
			t.Errorf("%s: request id %q is not in the log", name, id)
		}
	}
	if !strings.Contains(log.String(), "postgres://secret@db") {
		t.Error("the cause is not in the log")
	}
}

func TestTheTableGivesStatusCodeAndPublicText(t *testing.T) {
	t.Parallel()
	h := newWeb(t, &bytes.Buffer{})
	w := answer(h.Handler(h.JSON(func(http.ResponseWriter, *http.Request) error {
		return Public(fmt.Errorf("deep down: %w", errTeapot), "this pot is for tea")
	})), httptest.NewRequest(http.MethodGet, "/", nil))
	if want := `{"error":"teapot","error_description":"this pot is for tea"}`; w.Code != http.StatusTeapot || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q", got)
	}
}

func TestAPanicIsA500AndHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := newWeb(t, &log)
	w := answer(h.Handler(h.JSON(func(http.ResponseWriter, *http.Request) error { panic("a hole") })), httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "a hole") || !strings.Contains(log.String(), "a hole") {
		t.Errorf("%d %s\n%s", w.Code, w.Body, log.String())
	}
}

func TestAnotherOriginCannotPostToAPage(t *testing.T) {
	t.Parallel()
	h := newWeb(t, &bytes.Buffer{})
	handler := h.Handler(h.Page(func(w http.ResponseWriter, _ *http.Request) error { return WriteJSON(w, http.StatusOK, "done") }))
	for name, header := range map[string][2]string{
		"cross-site": {"Sec-Fetch-Site", "cross-site"}, "same-site": {"Sec-Fetch-Site", "same-site"}, "another origin": {"Origin", "https://evil.example"}, "null": {"Origin", "null"},
	} {
		r := httptest.NewRequest(http.MethodPost, "https://id.example/", nil)
		r.Header.Set(header[0], header[1])
		if w := answer(handler, r); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "https://id.example/", nil)
	r.Header.Set("Origin", "https://id.example")
	if w := answer(handler, r); w.Code != http.StatusOK {
		t.Errorf("our own origin: %d", w.Code)
	}
}

// Only a page that is meant for it may be framed, by one origin, or stay in touch
// with its opener.
func TestAPageIsShownElsewhereOnlyWhereItsWindowSays(t *testing.T) {
	t.Parallel()
	h := newWeb(t, &bytes.Buffer{})
	for _, c := range []struct {
		window                     templates.Window
		ancestors, options, opener string
	}{
		{templates.Window{}, "'none'", "DENY", "same-origin"},
		{templates.Window{Mode: templates.ModeFrame, Origin: "https://shop.example"}, "https://shop.example", "", "same-origin"},
		{templates.Window{Mode: templates.ModePopup, Origin: "https://shop.example:8443"}, "'none'", "DENY", "unsafe-none"},
		{templates.Window{Mode: templates.ModeRedirect, Origin: "https://shop.example"}, "'none'", "DENY", "same-origin"},
		{templates.Window{Mode: templates.ModeFrame}, "'none'", "DENY", "same-origin"},
		{templates.Window{Mode: templates.ModePopup}, "'none'", "DENY", "same-origin"},
		{templates.Window{Mode: templates.ModeFrame, Origin: "*"}, "'none'", "DENY", "same-origin"},
		{templates.Window{Mode: templates.ModeFrame, Origin: "https://*.example"}, "'none'", "DENY", "same-origin"},
		{templates.Window{Mode: templates.ModeFrame, Origin: "https://shop.example; script-src *"}, "'none'", "DENY", "same-origin"},
		{templates.Window{Mode: templates.ModeFrame, Origin: "https://shop.example https://evil.example"}, "'none'", "DENY", "same-origin"},
		{templates.Window{Mode: templates.ModeFrame, Origin: "https://shop.example/"}, "'none'", "DENY", "same-origin"},
		{templates.Window{Mode: templates.ModeFrame, Origin: "null"}, "'none'", "DENY", "same-origin"},
	} {
		w := answer(h.Handler(h.Page(func(w http.ResponseWriter, r *http.Request) error {
			page := templates.VisitorChoosePage{Frame: h.Frame(r)}
			page.Window = c.window
			return h.Render(w, r, http.StatusOK, page)
		})), httptest.NewRequest(http.MethodGet, "/federation/choose", nil))
		header := w.Header()
		_, ancestors, _ := strings.Cut(header.Get("Content-Security-Policy"), "frame-ancestors ")
		if ancestors != c.ancestors || header.Get("X-Frame-Options") != c.options || header.Get("Cross-Origin-Opener-Policy") != c.opener {
			t.Errorf("%+v: frame-ancestors %q, X-Frame-Options %q, opener policy %q", c.window, ancestors, header.Get("X-Frame-Options"), header.Get("Cross-Origin-Opener-Policy"))
		}
	}
}

func TestEveryPageHasItsHeadersAndAFreshNonce(t *testing.T) {
	t.Parallel()
	h := newWeb(t, &bytes.Buffer{})
	handler := h.Handler(h.Page(func(w http.ResponseWriter, r *http.Request) error {
		return h.Render(w, r, http.StatusOK, templates.SignInPage{Frame: h.Frame(r), Action: "/sign-in/x"}, "https://rp.example")
	}))
	request := func() *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/sign-in/x?ui_locales=de", nil)
		return answer(handler, r.WithContext(WithSite(r.Context(), &SiteInfo{Secure: true})))
	}
	one, two := request(), request()
	policy := one.Header().Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "form-action 'self' https://rp.example;", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("CSP %q lacks %q", policy, part)
		}
	}
	if strings.Contains(policy, "unsafe") || policy == two.Header().Get("Content-Security-Policy") {
		t.Errorf("CSP %q is lax or used twice", policy)
	}
	for name, want := range map[string]string{
		"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
	} {
		if got := one.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(one.Body.String(), `lang="de"`) || !strings.Contains(one.Header().Get("Set-Cookie"), "__Host-language=de") {
		t.Error("the language that was asked for is not shown and kept")
	}
}
