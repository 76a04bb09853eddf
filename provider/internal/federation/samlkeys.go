package federation

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// certificateLife is long: peers pin the certificate, and ask of it nothing but
// the key.
const certificateLife = 10 * 365 * 24 * time.Hour

// pair is one of our key pairs for a connection.
type pair struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
	activates   time.Time
}

func (p pair) signer() *saml.Signer { return &saml.Signer{Key: p.key, Certificate: p.certificate} }

type pairsKey struct{ connection string }

// pairs are the connection's, the one that signs first. The first is made when it
// is asked for.
func (x *Federation) pairsOf(ctx context.Context, at *attempt) ([]pair, error) {
	v, err := at.site.Cached(pairsKey{at.conn.ID}, func() (any, error) {
		list, err := x.loadPairs(ctx, at)
		if err == nil && len(list) == 0 {
			list, err = x.makePair(ctx, at)
		}
		return list, err
	})
	if err != nil {
		return nil, fmt.Errorf("keys of connection %s: %w", at.conn.ID, err)
	}
	list := slices.Clone(v.([]pair))
	now := x.Now()
	arrange.By(list, func(a, b pair) int { // the newest that has begun, then older ones, then those to come
		if begunA, begunB := !a.activates.After(now), !b.activates.After(now); begunA != begunB {
			if begunA {
				return -1
			}
			return 1
		}
		return b.activates.Compare(a.activates)
	})
	return list, nil
}

func (x *Federation) loadPairs(ctx context.Context, at *attempt) (list []pair, err error) {
	var recs []store.ConnectionKey
	err = x.Store.View(ctx, at.site.Path, func(tx store.Tx) error {
		recs = recs[:0]
		for rec, err := range store.ConnectionKeys.List(tx, "connection", at.conn.ID) {
			if err != nil {
				return err
			}
			recs = append(recs, rec)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, rec := range recs {
		plain, err := x.Sealer.Open(at.site.Path, store.ConnectionKeys.Kind, rec.ID, rec.Private)
		if err != nil {
			return nil, err
		}
		key, err := x509.ParsePKCS8PrivateKey(plain)
		if err != nil {
			return nil, err
		}
		rsaKey, ok := key.(*rsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("key %s is not RSA", rec.ID)
		}
		certificate, err := x509.ParseCertificate(rec.Certificate)
		if err != nil {
			return nil, err
		}
		list = append(list, pair{rsaKey, certificate, rec.Activates})
	}
	return list, nil
}

// firstPair is the number of a connection's first pair.
const firstPair = "1"

// newPair makes a pair that signs from then on.
func (x *Federation) newPair(at *attempt, number string, activates time.Time) (rec store.ConnectionKey, err error) {
	key, err := saml.NewKey()
	if err != nil {
		return rec, err
	}
	now := x.Now().UTC()
	certificate, err := saml.NewCertificate(key, connectionURL(at.site, at.conn, ""), now.Add(-time.Hour), now.Add(certificateLife))
	if err != nil {
		return rec, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return rec, err
	}
	rec = store.ConnectionKey{ID: at.conn.ID + "/" + number, Connection: at.conn.ID, Certificate: certificate.Raw, Created: now, Activates: activates}
	rec.Private, err = x.Sealer.Seal(at.site.Path, store.ConnectionKeys.Kind, rec.ID, plain)
	return rec, err
}

// makePair makes the first. Of two nodes that do, one is kept.
func (x *Federation) makePair(ctx context.Context, at *attempt) ([]pair, error) {
	lock, _ := x.pairs.LoadOrStore(at.site.Path+" "+at.conn.ID, &sync.Mutex{})
	lock.(*sync.Mutex).Lock()
	defer lock.(*sync.Mutex).Unlock()
	if list, err := x.loadPairs(ctx, at); err != nil || len(list) > 0 {
		return list, err
	}
	rec, err := x.newPair(at, firstPair, x.Now().UTC())
	if err != nil {
		return nil, err
	}
	err = x.Store.Update(ctx, at.site.Path, func(tx store.Tx) error {
		if exists, err := store.ConnectionKeys.Has(tx, rec.ID); err != nil || exists {
			return err
		}
		return store.ConnectionKeys.Put(tx, &rec)
	})
	if err != nil {
		return nil, err
	}
	return x.loadPairs(ctx, at)
}

// sp is us, as the connection's provider knows us.
func (x *Federation) sp(ctx context.Context, at *attempt) (saml.SP, pair, error) {
	pairs, err := x.pairsOf(ctx, at)
	if err != nil {
		return saml.SP{}, pair{}, err
	}
	sp := saml.SP{
		EntityID: at.url(""), ACS: at.url("/acs"), SLO: at.url("/slo"), SignsRequests: at.conn.SAML.SignRequests,
	}
	if at.conn.SAML.NameIDFormat != "" {
		sp.NameIDFormats = []string{at.conn.SAML.NameIDFormat}
	}
	for _, p := range pairs {
		sp.Signing = append(sp.Signing, p.certificate)
		sp.Encryption = append(sp.Encryption, p.certificate)
	}
	return sp, pairs[0], nil
}

func (x *Federation) decryptionKeys(ctx context.Context, at *attempt) (keys []*rsa.PrivateKey, err error) {
	pairs, err := x.pairsOf(ctx, at)
	for _, p := range pairs[:min(len(pairs), 2)] {
		keys = append(keys, p.key)
	}
	return keys, err
}

// metadata is GET /metadata.
func (x *Federation) metadata(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "start", store.ConnectionSAML)
	if err != nil {
		return err
	}
	sp, _, err := x.sp(r.Context(), at)
	if err != nil {
		return err
	}
	document, err := saml.Metadata(sp)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/samlmetadata+xml")
	h.Set("Content-Disposition", `attachment; filename="`+at.conn.ID+`-metadata.xml"`)
	h.Set("Cache-Control", "max-age=300")
	h.Set("X-Content-Type-Options", "nosniff")
	_, err = w.Write(document) //nolint:gosec // ours, escaped, and no page: an attachment that is not sniffed
	if err != nil {
		web.Log(r.Context()).Debug().Err(err).Msg("the reader of the metadata has gone")
	}
	return nil
}
