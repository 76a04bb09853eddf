package site

import (
	"net/http"
	"net/url"
	"strings"
)

// Handler finds the site by host and path, puts it into the request's context,
// takes the site's prefix off the path and calls next. fail answers for a host
// or a site that is not ours.
func (sites *Sites) Handler(next http.Handler, fail func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, rest, err := sites.resolve(r)
		if err != nil {
			fail(w, r, err)
			return
		}
		s, err := sites.Load(r.Context(), path)
		if err != nil {
			fail(w, r, err)
			return
		}
		r2 := r.WithContext(With(r.Context(), s))
		if rest != r.URL.Path {
			r2.URL = new(url.URL)
			*r2.URL = *r.URL
			r2.URL.Path, r2.URL.RawPath = rest, ""
		}
		next.ServeHTTP(w, r2)
	})
}

const wellKnown = "/.well-known/"

// resolve returns the path of the request's site and what is left of the
// request's path. RFC 8414 inserts its well-known part before an issuer's path,
// OpenID Connect Discovery appends it; both are understood.
func (sites *Sites) resolve(r *http.Request) (path, rest string, err error) {
	l, err := sites.listed(r.Context())
	if err != nil {
		return "", "", err
	}
	host := strings.ToLower(r.Host)
	if rec, ok := l.byHost[host]; ok {
		return rec.Path, r.URL.Path, nil
	}
	if host != sites.public.Host {
		return "", "", ErrUnknownHost
	}
	rest = r.URL.Path
	if name, after, ok := strings.Cut(strings.TrimPrefix(rest, wellKnown), "/"); ok && strings.HasPrefix(rest, wellKnown) {
		if rec, ok := l.byPath[after]; ok && after != "" && rec.Host == "" {
			return after, wellKnown + name, nil
		}
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	if rec, ok := l.byPath[first]; ok && first != "" && rec.Host == "" {
		rest = strings.TrimPrefix(rest, "/"+first)
		if rest == "" {
			rest = "/"
		}
		return first, rest, nil
	}
	if _, ok := l.byPath[""]; !ok {
		return "", "", ErrNoSite
	}
	return "", rest, nil
}
