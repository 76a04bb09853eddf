package federation

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// When metadata that stands at a URL is read again.
const (
	fetchEvery = time.Hour       // after a good one, unless it asks for less or more
	fetchLeast = 5 * time.Minute // whatever it asks for
	fetchMost  = 24 * time.Hour
	fetchAgain = time.Minute     // after a fault, and longer with each
	fetchSoon  = 5 * time.Second // where there is none yet and somebody waits
)

// idp is the connection's identity provider. What stands at a URL is read in the
// background, and here only if it never was.
func (x *Federation) idp(ctx context.Context, at *attempt) (saml.IdP, error) {
	c := at.conn.SAML
	switch {
	case c.MetadataURL != "":
		return x.fetchedIdP(ctx, at)
	case c.MetadataXML != "":
		return x.cachedIdP(at, []byte(c.MetadataXML), time.Time{})
	}
	idp, err := at.cached(time.Time{}, func() (saml.IdP, error) { return idpByHand(c) })
	if err != nil {
		return saml.IdP{}, refuse(codeProviderDown, "%v", err)
	}
	return idp, nil
}

type idpKey struct{ connection string }

// parsedIdP is a connection's provider in one snapshot of the site, as it was read
// last.
type parsedIdP struct {
	mu      sync.Mutex
	fetched time.Time
	has     bool
	idp     saml.IdP
}

// cached parses the provider once for each time that it was fetched.
func (at *attempt) cached(fetched time.Time, parse func() (saml.IdP, error)) (saml.IdP, error) {
	v, err := at.site.Cached(idpKey{at.conn.ID}, func() (any, error) { return &parsedIdP{}, nil })
	if err != nil {
		return saml.IdP{}, err
	}
	p := v.(*parsedIdP)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.has || !p.fetched.Equal(fetched) {
		idp, err := parse()
		if err != nil {
			return saml.IdP{}, err
		}
		p.has, p.fetched, p.idp = true, fetched, idp
	}
	return p.idp, nil
}

func (x *Federation) cachedIdP(at *attempt, document []byte, fetched time.Time) (saml.IdP, error) {
	idp, err := at.cached(fetched, func() (saml.IdP, error) { return x.parseMetadata(at.conn, document, x.Now()) })
	if err != nil {
		return saml.IdP{}, refuse(codeProviderDown, "its metadata cannot be used: %v", err)
	}
	if !idp.ValidUntil.IsZero() && !x.Now().Before(idp.ValidUntil) {
		at.check("metadata", false, "valid until later than now", idp.ValidUntil.Format(time.RFC3339))
		return saml.IdP{}, refuse(codeProviderDown, "its metadata was valid until %s", idp.ValidUntil.Format(time.RFC3339))
	}
	return idp, nil
}

func (x *Federation) parseMetadata(c *store.Connection, document []byte, now time.Time) (saml.IdP, error) {
	certificates, err := parseCertificates(c.SAML.MetadataCertificates)
	if err != nil {
		return saml.IdP{}, err
	}
	idp, checks, err := saml.ParseMetadata(document, saml.MetadataOptions{EntityID: c.SAML.EntityID, Certificates: certificates, Now: now})
	if err != nil && webPage.Match(document) {
		return idp, errors.New("it is a web page, and no SAML metadata")
	}
	for _, one := range checks {
		if err != nil && !one.OK {
			return idp, fmt.Errorf("%s: expected %s, got %s", one.Name, one.Expected, cutTo(cmp.Or(one.Got, "nothing"), maxShown))
		}
	}
	return idp, err
}

var webPage = regexp.MustCompile(`(?i)^\s*<(!doctype html|html)\b`)

// idpByHand is one whose addresses and certificates the site file names.
func idpByHand(c *store.SAMLConnection) (saml.IdP, error) {
	certificates, err := parseCertificates(c.Certificates)
	if err != nil {
		return saml.IdP{}, err
	}
	idp := saml.IdP{EntityID: c.EntityID, Certificates: certificates, SSO: map[saml.Binding]string{}, SLO: map[saml.Binding]string{}}
	binding := saml.Redirect
	if c.SSOBinding == "post" {
		binding = saml.Post
	}
	idp.SSO[binding] = c.SSOURL
	if c.SLOURL != "" {
		idp.SLO[saml.Redirect] = c.SLOURL
	}
	return idp, nil
}

func parseCertificates(texts []string) (list []*x509.Certificate, err error) {
	for i, text := range texts {
		c, err := saml.ParseCertificate(text)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		list = append(list, c)
	}
	return list, nil
}

func (x *Federation) fetchedIdP(ctx context.Context, at *attempt) (saml.IdP, error) {
	rec, err := x.fetched(ctx, at)
	if err != nil {
		return saml.IdP{}, err
	}
	if len(rec.Body) == 0 {
		if rec, err = x.fetchIf(ctx, at, x.neverHad); err != nil {
			return saml.IdP{}, err
		}
	}
	if len(rec.Body) == 0 {
		at.check("metadata", false, "metadata at "+at.conn.SAML.MetadataURL, rec.Fault)
		return saml.IdP{}, refuse(codeProviderDown, "its metadata could not be read yet: %s", rec.Fault)
	}
	return x.cachedIdP(at, rec.Body, rec.At)
}

// neverHad says that metadata that was never read is worth another try: somebody
// waits for it.
func (x *Federation) neverHad(rec store.Fetched) bool {
	return len(rec.Body) == 0 && !x.Now().Before(rec.Tried.Add(fetchSoon))
}

