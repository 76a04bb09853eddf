package audit

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

var tables = []store.Kind{store.AuditEntries.Kind, store.AuditPersonals.Kind, store.AuditHeads.Kind, store.UnsealedAudits.Kind}

// tampered shows one value other than it is stored, with a checksum that fits.
type tampered struct {
	store.Store
	kind  store.Kind
	key   string
	value []byte
}

func (s *tampered) View(ctx context.Context, path string, fn func(store.Tx) error) error {
	return s.Store.View(ctx, path, func(tx store.Tx) error {
		met := false
		if err := fn(tamperedTx{tx, s, &met}); err != nil || s.value != nil || !met {
			return err
		}
		return store.ErrDamaged // as an engine's transaction does once it has met one
	})
}

type tamperedTx struct {
	store.Tx
	s   *tampered
	met *bool
}

func (t tamperedTx) Get(kind store.Kind, key []byte) ([]byte, error) {
	if kind == t.s.kind && string(key) == t.s.key {
		if *t.met = true; t.s.value == nil {
			return nil, store.ErrDamaged
		}
		return t.s.value, nil
	}
	return t.Tx.Get(kind, key)
}

func (t tamperedTx) Scan(kind store.Kind, from, to []byte) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		for item, err := range t.Tx.Scan(kind, from, to) {
			if kind == t.s.kind && string(item.Key) == t.s.key {
				*t.met = true
				if item.Value = t.s.value; item.Value == nil {
					item, err = store.Item{}, store.ErrDamaged
				}
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// values lists what the audit log has stored.
func (h *house) values() (all []tampered) {
	h.t.Helper()
	if err := h.Store.View(h.t.Context(), "", func(tx store.Tx) error {
		for _, kind := range tables {
			for item, err := range tx.Scan(kind, nil, nil) {
				if err != nil {
					return err
				}
				all = append(all, tampered{h.Store, kind, string(item.Key), bytes.Clone(item.Value)})
			}
		}
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
	return all
}

func TestOneChangedBitAnywhereIsNamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	e := signIn
	e.Result, e.Reason, e.Changes = Refused, "a<b>&c", []Change{{Field: "name", Old: "Ana", New: "Anna", Personal: true}}
	h.record(signIn, e, Event{Action: SiteApply})
	h.seal()
	if err := h.Store.Update(t.Context(), "", func(tx store.Tx) error { return h.Erase(tx, 2, "email") }); err != nil {
		t.Fatal(err)
	}
	h.record(e)
	original, n := h.Store, 0
	for _, v := range h.values() {
		for i := range v.value {
			for bit := range 8 {
				n++
				changed := v
				changed.value = bytes.Clone(v.value)
				changed.value[i] ^= 1 << bit
				h.Store = &changed
				r := h.verify()
				h.Store = original
				if r.Whole() || !named2(r.Problem, v.kind, v.key) {
					t.Fatalf("%s %s, byte %d, bit %d of %s: %s", v.kind, v.key, i, bit, v.value, r)
				}
			}
		}
	}
	t.Logf("%d changes", n)
	if r := h.verify(); !r.Whole() {
		t.Errorf("unchanged: %s", r)
	}
}

// named2 reports whether the problem names the place that was changed.
func named2(p *Problem, kind store.Kind, key string) bool {
	switch kind {
	case store.AuditHeads.Kind:
		return p.Where == "head"
	case store.UnsealedAudits.Kind:
		return p.Where == "unsealed record "+key
	}
	return store.AuditKey(p.Sequence) == key && p.Where == fmt.Sprintf("entry %d", p.Sequence)
}

func TestADamagedRecordIsNamedToo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn, signIn, signIn)
	h.seal()
	h.record(signIn)
	for _, v := range h.values() {
		changed := v
		changed.value = nil // the engine found its checksum wrong
		log := *h
		log.Log = &Log{Options: h.Options}
		log.Store = &changed
		if r := log.verify(); r.Whole() || v.kind != store.UnsealedAudits.Kind && !named2(r.Problem, v.kind, v.key) {
			t.Errorf("%s %s: %s", v.kind, v.key, r)
		}
	}
}

// put writes into the store behind the log's back.
func (h *house) put(fn func(tx store.Tx) error) {
	h.t.Helper()
	if err := h.Store.Update(h.t.Context(), "", fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) chain() (entries []store.AuditEntry, head store.AuditHead) {
	h.t.Helper()
	if err := h.Store.View(h.t.Context(), "", func(tx store.Tx) (err error) {
		entries = nil
		for e, err := range store.AuditEntries.All(tx, "") {
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
		head, err = loadHead(tx)
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return entries, head
}

func TestChangesOfTheChainAreNamed(t *testing.T) {
	t.Parallel()
	type chain struct {
		entries []store.AuditEntry
		head    store.AuditHead
	}
	// relink is what an attacker without the key can do.
	relink := func(c *chain) {
		var before []byte
		for i := range c.entries {
			c.entries[i].Sequence = uint64(i + 1)
			c.entries[i].Link = link("", before, &c.entries[i])
			before = c.entries[i].Link
		}
		c.head.Sequence, c.head.Link = uint64(len(c.entries)), before
	}
	for name, c := range map[string]struct {
		change func(*chain)
		want   string
	}{
		"deleted":              {func(c *chain) { c.entries = append(c.entries[:4:4], c.entries[5:]...) }, "entry 5"},
		"deleted and relinked": {func(c *chain) { c.entries = append(c.entries[:4:4], c.entries[5:]...); relink(c) }, "head"},
		"edited and relinked":  {func(c *chain) { c.entries[4].Body = []byte(`{"t":1,"a":"site.apply"}`); relink(c) }, "head"},
		"deleted and relinked, head left": {func(c *chain) {
			head := c.head
			c.entries = append(c.entries[:4:4], c.entries[5:]...)
			relink(c)
			c.head = head
		}, "entry 5"},
		"swapped":             {func(c *chain) { c.entries[3].Body, c.entries[6].Body = c.entries[6].Body, c.entries[3].Body }, "entry 4"},
		"swapped with places": {func(c *chain) { c.entries[3].Sequence, c.entries[6].Sequence = 7, 4 }, "entry 4"},
		"inserted": {func(c *chain) {
			e := c.entries[2]
			e.Sequence = 11
			c.entries = append(c.entries, e)
		}, "entry 11"},
		"tail cut":          {func(c *chain) { c.entries = c.entries[:7] }, "entry 8"},
		"tail cut and head": {func(c *chain) { c.entries = c.entries[:7]; c.head.Sequence, c.head.Link = 7, c.entries[6].Link }, "head"},
		"all gone":          {func(c *chain) { c.entries = nil }, "entry 1"},
		"all and head gone": {func(c *chain) { c.entries, c.head = nil, store.AuditHead{} }, "entry 1"}, // by the checkpoint
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			for i := range 10 {
				h.record(Event{Action: SiteApply, Reason: fmt.Sprint(i)})
			}
			h.seal()
			if err := h.checkpoint(t.Context(), "", true); err != nil {
				t.Fatal(err)
			}
			var was chain
			was.entries, was.head = h.chain()
			is := chain{append([]store.AuditEntry(nil), was.entries...), was.head}
			c.change(&is)
			h.put(func(tx store.Tx) error {
				for _, e := range was.entries {
					if err := store.AuditEntries.Delete(tx, store.AuditKey(e.Sequence)); err != nil {
						return err
					}
				}
				for _, e := range is.entries {
					if err := store.AuditEntries.Put(tx, &e); err != nil {
						return err
					}
				}
				if is.head.Sequence == 0 {
					return store.AuditHeads.Delete(tx, store.AuditHeadKey)
				}
				return store.AuditHeads.Put(tx, &is.head)
			})
			if r := h.verify(); r.Whole() || r.Problem.Where != c.want {
				t.Errorf("%s, not %s", r, c.want)
			}
		})
	}
}

func TestPersonalValuesCannotVanishUnnoticed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn, signIn)
	h.seal()
	h.put(func(tx store.Tx) error { return store.AuditPersonals.Delete(tx, store.AuditKey(2)) })
	if r := h.verify(); r.Whole() || r.Problem.Sequence != 2 {
		t.Errorf("deleted: %s", r)
	}
	h = newHouse(t)
	h.record(Event{Action: SiteApply})
	h.seal()
	h.put(func(tx store.Tx) error { return store.AuditPersonals.Put(tx, &store.AuditPersonal{Sequence: 9}) })
	if r := h.verify(); r.Whole() {
		t.Errorf("planted: %s", r)
	}
}

func TestAForgedUnsealedRecordIsNamedForEver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn)
	h.put(func(tx store.Tx) error {
		return store.UnsealedAudits.Put(tx, &store.UnsealedAudit{ID: newID(time.Now().Add(time.Second)), Body: []byte(`{"t":1,"a":"site.apply"}`), MAC: make([]byte, macSize)})
	})
	if r := h.verify(); r.Whole() || r.Unsealed != 2 || !strings.HasPrefix(r.Problem.Where, "unsealed") {
		t.Errorf("before sealing: %s", r)
	}
	h.seal()
	h.record(signIn)
	h.seal()
	if r := h.verify(); r.Whole() || r.Problem.Sequence != 2 {
		t.Errorf("after: %s", r)
	}
}

