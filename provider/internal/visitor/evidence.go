package visitor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
)

// proof takes what federation left for the widget: by the code that the page was
// handed, and the verifier that only the page which asked has (RFC 7636).
func (x *Visitors) proof(ctx context.Context, q *starting) (*answer, error) {
	if !signsIn(q.site) {
		return nil, &Refusal{Reason: reasonSignInOff}
	}
	if n := len(q.CodeVerifier); n < minVerifier || n > maxVerifier {
		return nil, codeInvalid()
	}
	code := sha256.Sum256([]byte(q.Proof))
	verifier := sha256.Sum256([]byte(q.CodeVerifier))
	challenge := base64.RawURLEncoding.EncodeToString(verifier[:])
	return x.recognise(ctx, q, func(tx store.Tx) (*evidence, error) {
		p, err := store.VisitorProofs.Get(tx, hex.EncodeToString(code[:]))
		if errors.Is(err, store.ErrNotFound) {
			return nil, codeInvalid()
		}
		if err != nil {
			return nil, err
		}
		if err := store.VisitorProofs.Delete(tx, p.Hash); err != nil {
			return nil, err
		}
		conn := q.site.Connection(p.Connection)
		if subtle.ConstantTimeCompare([]byte(challenge), []byte(p.Challenge)) != 1 || p.Origin != q.origin || !q.now.Before(p.Expires) ||
			conn == nil || conn.For != store.ForVisitors {
			return nil, codeInvalid()
		}
		plain, err := x.Sealer.Open(q.site.Path, store.VisitorProofs.Kind, p.Hash, p.Sealed)
		if err != nil {
			return nil, err
		}
		said := &store.VisitorProven{}
		if err := json.Unmarshal(plain, said); err != nil {
			return nil, err
		}
		if made := p.Expires.Add(-store.VisitorProofLife); said.Since != conn.Since() || !made.After(conn.Resumed) { // of another, or of before it was off
			return nil, codeInvalid()
		}
		if over, err := x.Records.IsOver(tx, conn, &p, said); err != nil || over {
			return nil, cmp.Or(err, codeInvalid())
		}
		return proven(q, conn, &p, said), nil
	})
}

// byUserHash is the amr of tokens that rest on a user_hash.
const byUserHash = "user_hash"

// userHash takes a static HMAC of the visitor's id, where the connection says that
// its site is content with it: it never ends, and whoever has seen it once can show
// it for ever.
func (x *Visitors) userHash(ctx context.Context, q *starting) (*answer, error) {
	conn, err := x.connectionOf(q.site, "", q.Connection)
	if err != nil {
		return nil, err
	}
	if !takesUserHash(q.site, conn) || q.UserID == "" || len(q.UserID) > maxSubject-len("sub:") || jwt.IsSigningInput(q.UserID) {
		return nil, unproven(jwt.CodeInvalid, "the connection takes no user_hash")
	}
	secrets, err := x.Keysets.HashSecrets(q.site.Path, conn)
	if err != nil {
		return nil, unproven("provider_unavailable", "the connection's keys cannot be had")
	}
	held := false
	for _, secret := range secrets {
		held = jwt.CheckUserHash(secret, q.UserID, q.UserHash) || held
	}
	if !held {
		return nil, unproven(jwt.CodeInvalid, "user_hash is not the HMAC of user_id")
	}
	ev := &evidence{subject: records.SubjectOf(conn, "sub:"+q.UserID), assurance: Signed, amr: []string{byUserHash}}
	return x.recognise(ctx, q, func(store.Tx) (*evidence, error) { return ev, nil })
}

// signed takes a visitor JWT.
func (x *Visitors) signed(ctx context.Context, q *starting) (*answer, error) {
	ev, err := x.identity(ctx, q.site, q.Identity, q.Connection, q.now)
	if err != nil {
		return nil, err
	}
	a, err := x.recognise(ctx, q, func(store.Tx) (*evidence, error) { return ev, nil })
	var no *Refusal
	if errors.As(err, &no) && no.Unproven {
		x.trace(ctx, q.site, q.site.Connection(ev.subject.Connection), nil, no)
	}
	return a, err
}
