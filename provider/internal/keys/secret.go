package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/chatelaine-id/chatelaine/store"
)

// Names of secrets that several packages know of; Ensure makes them, so that no
// transaction needs to.
const (
	SecretAudit      = "audit"            // MACs audit records
	SecretCheckpoint = "audit-checkpoint" // signs checkpoints of the audit log
	SecretFlow       = store.SecretFlow
	SecretPasskey    = store.SecretPasskey
	SecretCode       = store.SecretCode
	SecretVisitor    = store.SecretVisitor
	SecretMark       = "visitor-mark" // MACs what visitors are found by
)

type secretName struct{ path, name string }

// Secret returns 32 random bytes that belong to the site (or store.House) with
// that path, made at the first call for a name. They are shared: do not change
// them.
func (k *Keys) Secret(ctx context.Context, path, name string) ([]byte, error) {
	if v, ok := k.secrets.Load(secretName{path, name}); ok {
		return v.([]byte), nil
	}
	secret, err := k.openSecret(ctx, path, name)
	if errors.Is(err, store.ErrNotFound) {
		if err = k.makeSecret(ctx, path, name); err == nil || errors.Is(err, store.ErrExists) {
			secret, err = k.openSecret(ctx, path, name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	v, _ := k.secrets.LoadOrStore(secretName{path, name}, secret)
	return v.([]byte), nil
}

func (k *Keys) openSecret(ctx context.Context, path, name string) (secret []byte, err error) {
	var rec store.Secret
	err = k.Store.View(ctx, path, func(tx store.Tx) (err error) {
		rec, err = store.Secrets.Get(tx, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k.Sealer.Open(path, store.Secrets.Kind, name, rec.Sealed)
}

func (k *Keys) makeSecret(ctx context.Context, path, name string) error {
	_, rec, err := k.newSecret(path, name)
	if err != nil {
		return err
	}
	return k.Store.Update(ctx, path, func(tx store.Tx) error { return store.Secrets.Create(tx, &rec) })
}

// SecretIn is Secret inside a transaction of the site's.
func (k *Keys) SecretIn(tx store.Tx, name string) ([]byte, error) {
	path := tx.Site()
	if v, ok := k.secrets.Load(secretName{path, name}); ok {
		return v.([]byte), nil
	}
	rec, err := store.Secrets.Get(tx, name)
	if errors.Is(err, store.ErrNotFound) { // kept by a later call: this transaction may not commit
		var plain []byte
		if plain, rec, err = k.newSecret(path, name); err == nil {
			err = store.Secrets.Put(tx, &rec)
		}
		return plain, err
	}
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	return k.Sealer.Open(path, store.Secrets.Kind, name, rec.Sealed)
}

func (k *Keys) newSecret(path, name string) ([]byte, store.Secret, error) {
	plain := make([]byte, 32)
	rand.Read(plain)
	sealed, err := k.Sealer.Seal(path, store.Secrets.Kind, name, plain)
	return plain, store.Secret{Name: name, Sealed: sealed, Created: k.Now()}, err
}
