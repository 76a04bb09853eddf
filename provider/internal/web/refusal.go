package web

import (
	"errors"
	"net/http"

	"github.com/chatelaine-id/chatelaine/templates"
)

// ErrRefused is a request by somebody whom the site does not let in from where
// they are.
var ErrRefused = errors.New("the site lets nobody in from there")

// Refusal is an ErrRefused with policy's reason. Its page says which rule it is
// and what to do next.
type Refusal struct{ Reason string }

func (e *Refusal) Error() string { return ErrRefused.Error() + ": " + e.Reason }

// Is makes it an ErrRefused.
func (e *Refusal) Is(target error) bool { return target == ErrRefused }

// refused is the page of a Refusal.
func (h *Web) refused(r *http.Request, reason string) templates.RefusedPage {
	frame := h.Frame(r)
	frame.LocaleLinks = nil
	page := templates.RefusedPage{Frame: frame, Reason: reason, RequestID: RequestID(r.Context())}
	if ip := ClientIP(r.Context()); ip.IsValid() {
		page.IP = ip.String()
	}
	return page
}
