// Package access gives live verdicts to chat backends: whether a subject may do
// a thing now (OpenID AuthZEN Authorization API 1.0), and a feed of what has
// been revoked, so that tokens verified without a call are live ones.
//
// Routes, under the site's issuer:
//
//	POST /access/v1/evaluation
//	POST /access/v1/evaluations
//	GET  /access/v1/revocations            server-sent events
//	GET  /.well-known/authzen-configuration
//
// Whoever asks is an OAuth client that authenticates by Basic or by an access
// token of its own for the issuer. It reads and never writes: rules are
// policy's, and what a token says is oauth's to tell.
package access

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/oauth"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

var (
	// ErrNotEntitled is a client that may not ask for verdicts.
	ErrNotEntitled = errors.New("client may not ask for verdicts")
	// ErrCaller is a caller that is no client of the site.
	ErrCaller = errors.New("caller is not authenticated")
	// ErrTooManyFollowers is a feed that has as many followers as it may.
	ErrTooManyFollowers = errors.New("too many open feeds")
)

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrNotEntitled, Status: http.StatusForbidden, OAuth: "access_denied", Key: "forbidden"},
	{Err: ErrCaller, Status: http.StatusUnauthorized, OAuth: "invalid_client", Key: "unauthorized"},
	{Err: ErrTooManyFollowers, Status: http.StatusTooManyRequests, OAuth: "temporarily_unavailable", Key: "busy"},
}

// Options is what an Access needs, set once.
type Options struct {
	Store store.Store
	Sites *site.Sites
	OAuth *oauth.OAuth
	// Visitors says who of them is banned.
	Visitors *records.Records
	Web      *web.Web
	Now      func() time.Time
}

// Access answers for one house.
type Access struct {
	Options
	keepAlive time.Duration

	mu        sync.Mutex
	closed    bool
	feeds     map[string]*feed // by site path
	using     map[*feed]int
	perClient map[string]int
	total     int
}

// New returns an Access. Close it at shutdown.
func New(o Options) *Access {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Access{Options: o, keepAlive: keepAlive, feeds: map[string]*feed{}, using: map[*feed]int{}, perClient: map[string]int{}}
}

// Routes adds the routes; paths are relative to the site's prefix.
func (a *Access) Routes(mux *http.ServeMux) {
	mux.Handle("POST /access/v1/evaluation", a.Web.JSON(a.evaluation))
	mux.Handle("POST /access/v1/evaluations", a.Web.JSON(a.evaluations))
	mux.Handle("GET /access/v1/revocations", a.Web.JSON(a.revocations))
	mux.Handle("GET /.well-known/authzen-configuration", a.Web.JSON(a.configuration))
}

// configuration is AuthZEN's metadata document.
func (a *Access) configuration(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	doc, err := s.Cached("authzen-configuration", func() (any, error) {
		return json.Marshal(map[string]string{
			"policy_decision_point":       s.Issuer,
			"access_evaluation_endpoint":  s.URL("/access/v1/evaluation"),
			"access_evaluations_endpoint": s.URL("/access/v1/evaluations"),
			"access_revocations_endpoint": s.URL("/access/v1/revocations"),
		})
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, err = w.Write(doc.([]byte))
	return err
}
