package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"sync"

	"github.com/rs/zerolog"
)

// request is what travels with a request, under one context key.
type request struct {
	ip        netip.Addr
	id        string
	userAgent string
	log       *zerolog.Logger
	route     string // the pattern that answered, for logs and metrics: a path may hold a secret

	nonceOnce sync.Once
	nonce     string
}

type requestKey struct{}

// nobody stands in for requests that did not come through Web.Handler.
func from(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// WithClient returns a context that knows the client: for commands and tests,
// where no request came in through Handler.
func WithClient(ctx context.Context, ip netip.Addr, requestID, userAgent string) context.Context {
	log := zerolog.Nop()
	if l := from(ctx).log; l != nil {
		log = *l
	}
	return context.WithValue(ctx, requestKey{}, &request{ip: ip, id: requestID, userAgent: userAgent, log: &log})
}

// ClientIP is the client's address, unmapped and without zone; the zero Addr
// when it is not known, and that matches no allowlist.
func ClientIP(ctx context.Context) netip.Addr { return from(ctx).ip }

// RequestID names the request in logs, answers and the audit log.
func RequestID(ctx context.Context) string { return from(ctx).id }

// UserAgent is the User-Agent header, at most 256 bytes of it.
func UserAgent(ctx context.Context) string { return from(ctx).userAgent }

// Log is the request's logger.
func Log(ctx context.Context) *zerolog.Logger {
	if l := from(ctx).log; l != nil {
		return l
	}
	l := zerolog.Nop()
	return &l
}

// Nonce is this answer's Content-Security-Policy nonce, made when first asked for.
func Nonce(ctx context.Context) string {
	r := from(ctx)
	r.nonceOnce.Do(func() {
		b := make([]byte, 16)
		rand.Read(b)
		r.nonce = base64.RawURLEncoding.EncodeToString(b)
	})
	return r.nonce
}

func newRequestID() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// SiteInfo is what pages and cookies need to know of the site a request is for.
type SiteInfo struct {
	Path   string // "" is the root site
	Base   string // prefix of the site's paths: "" or "/acme"
	Name   string
	Logo   string
	Color  string
	Secure bool // the site is reached over https
}

type siteKey struct{}

// WithSite returns a context that knows the site.
func WithSite(ctx context.Context, s *SiteInfo) context.Context {
	return context.WithValue(ctx, siteKey{}, s)
}

// Site is the site that the request is for; the zero SiteInfo if none is known.
func Site(ctx context.Context) SiteInfo {
	if s, ok := ctx.Value(siteKey{}).(*SiteInfo); ok {
		return *s
	}
	return SiteInfo{}
}

// Secure reports whether the request's site is reached over https.
func Secure(ctx context.Context) bool { return Site(ctx).Secure }

func contextWith(ctx context.Context, r *request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}
