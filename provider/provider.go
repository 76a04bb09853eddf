// Package provider is the identity provider as an http.Handler, wired once.
//
// Routes, all below the site's prefix ("" for the root site, "/acme" for one):
//
//	GET       /                                        home
//	GET       /.well-known/openid-configuration         oauth: discovery (OpenID Connect)
//	GET       /.well-known/oauth-authorization-server   oauth: discovery (RFC 8414)
//	GET POST  /oauth/authorize, GET /oauth/authorize/{id}
//	POST      /oauth/token introspect revoke            oauth
//	GET POST  /oauth/userinfo, /oauth/logout            oauth
//	GET       /oauth/jwks                               oauth
//	GET POST  /consent/{id}                             oauth
//	GET POST  /sign-in/{id}, /set-up/{token}            signin: the steps of a sign-in, the first administrator
//	GET POST  /forgot, /reset, /break-glass             signin: ways back in
//	GET POST  /federation/{id}/…                        federation: signing in through a customer's own login
//	GET POST  /account…                                 account: an agent's own pages
//	POST      /access/v1/evaluation                     access: one decision (AuthZEN)
//	GET       /access/v1/revocations                    access: the feed
//	POST      /visitors/start, /visitors/end           visitor: tokens for a chat widget
//	GET       /static/…                                 templates
//
// and for the house, on any host:
//
//	GET       /healthz, /readyz
//
// Control is apart: the operations of the commands, for a socket that only the
// operator can reach.
package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/provider/internal/access"
	"github.com/chatelaine-id/chatelaine/provider/internal/account"
	"github.com/chatelaine-id/chatelaine/provider/internal/admin"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/breakglass"
	"github.com/chatelaine-id/chatelaine/provider/internal/domain"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/keyset"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/mail"
	"github.com/chatelaine-id/chatelaine/provider/internal/oauth"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/signin"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Options is what a Server needs.
type Options struct {
	Store          store.Store
	Sealer         *store.Sealer
	PublicURL      string // scheme://host[:port]
	TrustedProxies []netip.Prefix
	Checkpoints    string // file that signed checkpoints of the audit log are appended to; empty: none
	Log            zerolog.Logger
	Metrics        *vm.Set          // nil: none
	Now            func() time.Time // nil: time.Now

	// PrivateNetworks are those in which customers' providers may stand: nothing else is
	// fetched from an address that is not public.
	PrivateNetworks []netip.Prefix
	DNSServer       string // host:port of the name server that is asked for proofs of domains; empty: the machine's

	Argon2   Argon2
	Throttle Throttle
	Breached Breached
	Mail     Mail
}

// Argon2 is the cost of a password hash; zeros mean 19 MiB, 2 passes, 1 thread.
type Argon2 struct {
	MemoryKiB, Time uint32
	Threads         uint8
}

// Throttle bounds failed sign-ins in a quarter of an hour; 0 switches one off.
type Throttle struct{ PerAccount, PerNetwork int }

// Breached says where breached passwords are looked for; empty: nowhere.
type Breached struct {
	File string // of SHA-1 hashes in hex, sorted, one a line
	URL  string // of a service that five digits of a hash are appended to
}

// Server is the identity provider.
type Server struct {
	handler http.Handler
	sites   *site.Sites
	engine  store.Store
	store   store.Store // the engine, watched for changes of sites
	now     func() time.Time
	log     zerolog.Logger

	keys   *keys.Keys
	audit  *audit.Log
	signin *signin.SignIn
	access *access.Access
	admin  *admin.Admin
	glass  *breakglass.Glass
	mail   *mail.Mail

	federation *federation.Federation
	domains    *domain.Domains

	queueOnly bool // mails are sent by another process
}

