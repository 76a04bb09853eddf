package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// RestoreKind and RestoreKey are the place in House of the mark that stands
// while a restore is under way; an engine refuses to open a store that has it.
const (
	RestoreKind = Kind("restore")
	RestoreKey  = "unfinished"
)

// ErrHalfRestored says that a restore into this store did not finish.
var ErrHalfRestored = errors.New("a restore into this store did not finish: remove it and restore again")

// Restoration says when a site's records came back from a backup, the last
// time. What was issued before At is void, however good its signature.
type Restoration struct {
	At    time.Time `json:"at"`
	Epoch uint64    `json:"epoch"` // 1 after the first restore
}

// Restorations holds the site's one, under RestorationKey.
var Restorations = Table[Restoration]{Kind: "restoration", Key: func(*Restoration) string { return RestorationKey }}

// RestorationKey is the key of the site's Restoration.
const RestorationKey = "site"

// AppendRevocation gives the entry the feed's next number and stores it.
func AppendRevocation(tx Tx, r *Revocation) error {
	n, err := Next(tx, RevocationSequence)
	if err != nil {
		return err
	}
	r.Sequence = n
	return Revocations.Put(tx, r)
}

const (
	// epochStep is how far a restore moves every counter on, so that no number
	// is given twice, not even those that were given after the backup.
	epochStep = 1 << 32
	// voidFor is how long the feed names what a restore made void; no token
	// lives longer.
	voidFor   = 31 * 24 * time.Hour
	loadBatch = 1000
)

// Restore fills an empty store from a backup. Nothing comes back that could
// have been spent, ended or revoked since: sessions, codes, token families,
// opaque tokens, links and half-done sign-ins are left out, agents and clients
// get a NotBefore of now, codes of authenticator apps count from the next step
// on, every counter jumps and the feed tells verifiers to
// refuse all older tokens. The whole backup is verified before a record is
// written.
func Restore(ctx context.Context, s Engine, sealer *Sealer, r io.ReadSeeker, now time.Time) (records int, err error) {
	if err := readBackup(r, sealer, func(Record) error { return ctx.Err() }); err != nil {
		return 0, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	if err := s.Dump(ctx, func(Record) error { return ErrNotEmpty }); err != nil {
		return 0, err
	}
	mark := Record{Site: House, Kind: RestoreKind, Key: []byte(RestoreKey)}
	if err := s.Load(ctx, []Record{mark}); err != nil {
		return 0, err
	}
	in := restorer{s: s, now: now.UTC(), dropped: transient()}
	if err := readBackup(r, sealer, func(rec Record) error { return in.take(ctx, rec) }); err != nil {
		return in.records, err
	}
	if err := s.Load(ctx, in.batch); err != nil {
		return in.records, err
	}
	for _, site := range in.sites {
		if err := s.Update(ctx, site, in.void); err != nil {
			return in.records, fmt.Errorf("void older tokens: %w", err)
		}
	}
	return in.records, s.Update(ctx, House, func(tx Tx) error { return tx.Delete(RestoreKind, []byte(RestoreKey)) })
}

// transient are the kinds that a restore leaves out: all that expire, but for
// those that only ever refuse, and what could have been used up.
func transient() map[Kind]bool {
	kinds := map[Kind]bool{}
	for _, t := range Tables() {
		if t.Expiring() {
			kinds[t.Name()] = true
		}
	}
	for _, k := range []Kind{AllSpent.Kind, Bans.Kind, AllAttempts.Kind, AllFactorTries.Kind, Revocations.Kind} {
		kinds[k] = false
	}
	kinds[BreakGlassCodes.Kind], kinds[RecoveryCodes.Kind] = true, true
	return kinds
}

// lastUsable is the latest step of RFC 6238 whose code may have been used by now,
// by a clock that is a step ahead.
func lastUsable(now time.Time) int64 { return now.Unix()/30 + 1 }

type restorer struct {
	s       Engine
	now     time.Time
	dropped map[Kind]bool
	sites   []string
	batch   []Record
	records int
}

func (in *restorer) take(ctx context.Context, rec Record) (err error) {
	if rec.Site != House && !slices.Contains(in.sites, rec.Site) {
		in.sites = append(in.sites, rec.Site)
	}
	if in.leavesOut(rec) {
		return nil
	}
	switch rec.Kind {
	case Agents.Kind:
		rec.Value, err = changed(&Agents, rec.Value, func(a *Agent) { a.NotBefore = in.now })
	case Clients.Kind:
		rec.Value, err = changed(&Clients, rec.Value, func(c *Client) { c.NotBefore = in.now })
	case Authenticators.Kind:
		rec.Value, err = changed(&Authenticators, rec.Value, func(a *Authenticator) { a.LastStep = max(a.LastStep, lastUsable(in.now)) })
	case Counters.Kind:
		rec.Value, err = changed(&Counters, rec.Value, func(c *Counter) { c.Value += epochStep })
	}
	if err != nil {
		return err
	}
	in.records++
	in.batch = append(in.batch, rec)
	if len(in.batch) < loadBatch {
		return nil
	}
	err = in.s.Load(ctx, in.batch)
	in.batch = in.batch[:0]
	return err
}

// leavesOut: a transient record, its lookups and its entry in the expiry index;
// the secrets of what was under way; and whatever else expires and is not known
// here.
func (in *restorer) leavesOut(rec Record) bool {
	if rec.Site == House && rec.Kind == RestoreKind {
		return true
	}
	if rec.Site != House && rec.Kind == Secrets.Kind && slices.Contains([]string{SecretFlow, SecretPasskey, SecretCode, SecretVisitor}, string(rec.Key)) {
		return true
	}
	kind, _, _ := strings.Cut(string(rec.Kind), "/")
	if rec.Kind == ExpiryKind {
		of, _, err := splitExpiry(rec.Key)
		return err != nil || in.dropped[of]
	}
	drop, known := in.dropped[Kind(kind)]
	return drop || !known && !rec.Expires.IsZero()
}

func changed[T any](t *Table[T], value []byte, fn func(*T)) ([]byte, error) {
	rec, err := t.decode(value)
	if err != nil {
		return nil, err
	}
	fn(&rec)
	return encode(t, &rec)
}

func (in *restorer) void(tx Tx) error {
	last, err := Restorations.Get(tx, RestorationKey)
	if err != nil && !isNotFound(err) {
		return err
	}
	if err := Restorations.Put(tx, &Restoration{At: in.now, Epoch: last.Epoch + 1}); err != nil {
		return err
	}
	_, err = Counters.Get(tx, RevocationSequence)
	if isNotFound(err) { // none before the backup; perhaps some after it
		err = Counters.Put(tx, &Counter{Name: RevocationSequence, Value: epochStep})
	}
	if err != nil {
		return err
	}
	return AppendRevocation(tx, &Revocation{All: true, Reason: "restored", Before: in.now, Expires: in.now.Add(voidFor)})
}
