// Package visitor gives the visitors of a site, on whose pages a chat widget sits,
// their tokens.
//
// Routes, under the site's issuer:
//
//	POST /visitors/start
//	POST /visitors/end
//
// They are called by scripts on pages of the origins that the site names, without
// cookies. A visitor who says nothing of themselves is anonymous, and nothing is
// stored for them: what they renew by is sealed and they carry it. So a renewal of
// theirs rotates, but an older one is good too until it ends: it says no more than
// that it is the same anonymous visitor, and a copy can be told from the original by
// nobody. A visitor who is known has a record, and of their renewals the newest
// counts.
package visitor

import (
	"errors"
	"net/http"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/keyset"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

var (
	// ErrRequest is a request that is not as it should be.
	ErrRequest = errors.New("bad request of a visitor's")
	// ErrOrigin is a page that may not hold the site's widget.
	ErrOrigin = errors.New("the origin is none of the site's")
	// ErrTarget is a resource that the site does not have.
	ErrTarget = errors.New("no such resource")
	// ErrRefused is a visitor whom the site does not give a token.
	ErrRefused = errors.New("the visitor is refused")
	// ErrGrant is something to show for oneself that is of no use.
	ErrGrant = errors.New("what the visitor shows is of no use")
	// ErrThrottled is too many visitors from one network.
	ErrThrottled = errors.New("too many visitors from one network")
)

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrRequest, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
	{Err: ErrOrigin, Status: http.StatusForbidden, OAuth: "unauthorized_client", Key: "forbidden"},
	{Err: ErrTarget, Status: http.StatusBadRequest, OAuth: "invalid_target", Key: "bad_request"},
	{Err: ErrRefused, Status: http.StatusForbidden, OAuth: "access_denied", Key: "forbidden"},
	{Err: ErrGrant, Status: http.StatusBadRequest, OAuth: "invalid_grant", Key: "bad_request"},
	{Err: ErrThrottled, Status: http.StatusTooManyRequests, OAuth: "temporarily_unavailable", Key: "busy"},
}

// Options is what a Visitors needs, set once. Store is Sites.Store().
type Options struct {
	Store   store.Store
	Keys    *keys.Keys
	Keysets *keyset.Sets
	Records *records.Records
	Sealer  *store.Sealer
	Audit   *audit.Log
	Web     *web.Web
	// Unlimited lets a network start as many visitors as it likes.
	Unlimited bool
	Now       func() time.Time
}

// Visitors answers for one house.
type Visitors struct {
	Options
	rates  rates
	traces allowance
}

// New returns a Visitors.
func New(o Options) *Visitors {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Visitors{Options: o, rates: rates{off: o.Unlimited}}
}

// Routes adds the routes; paths are relative to the site's prefix.
func (x *Visitors) Routes(mux *http.ServeMux) {
	mux.Handle("POST /visitors/start", x.Web.JSON(x.start))
	mux.Handle("OPTIONS /visitors/start", http.HandlerFunc(x.preflight))
	mux.Handle("POST /visitors/end", x.Web.JSON(x.end))
	mux.Handle("OPTIONS /visitors/end", http.HandlerFunc(x.preflight))
}

// Refusal is an ErrRefused, or an ErrGrant, with its reason, which the widget acts
// upon.
type Refusal struct {
	Reason   string
	Text     string    // for developers; may be empty
	Until    time.Time // zero: not said
	Unproven bool      // it is what the visitor shows that is of no use
}

// Error names the reason.
func (e *Refusal) Error() string { return ErrRefused.Error() + ": " + e.Reason }

// Is makes it an ErrRefused or an ErrGrant.
func (e *Refusal) Is(target error) bool {
	return target == ErrRefused && !e.Unproven || target == ErrGrant && e.Unproven
}

// now is used for everything in one request.
func (x *Visitors) now() time.Time { return x.Now().UTC() }

func known(s *site.Site, resource string) bool {
	_, ok := s.Resources[resource]
	return ok
}
