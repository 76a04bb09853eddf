package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// Ensure makes the keys that a site must have, ES256 and RS256, those for algs,
// and its secrets. On a site that has no keys yet all of them sign at once.
// Later ones are published first: then Ensure returns a *NotYetActive for an alg
// that was asked for, and nothing should be told to sign with it before its time.
func (k *Keys) Ensure(ctx context.Context, path string, algs ...string) error {
	for _, name := range []string{SecretAudit, SecretCheckpoint, SecretFlow, SecretPasskey, SecretCode, SecretVisitor, SecretMark} {
		if _, err := k.Secret(ctx, path, name); err != nil {
			return err
		}
	}
	wanted := slices.Compact(slices.Sorted(slices.Values(append([]string{ES256, RS256}, algs...))))
	records, err := k.records(ctx, path)
	if err != nil {
		return err
	}
	made, err := k.missing(path, wanted, records)
	if err != nil {
		return err
	}
	if len(made) > 0 {
		if records, err = k.publish(ctx, path, made); err != nil {
			return fmt.Errorf("make signing keys: %w", err)
		}
	}
	return usable(records, wanted, k.Now())
}

// missing makes a key for each algorithm that has none: outside a transaction,
// because an RSA key takes its time.
func (k *Keys) missing(path string, wanted []string, have []store.SigningKey) (made []store.SigningKey, err error) {
	now := k.Now()
	for _, alg := range wanted {
		if slices.ContainsFunc(have, func(r store.SigningKey) bool { return r.Alg == alg && !withdrawn(&r, now) && r.Retires.IsZero() }) {
			continue
		}
		rec, err := k.fresh(path, alg)
		if err != nil {
			return nil, err
		}
		made = append(made, rec)
	}
	return made, nil
}

func (k *Keys) fresh(path, alg string) (store.SigningKey, error) {
	private, err := generate(alg)
	if err != nil {
		return store.SigningKey{}, err
	}
	return k.seal(path, alg, private)
}

// publish stores the keys for algorithms that nobody else has made one for
// meanwhile, and returns all.
func (k *Keys) publish(ctx context.Context, path string, made []store.SigningKey) (records []store.SigningKey, err error) {
	err = k.Store.Update(ctx, path, func(tx store.Tx) error {
		if records, err = all(tx); err != nil {
			return err
		}
		now := k.Now()
		activates := now.Add(PublishAhead)
		if len(records) == 0 {
			activates = now
		}
		for _, rec := range made {
			if slices.ContainsFunc(records, func(r store.SigningKey) bool { return r.Alg == rec.Alg && r.Retires.IsZero() }) {
				continue
			}
			rec.Created, rec.Published, rec.Activates = now, now, activates
			if err := store.SigningKeys.Create(tx, &rec); err != nil {
				return err
			}
			if err := k.changed(ctx, tx, Change{"create", rec.Alg, rec.KID, rec.Activates}); err != nil {
				return err
			}
			records = append(records, rec)
		}
		return nil
	})
	return records, err
}

// usable returns a *NotYetActive for the first algorithm that cannot sign yet.
func usable(records []store.SigningKey, wanted []string, now time.Time) error {
	for _, alg := range wanted {
		var pending time.Time
		ok := false
		for _, r := range records {
			if r.Alg == alg && active(&r, now) {
				ok = true
			}
			if r.Alg == alg && r.Activates.After(now) {
				pending = r.Activates
			}
		}
		if !ok && !pending.IsZero() {
			return &NotYetActive{alg, pending}
		}
	}
	return nil
}

// Rotate makes a new key for alg. It is published now and signs when every
// verifier knows it; then the old one retires, and stays published until its
// last token has expired. A rotation that is under way already is a *NotYetActive.
func (k *Keys) Rotate(ctx context.Context, path, alg string) error {
	return k.replace(ctx, path, alg, false)
}

// Withdraw replaces the keys for alg at once, because somebody else may hold
// them: they leave the JWKS now, and the new one signs now. Verifiers that keep
// the JWKS fail on its tokens until they fetch it again, and accept forged ones
// until then; the caller should announce on the revocation feed that every
// earlier token is void.
func (k *Keys) Withdraw(ctx context.Context, path, alg string) error {
	return k.replace(ctx, path, alg, true)
}

