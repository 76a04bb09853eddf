package web

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits on what a request may carry.
const (
	MaxForm       = 64 << 10 // bytes of a form body
	MaxQuery      = 16 << 10 // bytes of a query
	MaxParameters = 200      // of a form or query
)

var (
	// ErrBadRequest is a request that cannot be read in one way only.
	ErrBadRequest = errors.New("bad request")
	// ErrTooLarge is a body or query over its limit.
	ErrTooLarge = errors.New("request too large")
	// ErrMediaType is a body of a type that the endpoint does not read.
	ErrMediaType = errors.New("unsupported media type")
	// ErrNotFound is a path where nothing is.
	ErrNotFound = errors.New("not found")
	// ErrMethod is a method that the endpoint does not answer.
	ErrMethod = errors.New("method not allowed")
	// ErrCrossOrigin is a state-changing request that another origin sent.
	ErrCrossOrigin = errors.New("cross-origin request refused")
)

// ReadForm reads a POST body of type application/x-www-form-urlencoded, at most
// MaxForm bytes. A parameter given twice, bad escapes, a NUL or invalid UTF-8 is
// ErrBadRequest (RFC 6749, section 3.2: parameters must not be repeated), but for
// resource, of which RFC 8707, section 2, allows several.
func ReadForm(r *http.Request) (url.Values, error) { return ReadFormOf(r, MaxForm) }

// ReadFormOf is ReadForm with a limit of its own, in bytes.
func ReadFormOf(r *http.Request, most int64) (url.Values, error) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || len(r.Header.Values("Content-Type")) != 1 {
		return nil, ErrMediaType
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return nil, ErrMediaType
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, ErrMediaType
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w: %w", ErrBadRequest, err)
	}
	if int64(len(body)) > most {
		return nil, ErrTooLarge
	}
	return parseParameters(string(body))
}

// ReadQuery reads the URL's query by the same rules as ReadForm.
func ReadQuery(r *http.Request) (url.Values, error) {
	if len(r.URL.RawQuery) > MaxQuery {
		return nil, ErrTooLarge
	}
	return parseParameters(r.URL.RawQuery)
}

// ParseParameters reads a query or form text by the rules of ReadForm.
func ParseParameters(s string) (url.Values, error) { return parseParameters(s) }

func parseParameters(s string) (url.Values, error) {
	if strings.Count(s, "&") >= MaxParameters {
		return nil, ErrTooLarge
	}
	values, err := url.ParseQuery(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrBadRequest, "the parameters are not well-formed")
	}
	for name, vs := range values {
		if len(vs) > 1 && name != Repeatable {
			return nil, &Repeated{Name: name}
		}
		if !isText(name) || slices.ContainsFunc(vs, func(v string) bool { return !isText(v) }) {
			return nil, fmt.Errorf("%w: %s", ErrBadRequest, "a parameter holds bytes that are not text")
		}
	}
	return values, nil
}

// Repeatable is the one parameter that may be given more than once.
const Repeatable = "resource"

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// Repeated says which parameter was given more than once.
type Repeated struct{ Name string }

func (e *Repeated) Error() string { return fmt.Sprintf("parameter %q is given more than once", e.Name) }

// Is makes it an ErrBadRequest.
func (e *Repeated) Is(target error) bool { return target == ErrBadRequest }
