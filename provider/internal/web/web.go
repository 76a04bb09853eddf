// Package web is what every handler stands on: the outermost handler (request
// id, client address, recovery, security headers, one log line), strict reading
// of forms, cookies, the error table, and the answers: pages, JSON, redirects.
//
// It owns no route and no record, opens no transaction and knows no rule.
package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/templates"
)

// Options is what a Web needs, set once.
type Options struct {
	Pages          *templates.Renderer
	Rows           []ErrorRow // of all packages; Errors included
	TrustedProxies []netip.Prefix
	Log            zerolog.Logger
	Now            func() time.Time
	// Observe, if set, is told of every answer. route is the pattern that matched.
	Observe func(route, method string, status int, took time.Duration)
}

// Web gives handlers their surroundings.
type Web struct {
	Options
	origin http.CrossOriginProtection
}

// New returns a Web.
func New(o Options) *Web {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Web{Options: o}
}

// HandlerFunc answers a request or returns an error, which the table turns into
// an answer. It returns an error only before it has written anything.
type HandlerFunc func(http.ResponseWriter, *http.Request) error

// Handler is the outermost handler.
func (h *Web) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := h.Now()
		req := &request{ip: clientIP(r, h.TrustedProxies), id: newRequestID(), userAgent: shorten(r.UserAgent(), 256)}
		log := h.Log.With().Str("request_id", req.id).Logger()
		req.log = &log
		rec := &recorder{ResponseWriter: w}
		ctx := contextWith(r.Context(), req)
		header := w.Header()
		header["X-Request-Id"] = []string{req.id}
		header["X-Content-Type-Options"] = nosniff
		header["Referrer-Policy"] = noReferrer
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // the panic value is this very error
					panic(p)
				}
				log.Error().Any("panic", p).Bytes("stack", debug.Stack()).Msg("handler panicked")
				if rec.status == 0 {
					h.writeJSONError(rec, unknownRow, "")
				}
			}
			h.done(r, req, rec, start)
		}()
		next.ServeHTTP(rec, r.WithContext(ctx))
	})
}

var (
	nosniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
)

func (h *Web) done(r *http.Request, req *request, rec *recorder, start time.Time) {
	took := h.Now().Sub(start)
	status := rec.status
	if status == 0 {
		status = http.StatusOK
	}
	if h.Observe != nil {
		h.Observe(req.route, r.Method, status, took)
	}
	level := zerolog.InfoLevel
	if status >= http.StatusInternalServerError {
		level = zerolog.ErrorLevel
	}
	req.log.WithLevel(level).Str("method", r.Method).Str("route", req.route).Int("status", status).
		Int64("bytes", rec.bytes).Dur("took", took).Stringer("ip", req.ip).Msg("request")
}

func shorten(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// recorder notes the status and size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Page answers with hosted pages. A state-changing request from another origin
// is refused.
func (h *Web) Page(f HandlerFunc) http.Handler {
	return h.AnyOriginPage(func(w http.ResponseWriter, r *http.Request) error {
		if err := h.origin.Check(r); err != nil {
			return fmt.Errorf("%w: %w", ErrCrossOrigin, err)
		}
		return f(w, r)
	})
}

// AnyOriginPage is Page for the few endpoints to which a protocol sends
// browsers by POST from elsewhere; they change nothing by themselves.
func (h *Web) AnyOriginPage(f HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from(r.Context()).route = r.Pattern
		keepLanguage(w, r)
		if err := f(w, r); err != nil {
			h.PageError(w, r, err)
		}
	})
}

// JSON answers with JSON; errors are those of RFC 6749, section 5.2.
func (h *Web) JSON(f HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from(r.Context()).route = r.Pattern
		if err := f(w, r); err != nil {
			h.JSONError(w, r, err)
		}
	})
}

// Problem answers with JSON; errors are problem details (RFC 9457).
func (h *Web) Problem(f HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from(r.Context()).route = r.Pattern
		err := f(w, r)
		if err == nil {
			return
		}
		row := h.explain(w, r, err)
		problem := map[string]any{"type": "about:blank", "title": http.StatusText(row.Status), "status": row.Status, "code": row.OAuth, "request_id": RequestID(r.Context())}
		if text := PublicText(err); text != "" {
			problem["detail"] = text
		}
		body, _ := json.Marshal(problem)
		NoStore(w)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(row.Status)
		w.Write(body)
	})
}

// explain finds the row, logs what the outside must not see, and sets the
// headers that belong to the status.
func (h *Web) explain(w http.ResponseWriter, r *http.Request, err error) ErrorRow {
	row, ok := h.Row(err)
	if log := Log(r.Context()); !ok {
		log.Error().Err(err).Msg("unexpected error")
	} else {
		log.Debug().Err(err).Msg("refused")
	}
	if row.Status == http.StatusServiceUnavailable || row.Status == http.StatusTooManyRequests {
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "1")
		}
	}
	return row
}

// JSONError writes err as JSON by the table.
func (h *Web) JSONError(w http.ResponseWriter, r *http.Request, err error) {
	row := h.explain(w, r, err)
	h.writeJSONError(w, row, PublicText(err))
}

func (h *Web) writeJSONError(w http.ResponseWriter, row ErrorRow, description string) {
	body := struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{row.OAuth, description}
	_ = WriteJSON(w, row.Status, body)
}

// WriteJSON writes v with no-store.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	WriteJSONBytes(w, status, body)
	return nil
}

// WriteJSONBytes writes ready JSON with no-store.
func WriteJSONBytes(w http.ResponseWriter, status int, body []byte) {
	NoStore(w)
	w.Header()["Content-Type"] = contentJSON
	w.WriteHeader(status)
	w.Write(body)
}

var (
	contentJSON = []string{"application/json"}
	noStore     = []string{"no-store"}
)

// NoStore forbids every cache to keep the answer.
func NoStore(w http.ResponseWriter) { w.Header()["Cache-Control"] = noStore }

// SeeOther sends the browser on by GET. target is a path of ours or a URL that
// has been validated.
func SeeOther(w http.ResponseWriter, _ *http.Request, target string) error {
	if strings.ContainsAny(target, "\r\n") {
		return errors.New("redirect target holds a line break")
	}
	NoStore(w)
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// Origin returns scheme://host[:port] of a URL, for CSP and CORS; "" if it has none.
func Origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