func TestAnOlderCopyIsSeenFromOutside(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn, signIn)
	h.seal()
	h.close()
	file := filepath.Join(h.dir, "audit.db")
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h = openHouse(t, h.dir)
	h.record(signIn, signIn, signIn)
	h.seal()
	if err := h.checkpoint(t.Context(), "", false); err != nil { // the first is due at once
		t.Fatal(err)
	}
	if r := h.verify(); !r.Whole() || r.LastCheckpoint != 5 {
		t.Fatalf("%s", r)
	}
	h.close()
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	h = openHouse(t, h.dir)
	if r := h.verify(); r.Whole() || r.Problem.Sequence != 3 || !strings.Contains(r.Problem.What, "cut") {
		t.Errorf("rolled back: %s", r)
	}
	h.record(signIn, signIn, signIn)
	h.seal()
	if r := h.verify(); r.Whole() || r.Problem.Sequence != 5 {
		t.Errorf("rolled back and filled up: %s", r)
	}
	h.close()
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	h = openHouse(t, h.dir)
	if err := h.Restored(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	h.record(signIn)
	h.seal()
	if r := h.verify(); !r.Whole() || r.Entries != 3 {
		t.Errorf("restored on purpose: %s", r)
	}
}

func TestTheCheckpointFileIsSignedAndSurvivesACrash(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn)
	h.seal()
	if err := os.WriteFile(h.Checkpoints, []byte(`{"site":"","se`), 0o600); err != nil { // half a line
		t.Fatal(err)
	}
	if err := h.checkpoint(t.Context(), "", true); err != nil {
		t.Fatal(err)
	}
	if r := h.verify(); !r.Whole() || r.Checkpoints != 1 {
		t.Errorf("after a crash: %s", r)
	}
	b, err := os.ReadFile(h.Checkpoints)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Checkpoints, bytes.Replace(b, []byte(`"seq":1`), []byte(`"seq":2`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := h.verify(); r.Whole() || r.Problem.Where != "checkpoint file, line 2" {
		t.Errorf("edited: %s", r)
	}
}

func TestALongChainIsVerifiedPageByPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const n = 2*verifyPage + 1
	h.put(func(tx store.Tx) error {
		for range n {
			if err := h.Record(client(t.Context()), tx, signIn); err != nil {
				return err
			}
		}
		return nil
	})
	h.seal()
	if r := h.verify(); !r.Whole() || r.Entries != n {
		t.Errorf("%s", r)
	}
	if got := h.all(Filter{}); len(got) != n || got[n-1].Sequence != n {
		t.Errorf("%d found", len(got))
	}
	h.put(func(tx store.Tx) error { return store.AuditEntries.Delete(tx, store.AuditKey(verifyPage+1)) })
	if r := h.verify(); r.Whole() || r.Problem.Sequence != verifyPage+1 {
		t.Errorf("%s", r)
	}
}
