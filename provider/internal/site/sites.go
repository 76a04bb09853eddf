package site

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// MaxAge is how old a snapshot may be before the site's version is looked up
// again, for changes that another node made.
const MaxAge = 500 * time.Millisecond

// ErrUnknownHost is a request for a host that is not ours.
var ErrUnknownHost = errors.New("no site has this host")

// ErrNoSite is a site that does not exist.
var ErrNoSite = errors.New("no such site")

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrUnknownHost, Status: http.StatusMisdirectedRequest, OAuth: "invalid_request", Key: "unknown_host"},
	{Err: ErrNoSite, Status: http.StatusNotFound, OAuth: "not_found", Key: "not_found"},
	{Err: ErrNoClient, Status: http.StatusBadRequest, OAuth: "invalid_client", Key: "unknown_client"},
}

// Sites finds and keeps snapshots.
type Sites struct {
	store  store.Store
	public *url.URL
	maxAge time.Duration
	now    func() time.Time

	mu      sync.RWMutex
	changes uint64 // moves on with every drop, so that a slow load keeps nothing old
	loaded  map[string]entry
	list    listing
}

type entry struct {
	site    *Site
	checked time.Time
}

type listing struct {
	byPath  map[string]store.Site
	byHost  map[string]store.Site
	version uint64
	checked time.Time
}

// Options is what Sites needs. PublicURL is scheme://host[:port].
type Options struct {
	Store     store.Store
	PublicURL string
	MaxAge    time.Duration // zero: look the version up every time
	Now       func() time.Time
}

// New returns the Sites of a store.
func New(o Options) (*Sites, error) {
	u, err := url.Parse(o.PublicURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("public_url %q is not of the form https://host", o.PublicURL)
	}
	u.Path, u.Host = "", strings.ToLower(u.Host)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sites{store: o.Store, public: u, maxAge: o.MaxAge, now: o.Now, loaded: map[string]entry{}}, nil
}

// PublicURL is the house's own address, without a slash at its end.
func (sites *Sites) PublicURL() string { return sites.public.String() }

// address is a site's issuer and the prefix of its paths.
func (sites *Sites) address(rec store.Site) (issuer, base string) {
	if rec.Path != "" {
		base = "/" + rec.Path
	}
	if rec.Host != "" {
		return sites.public.Scheme + "://" + rec.Host, ""
	}
	return sites.public.String() + base, base
}

// All lists the sites by path.
func (sites *Sites) All(ctx context.Context) ([]store.Site, error) {
	var all []store.Site
	err := sites.store.View(ctx, store.House, func(tx store.Tx) error {
		all = all[:0]
		for rec, err := range store.Sites.All(tx, "") {
			if err != nil {
				return err
			}
			all = append(all, rec)
		}
		return nil
	})
	return all, err
}

func (sites *Sites) listed(ctx context.Context) (listing, error) {
	now := sites.now()
	sites.mu.RLock()
	l, changes := sites.list, sites.changes
	sites.mu.RUnlock()
	if l.byPath != nil && now.Sub(l.checked) < sites.maxAge {
		return l, nil
	}
	err := sites.store.View(ctx, store.House, func(tx store.Tx) error {
		version, err := store.Counters.Get(tx, store.SiteVersion)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if l.byPath != nil && version.Value == l.version {
			return nil
		}
		l = listing{byPath: map[string]store.Site{}, byHost: map[string]store.Site{}, version: version.Value}
		for rec, err := range store.Sites.All(tx, "") {
			if err != nil {
				return err
			}
			l.byPath[rec.Path] = rec
			if rec.Host != "" {
				l.byHost[rec.Host] = rec
			}
		}
		return nil
	})
	if err != nil {
		return listing{}, fmt.Errorf("list sites: %w", err)
	}
	l.checked = now
	sites.mu.Lock()
	if sites.changes == changes {
		sites.list = l
	}
	sites.mu.Unlock()
	return l, nil
}

// Load returns the snapshot of the site with that path, or ErrNoSite.
func (sites *Sites) Load(ctx context.Context, path string) (*Site, error) {
	now := sites.now()
	sites.mu.RLock()
	e, changes := sites.loaded[path], sites.changes
	sites.mu.RUnlock()
	if e.site != nil && e.site.over(now) {
		e.site = nil
	}
	if e.site != nil && now.Sub(e.checked) < sites.maxAge {
		return e.site, nil
	}
	l, err := sites.listed(ctx)
	if err != nil {
		return nil, err
	}
	rec, ok := l.byPath[path]
	if !ok {
		return nil, ErrNoSite
	}
	snapshot := e.site
	err = sites.store.View(ctx, path, func(tx store.Tx) error {
		if e.site != nil {
			version, err := store.Counters.Get(tx, store.SiteVersion)
			if err == nil && version.Value == e.site.Version {
				return nil
			}
		}
		snapshot, err = sites.compile(tx, rec)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load site %q: %w", path, err)
	}
	sites.mu.Lock()
	if sites.changes == changes {
		sites.loaded[path] = entry{snapshot, now}
	}
	sites.mu.Unlock()
	return snapshot, nil
}

func (sites *Sites) drop(path string) {
	sites.mu.Lock()
	defer sites.mu.Unlock()
	sites.changes++
	if path == store.House {
		sites.list.checked = time.Time{}
		return
	}
	if e, ok := sites.loaded[path]; ok {
		e.checked = time.Time{}
		sites.loaded[path] = e
	}
}

// Store returns the store that everything else should use: a change of a site
// that commits through it is seen by the next Load.
func (sites *Sites) Store() store.Store { return watched{sites.store, sites} }

type watched struct {
	store.Store
	sites *Sites
}

func (w watched) Update(ctx context.Context, site string, fn func(store.Tx) error) error {
	var changed bool
	err := w.Store.Update(ctx, site, func(tx store.Tx) error {
		noting := &notingTx{Tx: tx}
		err := fn(noting)
		changed = noting.changed
		return err
	})
	if changed { // even after an error: an unknown outcome may have been a commit
		w.sites.drop(site)
	}
	return err
}

// Unwrap returns the engine underneath, for backup and check.
func (w watched) Unwrap() store.Store { return w.Store }

type notingTx struct {
	store.Tx
	changed bool
}

func (t *notingTx) Put(kind store.Kind, key, value []byte, expires time.Time) error {
	if kind == store.Counters.Kind && string(key) == store.SiteVersion {
		t.changed = true
	}
	return t.Tx.Put(kind, key, value, expires)
}

// GetExpired lets the table layer see records that wait for the sweep.
func (t *notingTx) GetExpired(kind store.Kind, key []byte) ([]byte, error) {
	if e, ok := t.Tx.(store.Expirable); ok {
		return e.GetExpired(kind, key)
	}
	return t.Get(kind, key)
}
