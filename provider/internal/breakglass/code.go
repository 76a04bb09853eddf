package breakglass

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// Codes is how many offline codes are made at once.
const Codes = 5

// maxCodes is how many a site may have.
const maxCodes = 20

// alphabet is Crockford's base 32: what looks alike is in it once.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// codeLength in characters of 5 bits: 100 bits.
const codeLength = 20

// NewCode makes one more offline code for the site, to be printed and locked
// away; only its hash is kept. by is who made it.
func (g *Glass) NewCode(ctx context.Context, tx store.Tx, _ *site.Site, by audit.Ref) (string, error) {
	n := 0
	for _, err := range store.BreakGlassCodes.All(tx, "") {
		if err != nil {
			return "", fmt.Errorf("count offline codes: %w", err)
		}
		if n++; n >= maxCodes {
			return "", fmt.Errorf("the site has %d offline codes already: %w", n, ErrControl)
		}
	}
	code, err := g.make(tx, by)
	if err != nil {
		return "", err
	}
	return code, g.recordCodes(ctx, tx, by, 1)
}

// NewCodes replaces all offline codes of the site by new ones.
func (g *Glass) NewCodes(ctx context.Context, tx store.Tx, _ *site.Site, by audit.Ref) ([]string, error) {
	var old []string
	for c, err := range store.BreakGlassCodes.All(tx, "") {
		if err != nil {
			return nil, fmt.Errorf("list offline codes: %w", err)
		}
		old = append(old, c.Hash)
	}
	for _, hash := range old {
		if err := store.BreakGlassCodes.Delete(tx, hash); err != nil {
			return nil, fmt.Errorf("void an offline code: %w", err)
		}
	}
	codes := make([]string, Codes)
	for i := range codes {
		var err error
		if codes[i], err = g.make(tx, by); err != nil {
			return nil, err
		}
	}
	return codes, g.recordCodes(ctx, tx, by, Codes)
}

func (g *Glass) recordCodes(ctx context.Context, tx store.Tx, by audit.Ref, n int) error {
	return g.Audit.Record(ctx, tx, audit.Event{
		Action: audit.BreakGlassCodes, Actor: by, Object: audit.Ref{Type: "site", ID: "/" + tx.Site()},
		Changes: []audit.Change{{Field: "codes", New: fmt.Sprint(n)}},
	})
}

func (g *Glass) make(tx store.Tx, by audit.Ref) (string, error) {
	raw := make([]byte, codeLength)
	_, _ = rand.Read(raw)
	for i := range raw {
		raw[i] = alphabet[raw[i]&31]
	}
	code := string(raw)
	rec := store.BreakGlassCode{Hash: hash(code), Created: g.Now().UTC(), By: by.Type + ":" + by.ID}
	if err := store.BreakGlassCodes.Create(tx, &rec); err != nil {
		return "", fmt.Errorf("keep an offline code: %w", err)
	}
	return code[:5] + "-" + code[5:10] + "-" + code[10:15] + "-" + code[15:], nil
}

// CodesLeft is how many offline codes the site has.
func CodesLeft(tx store.Tx) (n int, err error) {
	for _, err := range store.BreakGlassCodes.All(tx, "") {
		if err != nil {
			return 0, fmt.Errorf("count offline codes: %w", err)
		}
		n++
	}
	return n, nil
}

// Use lifts the control by an offline code as somebody typed it, for as long as
// may be, and uses the code up. A wrong code is not OK, and recorded: commit it
// all the same. by has shown a password before. ErrLifted and ErrControl leave the
// code as it is. Call Said after the commit.
func (g *Glass) Use(ctx context.Context, tx store.Tx, s *site.Site, typed, control string, by audit.Ref) (b store.BreakGlass, ok bool, err error) {
	key := hash(spelled(typed))
	_, err = store.BreakGlassCodes.Get(tx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return b, false, fmt.Errorf("find an offline code: %w", err)
	}
	e := audit.Event{Action: audit.BreakGlassUse, Actor: by, Object: audit.Ref{Type: "control", ID: control}}
	if err != nil {
		e.Result, e.Reason = audit.Refused, "wrong_code"
		return b, false, g.Audit.Record(ctx, tx, e)
	}
	if b, err = g.Lift(ctx, tx, s, control, store.MaxBreakGlass, by, ByCode); err != nil {
		return b, false, err
	}
	if err := store.BreakGlassCodes.Delete(tx, key); err != nil {
		return b, false, fmt.Errorf("use an offline code up: %w", err)
	}
	return b, true, g.Audit.Record(ctx, tx, e)
}

// spelled undoes what people do to a code when they copy it.
func spelled(typed string) string {
	if len(typed) > 200 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch r = unicode.ToUpper(r); {
		case r == 'O':
			return '0'
		case r == 'I' || r == 'L':
			return '1'
		case r == '-' || unicode.IsSpace(r):
			return -1
		}
		return r
	}, typed)
}

func hash(code string) string {
	sum := sha256.Sum256([]byte("break-glass code\x00" + code))
	return hex.EncodeToString(sum[:])
}
