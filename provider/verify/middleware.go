package verify

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
)

// Guard says what a handler asks of a request.
type Guard struct {
	// Action is the permission that is needed; empty asks for a good token from
	// an allowed network only, and refuses a token whose networks only the
	// server knows, since it answers about actions.
	Action string
	// Subjects are whose tokens are let through: [policy.Agent], [policy.Visitor],
	// [policy.Client]. Empty: with an Action all who may do it, as a visitor may chat.
	// Without one agents and clients, since a good token is all that is asked then and
	// anybody may be a visitor; or visitors alone where Demands names an assurance,
	// which nobody else has.
	Subjects []string
	// Demands is what the sign-in must be like: acr, assurance of a visitor, age
	// (RFC 9470).
	Demands policy.Demands
	// ClientIP is the address to judge; nil means the socket's. Behind a proxy,
	// give one that trusts that proxy alone.
	ClientIP func(*http.Request) netip.Addr
	// Refused writes the answer to a refused request; nil means
	// [Refusal.Answer].
	Refused func(http.ResponseWriter, *http.Request, Refusal)
}

type tokenKey struct{}

// FromContext returns the token that Middleware verified for this request.
func FromContext(ctx context.Context) (*Token, bool) {
	t, ok := ctx.Value(tokenKey{}).(*Token)
	return t, ok
}

// Middleware lets a request through to next if its Authorization header has a
// good bearer token that meets the guard; FromContext then gives the token.
// Tokens in a query or a body are not looked at. If the token's networks are
// too many to be in it, the server is asked.
func (c *Client) Middleware(next http.Handler, guard Guard) http.Handler {
	if guard.ClientIP == nil {
		guard.ClientIP = socketIP
	}
	if guard.Refused == nil {
		guard.Refused = func(w http.ResponseWriter, _ *http.Request, refusal Refusal) { refusal.Answer(w) }
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, refusal := c.admit(r, guard)
		if refusal != nil {
			refusal.Audience = c.options.Audience
			guard.Refused(w, r, *refusal)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, token)))
	})
}

func socketIP(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr()
}

func (c *Client) admit(r *http.Request, guard Guard) (*Token, *Refusal) {
	raw, err := Bearer(r)
	if err != nil {
		return nil, refusalOf(err)
	}
	token, err := c.Token(r.Context(), raw)
	if err != nil {
		return nil, refusalOf(err)
	}
	if !slices.Contains(guard.subjects(token.SubjectType), token.SubjectType) {
		return nil, refusalFor(policy.Refuse(policy.ReasonPermission, token.Expires), guard)
	}
	ip := guard.ClientIP(r)
	decision := token.decide(guard.rule(), guard.Action, ip, guard.Demands)
	if decision.Reason == policy.ReasonIPCheckRemote && guard.Action != "" {
		if decision, err = c.Ask(r.Context(), Question{Token: raw, Action: guard.Action, IP: ip}); err != nil {
			return nil, refusalOf(err)
		}
	}
	if !decision.Allowed {
		return nil, refusalFor(decision, guard)
	}
	return token, nil
}

// subjects are Subjects, or who they are where none are named.
func (g Guard) subjects(asks string) []string {
	switch {
	case len(g.Subjects) > 0:
		return g.Subjects
	case g.Action != "" || len(g.Demands.Assurance) > 0: // these say it themselves
		return []string{asks}
	}
	return []string{policy.Agent, policy.Client}
}

func (g Guard) rule() func(policy.Request) policy.Decision {
	if g.Action == "" {
		return policy.Admit
	}
	return policy.Decide
}

// What Bearer finds wrong.
var (
	// ErrNoToken says that the request has no bearer token.
	ErrNoToken = errors.New("verify: no bearer token")
	// ErrRequest says that the Authorization header can be read in two ways.
	ErrRequest = errors.New("verify: malformed Authorization header")
)

// Bearer returns the raw token of the request's Authorization header (RFC 6750,
// section 2.1).
func Bearer(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", ErrRequest
	}
	if len(headers) == 0 {
		return "", ErrNoToken
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", ErrNoToken
	}
	if token == "" || strings.ContainsAny(token, " \t,") {
		return "", ErrRequest
	}
	return token, nil
}
