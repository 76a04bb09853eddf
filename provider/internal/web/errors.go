package web

import (
	"errors"
	"net/http"

	"github.com/chatelaine-id/chatelaine/store"
)

// ErrorRow says what the outside sees of an error. Each package exports its
// rows; provider.New joins them into one table. An error in no row is a 500
// whose cause is only logged.
type ErrorRow struct {
	Err    error
	Status int    // HTTP status
	OAuth  string // error code of RFC 6749 and its kin, for JSON answers
	Key    string // message key of the hosted page
}

// Errors are this package's rows and the store's.
var Errors = []ErrorRow{
	{ErrTooLarge, http.StatusRequestEntityTooLarge, "invalid_request", "too_large"},
	{ErrMediaType, http.StatusUnsupportedMediaType, "invalid_request", "bad_request"},
	{ErrNotFound, http.StatusNotFound, "not_found", "not_found"},
	{ErrMethod, http.StatusMethodNotAllowed, "invalid_request", "bad_request"},
	{ErrCrossOrigin, http.StatusForbidden, "invalid_request", "cross_site"},
	{ErrRefused, http.StatusForbidden, "access_denied", "403"},
	{ErrEmail, http.StatusBadRequest, "invalid_request", "bad_request"},
	{ErrHost, http.StatusBadRequest, "invalid_request", "bad_request"},
	{ErrOutbound, http.StatusBadRequest, "invalid_request", "bad_request"},
	{ErrBusy, http.StatusServiceUnavailable, "temporarily_unavailable", "busy"},
	{ErrBadRequest, http.StatusBadRequest, "invalid_request", "bad_request"},
	{store.ErrUnavailable, http.StatusServiceUnavailable, "temporarily_unavailable", "unavailable"},
	{store.ErrConflict, http.StatusServiceUnavailable, "temporarily_unavailable", "busy"},
	{store.ErrNotFound, http.StatusNotFound, "not_found", "not_found"},
	{store.ErrExists, http.StatusConflict, "invalid_request", "conflict"},
	{store.ErrTooLarge, http.StatusRequestEntityTooLarge, "invalid_request", "too_large"},
}

// ErrBusy is work refused because too much is under way; come back in a second.
var ErrBusy = errors.New("too busy now")

// publicError carries a sentence that the caller may read.
type publicError struct {
	err  error
	text string
}

func (e *publicError) Error() string { return e.err.Error() + ": " + e.text }
func (e *publicError) Unwrap() error { return e.err }

// Public returns err with a sentence that may be shown to who asked. The text
// must hold nothing secret; everything else of an error is only logged.
//
//go:noinline
func Public(err error, text string) error { return &publicError{err, text} }

// PublicText returns the sentence that Public attached, or "".
func PublicText(err error) string {
	var p *publicError
	if errors.As(err, &p) {
		return p.text
	}
	var r *Repeated
	if errors.As(err, &r) {
		return r.Error()
	}
	return ""
}

var unknownRow = ErrorRow{Status: http.StatusInternalServerError, OAuth: "server_error", Key: "internal"}

// Row finds an error's row; ok is false if it is in none and so is a 500.
func (h *Web) Row(err error) (row ErrorRow, ok bool) {
	for _, row := range h.Rows {
		if errors.Is(err, row.Err) {
			return row, true
		}
	}
	return unknownRow, false
}
