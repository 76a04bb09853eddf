package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// exchange is one request's way through fosite: what is known before it, and
// what its handlers learn and leave for each other. It travels in the context,
// and a retry of the transaction begins with a fresh one.
type exchange struct {
	site   *site.Site
	client *store.Client
	form   url.Values
	proof  *assertion // to be spent with the exchange; nil: none
	now    time.Time
	ip     netip.Addr // of the request
	secret []byte     // MACs refresh tokens
	// codeKey seals codes.
	codeKey []byte

	tx    store.Tx
	code  *authCode
	grant *store.Grant
	// before is grant as it was read; nil for a new family.
	before *store.Grant
	agent  *store.Agent
	// scopes and resource are this answer's: what was granted, or less.
	scopes   []string
	resource string
	claims   AccessClaims
	fresh    *store.OpaqueToken // the access token, if it is to be stored
	nonce    string             // for the ID token
	noID     bool               // no ID token is wanted
	event    audit.Event        // what will be recorded
	trace    bool               // a refusal commits: it ended something, or it must be recorded
	fault    error              // what fosite would swallow
	proven   bool               // of a code: its holder has proven everything
	repeated bool               // of a refresh: the last request again, within its grace
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

func exchangeFrom(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// audience is the one resource that this answer's access token is for.
func (x *exchange) audience() string { return audience(x.site, x.client, x.resource) }

// transact runs an exchange in one Update and returns its answer after the
// commit. A refusal leaves nothing behind, unless it says that it must.
func (o *OAuth) transact(ctx context.Context, grantType string, base *exchange) (*tokenAnswer, error) {
	var answer *tokenAnswer
	var refusal error
	if err := o.Keys.Load(ctx, base.site); err != nil {
		return nil, err
	}
	err := o.Store.Update(ctx, base.site.Path, func(tx store.Tx) (err error) {
		x := *base
		x.tx, answer, refusal = tx, nil, nil
		x.now = o.Now().UTC() // a retry sees what came between, and so is later than it
		if x.proof != nil {
			if err := x.proof.spend(tx); err != nil {
				return err
			}
		}
		answer, refusal = o.exchange(withExchange(ctx, &x), grantType, &x)
		if x.fault != nil {
			return x.fault
		}
		if refusal == nil {
			return o.Audit.Record(ctx, tx, x.event)
		}
		if !x.trace {
			return refusal
		}
		return o.recordRefusal(ctx, &x, refusal)
	})
	switch {
	case err != nil:
		return nil, o.countRefusal(base, err)
	case refusal != nil:
		return nil, refusal
	}
	return answer, nil
}

// recordRefusal notes a refusal that concerns somebody we know.
func (o *OAuth) recordRefusal(ctx context.Context, x *exchange, refusal error) error {
	if !isRefusal(refusal) {
		return refusal
	}
	e := audit.Event{Action: audit.TokenRefused, Result: audit.Refused, Actor: clientRef(x.client), Reason: reasonOf(refusal)}
	if x.event.Action == audit.TokenReuse {
		e.Action = audit.TokenReuse
	}
	if x.grant != nil {
		e.Object = audit.Ref{Type: "grant", ID: x.grant.ID}
	} else if x.code != nil {
		e.Object = audit.Ref{Type: "agent", ID: x.code.AgentID}
	}
	return o.Audit.Record(ctx, x.tx, e)
}

// countRefusal counts one that concerns nobody we know.
func (o *OAuth) countRefusal(x *exchange, err error) error {
	if isRefusal(err) {
		o.Audit.Count(x.site.Path, audit.Event{Action: audit.TokenRefused, Result: audit.Refused, Actor: clientRef(x.client), Reason: reasonOf(err)})
	}
	return err
}

func clientRef(c *store.Client) audit.Ref { return audit.Ref{Type: "client", ID: c.ID} }

// isRefusal tells a client's fault from ours.
func isRefusal(err error) bool {
	for _, row := range refusals {
		if errors.Is(err, row.Err) {
			return true
		}
	}
	return false
}

// reasonOf is a refusal's code and sentence for the audit log.
func reasonOf(err error) string {
	text := web.PublicText(err)
	for _, row := range refusals {
		if errors.Is(err, row.Err) {
			if text == "" {
				return row.OAuth
			}
			return row.OAuth + ": " + text
		}
	}
	return text
}

// hashToken is the key under which a bearer secret is kept.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// opaqueKey is the key under which an opaque token is kept, in its record, its
// lookup and the expiry index: half of its hash. We made all the tokens there are, so
// nobody looks for two of one key, and one of a given key takes 2^128 tries.
func opaqueKey(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// loadAgent loads the agent that a code or family belongs to.
func (x *exchange) loadAgent(id string) error {
	agent, err := store.Agents.Get(x.tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return web.Public(ErrInvalidGrant, "the agent is no longer there")
	}
	if err != nil {
		return fmt.Errorf("load agent: %w", err)
	}
	x.agent = &agent
	return nil
}