// fetched is what was fetched for the connection; the zero Fetched if nothing was,
// or from another URL.
func (x *Federation) fetched(ctx context.Context, at *attempt) (rec store.Fetched, err error) {
	err = x.Store.View(ctx, at.site.Path, func(tx store.Tx) error {
		rec, err = store.AllFetched.Get(tx, at.conn.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && rec.URL != at.conn.SAML.MetadataURL {
			rec = store.Fetched{}
			return nil
		}
		return err
	})
	return rec, err
}

// fetch reads the metadata anew if it is due.
func (x *Federation) fetch(ctx context.Context, at *attempt) (store.Fetched, error) {
	return x.fetchIf(ctx, at, func(rec store.Fetched) bool { return !x.Now().Before(rec.Next) })
}

// fetchIf reads the metadata anew if it is due, one at a time; others wait for what
// comes of that, and no longer than their own request lasts.
func (x *Federation) fetchIf(ctx context.Context, at *attempt, due func(store.Fetched) bool) (store.Fetched, error) {
	slot, _ := x.fetches.LoadOrStore(at.site.Path+" "+at.conn.ID, make(chan struct{}, 1))
	select {
	case slot.(chan struct{}) <- struct{}{}:
	case <-ctx.Done():
		return store.Fetched{}, ctx.Err()
	}
	defer func() { <-slot.(chan struct{}) }()
	rec, err := x.fetched(ctx, at)
	if err != nil || !due(rec) {
		return rec, err
	}
	return x.fetchNew(context.WithoutCancel(ctx), at, rec) // for all who wait, whoever goes away
}

// fetchNew reads it. One that cannot be used leaves the last good one as it was; its
// fault is kept for administrators.
func (x *Federation) fetchNew(ctx context.Context, at *attempt, rec store.Fetched) (store.Fetched, error) {
	url := at.conn.SAML.MetadataURL
	body, fault := web.Fetch(ctx, x.Client, url)
	now := x.Now().UTC()
	var idp saml.IdP
	if fault == nil {
		idp, fault = x.parseMetadata(at.conn, body, now)
	}
	if fault == nil && len(rec.Body) > 0 {
		fault = x.sameProvider(at.conn, &rec, idp)
	}
	before := rec
	rec.Connection, rec.URL, rec.Tried = at.conn.ID, url, now
	if fault != nil {
		rec.Fault = cutTo(fault.Error(), 2*maxShown)
		rec.Next = now.Add(retry(before, now))
	} else {
		rec.Fault = ""
		rec.Next = now.Add(min(max(cmp.Or(idp.CacheDuration, fetchEvery), fetchLeast), fetchMost))
		if !bytes.Equal(rec.Body, body) || rec.At.IsZero() {
			rec.Body, rec.At = body, now
		}
	}
	err := x.Store.Update(ctx, at.site.Path, func(tx store.Tx) error { return store.AllFetched.Put(tx, &rec) })
	return rec, err
}

// retry is how long to wait after a fault: as long again as since the last good
// try, within limits.
func retry(before store.Fetched, now time.Time) time.Duration {
	since := now.Sub(before.Tried)
	if before.Fault == "" || before.Tried.IsZero() {
		return fetchAgain
	}
	return min(max(2*since, fetchAgain), fetchEvery)
}

// sameProvider refuses metadata that has become another provider's: whoever holds
// the URL does not get to say who is whom.
func (x *Federation) sameProvider(c *store.Connection, last *store.Fetched, idp saml.IdP) error {
	known, err := x.parseMetadata(c, last.Body, last.At) // it may have expired since: its name is still the one
	if err != nil {
		return nil //nolint:nilerr // it is good no more by the connection as it is now: there is nothing to compare with
	}
	if known.EntityID != idp.EntityID {
		return fmt.Errorf("the entity ID has changed from %q to %q: set `entity_id` if that is meant", cutTo(known.EntityID, maxShown), cutTo(idp.EntityID, maxShown))
	}
	return nil
}

// refreshAtOnce is how many providers are asked at a time: one that does not answer
// keeps the others waiting for no longer than its share.
const refreshAtOnce = 16

// refreshAll reads the metadata of every connection that is due, of all sites.
func (x *Federation) refreshAll(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	slots := make(chan struct{}, refreshAtOnce)
	sites, err := x.Sites.All(ctx)
	if err != nil {
		x.Failed(err)
		return
	}
	for _, rec := range sites {
		s, err := x.Sites.Load(ctx, rec.Path)
		if err != nil {
			x.Failed(err)
			continue
		}
		for _, c := range s.Connections() {
			if c.Kind != store.ConnectionSAML || c.Disabled || ctx.Err() != nil {
				continue
			}
			if err := x.warn(ctx, s, c); err != nil {
				x.Failed(fmt.Errorf("look at the certificates of connection %s: %w", c.ID, err))
			}
			if c.SAML.MetadataURL == "" {
				continue
			}
			slots <- struct{}{}
			asking.Go(func() {
				defer func() { <-slots }()
				if _, err := x.fetch(ctx, &attempt{site: s, conn: c, step: "check"}); err != nil && ctx.Err() == nil {
					x.Failed(fmt.Errorf("read the metadata of connection %s: %w", c.ID, err))
				}
			})
		}
	}
}

// refreshEvery is how often it is looked what is due, refreshFirst how long after
// the start, which has enough to do.
const (
	refreshEvery = time.Minute
	refreshFirst = time.Second
)

// Run reads metadata anew when it is due, until ctx ends.
func (x *Federation) Run(ctx context.Context) error {
	wait := time.NewTimer(refreshFirst)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
		}
		x.refreshAll(ctx)
		wait.Reset(refreshEvery)
	}
}