func (k *Keys) replace(ctx context.Context, path, alg string, compromised bool) error {
	rec, err := k.fresh(path, alg)
	if err != nil {
		return err
	}
	err = k.Store.Update(ctx, path, func(tx store.Tx) error {
		now := k.Now()
		old, err := replaceable(tx, alg, now, compromised)
		if err != nil {
			return err
		}
		rec.Created, rec.Published, rec.Activates = now, now, now.Add(PublishAhead)
		change := Change{"rotate", alg, rec.KID, rec.Activates}
		if compromised {
			rec.Activates, change = now, Change{"withdraw", alg, rec.KID, now}
		}
		keep, err := afterlife(tx)
		if err != nil {
			return err
		}
		for _, r := range old {
			if compromised {
				r.Private, r.Retires, r.Withdrawn = nil, now, now
			} else {
				r.Retires, r.Withdrawn = rec.Activates, rec.Activates.Add(keep)
			}
			if err := store.SigningKeys.Put(tx, &r); err != nil {
				return err
			}
		}
		if err := store.SigningKeys.Create(tx, &rec); err != nil {
			return err
		}
		return k.changed(ctx, tx, change)
	})
	if err != nil {
		return fmt.Errorf("rotate the %s key: %w", alg, err)
	}
	return nil
}

// replaceable lists the keys that a new one takes over from; of compromised ones
// those that have retired too.
func replaceable(tx store.Tx, alg string, now time.Time, compromised bool) (old []store.SigningKey, err error) {
	records, err := all(tx)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		switch {
		case r.Alg != alg || withdrawn(&r, now):
		case compromised:
			old = append(old, r)
		case r.Activates.After(now):
			return nil, &NotYetActive{alg, r.Activates}
		case r.Retires.IsZero():
			old = append(old, r)
		}
	}
	if len(old) == 0 {
		return nil, ErrNoKey
	}
	return old, nil
}

// afterlife is how long a key stays published after its last signature: the
// longest life of a token, the age of a verifier's JWKS, and leeway.
func afterlife(tx store.Tx) (time.Duration, error) {
	settings, err := store.GetSettings(tx)
	if err != nil {
		return 0, err
	}
	l := settings.Lifetimes.OrDefault()
	return time.Duration(max(l.AccessToken, l.IDToken, l.VisitorToken))*time.Second + JWKSMaxAge + 2*time.Minute, nil
}

// RotateDue rotates, in every site, the keys that have signed for MaxAge, and
// removes those whose time is over. Call it every minute or so.
func (k *Keys) RotateDue(ctx context.Context) error {
	sites, err := k.Sites.All(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range sites {
		if err := k.rotateDue(ctx, s.Path); err != nil {
			failed = append(failed, fmt.Errorf("site %q: %w", s.Path, err))
		}
	}
	return errors.Join(failed...)
}

func (k *Keys) rotateDue(ctx context.Context, path string) error {
	records, err := k.records(ctx, path)
	if err != nil {
		return err
	}
	now := k.Now()
	tidy := false
	for _, r := range records {
		tidy = tidy || !r.Withdrawn.IsZero()
		if r.Retires.IsZero() && !now.Before(r.Activates.Add(MaxAge)) {
			if err := k.Rotate(ctx, path, r.Alg); err != nil && !errors.Is(err, ErrNotYetActive) {
				return err
			}
		}
	}
	if !tidy {
		return nil
	}
	return k.tidy(ctx, path)
}

// tidy removes keys whose time is over, and gives retired ones more if tokens
// live longer now.
func (k *Keys) tidy(ctx context.Context, path string) error {
	records, err := k.records(ctx, path)
	if err != nil {
		return err
	}
	var keep time.Duration
	if err := k.Store.View(ctx, path, func(tx store.Tx) (err error) { keep, err = afterlife(tx); return err }); err != nil {
		return err
	}
	now := k.Now()
	due := slices.ContainsFunc(records, func(r store.SigningKey) bool { return withdrawn(&r, now) || lengthened(&r, keep) })
	if !due {
		return nil
	}
	err = k.Store.Update(ctx, path, func(tx store.Tx) error {
		records, err := all(tx)
		if err != nil {
			return err
		}
		for _, r := range records {
			switch {
			case withdrawn(&r, now):
				err = store.SigningKeys.Delete(tx, r.KID)
			case lengthened(&r, keep):
				r.Withdrawn = r.Retires.Add(keep)
				err = store.SigningKeys.Put(tx, &r)
			}
			if err != nil {
				return err
			}
		}
		return site.Changed(tx)
	})
	if err != nil {
		return fmt.Errorf("tidy signing keys: %w", err)
	}
	return nil
}

func lengthened(r *store.SigningKey, keep time.Duration) bool {
	return !r.Withdrawn.IsZero() && len(r.Private) > 0 && r.Withdrawn.Before(r.Retires.Add(keep))
}

// Run calls RotateDue every minute until ctx ends. What fails is tried again.
func (k *Keys) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := k.RotateDue(ctx); err != nil && ctx.Err() == nil && k.Failed != nil {
			k.Failed(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