// New wires a Server. Nothing runs in the background until Run.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	sites, err := site.New(site.Options{Store: o.Store, PublicURL: o.PublicURL, MaxAge: site.MaxAge, Now: o.Now})
	if err != nil {
		return nil, err
	}
	pages := templates.New()
	s := &Server{sites: sites, engine: o.Store, store: sites.Store(), now: o.Now, log: o.Log}
	failed := func(err error) { s.log.Error().Err(err).Msg("background work failed; it is tried again") }

	surroundings := web.New(web.Options{Pages: pages, Rows: rows(), TrustedProxies: o.TrustedProxies, Log: o.Log, Now: o.Now})
	if o.Metrics != nil {
		surroundings.Observe = newMetrics(o.Metrics).observe
	}
	s.keys = keys.New(keys.Options{Store: s.store, Sealer: o.Sealer, Sites: sites, Now: o.Now, Failed: failed})
	s.audit = audit.New(audit.Options{Store: s.store, Sites: sites, Keys: s.keys, Now: o.Now, Checkpoints: o.Checkpoints, Failed: failed})
	if err := s.setUpMail(o, sites, pages); err != nil {
		return nil, err
	}
	sessions := session.New(session.Options{Store: s.store, Keys: s.keys, Audit: s.audit, Now: o.Now})
	s.glass = breakglass.New(breakglass.Options{Store: s.store, Sites: sites, Audit: s.audit, Now: o.Now, Log: o.Log, Notify: s.mail.BreakGlass})
	passwords := password.New(password.Options{MemoryKiB: o.Argon2.MemoryKiB, Time: o.Argon2.Time, Threads: o.Argon2.Threads, Now: o.Now})
	rules, err := password.NewRules(password.RulesOptions{
		Hasher: passwords, BreachedFile: o.Breached.File, BreachedURL: o.Breached.URL, Now: o.Now,
		Failed: func(err error) {
			s.log.Warn().Err(err).Msg("a password was not looked for among breached ones, and passed")
		},
	})
	if err != nil {
		return nil, err
	}
	factors := factor.New(factor.Options{Keys: s.keys, Audit: s.audit, Now: o.Now})
	outbound := web.NewOutboundClient(loopback(o.PublicURL), o.PrivateNetworks...)
	known := records.New(records.Options{Store: s.store, Keys: s.keys, Sealer: o.Sealer, Audit: s.audit, Now: o.Now})
	visitors := visitor.New(visitor.Options{
		Store: s.store, Keys: s.keys, Records: known, Sealer: o.Sealer, Audit: s.audit, Web: surroundings, Unlimited: o.Throttle.PerNetwork == 0, Now: o.Now,
		Keysets: keyset.New(keyset.Options{Client: outbound, Sealer: o.Sealer, Now: o.Now}),
	})
	protocol := oauth.New(oauth.Options{
		Store: s.store, Sites: sites, Keys: s.keys, Audit: s.audit, Sessions: sessions, Web: surroundings,
		Outbound: outbound, Visitors: known, VisitorGrant: visitors.Grant, Now: o.Now,
	})
	s.access = access.New(access.Options{Store: s.store, Sites: sites, OAuth: protocol, Visitors: known, Web: surroundings, Now: o.Now})
	s.signin = signin.New(signin.Options{
		Store: s.store, Sites: sites, Sessions: sessions, Audit: s.audit, Web: surroundings, Passwords: passwords, Rules: rules,
		Factors: factors, Keys: s.keys, Glass: s.glass, Mail: s.mail,
		Throttle: signin.Throttle{PerAccount: o.Throttle.PerAccount, PerNetwork: o.Throttle.PerNetwork}, Now: o.Now,
	})
	own := account.New(account.Options{
		Store: s.store, Sites: sites, Keys: s.keys, Audit: s.audit, Sessions: sessions, Web: surroundings, Passwords: passwords, Rules: rules,
		Factors: factors, Glass: s.glass, Mail: s.mail, Now: o.Now,
	})
	s.federation = federation.New(federation.Options{
		Store: s.store, Sites: sites, Keys: s.keys, Sealer: o.Sealer, Audit: s.audit, Sessions: sessions, Factors: factors, Web: surroundings,
		Client: outbound, Tell: s.mail.Tell, VisitorSignedOut: visitors.SignedOut, VisitorMark: known.Mark, Failed: failed, Now: o.Now,
	})
	s.domains = domain.New(domain.Options{Store: s.store, Sites: sites, Keys: s.keys, Audit: s.audit, Resolver: domain.NewResolver(o.DNSServer), Failed: failed, Now: o.Now})
	s.admin = admin.New(admin.Options{
		Store: s.store, Sites: sites, Keys: s.keys, Audit: s.audit, Sessions: sessions, Passwords: passwords, Rules: rules, Sealer: o.Sealer,
		Factors: factors, Glass: s.glass, Visitors: known, PublicURL: o.PublicURL, Now: o.Now, SetUpLink: s.SetUpLink, InvitationLink: s.signin.Invite, Notice: s.mail.Notice,
		CheckConnection: s.federation.CheckConnection, RollOverConnection: s.federation.RollOver, Domains: s.domains, PrivateNetworks: o.PrivateNetworks,
	})

	mux := http.NewServeMux()
	protocol.Routes(mux)
	s.access.Routes(mux)
	s.signin.Routes(mux)
	s.federation.Routes(mux)
	own.Routes(mux)
	visitors.Routes(mux)
	mux.Handle("GET /static/", templates.Static())
	mux.Handle("GET /{$}", surroundings.Page(home{surroundings, s.store, sessions}.page))
	mux.Handle("/", surroundings.Page(func(http.ResponseWriter, *http.Request) error { return web.ErrNotFound }))

	house := http.NewServeMux()
	ready := &readiness{store: o.Store, now: o.Now}
	house.Handle("GET /healthz", surroundings.JSON(healthz))
	house.Handle("GET /readyz", surroundings.JSON(ready.readyz))
	house.Handle("/", sites.Handler(mux, surroundings.PageError))
	s.handler = surroundings.Handler(house)
	return s, nil
}

// PrivateNetwork reads a network for Options.PrivateNetworks: a CIDR of private addresses.
func PrivateNetwork(text string) (netip.Prefix, error) { return web.PrivateNetwork(text) }

// rows joins the packages' rows of the error table.
func rows() []web.ErrorRow {
	return slices.Concat(oauth.Errors, access.Errors, federation.Errors, signin.Errors, account.Errors, password.Errors, factor.Errors, session.Errors, audit.Errors, breakglass.Errors, domain.Errors, keys.Errors, admin.Errors, visitor.Errors, records.Errors, site.Errors, web.Errors)
}

// loopback reports whether a URL's host is this machine: only then may the house
// fetch clients' keys from it.
func loopback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// ServeHTTP answers for every site.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Control answers the operations of the commands. Whoever reaches it is the
// operator: serve it on a socket that nobody else can open.
func (s *Server) Control() http.Handler { return s.admin.Control() }

// SetUpLink makes the one-time link with which a site's first administrator is
// created, good for an hour; "" if the site has an administrator.
func (s *Server) SetUpLink(ctx context.Context, path string) (string, error) {
	snapshot, err := s.sites.Load(ctx, path)
	if err != nil {
		return "", err
	}
	return s.signin.SetUpLink(ctx, snapshot)
}

// Prepare makes the root site if there is no site at all, and completes the keys
// of every site. Call it before serving.
func (s *Server) Prepare(ctx context.Context) error {
	all, err := s.sites.All(ctx)
	if err != nil {
		return fmt.Errorf("list the sites: %w", err)
	}
	if len(all) == 0 {
		if err := site.Create(ctx, s.store, "", "", site.DefaultSettings("Chatelaine"), s.now()); err != nil {
			return fmt.Errorf("make the root site: %w", err)
		}
		all = []store.Site{{Path: ""}}
	}
	for _, rec := range all {
		if err := s.keys.Ensure(ctx, rec.Path); err != nil {
			return fmt.Errorf("make the keys of site %q: %w", rec.Path, err)
		}
	}
	return nil
}

// Run does what has to be done in the background until ctx ends: it chains the
// audit log, rotates keys, ends what break-glass lifted, reads providers' metadata,
// looks for the DNS records that prove domains,
// sends mail and removes expired records. It returns when all of it has stopped, what was under way finished.
func (s *Server) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	background := []func(context.Context) error{s.audit.Run, s.keys.Run, s.glass.Run, s.federation.Run, s.domains.Run, s.sweep}
	if !s.queueOnly {
		background = append(background, s.mail.Run)
	}
	errs := make([]error, len(background))
	for i, work := range background {
		wg.Go(func() { errs[i] = work(ctx) })
	}
	<-ctx.Done()
	s.access.Close()
	wg.Wait()
	for i, err := range errs {
		if errors.Is(err, context.Canceled) {
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}
